"""Where payers may find themselves: payments brought there by the real verbs, each with the address of its page.

Each function opens a payment of its own and gives an address, or a path.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta

from gateway.core.money import Money
from gateway.core.paylink import LinkTerms, PayLink
from gateway.core.payment import Instalment, Line, PaymentResult
from gateway.dialects import Open
from gateway.receipts.content import Audience, Receipt
from gateway.receipts.press import signed_of
from tests.dialects.samples import SAMPLES, systempay, tipi
from tests.factories import CHALLENGE, FUNDS, SILENT_LOST, a_request, enter, open_payment, pay, read_code
from tests.support.theatre import Theatre

_serial = iter(range(1, 1_000_000))


def opened(**changes: object) -> Callable[[Theatre], str]:
    return lambda theatre: begun_page(theatre, **changes)


def entered(number: str) -> Callable[[Theatre], str]:
    return lambda theatre: at(theatre, with_card(theatre, number))


def asked(number: str) -> Callable[[Theatre], str]:
    return lambda theatre: at(theatre, pay(theatre.parts, begun(theatre), number))


def begun(theatre: Theatre, **changes: object) -> PaymentResult:
    return open_payment(theatre.parts, language=theatre.language, **changes)


def begun_page(theatre: Theatre, **changes: object) -> str:
    return at(theatre, begun(theatre, **changes))


def with_card(theatre: Theatre, number: str) -> PaymentResult:
    payment = begun(theatre)
    enter(theatre.parts, payment, number)
    return payment


def at(theatre: Theatre, payment: PaymentResult) -> str:
    return theatre.parts.links.page(payment.id)


@contextmanager
def ago(theatre: Theatre, **by: float) -> Iterator[None]:
    """Let what the body does have happened that long ago."""
    theatre.clock.advance(**{name: -length for name, length in by.items()})
    yield
    theatre.clock.advance(**by)


def many_debts(theatre: Theatre) -> str:
    reference = f"FACT-{theatre.clock.now():%H%M}-{id(theatre)}-{next(_serial)}"
    lines = tuple(Line(f"{reference}/{n}", f"Cantine et garderie du mois n° {n}", Money(801)) for n in range(1, 13))
    return begun_page(theatre, reference=reference, amount=Money(12 * 801), lines=lines, beneficiary="Zoé Martin")


def instalments(theatre: Theatre) -> str:
    later = (Instalment(date(2026, 12, 21), Money(9612)), Instalment(date(2027, 1, 21), Money(9612)))
    return begun_page(theatre, instalments=later)


def long_names(theatre: Theatre) -> str:
    label = "Restauration scolaire, accueil périscolaire et transport d’octobre à décembre, enfants Martin-Dupont"
    return begun_page(
        theatre, merchant="long-demo", label=label, beneficiary="Marie-Charlotte de la Rochefoucauld-Montbazon"
    )


def tries(theatre: Theatre, count: int) -> PaymentResult:
    """Have the bank refuse a card ``count`` times, the last refusal still to be seen."""
    payment = begun(theatre)
    for _ in range(count - 1):
        pay(theatre.parts, payment, FUNDS)
        theatre.parts.checkout.paying.change_card(payment.id)
    return pay(theatre.parts, payment, FUNDS)


def last_try(theatre: Theatre) -> str:
    payment = tries(theatre, 2)
    theatre.parts.checkout.paying.change_card(payment.id)
    return at(theatre, payment)


def wrong_code(theatre: Theatre) -> str:
    payment = with_card(theatre, CHALLENGE)
    right = read_code(theatre.parts, payment)
    theatre.parts.checkout.paying.answer_challenge(payment.id, f"{(int(right) + 1) % 1_000_000:06d}")
    return at(theatre, payment)


def waiting_long(theatre: Theatre) -> str:
    with ago(theatre, seconds=30):
        return asked(SILENT_LOST)(theatre)


def paid_by(dialect: str) -> Callable[[Theatre], str]:
    return lambda theatre: at(theatre, pay(theatre.parts, come(theatre, dialect)))


def come(theatre: Theatre, dialect: str, reference: str = "", **more: str) -> PaymentResult:
    """Open a payment by a merchant's own protocol."""
    now, reference = theatre.clock.now(), reference or f"2026{next(_serial):08d}"
    call = systempay(reference, now, **more) if more else SAMPLES[dialect](reference, now)
    command = theatre.parts.dialects[dialect].read(call, now)
    assert isinstance(command, Open)
    payment, _ = theatre.parts.checkout.opening.open(command, dialect)
    return theatre.parts.checkout.paying.show(payment.id).result


