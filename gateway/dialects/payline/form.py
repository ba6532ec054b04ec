"""Reading a request's fields: every rule that is broken is found, and worded as Payline words it."""

import re
from collections.abc import Callable
from datetime import date, datetime

from lxml.etree import _Element as Element

from gateway.core.errors import BadRequest, Fault
from gateway.core.money import AMOUNT_MAX
from gateway.dialects import soap

# ISO 4217 numeric codes; clients strip leading zeros.
CURRENCIES = {"978": "EUR", "756": "CHF", "826": "GBP", "840": "USD", "953": "XPF"}
CURRENCY_NUMBERS = {name: number for number, name in CURRENCIES.items()}

NULL = "Must not be null"
URL_RULE = "Must be an https:// or http:// url (max length : 255)"

BAD_FIELD = "02305"

# How much of a refused address is shown.
_SHOWN_MAX = 120


class Form:
    """The fields of one request and what is wrong with them; :meth:`check` refuses them all at once."""

    def __init__(self, element: Element) -> None:
        self.element = element
        self._faults: list[Fault] = []

    def refuse(self, pointer: str, code: str, detail: str) -> None:
        """Note one fault.

        :param code: a Payline result code
        :param detail: for 02305 ``<label> : <rule>``, the pattern of its longMessage
        """
        self._faults.append(Fault(pointer, code, detail))

    def check(self) -> None:
        """Raise :class:`BadRequest` with every fault noted so far, if any."""
        if self._faults:
            raise BadRequest(tuple(self._faults))

    def text(self, *path: str) -> str:
        """Read a field; empty when it is not given."""
        return soap.text(self.element, *path) or ""

    def required(self, label: str, *path: str) -> str:
        """Read a field that must be given."""
        told = self.text(*path)
        if not told:
            self.refuse(_pointer(path), BAD_FIELD, f"{label} : {NULL}")
        return told

    def cents(self, label: str, limit: int, *path: str) -> int:
        """Read an amount in cents; 1 when it is not usable, which is noted."""
        told = self.required(label, *path)
        if not told:
            return 1
        if not re.fullmatch(r"[0-9]{1,12}", told, re.ASCII):
            self.refuse(_pointer(path), BAD_FIELD, f"{label} : Must be numeric(12), ex : 15078")
            return 1
        if not 1 <= int(told) <= min(limit, AMOUNT_MAX):
            self.refuse(_pointer(path), BAD_FIELD, f"{label} : Must be between 1 and {min(limit, AMOUNT_MAX)}")
            return 1
        return int(told)

    def currency(self, label: str, *path: str) -> str:
        """Read a currency by its ISO 4217 number; ``EUR`` when it is not usable, which is noted."""
        told = self.required(label, *path)
        if told and not re.fullmatch(r"[0-9]{1,3}", told, re.ASCII):
            self.refuse(_pointer(path), BAD_FIELD, f"{label} : Must be numeric(3), ex: 978")
        elif told and told.zfill(3) not in CURRENCIES:
            self.refuse(_pointer(path), BAD_FIELD, f"{label} : Must be one of {', '.join(sorted(CURRENCIES))}")
        return CURRENCIES.get(told.zfill(3), "EUR")

    def url(self, label: str, checked: Callable[[str], str], *path: str) -> str:
        """Read an address; empty when it is not given, or not usable, which is noted.

        :param checked: gives the address as it will be called, or raises :class:`ValueError`
        """
        told = self.text(*path)
        if not told:
            return ""
        try:
            return checked(told)
        except ValueError:
            # The value too: shops build addresses from parts, and see here alone what came of them.
            self.refuse(_pointer(path), BAD_FIELD, f"{label} : {URL_RULE} : {told[:_SHOWN_MAX]}")
            return ""

    def day(self, label: str, *path: str) -> date | None:
        """Read a day written ``dd/mm/yy`` or ``dd/mm/yyyy``; ``None`` when it is not usable, which is noted."""
        told = self.required(label, *path)
        if not told:
            return None
        try:
            # A calendar date has no zone.
            return datetime.strptime(told, "%d/%m/%Y" if len(told) == 10 else "%d/%m/%y").date()  # noqa: DTZ007
        except ValueError:
            self.refuse(_pointer(path), BAD_FIELD, f"{label} : Must be a date dd/mm/yy")
            return None


def transaction_id(form: Form, name: str) -> str:
    """Read the number of a transaction: decimal digits. Noted as 02301 when it is not."""
    told = form.text(name)
    if not re.fullmatch(r"[0-9]{1,50}", told, re.ASCII):
        form.refuse(f"/{name}", "02301", "give the transaction.id of a reply")
    return told


def _pointer(path: tuple[str, ...]) -> str:
    return "/" + "/".join(path)
