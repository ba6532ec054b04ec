"""The files pages load: read and packed once, at the start, and sent packed to whoever takes them so.

Only what is the same for everybody is packed. Pages are not: they hold what somebody typed or a merchant worded beside the
token of a form, and the length of what both are packed into tells of the token (BREACH, CVE-2013-3587).
"""

import gzip
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from mimetypes import guess_type
from pathlib import Path

from flask import Flask, Response, abort, request
from werkzeug.wrappers import Response as AnyResponse

# What packing makes smaller, by the names of today (RFC 9239 for scripts), which an older system's own list may lack.
_TEXTS = {".css": "text/css", ".js": "text/javascript", ".mjs": "text/javascript", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class WebFile:
    """A file in memory, plain and packed, under the digest of its content.

    :ivar packed: empty where packing gains nothing
    """

    content: bytes
    media_type: str
    digest: str = field(init=False)
    packed: bytes = field(init=False)

    def __post_init__(self) -> None:
        packed = gzip.compress(self.content, mtime=0) if self.media_type in _TEXTS.values() else b""
        object.__setattr__(self, "packed", packed if len(packed) < len(self.content) else b"")
        object.__setattr__(self, "digest", sha256(self.content).hexdigest()[:16])

    def send(self) -> Response:
        """Answer with the file, packed if the browser takes it so (RFC 9110, 8.4 and 12.5.3)."""
        is_packed = bool(self.packed) and request.accept_encodings["gzip"] > 0
        response = Response(self.packed if is_packed else self.content, mimetype=self.media_type)
        if self.packed:
            response.vary.add("Accept-Encoding")
        if is_packed:
            response.content_encoding = "gzip"
        # Two forms of one file are two things to a cache (RFC 9110, 8.8.3.3).
        response.set_etag(f"{self.digest}-gzip" if is_packed else self.digest)
        response.make_conditional(request)
        return response


def init_files(app: Flask, folder: Path) -> None:
    """Serve the files of a folder from memory, at the addresses that ``static`` has."""
    files = dict(_read(folder))

    def serve(filename: str) -> AnyResponse:
        file = files.get(filename) or abort(404)
        return file.send()

    app.view_functions["static"] = serve


def _read(folder: Path) -> Iterator[tuple[str, WebFile]]:
    for file in sorted(folder.glob("*")):
        if file.is_file():
            media_type = _TEXTS.get(file.suffix) or guess_type(file.name)[0] or "application/octet-stream"
            yield file.name, WebFile(file.read_bytes(), media_type)
