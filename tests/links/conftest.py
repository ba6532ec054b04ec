"""Payment links for tests: made by the verb, opened by a browser or straight by the verb."""

from datetime import date

import pytest

from gateway.core.money import Money
from gateway.core.paylink import LinkTerms
from gateway.core.payment import Line, PaymentRequest
from gateway.parts import Parts
from tests.factories import MERCHANT


def terms(reference: str = "FACT-1", *, grace_days: int = 0, **changes: object) -> LinkTerms:
    """Give what a link for a debt of 51.24 EUR asks."""
    amount = Money(5124)
    facts: dict[str, object] = {
        "merchant": MERCHANT, "reference": reference, "amount": amount, "label": "Cantine de novembre",
        "lines": (Line(reference, "Cantine de novembre", amount),), "email": "famille@example.org",
        "payer_name": "Famille Lefèvre", "fiscal_year": "2026", "pay_before": date(2026, 12, 31), **changes,
    }  # fmt: skip
    return LinkTerms(PaymentRequest(**facts), grace_days)  # type: ignore[arg-type]  # a test names the fields it changes


def make(parts: Parts, *asked: LinkTerms) -> tuple[int, ...]:
    """Make links; gives their numbers."""
    return tuple(link.number for link in parts.checkout.linking.make(asked or (terms(),)))


@pytest.fixture
def link(parts: Parts) -> int:
    """Give the number of a link."""
    return make(parts)[0]
