"""A payment that was paid, for tests of what is printed about it."""

from datetime import UTC, datetime

from gateway.core.money import Money
from gateway.core.payment import AttemptResult, Line, Payee, PaymentRequest, PaymentResult
from gateway.core.states import AttemptStatus, Status

AT = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
PAYEE = Payee(
    "m", "Régie d'Île", "Restauration", ("120 rue de Bercy",), "2339303", "regie@example.org", "01 40 04 04 04"
)


def a_paid_payment(*lines: Line, payee: Payee = PAYEE, **request: str) -> PaymentResult:
    """Give a payment of these debts; ``request`` is what else was asked, such as ``payer_name``."""
    total = Money(sum(line.amount.cents for line in lines))
    return PaymentResult(
        "pay_0123456789abcdef01234567",
        "0000000042",
        PaymentRequest("m", "FACT-42", total, lines, "Cantine", **request),  # type: ignore[arg-type]  # a test names texts
        payee,
        Status.PAID,
        AT,
        AT,
        paid_at=AT,
        attempts=(AttemptResult("att_1", 1, AttemptStatus.CAPTURED, "cb", "497010", "1234", AT),),
    )
