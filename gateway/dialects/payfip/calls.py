"""What callers of the web service send: envelopes of its three operations, and the payer with an idOp."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from gateway.core.errors import BadRequest, Fault
from gateway.dialects import HttpCall
from gateway.dialects.soap import MalformedSoap, child, parse, verbatim
from gateway.dialects.treasury import FORM, Anomaly

# What each operation may hold; anything else is ignored, as one client depends on. Names are case-sensitive.
MEMBERS: Mapping[str, frozenset[str]] = {
    "creerPaiementSecurise": frozenset(
        {"exer", "mel", "montant", "numcli", "objet", "refdet", "saisie", "urlnotif", "urlredirect"}
    ),
    "recupererDetailClient": frozenset({"numCli"}),
    "recupererDetailPaiementSecurise": frozenset({"idOp"}),
}

_IDOP = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# A GET form of one portal adds a handful of its own fields.
_PARAMETERS_MAX = 64


@dataclass(frozen=True, slots=True)
class Asked:
    """One operation with the members that were sent."""

    operation: str
    values: Mapping[str, str]


def read_envelope(body: bytes, bytes_max: int) -> Asked:
    """Read an operation, whatever its prefixes, the order of its members and the blanks around the envelope.

    Raises :class:`MalformedSoap` also for an operation that is none of this service's, and for a member given twice.
    """
    call = parse(body.strip(), bytes_max=bytes_max)
    if call.name not in MEMBERS:
        raise MalformedSoap("unknown_operation", f"no operation {call.name}")
    argument = child(call.element, "arg0")
    members = {name: child(argument, name) for name in sorted(MEMBERS[call.name])}
    return Asked(
        call.name, {name: _unpadded(name, verbatim(found)) for name, found in members.items() if found is not None}
    )


def _unpadded(name: str, value: str | None) -> str:
    """Drop the blanks that indented XML puts around a value; a label's own are given back as they came."""
    value = value or ""
    return value if name == "objet" and "\n" not in value else value.strip(" \t\r\n")


def check_idop(idop: str) -> str:
    """Give an idOp that has the right form. Raises :class:`Anomaly` P1, as for one that is not known."""
    if not _IDOP.fullmatch(idop):
        raise Anomaly("P1", "idOp is a UUID in lower case, as it was given")
    return idop


def carried_idop(call: HttpCall) -> str:
    """Read the idOp the payer's browser brings, in the address or in a posted form; other fields are ignored.

    Raises :class:`Anomaly`: P2 when there is none, P1 when there are several or one of the wrong form.
    """
    texts = [call.query]
    if call.method == "POST" and call.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM:
        texts.append(call.body.decode("latin-1"))
    try:
        pairs = [pair for text in texts for pair in parse_qsl(text, max_num_fields=_PARAMETERS_MAX)]
    except ValueError as error:
        raise BadRequest((Fault("", "too_large", f"send at most {_PARAMETERS_MAX} parameters"),)) from error
    found = [value for name, padded in pairs if name.lower() == "idop" and (value := padded.strip(" \t\r\n"))]
    if not found:
        raise Anomaly("P2", "idop is missing")
    if len(found) > 1:
        raise Anomaly("P1", "idop is given more than once")
    return check_idop(found[0])
