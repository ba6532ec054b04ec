"""All a portal needs to speak SP Plus: sign a payment address, and check what comes back.

Copy this file and ``proof.py``. It knows HMAC-SHA-1 and the kits' key, and nothing of pupils or pages. Source: the kits
the bank gave to shops from 2003 on, and the PHP manual's SPPLUS functions.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from urllib.parse import unquote_plus, urlencode

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from proof import Confirmation, Departure, NotVerified

ENTRY = "/paiement/init.do"

# Whoever serves a notice answers this; without it Guichet tries again.
ACKNOWLEDGEMENT = "spcheckok"

# The same in every kit; the vector is the text of a slip in the original C source.
_KIT_KEY, _KIT_VECTOR = bytes.fromhex("451fba4f4c3fd497"), b"0x0b,0x0"

# The kits' own order. Signed values are run together without a separator: whoever reorders them changes what is signed.
_ORDER = ("siret", "reference", "langue", "devise", "montant", "taxe", "validite", "version", "modalite", "moyen")

# What each state means. Money is only certain at 10, but 1 is what a payer waits for.
ETATS: Mapping[str, str] = MappingProxyType(
    {
        "1": "payment.succeeded",
        "2": "payment.refused",
        "4": "payment.remittance_planned",
        "10": "payment.remitted",
        "12": "payment.abandoned",
        "15": "payment.refunded",
    }
)


class SpPlus:
    """One shop of SP Plus.

    :param siret: 14 digits, a dash and the shop's number
    :param merchant_key: 48 hex digits as the bank prints them, blanks or not
    """

    def __init__(self, origin: str, siret: str, merchant_key: str) -> None:
        self.origin, self.siret = origin, siret
        # Three times the same eight bytes make triple DES the single DES of the kits.
        decryptor = Cipher(TripleDES(_KIT_KEY * 3), modes.CBC(_KIT_VECTOR)).decryptor()
        self._key = (decryptor.update(bytes.fromhex(merchant_key)) + decryptor.finalize())[:20]

    def depart(self, reference: str, amount_cents: int, last_day: str, more: Mapping[str, str]) -> Departure:
        """Make the address that asks for a payment; every value of it is signed.

        :param reference: letters, digits, ``-`` and ``_``, at most 20, never used before
        :param last_day: the last payable day, ``dd/mm/yyyy``
        :param more: ``email``, ``urlretour``, ``arg1``, ``arg2``; empty ones are left out
        """
        values = {
            "siret": self.siret,
            "reference": reference,
            "langue": "FR",
            "devise": "978",
            "montant": f"{amount_cents // 100}.{amount_cents % 100:02d}",
            "taxe": "0.00",
            "validite": last_day,
            "version": "1",
            "modalite": "1x",
            "moyen": "CBS",
        }
        given = {**{name: values[name] for name in _ORDER}, **{name: text for name, text in more.items() if text}}
        query = urlencode({**given, "hmac": self.sign(given.values())})
        return Departure(f"{self.origin}{ENTRY}?{query}")

    def sign(self, values: Iterable[str]) -> str:
        """Give the HMAC-SHA-1 of values run together, in upper-case hex as the kits write it."""
        return hmac.digest(self._key, "".join(values).encode(), hashlib.sha1).hex().upper()

    def read(self, query: str, asked_url: str) -> Confirmation:
        """Check the raw query of a notice, or of the payer's return, against what was asked.

        The signature covers values without their names or bounds, so a genuine one can be cut anew: every value of the
        request must come back as it was sent, then eight digits, then a state we know.

        Raises :class:`NotVerified`.
        """
        told, _, signature = query.rpartition("&hmac=")
        raw = [pair.partition("=")[2] for pair in told.split("&")]
        if not hmac.compare_digest(self.sign(raw).encode(), signature.encode("utf-8", "replace")):
            raise NotVerified("hmac: not the shop's signature")
        asked = asked_url.partition("?")[2].rpartition("&hmac=")[0]
        ending = re.fullmatch(r"&refsfp=(?P<refsfp>[0-9]{8})&etat=(?P<etat>[0-9]{1,2})", told[len(asked) :], re.ASCII)
        if not asked or not told.startswith(asked) or ending is None:
            raise NotVerified("the values are not those of the request")
        values = _values(asked)
        return Confirmation(
            id=f"spplus-{values['reference']}-{ending['etat']}",
            type=ETATS.get(ending["etat"], f"etat.{ending['etat']}"),
            sent_at="",
            payment=ending["refsfp"],
            reference=values["reference"],
            merchant=values["siret"],
            amount_cents=int(values["montant"].replace(".", "")),
            currency="EUR" if values["devise"] == "978" else values["devise"],
            words=f"etat={ending['etat']}",
        )


def reference_of(query: str) -> str:
    """Read which payment a notice says it is about; nothing is proved yet."""
    return _values(query).get("reference", "")


def _values(query: str) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in query.split("&"))
    return {name: unquote_plus(text) for name, _, text in pairs}