def sent_back(theatre: Theatre) -> str:
    payment = come(theatre, "systempay", vads_return_mode="NONE", vads_redirect_success_timeout="300")
    return at(theatre, pay(theatre.parts, payment))


def leaving(theatre: Theatre) -> str:
    return f"{at(theatre, pay(theatre.parts, come(theatre, 'systempay')))}/leave"


def refused_for_good(theatre: Theatre) -> str:
    return at(theatre, tries(theatre, 3))


def cancelled(theatre: Theatre) -> str:
    payment = begun(theatre)
    theatre.parts.checkout.paying.cancel(payment.id)
    return at(theatre, payment)


def expired(theatre: Theatre) -> str:
    with ago(theatre, minutes=31):
        return begun_page(theatre)


def elsewhere(theatre: Theatre) -> str:
    payment = begun(theatre)
    assert theatre.parts.checkout.visiting.admits(payment.id, "another browser", stays=True)
    return at(theatre, payment)


def ticket(theatre: Theatre) -> str:
    return theatre.parts.links.ticket(pay(theatre.parts, begun(theatre)), "payer")


def to_verify(theatre: Theatre) -> str:
    receipt = Receipt.of(pay(theatre.parts, begun(theatre)), "payment.succeeded", Audience.PAYER)
    return theatre.parts.links.check(signed_of(receipt))


def link(theatre: Theatre) -> PayLink:
    """Make a payment link for a debt of its own, payable for ten days more."""
    last_day = theatre.clock.now().date() + timedelta(days=10)
    terms = LinkTerms(a_request(language=theatre.language, pay_before=last_day))
    (made,) = theatre.parts.checkout.linking.make([terms])
    return made


def at_link(theatre: Theatre, made: PayLink) -> str:
    return theatre.parts.links.paylink(made.number)


def link_payable(theatre: Theatre) -> str:
    return at_link(theatre, link(theatre))


def link_past(theatre: Theatre) -> str:
    with ago(theatre, days=11):
        return link_payable(theatre)


def link_revoked(theatre: Theatre) -> str:
    made = link(theatre)
    theatre.parts.checkout.linking.revoke([made.number])
    return at_link(theatre, made)


def link_paid(theatre: Theatre) -> str:
    made = link(theatre)
    pay(theatre.parts, _shown(theatre, made))
    return at_link(theatre, made)


def link_elsewhere(theatre: Theatre) -> str:
    made = link(theatre)
    theatre.parts.checkout.visiting.admits(_shown(theatre, made).id, "another browser", stays=True)
    return at_link(theatre, made)


def _shown(theatre: Theatre, made: PayLink) -> PaymentResult:
    payment = theatre.parts.checkout.linking.open(made.number)
    assert payment
    return theatre.parts.checkout.paying.show(payment).result


def debt_paid(theatre: Theatre) -> str:
    """Ask once more for a bill that is paid, as an older portal's link does."""
    reference = f"2026{next(_serial):08d}"
    pay(theatre.parts, come(theatre, "tipi", reference))
    return _portal_link(theatre, reference)


def debt_locked(theatre: Theatre) -> str:
    """Ask for a bill that is being paid, in another amount: the same wish again would lead to that payment."""
    reference = f"2026{next(_serial):08d}"
    pay(theatre.parts, come(theatre, "tipi", reference), SILENT_LOST)
    return _portal_link(theatre, reference).replace("9612", "9613")


def suspended(theatre: Theatre) -> str:
    return _portal_link(theatre, "202612345678").replace("004200", "004298")


def _portal_link(theatre: Theatre, reference: str) -> str:
    call = tipi(reference, theatre.clock.now())
    return f"{call.path}?{call.query}"
