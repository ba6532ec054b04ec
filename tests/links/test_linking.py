"""What a link does: one debt, paid once, wherever its payer comes from and however many come at once."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from sqlalchemy import func, select

from gateway.acquirers import Enrolment
from gateway.checkout import Checkout, LinkState
from gateway.core.errors import BadRequest, NotFound, RequestConflict
from gateway.core.payment import PaymentResult
from gateway.core.states import Status
from gateway.parts import Parts
from gateway.store import tables as t
from tests.factories import CHALLENGE, MERCHANT, a_request, an_open, deliver, enter, pay
from tests.links.conftest import make, terms
from tests.support.clock import Clock


def state(parts: Parts, link: int, browser: str = "") -> LinkState:
    return parts.checkout.linking.show(link, browser).state


def opened(parts: Parts, link: int, browser: str = "") -> PaymentResult:
    payment = parts.checkout.linking.open(link, browser)
    assert payment is not None
    return parts.checkout.paying.show(payment).result


def with_merchant(parts: Parts, **changes: object) -> Parts:
    """Give the same parts beside a book that says something else of the merchant."""
    desk = parts.checkout.desk
    book = {**desk.merchants, MERCHANT: desk.merchants[MERCHANT].model_copy(update=changes)}
    return replace(parts, checkout=Checkout(replace(desk, merchants=book)))


def by_portal(parts: Parts) -> PaymentResult:
    request = a_request(reference="fact-1", fiscal_year="2026")
    result, _ = parts.checkout.opening.open(an_open(request), "native")
    return parts.checkout.paying.show(result.id).result


def test_it_asks_for_what_was_printed(parts: Parts, link: int) -> None:
    payment = opened(parts, link)

    request = payment.request
    assert (request.merchant, request.reference, request.fiscal_year) == (MERCHANT, "FACT-1", "2026")
    assert (request.amount.cents, request.label, request.email) == (5124, "Cantine de novembre", "famille@example.org")
    assert request.metadata == {"link": str(link)}
    assert payment.dialect == "native"


def test_looking_opens_nothing(parts: Parts, link: int) -> None:
    assert state(parts, link) is LinkState.PAYABLE

    with parts.store.reading() as tx:
        assert tx.payments.newest(1) == []


def test_opened_again_it_is_the_same_payment(parts: Parts, link: int) -> None:
    assert opened(parts, link).id == opened(parts, link).id


def test_paid_it_opens_no_more_and_tells_its_merchant_once(parts: Parts, link: int) -> None:
    payment = pay(parts, opened(parts, link))
    deliver(parts)

    standing = parts.checkout.linking.show(link)

    assert (standing.state, standing.payment and standing.payment.id) == (LinkState.PAID, payment.id)
    assert parts.checkout.linking.open(link) is None
    with parts.store.reading() as tx:
        notices = tx.notices.of_payment(tx.payments.get(payment.id).id)
    assert [one.channel for one in notices].count("confirmation") == 1


@pytest.mark.parametrize(("merchant", "told"), [("mairie-demo", 1), ("alise-demo", 0), ("falaise-demo", 0)])
def test_an_address_made_for_another_protocol_is_told_nothing_it_would_not_understand(
    parts: Parts, merchant: str, told: int
) -> None:
    (link,) = make(parts, terms(merchant=merchant))

    payment = pay(parts, opened(parts, link))

    with parts.store.reading() as tx:
        notices = tx.notices.of_payment(tx.payments.get(payment.id).id)
    assert [one.channel for one in notices].count("confirmation") == told


def test_a_debt_paid_through_the_portal_is_paid_for_the_link(parts: Parts, link: int) -> None:
    pay(parts, by_portal(parts))

    assert state(parts, link) is LinkState.PAID
    assert parts.checkout.linking.open(link) is None


def test_a_debt_paid_by_the_link_is_paid_for_the_portal(parts: Parts, link: int) -> None:
    pay(parts, opened(parts, link))

    with pytest.raises(RequestConflict, match="debt_already_paid"):
        by_portal(parts)


def test_a_payment_of_the_portal_does_not_give_way(parts: Parts, link: int) -> None:
    payment = by_portal(parts)

    standing = parts.checkout.linking.show(link)

    assert (standing.state, standing.until, standing.may_take_over) == (LinkState.ELSEWHERE, payment.expires_at, False)
    assert parts.checkout.linking.open(link) is None
    assert parts.checkout.opening.told(payment.id).status is Status.OPENED


def test_the_portal_waits_for_the_link(parts: Parts, link: int) -> None:
    opened(parts, link)

    with pytest.raises(RequestConflict, match="debt_locked"):
        by_portal(parts)


def test_where_references_repeat_a_link_is_still_paid_once(
    parts: Parts, link: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even by one who looked before the other had paid."""
    repeating = with_merchant(parts, allow_repeat=True)
    before = repeating.checkout.linking.show(link)
    pay(repeating, opened(repeating, link))
    monkeypatch.setattr(repeating.checkout.linking, "show", lambda *_: before)

    assert repeating.checkout.linking.open(link) is None
    assert by_portal(repeating).status is Status.OPENED


