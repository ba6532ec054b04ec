"""The signature of form V2: what is signed, and the two ways of signing it.

Sample Hosted Payment Page guide, "Computing the signature": every field whose name begins with ``vads_``, empty ones
included, sorted by name in byte order, values joined by ``+``, then ``+`` and the key of the mode, in UTF-8. The same
text, *ending with the key*, is hashed with SHA-1 (older shops, hex) or signed with HMAC-SHA-256 under that key (base64).
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Literal

Algorithm = Literal["sha1", "hmac"]

PREFIX = "vads_"


def signed_text(fields: Mapping[str, bytes]) -> bytes:
    """Give what is signed, up to and including the ``+`` before the key.

    Bytes go in and out, since a value must be signed exactly as it was transmitted.
    """
    names = sorted(name for name in fields if name.startswith(PREFIX))
    return b"+".join([*(fields[name] for name in names), b""])


def signature_of(text: bytes, key: str, algorithm: Algorithm) -> str:
    """Sign ``text``, which ends with its ``+``, as the shop's algorithm wants it."""
    secret = key.encode("ascii")
    if algorithm == "sha1":
        # The platform's own choice; shops that can are told to use HMAC-SHA-256.
        return hashlib.sha1(text + secret, usedforsecurity=False).hexdigest()
    return base64.b64encode(hmac.digest(secret, text + secret, hashlib.sha256)).decode("ascii")


def sign(fields: Mapping[str, str], key: str, algorithm: Algorithm) -> str:
    """Give the ``signature`` of fields that go out."""
    return signature_of(signed_text({name: value.encode() for name, value in fields.items()}), key, algorithm)


def is_signature(expected: str, received: bytes) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(expected.encode("ascii"), received)


def kr_hash(answer: str, key: str) -> str:
    """Give the ``kr-hash`` of a REST V4 answer: lower-case hex of HMAC-SHA-256 over the ``kr-answer`` text.

    Slashes are hashed unescaped, whatever JSON writer made the text (the vendor's PHP sample strips ``\\/`` first).
    """
    return hmac.digest(key.encode("ascii"), answer.replace("\\/", "/").encode(), hashlib.sha256).hex()
