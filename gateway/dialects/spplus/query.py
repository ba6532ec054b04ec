"""Queries as bytes: taken apart without losing how they were written, hidden ones uncovered, echoes put together.

Signatures cover values, some of them still percent-encoded, some in Latin-1: nothing is turned into text here.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from gateway.core.errors import BadRequest, Fault
from gateway.dialects import HttpCall

# The kits stop at about 1000 bytes; a request with long addresses stays well below these.
QUERY_BYTES_MAX = 8192
_PARAMETERS_MAX = 64

_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]*")

# What may stand unescaped in a value: RFC 3986's query characters without the two that part a query, and without the
# apostrophe, at which the clients of the remote signer cut.
_PLAIN = "%+!$()*,/:;?@"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One ``name=value`` of a query.

    :ivar raw: the value as it was sent
    :ivar value: the value with its escapes undone
    """

    name: str
    raw: bytes
    value: bytes

    @property
    def written(self) -> str:
        """The pair as it can be sent on: as it came, but for bytes no address may hold and a stray equals sign."""
        return f"{quote(self.name.encode('latin-1'), safe='')}={quote(self.raw, safe=_PLAIN)}"


def parameters_of(call: HttpCall) -> tuple[Parameter, ...]:
    """Take a request's parameters, from its query or its form, hidden (``?!``) or not.

    Raises :class:`BadRequest` for whatever two programs could read differently.
    """
    query = call.query.encode("latin-1", "replace")
    if call.method == "POST" and call.body:
        media_type = call.headers.get("content-type", "").partition(";")[0].strip().lower()
        if query or media_type not in ("", "application/x-www-form-urlencoded"):
            raise _malformed("put every parameter in one place: the query, or a urlencoded form")
        query = call.body
    return split(uncover(query))


def uncover(query: bytes) -> bytes:
    """Undo the ``?!`` form: base64 of the whole query, with the oddities of the kits that make it.

    They end a whole number of triplets with a stray equals sign and break the text after every 1024 characters; browsers
    drop the break or send it as ``%0A``. A plus sign is base64 here, never a blank.
    """
    if not query.startswith(b"!"):
        return query
    text = re.sub(rb"[\s=]", b"", unquote_to_bytes(query[1:]))
    if not _BASE64.fullmatch(text):
        raise _malformed("after ?! send base64 alone")
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4))
    except binascii.Error as error:
        raise _malformed("after ?! send base64 of the whole query; some of it is missing") from error


def split(query: bytes) -> tuple[Parameter, ...]:
    """Take a query apart on ``&`` and then on the first ``=``; empty pairs do not count.

    Raises :class:`BadRequest` for a broken escape, a name given twice, or too much of anything.
    """
    pairs = [pair for pair in query.split(b"&") if pair]
    if len(query) > QUERY_BYTES_MAX or len(pairs) > _PARAMETERS_MAX:
        raise _malformed(f"send at most {_PARAMETERS_MAX} parameters in {QUERY_BYTES_MAX} bytes")
    if _BROKEN_ESCAPE.search(query):
        raise _malformed("write a percent sign as %25")
    parameters = tuple(_parameter(pair) for pair in pairs)
    names = [parameter.name for parameter in parameters]
    if "" in names:
        raise _malformed("give every value a name")
    if any(name.startswith("amp;") for name in names):
        raise _malformed("write & between parameters; &amp; belongs in HTML only")
    if len(set(names)) < len(names):
        raise _malformed("give each parameter once")
    return parameters


def raw_values(query: str) -> bytes:
    """Give the values of a query one after the other, still percent-encoded: what returns are signed over."""
    return "".join(pair.partition("=")[2] for pair in query.split("&")).encode("ascii")


def join(address: str, query: str) -> str:
    """Add a query to an address that may have one of its own."""
    joint = "" if address.endswith(("?", "&")) else "&" if "?" in address else "?"
    return address + joint + query


def text_of(value: bytes) -> str:
    """Read a value for people: UTF-8 if it is, else Latin-1, which old kits send."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _parameter(pair: bytes) -> Parameter:
    name, _, raw = pair.partition(b"=")
    return Parameter(_decoded(name).decode("latin-1"), raw, _decoded(raw))


def _decoded(raw: bytes) -> bytes:
    return unquote_to_bytes(raw.replace(b"+", b" "))


def _malformed(fix: str) -> BadRequest:
    return BadRequest((Fault("", "malformed", fix),))