@pytest.mark.parametrize("is_left", [False, True])
def test_what_a_portal_asks_for_again_leaves_the_link_paid(
    parts: Parts, link: int, is_left: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where references repeat, the portal's next payment is another occurrence: open, or left by its payer."""
    repeating = with_merchant(parts, allow_repeat=True)
    before = repeating.checkout.linking.show(link)
    first = pay(repeating, opened(repeating, link))
    again = by_portal(repeating)
    if is_left:
        repeating.checkout.paying.cancel(again.id)

    standing = repeating.checkout.linking.show(link)

    assert (standing.state, standing.payment and standing.payment.id) == (LinkState.PAID, first.id)
    assert repeating.checkout.linking.open(link) is None
    assert [one.code for one in repeating.checkout.linking.faults([terms()])] == ["debt_already_paid"]
    monkeypatch.setattr(repeating.checkout.linking, "show", lambda *_: before)
    assert repeating.checkout.linking.open(link) is None


def test_what_was_paid_stays_paid_when_references_may_repeat_no_more(parts: Parts) -> None:
    repeating = with_merchant(parts, allow_repeat=True)
    pay(repeating, by_portal(repeating))
    repeating.checkout.paying.cancel(by_portal(repeating).id)

    with pytest.raises(RequestConflict, match="debt_already_paid"):
        by_portal(parts)


def test_two_devices_get_one_page_and_the_second_may_ask_for_it(parts: Parts, link: int) -> None:
    first = opened(parts, link)
    parts.checkout.visiting.admits(first.id, "phone", stays=True)

    standing = parts.checkout.linking.show(link, "desk")

    assert (standing.state, standing.may_take_over) == (LinkState.ELSEWHERE, True)
    assert state(parts, link, "phone") is LinkState.HERE
    assert opened(parts, link, "desk").id == first.id
    assert parts.checkout.visiting.admits(first.id, "desk", stays=True)
    assert not parts.checkout.visiting.admits(first.id, "phone", stays=True)


def test_a_page_with_a_card_on_it_stays_where_it_is(parts: Parts, link: int) -> None:
    first = opened(parts, link)
    parts.checkout.visiting.admits(first.id, "phone", stays=True)
    enter(parts, first, CHALLENGE)

    standing = parts.checkout.linking.show(link, "desk")

    assert (standing.state, standing.may_take_over) == (LinkState.ELSEWHERE, False)
    assert parts.checkout.linking.open(link, "desk") is None
    assert parts.checkout.linking.open(link, "phone") == first.id


@pytest.mark.parametrize("has_looked_before", [False, True])
def test_a_page_is_not_taken_over_while_the_bank_is_asked_about_its_card(
    parts: Parts, link: int, monkeypatch: pytest.MonkeyPatch, has_looked_before: bool
) -> None:
    """Whoever held it then could confirm a card that another has typed."""
    first = opened(parts, link)
    parts.checkout.visiting.admits(first.id, "phone", stays=True)
    before, enrol = parts.checkout.linking.show(link, "desk"), parts.checkout.desk.acquirer.enrol

    def enrol_slowly(*asked: Any, **more: Any) -> Enrolment:
        with monkeypatch.context() as patched:
            if has_looked_before:
                patched.setattr(parts.checkout.linking, "show", lambda *_: before)
            parts.checkout.linking.open(link, "desk")
        parts.checkout.visiting.admits(first.id, "desk", stays=True)
        return enrol(*asked, **more)

    monkeypatch.setattr(parts.checkout.desk.acquirer, "enrol", enrol_slowly)
    enter(parts, first)

    assert parts.checkout.visiting.admits(first.id, "desk", stays=True) is None
    assert parts.checkout.visiting.admits(first.id, "phone", stays=True)


def test_a_page_that_ran_out_can_be_opened_anew(parts: Parts, link: int, clock: Clock) -> None:
    first = opened(parts, link)
    clock.advance(minutes=31)

    assert state(parts, link) is LinkState.PAYABLE
    assert opened(parts, link).id != first.id


def test_a_debt_that_rests_says_until_when(parts: Parts, link: int) -> None:
    resting = with_merchant(parts, retry_lock_minutes=120)
    resting.checkout.paying.cancel(opened(resting, link).id)

    standing = resting.checkout.linking.show(link)

    assert standing.state is LinkState.RESTING
    assert standing.until is not None
    assert resting.checkout.linking.open(link) is None


@pytest.mark.parametrize(
    ("now", "grace_days", "expected"),
    [
        # Midnight in Paris is 23:00 UTC in winter.
        ("2026-12-31 22:59", 0, LinkState.PAYABLE),
        ("2026-12-31 23:00", 0, LinkState.PAST),
        ("2026-12-31 23:00", 3, LinkState.PAYABLE),
        ("2027-01-03 22:59", 3, LinkState.PAYABLE),
        ("2027-01-03 23:00", 3, LinkState.PAST),
    ],
)
def test_the_last_day_ends_at_midnight_in_paris(
    parts: Parts, clock: Clock, now: str, grace_days: int, expected: LinkState
) -> None:
    (link,) = make(parts, terms(grace_days=grace_days))
    clock.advance(seconds=(clock.now().fromisoformat(f"{now}+00:00") - clock.now()).total_seconds())

    assert state(parts, link) is expected
    assert (parts.checkout.linking.open(link) is None) == (expected is LinkState.PAST)


def test_a_page_opened_on_the_last_day_ends_with_it(parts: Parts, clock: Clock) -> None:
    (link,) = make(parts, terms(pay_before=date(2026, 11, 20), grace_days=1))
    clock.advance(hours=12, minutes=50)

    assert opened(parts, link).expires_at == clock.now().replace(hour=23, minute=0)


@pytest.mark.parametrize(("last", "grace_days"), [(date.max, 0), (date.max, 7), (date(9999, 12, 25), 7)])
def test_the_last_day_of_all_calendars_is_never(parts: Parts, last: date, grace_days: int) -> None:
    (link,) = make(parts, terms(pay_before=last, grace_days=grace_days))

    assert state(parts, link) is LinkState.PAYABLE
    assert opened(parts, link).request.pay_before == date.max


def test_a_link_without_a_last_day_stays_good(parts: Parts, clock: Clock) -> None:
    (link,) = make(parts, terms(pay_before=None))
    clock.advance(days=700)

    assert state(parts, link) is LinkState.PAYABLE


def test_revoked_it_opens_no_more_but_what_is_begun_goes_on(parts: Parts, link: int) -> None:
    first = opened(parts, link)
    parts.checkout.visiting.admits(first.id, "phone", stays=True)

    assert parts.checkout.linking.revoke([link]) == (link,)
    assert parts.checkout.linking.revoke([link]) == ()

    assert state(parts, link, "desk") is LinkState.REVOKED
    assert parts.checkout.linking.open(link, "desk") is None
    assert parts.checkout.linking.open(link, "phone") == first.id
    assert pay(parts, first).status is Status.PAID
    assert state(parts, link, "desk") is LinkState.PAID


@pytest.mark.parametrize("changes", [{"suspended": True}, {"id": "another"}])
def test_a_merchant_that_takes_no_payments_is_closed(parts: Parts, link: int, changes: dict[str, object]) -> None:
    closed = with_merchant(parts, **changes)
    if "id" in changes:
        desk = closed.checkout.desk
        book = {name: one for name, one in desk.merchants.items() if name != MERCHANT}
        closed = replace(closed, checkout=Checkout(replace(desk, merchants=book)))

    assert state(closed, link) is LinkState.CLOSED
    assert closed.checkout.linking.open(link) is None


class TestMaking:
    def test_the_same_again_is_the_same_link(self, parts: Parts) -> None:
        assert make(parts, terms(), terms("FACT-2")) == make(parts, terms(), terms("FACT-2"))

    def test_a_debt_has_one_link_that_says_one_thing(self, parts: Parts, link: int) -> None:
        other = terms("fact-1", label="Another")

        (fault,) = parts.checkout.linking.faults([terms("FACT-9"), other])

        assert (fault.pointer, fault.code) == ("/1/reference", "link_differs")
        assert f"guichet links revoke {link}" in fault.detail
        with pytest.raises(BadRequest):
            make(parts, terms("FACT-9"), other)
        assert [one.link.number for one in parts.checkout.linking.listed(9)] == [link]
        parts.checkout.linking.revoke([link])
        assert make(parts, other) != (link,)

    def test_a_debt_twice_or_paid_is_told(self, parts: Parts, link: int) -> None:
        pay(parts, opened(parts, link))

        faults = parts.checkout.linking.faults([terms(), terms("FACT-2"), terms("fact-2")])

        assert [(one.pointer, one.code) for one in faults] == [
            ("/0/reference", "debt_already_paid"), ("/2/reference", "duplicate_reference")
        ]  # fmt: skip

    def test_another_year_is_another_debt(self, parts: Parts, link: int) -> None:
        assert make(parts, terms(fiscal_year="2027")) != (link,)

    def test_it_is_in_the_audit_log(self, parts: Parts) -> None:
        numbers = make(parts, terms(), terms("FACT-2"))
        make(parts, terms())
        parts.checkout.linking.revoke(numbers)

        with parts.store.reading() as tx:
            rows = tx.connection.execute(
                select(t.audit.c.what, t.audit.c.object, t.audit.c.facts).where(t.audit.c.what.like("link.%"))
            ).all()
        assert [tuple(row) for row in rows] == [
            ("link.made", MERCHANT, f'{{"links": "{numbers[0]}-{numbers[1]}"}}'),
            ("link.revoked", str(numbers[0]), "{}"),
            ("link.revoked", str(numbers[1]), "{}"),
        ]


def test_who_revokes_a_link_that_is_not_there_revokes_none(parts: Parts, link: int) -> None:
    with pytest.raises(NotFound):
        parts.checkout.linking.revoke([link, 99])

    assert state(parts, link) is LinkState.PAYABLE


def test_opened_by_many_at_once_there_is_one_payment(parts: Parts, link: int) -> None:
    with ThreadPoolExecutor(8) as crowd:
        payments = list(crowd.map(lambda n: parts.checkout.linking.open(link, f"browser {n}"), range(16)))

    assert len({payment for payment in payments if payment}) == 1
    with parts.store.reading() as tx:
        assert tx.connection.execute(select(func.count()).select_from(t.payment)).scalar_one() == 1


def test_a_link_and_a_portal_at_once_open_one_payment(parts: Parts, link: int) -> None:
    def portal() -> str | None:
        try:
            return by_portal(parts).id
        except RequestConflict:
            return None

    for _ in range(5):
        with ThreadPoolExecutor(2) as crowd:
            asked = [crowd.submit(portal), crowd.submit(parts.checkout.linking.open, link)]
            won = [payment for one in asked if (payment := one.result())]

        assert len(won) == 1
        parts.checkout.paying.cancel(won[0])


def test_people_are_forgotten_when_a_link_is_long_over(parts: Parts, clock: Clock) -> None:
    past, revoked, lasting, paid = make(
        parts, terms(), terms("FACT-2", pay_before=None), terms("FACT-3", pay_before=None), terms("FACT-4", pay_before=None)
    )  # fmt: skip
    parts.checkout.linking.revoke([revoked])
    pay(parts, opened(parts, paid))
    clock.advance(days=14 * 30)
    parts.checkout.sweep()
    before = {one.link.number: one.link.terms.request.payer_name for one in parts.checkout.linking.listed(9)}

    clock.advance(days=3 * 31)
    while parts.checkout.sweep():
        clock.advance(seconds=61)

    after = {one.link.number: one.link.terms.request for one in parts.checkout.linking.listed(9)}
    assert set(before.values()) == {"Famille Lefèvre"}
    assert {number for number, request in after.items() if request.payer_name} == {lasting}
    assert {request.label for number, request in after.items() if number != lasting} == {""}
    assert after[past].reference == "FACT-1"


@pytest.mark.parametrize("other", [{"merchant": "jvs-demo-valmont"}, {"fiscal_year": "2025"}])
def test_nobody_is_forgotten_for_a_bill_of_the_same_name_that_was_paid(
    parts: Parts, clock: Clock, other: dict[str, str]
) -> None:
    (link,) = make(parts, terms("FACT-9", pay_before=None))
    request = a_request(**{"reference": "FACT-9", "fiscal_year": "2026", **other})
    payment, _ = parts.checkout.opening.open(an_open(request), "native")
    pay(parts, payment)
    clock.advance(days=17 * 31)

    while parts.checkout.sweep():
        clock.advance(seconds=61)

    assert parts.checkout.linking.show(link).link.terms.request.payer_name == "Famille Lefèvre"
