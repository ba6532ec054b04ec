"""The remote signer: for shops without the library, an unsigned query in, the signed payment address out.

It signs for whoever can reach it, so it serves shops in test mode alone.
"""

from collections.abc import Sequence

from gateway.core.errors import BadRequest, Fault, NotFound
from gateway.dialects import HttpReply
from gateway.dialects.spplus.entry import prove
from gateway.dialects.spplus.fields import read_fields
from gateway.dialects.spplus.query import Parameter, split
from gateway.dialects.spplus.shops import Shops
from gateway.dialects.spplus.signature import signings

# Clients read this much of the first line and cut at the apostrophes.
_LINE_MAX = 2048

# Passes the grammar where a signature must stand; it is never checked.
_NO_HMAC = Parameter("hmac", b"0" * 40, b"0" * 40)


def sign_remotely(parameters: Sequence[Parameter], shops: Shops, entry_url: str) -> HttpReply:
    """Give the signed address between apostrophes.

    Raises :class:`NotFound` for a shop that is not in test mode, as for an unknown one, and :class:`BadRequest` for a
    request that the entry would not take: nothing else is ever signed here.
    """
    if any(p.name == "hmac" for p in parameters):
        raise BadRequest((Fault("/hmac", "format", "leave hmac out; it is made here"),))
    fields = read_fields((*parameters, _NO_HMAC))
    shop = shops.by_siret(fields.siret)
    if shop is None or not shop.is_test:
        raise NotFound("no such address in this protocol")
    signing = next(signings(parameters, strict=shop.protocol.strict))
    query = "&".join(p.written for p in parameters)
    signed = f"{query}&hmac={shop.key.sign(signing.message)}"
    written = split(signed.encode("ascii"))
    prove(written, read_fields(written), shop, ())
    line = f"url='{entry_url}?{signed}'\n"
    if len(line) > _LINE_MAX:
        raise BadRequest((Fault("", "malformed", f"shorten the request: at most {_LINE_MAX} bytes are read"),))
    return HttpReply(200, {"Content-Type": "text/plain; charset=us-ascii", "Cache-Control": "no-store"}, line.encode())
