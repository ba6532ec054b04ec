"""A posted form as bytes: taken apart without losing one, before anybody has proved who sent it.

Values stay bytes, because the signature is over what was transmitted; text is made of them once it is proved.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from gateway.core.errors import BadRequest, Fault
from gateway.dialects import HttpCall
from gateway.dialects.systempay.fields import OTHER
from gateway.dialects.systempay.signature import PREFIX

# The longest form that breaks no field's own limit is below this; pages of names of thousands of fields are not forms.
BYTES_MAX = 64 * 1024
FIELDS_MAX = 400

_NAME = re.compile(r"vads_[A-Za-z0-9_]{1,80}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of one request, in the order they came.

    :ivar vads: what is signed; names are ASCII
    :ivar others: what is neither signed nor read, kept to explain a signature that covers it
    :ivar signature: empty when there was none
    """

    vads: Mapping[str, bytes]
    others: Mapping[str, bytes]
    signature: bytes

    def text(self, name: str) -> str:
        """Read one field before the whole is proved to be text; what is not UTF-8 matches no rule."""
        return self.vads.get(name, b"").decode("utf-8", "replace")


def read_form(call: HttpCall) -> Form:
    """Take a call apart: the query of a GET, the body of a POST (URL-encoded or multipart).

    Raises :class:`BadRequest` for what is too long, no form, or names a field twice: two parsers would then read two
    different requests.
    """
    if len(call.body) > BYTES_MAX or len(call.query) > BYTES_MAX:
        raise _unreadable(f"send at most {BYTES_MAX} bytes")
    vads: dict[str, bytes] = {}
    others: dict[str, bytes] = {}
    for name, value in _pairs(call):
        kept = vads if name.startswith(PREFIX) else others
        if name in kept and (kept is vads or name == "signature"):
            raise _unreadable("send this field once", name)
        kept[name] = value
    if bad := next((name for name in vads if not _NAME.fullmatch(name)), None):
        raise _unreadable("write field names with ASCII letters, digits and _", bad[:80])
    return Form(vads, others, others.pop("signature", b""))


def _pairs(call: HttpCall) -> Iterator[tuple[str, bytes]]:
    if call.method == "GET":
        return _urlencoded(call.query.encode("latin-1", "replace"))
    media_type, options = parse_options_header(call.headers.get("content-type", ""))
    if media_type in ("", "application/x-www-form-urlencoded"):
        return _urlencoded(call.body)
    if media_type == "multipart/form-data" and options.get("boundary"):
        return _multipart(call.body, options["boundary"].encode("latin-1", "replace"))
    raise _unreadable("send Content-Type: application/x-www-form-urlencoded or multipart/form-data")


def _urlencoded(raw: bytes) -> Iterator[tuple[str, bytes]]:
    pairs = raw.split(b"&", FIELDS_MAX)
    if len(pairs) > FIELDS_MAX:
        raise _unreadable(f"send at most {FIELDS_MAX} fields")
    for pair in filter(None, pairs):
        name, _, value = pair.partition(b"=")
        yield _unquoted(name).decode("utf-8", "replace"), _unquoted(value)


def _unquoted(raw: bytes) -> bytes:
    return unquote_to_bytes(raw.replace(b"+", b" "))


def _multipart(raw: bytes, boundary: bytes) -> Iterator[tuple[str, bytes]]:
    """Read multipart by hand: werkzeug's form parser would turn stray bytes into replacement characters."""
    decoder = MultipartDecoder(boundary, max_parts=FIELDS_MAX)
    try:
        decoder.receive_data(raw)
        decoder.receive_data(None)
        yield from _parts(decoder)
    except (ValueError, RequestEntityTooLarge) as error:
        raise _unreadable("send whole multipart/form-data (RFC 7578) without files") from error


def _parts(decoder: MultipartDecoder) -> Iterator[tuple[str, bytes]]:
    name, value = "", b""
    event = decoder.next_event()
    while not isinstance(event, Epilogue | NeedData):
        if isinstance(event, File):
            raise ValueError("a file is no field")
        if isinstance(event, Field):
            # werkzeug gives ``None`` for a part that has none.
            if not event.name:
                raise ValueError("a part without a name is no field")
            name, value = event.name, b""
        elif isinstance(event, Data):
            value += event.data
            if not event.more_data:
                yield name, value
        event = decoder.next_event()


def _unreadable(detail: str, name: str = "") -> BadRequest:
    return BadRequest((Fault(f"/{name}" if name else "", OTHER, detail),))
