"""The merchant key of SP Plus: how it is written, what it signs with, how a new one is issued.

A key is 24 bytes in hex, as the bank's kits print it. They decipher it (single DES, CBC) and keep the first 20 bytes,
which are the HMAC-SHA-1 key; the last four repeat the first four.
"""

import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

# Fixed in every kit. The vector is the text of a slip in the original C source: '0x0b,0x0' instead of the byte 0x0b.
_KIT_KEY = bytes.fromhex("451fba4f4c3fd497")
_KIT_VECTOR = b"0x0b,0x0"

SECRET_BYTES = 20
_CHECK_BYTES = 4
_WRITTEN = re.compile(r"[0-9A-Fa-f]{48}", re.ASCII)


@dataclass(frozen=True, slots=True)
class MerchantKey:
    """A deciphered merchant key; it never shows itself.

    :ivar secret: the 20 bytes that sign
    :ivar has_check: whether the last four bytes repeat the first four. They do in every key the bank issued; a key made
        for tests may fail this, so it is a hint of a slip of the pen and no more
    """

    secret: bytes = field(repr=False)
    has_check: bool = field(repr=False)
    _written: bytes = field(repr=False)

    @classmethod
    def read(cls, text: str) -> "MerchantKey":
        """Take a key as it is printed: 48 hex digits, blanks anywhere, either case.

        Raises :class:`ValueError`, whose text does not repeat the key.
        """
        digits = "".join(text.split())
        if not _WRITTEN.fullmatch(digits):
            raise ValueError("must be 48 hex digits, with or without blanks")
        written = bytes.fromhex(digits)
        cipher = _cipher().decryptor()
        plain = cipher.update(written) + cipher.finalize()
        return cls(plain[:SECRET_BYTES], plain[SECRET_BYTES:] == plain[:_CHECK_BYTES], written)

    def sign(self, message: bytes) -> str:
        """Give the HMAC-SHA-1 of ``message`` in upper-case hex: merchants compare the text exactly."""
        return _sign(self.secret, message)

    def verify(self, message: bytes, received: str) -> bool:
        """Say, in constant time, whether ``received`` (hex in either case) signs ``message``."""
        return hmac.compare_digest(self.sign(message).encode("ascii"), received.upper().encode("utf-8"))

    def mistaken(self, message: bytes) -> Iterator[tuple[str, str]]:
        """Give the signatures that usual misuses of this key make, each with the misuse's name."""
        digits = self._written.hex()
        spaced = " ".join(digits[i : i + 2] for i in range(0, len(digits), 2))
        cipher = _cipher().decryptor()
        yield "key used without deciphering it", _sign(self._written, message)
        yield (
            "all 24 deciphered bytes used as the key",
            _sign(cipher.update(self._written) + cipher.finalize(), message),
        )
        for text in (digits, digits.upper(), spaced, spaced.upper()):
            yield "hex text of the key used as the key", _sign(text.encode("ascii"), message)
        yield "deciphered key used as hex text", _sign(self.secret.hex().encode("ascii"), message)


def issue_key(secret: bytes) -> str:
    """Write a new merchant key the way the kits expect it: 24 pairs of hex digits with blanks.

    :param secret: 20 random bytes, fit for secrets
    """
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"a merchant key is made of {SECRET_BYTES} bytes")
    cipher = _cipher().encryptor()
    written = cipher.update(secret + secret[:_CHECK_BYTES]) + cipher.finalize()
    return written.hex(" ")


def _sign(key: bytes, message: bytes) -> str:
    return hmac.digest(key, message, hashlib.sha1).hex().upper()


def _cipher() -> Cipher[modes.CBC]:
    # Three times the same eight bytes make triple DES the single DES of the kits, which the library has no more.
    return Cipher(TripleDES(_KIT_KEY * 3), modes.CBC(_KIT_VECTOR))
