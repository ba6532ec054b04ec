"""The codes by which both variants say what is wrong, and their wording; the table itself is ``anomalies.toml``."""

import tomllib
from importlib.resources import files
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict

from gateway.core.errors import BadRequest, Fault, GatewayError, NotFound, RequestConflict, StoreBusy
from gateway.dialects import ErrorPage

# Where a fact comes from: read in recorded traffic, told by a paraphrase of the guide, or chosen here.
Evidence = Literal["recorded", "secondary", "house"]

TECHNICAL = "999"

_CONFLICT = "R2"
_UNKNOWN = "P1"

# Of every libellé of the Treasury.
_LANGUAGE = "fr"

_LOCKED = (
    "Un paiement de cette dette est déjà en cours. Terminez-le ou annulez-le dans sa fenêtre, ou recommencez "
    "après {until:%H:%M}."
)

# Of pages; anything technical is 500.
_STATUS = {_CONFLICT: 400, _UNKNOWN: 400}


class Anomaly(BadRequest):
    """One broken rule, by its code in the table.

    :ivar wire_code: the code
    :ivar detail: the rule and what broke it, for the developer of the client
    :ivar merchant: whose request it was, once that is known
    :ivar paid: the payment it names, when that was paid
    """

    def __init__(self, wire_code: str, detail: str = "", merchant: str = "", *, paid: str = "") -> None:
        super().__init__((Fault("", wire_code, detail),))
        self.wire_code, self.detail, self.merchant, self.paid = wire_code, detail, merchant, paid


class Row(BaseModel):
    """One row of the table.

    :ivar field: the parameter it speaks of; empty when it speaks of none
    :ivar libelle: the wording on the wire and for the payer, in French
    :ivar evidence: where the pair of code and meaning comes from
    :ivar libelle_evidence: where the wording comes from
    :ivar exception: the local name of the Java exception that carries it
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    code: str
    field: str
    meaning: str
    libelle: str
    evidence: Evidence
    libelle_evidence: Evidence
    severite: int = 2
    exception: Literal["FonctionnelleErreur", "TechDysfonctionnementErreur"] = "FonctionnelleErreur"


class Anomalies:
    """The table, read once."""

    def __init__(self) -> None:
        table = tomllib.loads(files(__package__).joinpath("anomalies.toml").read_text("utf-8"))
        rows = (Row.model_validate(row) for row in table["anomalies"])
        self._rows = {row.code: row for row in rows}

    def __getitem__(self, code: str) -> Row:
        return self._rows[code]

    def __contains__(self, code: str) -> bool:
        return code in self._rows

    def of(self, error: GatewayError) -> Row:
        """Find the row for any refusal; what no client can act on is technical."""
        if isinstance(error, Anomaly):
            return self._rows[error.wire_code]
        if isinstance(error, RequestConflict) and error.code != "suspended":
            return self._rows[_CONFLICT]
        return self._rows[_UNKNOWN if isinstance(error, NotFound) else TECHNICAL]

    def page(self, error: GatewayError, zone: ZoneInfo) -> ErrorPage:
        """Word a refusal for the payer whose browser met it; a debt that is being paid is free again at some time."""
        row = self.of(error)
        if isinstance(error, Anomaly):
            wording = row.libelle.strip()
            return ErrorPage(400, row.code, error.detail, wording, language=_LANGUAGE, paid=error.paid)
        if isinstance(error, BadRequest):
            return ErrorPage(400, error.faults[0].code, error.faults[0].detail)
        if isinstance(error, StoreBusy):
            return ErrorPage(503, row.code, str(error), row.libelle, {"Retry-After": "5"}, _LANGUAGE)
        if isinstance(error, RequestConflict) and error.until:
            wording = _LOCKED.format(until=error.until.astimezone(zone))
            return ErrorPage(_STATUS[_CONFLICT], row.code, str(error), wording)
        status = _STATUS.get(row.code, 500)
        return ErrorPage(status, row.code, str(error), row.libelle.strip(), language=_LANGUAGE)
