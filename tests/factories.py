"""Payments for tests, made through real verbs: nobody sets a status by hand."""

from sqlalchemy import select

from gateway.core.card import CardEntry, CardNumber, Expiry
from gateway.core.money import Money
from gateway.core.payment import Kind, Line, PaymentRequest, PaymentResult
from gateway.dialects import Open, Signed
from gateway.parts import Parts
from gateway.store import tables as t

# Our own published cards (config/test_cards.toml), by what they do.
FRICTIONLESS = "4242424242424242"
MASTERCARD = "2223003122003222"
CHALLENGE = "4000000000003220"
CO_BADGED_CHALLENGE = "4970100500010000"
FUNDS = "4000000000510000"
REFUSED_BY_3DS = "4000000300010008"
SILENT_APPROVED = "4000000900010002"
SILENT_DECLINED = "4000000900020001"
SILENT_LOST = "4000000900030000"

MERCHANT = "mairie-demo"
_serial = iter(range(1, 1_000_000))


def a_request(**changes: object) -> PaymentRequest:
    """Give a request for one debt of 96.12 EUR with a reference of its own."""
    number = next(_serial)
    amount = changes.pop("amount", Money(9612))
    reference = changes.pop("reference", f"FACT-{number:06d}")
    assert isinstance(amount, Money)
    assert isinstance(reference, str)
    facts: dict[str, object] = {
        "merchant": MERCHANT,
        "reference": reference,
        "amount": amount,
        "lines": (Line(reference, "Cantine de novembre", amount),),
        "label": "Cantine de novembre",
        "email": "famille@example.org",
        "language": "fr",
        "return_url": "http://127.0.0.1:8001/return",
        "notify_url": "http://127.0.0.1:8001/confirmations",
        "kind": Kind.DEBT,
        **changes,
    }
    return PaymentRequest(**facts)  # type: ignore[arg-type]  # a test names the fields it changes


def an_open(request: PaymentRequest | None = None, jti: str = "", digest: str = "") -> Open:
    """Give the command of a signed request."""
    request = request or a_request()
    jti = jti or f"jti-{next(_serial)}"
    return Open(request, Signed(request.merchant, jti, digest or f"digest of {request.reference}"))


def open_payment(parts: Parts, **changes: object) -> PaymentResult:
    """Open a payment and its page."""
    result, _ = parts.checkout.opening.open(an_open(a_request(**changes)), "native")
    return parts.checkout.paying.show(result.id).result


def a_card(number: str = FRICTIONLESS) -> CardEntry:
    """Give a card entry with a good expiry and code."""
    code = "1234" if number.startswith("37") else "123"
    return CardEntry(CardNumber(number), Expiry(2030, 12), code)


def enter(parts: Parts, payment: PaymentResult, number: str = FRICTIONLESS) -> None:
    """Enter a card on a payment's page."""
    parts.checkout.paying.enter_card(payment.id, a_card(number), scheme="", email="")


def read_code(parts: Parts, payment: PaymentResult) -> str:
    """Deliver what is due until the payment's codes have gone, and read the newest from the test inbox."""
    # All test payments share one telephone, which is sent a few messages at a time; and others may go on paying.
    while deliver(parts) and _codes_wait(parts, payment):
        pass
    return parts.inbox.messages(kind="sms", payment=payment.id)[0].code


def _codes_wait(parts: Parts, payment: PaymentResult) -> bool:
    with parts.store.reading() as tx:
        codes = select(t.notice.c.id).join(t.payment).where(t.notice.c.channel == "sms", t.notice.c.state == "new")
        return tx.connection.execute(codes.where(t.payment.c.public_id == payment.id)).first() is not None


def deliver(parts: Parts) -> int:
    """Run one turn of a worker's deliveries to their end; returns how many notices were claimed."""
    deliverer = parts.deliverer()
    claimed = deliverer.deliver_due()
    deliverer.close()
    return claimed


def pay(parts: Parts, payment: PaymentResult, number: str = FRICTIONLESS) -> PaymentResult:
    """Pay with a card whose bank asks nothing."""
    enter(parts, payment, number)
    parts.checkout.settling.authorise(payment.id)
    return parts.checkout.opening.told(payment.id)
