"""All a portal needs to speak TIPI by URL: make the payment address, and hold a notification against it.

Copy this file and ``proof.py``. The protocol has no signature: what can be checked is that a notification repeats the
request byte for byte and comes from the payment server's own address. Whoever can send from there can lie; a portal
that needs more asks for the web service instead.
"""

import re
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import urlencode

from proof import Confirmation, Departure, NotVerified

ENTRY = "/tpa/paiement.web"

ECHOED = ("numcli", "exer", "refdet", "objet", "montant", "mel", "saisie")

RESULTS: Mapping[str, str] = MappingProxyType(
    {"P": "payment.succeeded", "R": "payment.refused", "A": "payment.abandoned"},
)

# A label may hold no more.
OBJET_LENGTH_MAX = 99


class Tipi:
    """One client of the treasury.

    :param numcli: six digits; leading zeros are part of it
    :param saisie: ``T`` for a test, ``A`` for production
    """

    def __init__(self, origin: str, numcli: str, saisie: str = "T") -> None:
        self.origin, self.numcli, self.saisie = origin, numcli, saisie

    def fields(self, refdet: str, amount_cents: int, year: str, label: str, email: str) -> dict[str, str]:
        """Give what a request says; a notification must repeat it.

        :param refdet: 6 to 30 letters and digits, never used before
        """
        return {
            "numcli": self.numcli,
            "exer": year,
            "refdet": refdet,
            "objet": plain(label),
            "montant": str(amount_cents),
            "mel": email,
            "saisie": self.saisie,
        }

    def depart(self, fields: Mapping[str, str], notify_url: str) -> Departure:
        """Make the address the payer's browser opens."""
        return Departure(f"{self.origin}{ENTRY}?{urlencode({**fields, 'urlcl': notify_url})}")

    def read(self, told: Mapping[str, str], asked: Mapping[str, str]) -> Confirmation:
        """Hold a notification against the request. Raises :class:`NotVerified` when they differ."""
        differing = [name for name in ECHOED if told.get(name) != asked.get(name)]
        if differing:
            raise NotVerified(f"{', '.join(differing)}: not as in the request")
        result, day, minute = (told.get(name, "") for name in ("resultrans", "dattrans", "heurtrans"))
        if result not in RESULTS or not re.fullmatch(r"[0-9]{8} [0-9]{4}", f"{day} {minute}", re.ASCII):
            raise NotVerified("resultrans, dattrans or heurtrans make no sense")
        return Confirmation(
            id=f"tipi-{told['refdet']}-{result}",
            type=RESULTS[result],
            sent_at=f"{day[:2]}/{day[2:4]}/{day[4:]} {minute[:2]}:{minute[2:]}",
            payment="",
            reference=told["refdet"],
            merchant=told["numcli"],
            amount_cents=int(told["montant"]),
            currency="EUR",
            card={"authorisation_number": told.get("numauto", "")},
            words=f"resultrans={result}",
        )


def plain(label: str) -> str:
    """Write a label with the signs the treasury takes: letters without accents, digits and spaces."""
    letters = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode()
    return " ".join(re.sub(r"[^A-Za-z0-9]+", " ", letters).split())[:OBJET_LENGTH_MAX]
