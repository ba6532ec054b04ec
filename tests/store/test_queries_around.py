"""What each query around the money finds and changes: notices, endpoints, limits, links, retention, the bank's book, the log."""

import hmac
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256

import pytest
from sqlalchemy import insert, select, update

from gateway.acting import Actor, acting_as
from gateway.core.errors import NotFound
from gateway.core.limits import Identity
from gateway.core.money import Money
from gateway.core.paylink import LinkTerms
from gateway.core.payment import Instalment, Line, PaymentRequest, Which
from gateway.core.states import AttemptStatus, Status
from gateway.dialects import Refund, Signed
from gateway.parts import Parts
from gateway.store import Transaction
from gateway.store import tables as t
from gateway.store.audit import GENESIS, Pen, link_message, row_message
from gateway.store.endpoints import address_of
from gateway.store.notices import Delivered
from gateway.store.seen import Refusals, Seen, Share, Typed
from tests.factories import CHALLENGE, FRICTIONLESS, FUNDS, MERCHANT, enter, open_payment, pay
from tests.store.test_queries import SECOND, all_of, change, outcome, several
from tests.support.clock import Clock

DAY = timedelta(days=1)
ATTEMPT = {"public_id": "att_x", "status": "authenticating", "scheme": "visa", "bin": "424242", "last4": "4242"}
SHOP = "https://shop.example/told"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Ask SQLite; PostgreSQL is asked the same by the tests of the verbs."""
    return sqlite_url


def promise(tx: Transaction, at: datetime, seq: int = 1, **facts: object) -> None:
    """Promise a notice of the first payment, due at ``at``."""
    said = {"event_id": f"evt_{seq}", "channel": "confirmation", "target": SHOP, "endpoint": SHOP, "body": b"paid"}
    tx.notices.add(1, **{**said, "seq": seq, "next_at": at, "created_at": at, **facts})


class TestNotices:
    @pytest.fixture(autouse=True)
    def payment(self, parts: Parts) -> None:
        several(parts, 1)

    def test_only_who_holds_a_notice_says_what_became_of_it(self, parts: Parts, clock: Clock) -> None:
        now = clock.now()
        with parts.store.transaction() as tx:
            for seq in range(1, 5):
                promise(tx, now, seq, lease="mine", lease_until=now, tries=1, last_error="earlier")
            for lease in ("another's", "mine"):
                tx.notices.finish([Delivered(1, lease, "OK")], now + SECOND)
                tx.notices.postpone(2, lease, now + DAY, "e" * 300, "busy")
                tx.notices.release([4], lease)
                told = all_of(tx, t.notice, "id", "state", "lease", "lease_until", "next_at", "tries")
                if lease == "another's":
                    assert {row[1:] for row in told} == {("new", "mine", now, now, 1)}
            buried = [tx.notices.bury(3, lease, "f" * 300, "gone") for lease in ("another's", "mine", "mine")]
            kept = all_of(tx, t.notice, "id", "state", "lease", "lease_until", "next_at", "tries")
            said = all_of(tx, t.notice, "id", "last_error", "last_reply", "delivered_at", "body")

        assert buried == [False, True, False]
        assert kept == [
            (1, "sent", "", None, now, 1), (2, "new", "", None, now + DAY, 1), (3, "dead", "", None, now, 1),
            (4, "new", "", None, now, 0),
        ]  # fmt: skip
        assert said == [
            (1, "", "OK", now + SECOND, b"paid"), (2, "e" * 200, "busy", None, b"paid"),
            (3, "f" * 200, "gone", None, b"paid"), (4, "earlier", "", None, b"paid"),
        ]  # fmt: skip

    def test_nothing_of_a_code_is_kept_once_it_is_sent_or_given_up(self, parts: Parts, clock: Clock) -> None:
        with parts.store.transaction() as tx:
            for seq in (1, 2, 3):
                promise(tx, clock.now(), seq, channel="sms", target=f"+336{seq}", endpoint="", lease="mine")
            tx.notices.finish([Delivered(1, "mine")], clock.now())
            tx.notices.bury(2, "mine", "no such number")
            tx.notices.postpone(3, "mine", clock.now(), "busy")

            assert all_of(tx, t.notice, "id", "body") == [(1, b""), (2, b""), (3, b"paid")]

    def test_what_the_merchant_fetched_is_told_no_more(self, parts: Parts, clock: Clock) -> None:
        now = clock.now()
        with parts.store.transaction() as tx:
            promise(tx, now, 1, lease="mine", lease_until=now)
            promise(tx, now, 2, channel="payer_mail", target="a@example.org")
            tx.notices.fetched(2, now + SECOND)
            untouched = all_of(tx, t.notice, "id", "state")
            tx.notices.fetched(1, now + SECOND)
            kept = all_of(tx, t.notice, "id", "state", "delivered_at", "lease", "lease_until", "last_reply")

        assert untouched == [(1, "new"), (2, "new")]
        assert kept == [(1, "sent", now + SECOND, "", None, "fetched by the merchant"), (2, "new", None, "", None, "")]

    def test_notices_that_wait_too_long_for_a_paused_endpoint(self, parts: Parts, clock: Clock) -> None:
        now = clock.now()

        def stale(before: datetime, limit: int = 9) -> list[int]:
            with parts.store.reading() as tx:
                return [row.id for row in tx.notices.stale(before, limit)]

        with parts.store.transaction() as tx:
            promise(tx, now, 1)
            promise(tx, now, 2)
            promise(tx, now, 3, lease="mine", lease_until=now)
            promise(tx, now, 4, state="dead")
            tx.endpoints.fails(SHOP, now)
        unpaused = stale(now + SECOND)
        with parts.store.transaction() as tx:
            for _ in range(9):
                tx.endpoints.fails(SHOP, now)

        assert (unpaused, stale(now), stale(now + SECOND)) == ([], [], [1, 2])
        assert len(stale(now + SECOND, 1)) == 1

    @pytest.mark.parametrize(
        ("facts", "is_under_way"),
        [
            ({}, True), ({"tries": 1}, False), ({"tries": 1, "lease": "mine"}, True), ({"state": "sent"}, False),
            ({"channel": "payer_mail"}, False),
        ],
    )  # fmt: skip
    def test_a_first_confirmation_is_under_way_once_it_is_due(
        self, parts: Parts, clock: Clock, facts: dict[str, object], *, is_under_way: bool
    ) -> None:
        now = clock.now()
        with parts.store.transaction() as tx:
            promise(tx, now, 2)
            promise(tx, now, 1, **facts)
            if "state" in facts or "channel" in facts:
                tx.notices.postpone(1, "", now + DAY, "the one after it")
            seen = [tx.notices.is_under_way(1, at) for at in (now - SECOND, now)]
            elsewhere = tx.notices.is_under_way(2, now)

        assert (seen, elsewhere) == ([False, is_under_way], False)

    def test_the_operator_sees_the_latest_and_may_send_all_but_codes_again(self, parts: Parts, clock: Clock) -> None:
        now = clock.now()
        with parts.store.transaction() as tx:
            due_first = tx.notices.next_due()
            promise(tx, now, 1, state="sent", tries=3)
            promise(tx, now + DAY, 2)
            promise(tx, now, 3, state="dead", tries=9, lease="mine", lease_until=now)
            promise(tx, now, 4, channel="sms", state="sent", target="+336")
            lists = {state: [row.id for row in tx.notices.newest(9, state)] for state in (None, "new", "sent", "dead")}
            counted, due = tx.notices.count_by_state(), tx.notices.next_due()
            order = [row.id for row in tx.notices.of_payment(1)]
            promised = [
                tx.notices.is_promised(*which)
                for which in (
                    ("confirmation", SHOP, "evt_1"), ("sms", SHOP, "evt_1"), ("confirmation", "x", "evt_1"),
                    ("confirmation", SHOP, "evt_9"),
                )
            ]  # fmt: skip
            tx.notices.resend(3, now + SECOND)
            refused = outcome(lambda: tx.notices.resend(4, now))
            again = all_of(tx, t.notice, "id", "state", "next_at", "lease", "lease_until", "tries", "by_hand")[2]

        assert lists == {None: [4, 3, 2, 1], "new": [2], "sent": [4, 1], "dead": [3]}
        assert (counted, due_first, due) == ({"new": 1, "dead": 1}, None, now + DAY)
        assert (order, promised) == ([1, 2, 3, 4], [True, False, False, False])
        assert (refused, again) == ("NotFound", (3, "new", now + SECOND, "", None, 0, True))

    def test_a_worker_that_begins_clears_away_who_was_silent_for_a_day(self, parts: Parts, clock: Clock) -> None:
        now = clock.now()
        with parts.store.transaction() as tx:
            silent = tx.notices.last_beat()
            for name, at in (("old", now - DAY - SECOND), ("kept", now - DAY), ("new", now), ("new", now + SECOND)):
                tx.notices.beat(name, at)

            assert sorted(all_of(tx, t.heartbeat, "name", "at")) == [("kept", now - DAY), ("new", now + SECOND)]
            assert (silent, tx.notices.last_beat()) == (None, now + SECOND)


class TestEndpoints:
    def test_ten_failures_in_a_row_pause_an_endpoint_for_longer_and_longer(self, parts: Parts, clock: Clock) -> None:
        now, waits = clock.now(), []
        with parts.store.transaction() as tx:
            paused = []
            for _ in range(16):
                paused.append(tx.endpoints.fails(SHOP, now))
                ((until,),) = all_of(tx, t.endpoint, "paused_until")
                waits.append(until and until - now)
            counted = tx.endpoints.count_paused()
            tx.endpoints.work([])
            tx.endpoints.work(["https://other.example/"])
            kept = len(all_of(tx, t.endpoint, "address"))
            tx.endpoints.work([SHOP])

            assert all_of(tx, t.endpoint, "address") == []
        assert paused == [False] * 9 + [True] * 7
        assert waits == [None] * 9 + [timedelta(seconds=s) for s in (30, 120, 300, 600, 1800, 1800, 1800)]
        assert (counted, kept) == (1, 1)

    def test_an_endpoint_nothing_waits_for_is_forgotten_a_day_after_its_pause(self, parts: Parts, clock: Clock) -> None:
        several(parts, 1)
        now = clock.now()
        with parts.store.transaction() as tx:
            for address in (SHOP, "https://left.example/", "https://up.example/"):
                for _ in range(1 if "up" in address else 10):
                    tx.endpoints.fails(address, now)
            promise(tx, now)
            tx.endpoints.forget(now + timedelta(seconds=30) + DAY)
            before = len(all_of(tx, t.endpoint, "address"))
            tx.endpoints.forget(now + timedelta(seconds=31) + DAY)

            assert (before, all_of(tx, t.endpoint, "address")) == (3, [(SHOP,), ("https://up.example/",)])

    def test_an_endpoint_is_an_address_without_its_query(self) -> None:
        assert [address_of(target) for target in (f"{SHOP}?a=1?b", SHOP)] == [SHOP, SHOP]


def typed(card: bytes = b"c", origin: str = "198.51.100.1", payment: int = 1, merchant: str = MERCHANT) -> Typed:
    """Give what is kept of a card that was typed."""
    card, range_ = card * 32, card[:1].swapcase() * 32
    return Typed(payment, merchant, origin, Identity(card, b"y" * 32), Identity(range_, b"z" * 32))


class TestLimits:
    def test_so_many_are_counted_in_a_window_and_the_next_begins_anew(self, parts: Parts, clock: Clock) -> None:
        now = clock.now()

        def count(window: datetime, limit: int = 2, subject: str = "a", scope: str = "calls") -> bool:
            with parts.store.transaction() as tx:
                return tx.limits.count_within(scope, subject, window, limit)

        first = [count(now) for _ in range(3)]
        others = [count(now, subject="b"), count(now, scope="pages"), count(now, limit=3)]
        later = [count(now + DAY) for _ in range(3)]
        behind = [count(now), count(now, limit=3)]
        with parts.store.transaction() as tx:
            tx.limits.lock([("calls", "a"), ("calls", "c")], now + 2 * DAY)
            kept = sorted(all_of(tx, t.tally, "scope", "subject", "at", "count"))

        assert (first, others, later, behind) == ([True, True, False], [True] * 3, [True, True, False], [False, True])
        assert kept == [
            ("calls", "a", now + 2 * DAY, 3), ("calls", "b", now, 1), ("calls", "c", now + 2 * DAY, 0), ("pages", "a", now, 1),
        ]  # fmt: skip

    def test_what_is_seen_of_cards_their_networks_and_merchants(self, parts: Parts, clock: Clock) -> None:
        first, second = open_payment(parts), open_payment(parts)
        pay(parts, first)
        pay(parts, second, FUNDS)
        now = clock.now()
        with parts.store.transaction() as tx:
            tx.connection.execute(update(t.card_entry).values(origin="elsewhere", at=now - DAY))
            never = tx.limits.last_of_payment(9)
            entry = tx.limits.add_entry(typed(), now, "asked")
            tx.limits.add_entry(typed(), now + SECOND, "withheld")
            tx.limits.become(entry, "begun", 2)
            counted = [tx.payments.look(payment.id).row.entered for payment in (first, second)]
            last = tx.limits.last_of_payment(1)
            network = [
                tx.limits.count_refused_of_origin(origin, since)
                for origin, since in (("198.51.100.1", now - SECOND), ("198.51.100.1", now), ("x", now - SECOND))
            ]
            shares = [tx.limits.shares(now - SECOND), tx.limits.shares(now), tx.limits.shares(now + SECOND)]
            kept = all_of(tx, t.card_entry, "payment_id", "attempt_id", "merchant_id", "origin", "card", "state", "at")[
                2:
            ]
            tx.limits.withhold(2)
            withheld = all_of(tx, t.card_entry, "state")[1:]

        assert (counted, never, last) == ([3, 1], None, now + SECOND)
        assert network == [1, 0, 0]
        assert shares == [{MERCHANT: Share(2, 2, 1)}, {MERCHANT: Share(1, 1, 1)}, {}]
        assert kept == [
            (1, 2, MERCHANT, "198.51.100.1", b"c" * 32, "begun", now),
            (1, None, MERCHANT, "198.51.100.1", b"c" * 32, "withheld", now + SECOND),
        ]
        assert withheld == [("withheld",), ("withheld",), ("withheld",)]

    def test_a_card_is_held_against_what_was_typed_where_it_is_typed(self, parts: Parts, clock: Clock) -> None:
        several(parts, 2)
        now, mine = clock.now(), typed()
        ago = {"just": SECOND, "a spell": timedelta(minutes=10), "an hour": timedelta(hours=1), "a day": DAY}
        with parts.store.transaction() as tx:
            nothing = tx.limits.see(mine, now)
            for other in (
                mine,
                typed(card=b"d", origin="elsewhere"),
                typed(payment=2, origin="elsewhere", merchant="m"),
            ):
                for since in ago.values():
                    tx.limits.add_entry(other, now - since + timedelta(milliseconds=1), "asked")
            asked = tx.limits.see(mine, now)
            tx.connection.execute(update(t.card_entry).values(state="withheld"))
            withheld = tx.limits.see(mine, now)
            tx.connection.execute(update(t.card_entry).values(state="begun"))
            begun = tx.limits.see(mine, now)
            tx.limits.raise_alert(MERCHANT, "range", mine.range.today.hex(), now, now + SECOND)
            held = tx.limits.see(mine, now)
            tx.limits.raise_alert(MERCHANT, "refusals", "", now, now + SECOND)
            attacked, after = tx.limits.see(mine, now), tx.limits.see(mine, now + SECOND)
            elsewhere = tx.limits.see(typed(merchant="m"), now)

        none = Refusals(0, 0)
        assert nothing == Seen(0, 0, 0, none, Share(0, 0), is_held=False, is_attacked=False)
        assert asked == Seen(8, 2, 4, Refusals(2, 2), Share(0, 0), is_held=False, is_attacked=False)
        assert withheld == Seen(8, 0, 0, none, Share(0, 0), is_held=False, is_attacked=False)
        assert begun == Seen(8, 2, 4, none, Share(2, 0), is_held=False, is_attacked=False)
        assert [(seen.is_held, seen.is_attacked) for seen in (held, attacked, after, elsewhere)] == [
            (True, False), (True, True), (False, False), (False, False),
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("status", "family", "hour", "day"),
        [
            ("declined", "funds", 1, 2), ("authn_failed", "authentication", 1, 2), ("declined", "technical", 0, 0),
            ("authn_failed", "challenge_timeout", 0, 0), ("authorising", "", 1, 2), ("unknown", "", 1, 2), ("approved", "", 0, 0),
        ],
    )  # fmt: skip
    def test_a_card_is_refused_by_its_bank_and_perhaps_any_moment_now(
        self, parts: Parts, clock: Clock, status: str, family: str, hour: int, day: int
    ) -> None:
        several(parts, 1, FUNDS)
        now = clock.now()
        with parts.store.transaction() as tx:
            first = tx.connection.execute(select(t.attempt)).mappings().one()
            drawn = {"id": 2, "n": 2, "public_id": "att_2", "status": status, "response_family": family}
            tx.connection.execute(insert(t.attempt).values({**first, **drawn}))
            for at in (now - timedelta(minutes=59), now - timedelta(hours=1), now - DAY):
                tx.limits.become(tx.limits.add_entry(typed(), at, "asked"), "begun", 2)
            card = typed().card
            counted = [
                tx.limits.refusals(known, now, *besides)
                for known, besides in (
                    (card, ()), (card, (1,)), (card, (2,)), (Identity(b"t" * 32, card.today), ()),
                    (Identity(card.yesterday, b"t" * 32), ()), (Identity(b"t" * 32, b"u" * 32), ()),
                )
            ]  # fmt: skip

        seen, none = Refusals(hour, day), Refusals(0, 0)
        assert counted == [seen, seen, none, seen, seen, none]

    def test_an_alarm_is_raised_by_one_and_kept_up_by_all(self, parts: Parts, clock: Clock) -> None:
        now = clock.now()
        with parts.store.transaction() as tx:
            raised = [
                tx.limits.raise_alert("m", "range", "r", now + at * SECOND, now + until * SECOND)
                for at, until in ((0, 10), (1, 20), (2, 15), (20, 30))
            ]
            another = tx.limits.raise_alert("a", "refusals", "", now, now + 40 * SECOND)
            up = [tx.limits.alerts(now + at * SECOND) for at in (29, 30, 40)]
            kept = sorted(all_of(tx, t.alert, "merchant_id", "raised_at", "until"))

        assert (raised, another) == ([True, False, False, True], True)
        assert up == [[("a", "refusals"), ("m", "range")], [("a", "refusals")], []]
        assert kept == [("a", now, now + 40 * SECOND), ("m", now + 20 * SECOND, now + 30 * SECOND)]

    def test_codes_are_counted_by_telephone(self, parts: Parts, clock: Clock) -> None:
        several(parts, 1)
        now = clock.now()
        with parts.store.transaction() as tx:
            for seq, channel, target, at in (
                (1, "sms", "+1", now),
                (2, "sms", "+1", now - DAY),
                (3, "confirmation", "+1", now),
            ):
                promise(tx, at, seq, channel=channel, target=target, state="sent")
            counted = [
                tx.limits.count_codes(*which) for which in (("+1", now - SECOND), ("+1", now), ("+2", now - SECOND))
            ]

        assert counted == [1, 0, 0]

    def test_a_page_belongs_to_the_first_browser_until_it_is_released(self, parts: Parts, clock: Clock) -> None:
        (payment,) = several(parts, 1)
        now = clock.now()
        with parts.store.transaction() as tx:
            before, nobody = tx.payments.look(payment.id).row.browser, tx.limits.holder(1)
            held = [tx.limits.hold_page(1, browser * 32, now) for browser in (b"a", b"b", b"a")]
            seen, holder = tx.payments.look(payment.id).row.browser, tx.limits.holder(1)
            tx.limits.release_page(1)
            after = [tx.limits.hold_page(1, b"b" * 32, now), tx.limits.holder(1)]
            unknown = outcome(lambda: tx.payments.look("pay_none"))

        assert (before, nobody) == (None, None)
        assert (held, seen, holder) == ([True, False, True], b"a" * 32, b"a" * 32)
        assert (after, unknown) == ([True, b"b" * 32], "NotFound")

    def test_wrong_codes_of_a_card_are_counted_over_its_payments_up_to_a_limit(
        self, parts: Parts, clock: Clock
    ) -> None:
        for payment in several(parts, 2):
            enter(parts, payment, CHALLENGE)
        long_ago = clock.now() - DAY
        with parts.store.transaction() as tx:
            card = tx.limits.card_of(1)
            assert card is not None
            counted = [tx.limits.count_guess(number, card, long_ago, 3) for number in (1, 2, 1, 2)]
            tx.limits.take_guess_back(1)
            again = tx.limits.count_guess(2, card, long_ago, 3)
            recent = tx.limits.count_guess(2, card, clock.now(), 1)
            stranger = tx.limits.card_of(9)

            assert all_of(tx, t.card_entry, "guesses") == [(1,), (3,)]
        assert (counted, again, recent, stranger) == ([True, True, True, False], True, True, None)

    def test_what_was_counted_is_forgotten_once_it_is_older_than_that(self, parts: Parts, clock: Clock) -> None:
        several(parts, 2)
        now = clock.now()
        with parts.store.transaction() as tx:
            tx.payments.move(tx.payments.by_id(1), Status.CANCELLED)
            for number, at in ((1, now - SECOND), (2, now)):
                tx.limits.add_entry(typed(payment=number), at, "asked")
                tx.limits.count_within("calls", str(number), at, 9)
                tx.limits.raise_alert("m", "range", str(number), now - DAY, at)
                tx.limits.hold_page(number, b"a" * 32, at)
            count = [tx.limits.forget(now), tx.limits.forget(now)]
            left = [len(all_of(tx, table, "at" if "at" in table.c else "until")) for table in
                    (t.card_entry, t.tally, t.alert, t.binding)]  # fmt: skip

        assert (count, left) == ([4, 0], [1, 1, 1, 1])

    def test_what_is_old_is_forgotten_in_batches(
        self, parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gateway.store.limits._FORGOTTEN_AT_ONCE", 2)
        with parts.store.transaction() as tx:
            for number in range(5):
                tx.limits.count_within("calls", str(number), clock.now() - SECOND, 9)
            count = [tx.limits.forget(clock.now()) for _ in range(4)]

        assert count == [2, 2, 1, 0]


class TestLinks:
    REQUEST = PaymentRequest(
        merchant="mairie-demo", reference="Fact  7", amount=Money(1234), lines=(Line("Fact  7", "Cantine", Money(1234)),),
        label="Cantine", email="a@example.org", payer_name="Zoé", fiscal_year="2026", language="de",
        pay_before=date(2026, 12, 24),
    )  # fmt: skip

    def test_a_link_comes_back_as_it_was_made(self, parts: Parts, clock: Clock) -> None:
        terms = LinkTerms(self.REQUEST, 5)
        other = LinkTerms(replace(self.REQUEST, merchant="jvs-demo", amount=Money(7, "CHF"), lines=()))
        now = clock.now()
        with parts.store.transaction() as tx:
            numbers = [tx.links.add([], now), tx.links.add([terms, other], now)]
            link, foreign, valid = tx.links.get(1), tx.links.get(2), tx.links.valid_of(self.REQUEST)
            lists = [[found.number for found in tx.links.newest(*which)] for which in ((9,), (1,), (9, "mairie-demo"))]
            spelt = [found.number for found in tx.links.by_reference("mairie-demo", " fact 7 ")]
            others = (
                replace(self.REQUEST, merchant="x"),
                replace(self.REQUEST, fiscal_year="2025"),
                replace(self.REQUEST, reference="FACT-8"),
            )
            absent = [tx.links.valid_of(other) for other in others]
            revoked = [tx.links.revoke(1, now + at * SECOND) for at in (1, 2)]
            after, ended = tx.links.valid_of(self.REQUEST), tx.links.get(1).revoked_at
            unknown = outcome(lambda: tx.links.get(9))

        assert foreign.terms.request.amount == Money(7, "CHF")
        assert (numbers, link.terms, link.created_at, link.revoked_at) == ([[], [1, 2]], terms, now, None)
        assert (link.number, link.payee.id, link.payee.name) == (1, "mairie-demo", "Ville de Démonstration")
        assert link.terms.last_on == date(2026, 12, 29)
        assert (valid, lists, spelt, absent) == (link, [[2, 1], [2], [1]], [1], [None, None, None])
        assert (revoked, after, ended, unknown) == ([True, False], None, now + SECOND, "NotFound")

    @pytest.mark.parametrize(
        ("revoked", "pay_before", "is_over"),
        [(None, None, False), (0, None, False), (1, None, True), (None, 0, False), (None, 1, True)],
    )
    def test_people_are_forgotten_of_links_that_ended_before_then(
        self, parts: Parts, clock: Clock, revoked: int | None, pay_before: int | None, *, is_over: bool
    ) -> None:
        end = clock.now() + 30 * DAY
        printed = None if pay_before is None else (end - pay_before * DAY).date()
        with parts.store.transaction() as tx:
            tx.links.add([LinkTerms(replace(self.REQUEST, pay_before=printed))], clock.now())
            if revoked is not None:
                tx.links.revoke(1, end - revoked * SECOND)
            elsewhere = tx.links.forget("jvs-demo", end, end, 9)
            early = tx.links.forget("mairie-demo", clock.now(), end, 9)
            count = [tx.links.forget("mairie-demo", end, end, 9) for _ in range(2)]
            kept = all_of(tx, t.link, "email", "payer_name", "label", "forgotten_at")

        assert (elsewhere, early, count) == (0, 0, [int(is_over), 0])
        assert kept == ([("", "", "", end)] if is_over else [("a@example.org", "Zoé", "Cantine", None)])


class TestRetention:
    @pytest.mark.parametrize(
        ("spoil", "is_due"),
        [
            ({}, True),
            ({"attempt": {"next_at": "now"}}, False),
            ({"notice": {"state": "new", "next_at": "told"}}, False),
            ({"notice": {"state": "new", "next_at": "before"}}, True),
            ({"payment": {"forgotten_at": "now"}}, False),
            ({"instalment": {"state": "planned"}}, False),
            ({"instalment": {"state": "asked"}}, False),
            ({"instalment": {"state": "paid"}}, True),
            ({"refund": {"status": "pending"}}, False),
            ({"refund": {"status": "unknown"}}, False),
            ({"refund": {"status": "done"}}, True),
        ],
    )
    def test_a_payment_is_forgotten_once_nothing_of_it_is_under_way(
        self, parts: Parts, clock: Clock, spoil: dict[str, dict[str, str]], *, is_due: bool
    ) -> None:
        later = Instalment(date(2026, 12, 21), Money(500)) if "instalment" in spoil else None
        paid = pay(parts, open_payment(parts, instalments=(later,) if later else ()))
        if "refund" in spoil:
            wish = Refund(Which(payment=paid.id), Money(100), Signed(MERCHANT, "refund-1", "d"))
            parts.checkout.refunding.refund(wish, "native")
        now, told = clock.now(), clock.now() - DAY
        moments = {"now": now, "told": told, "before": told - SECOND}
        change(parts, t.attempt, next_at=None)
        change(parts, t.notice, state="sent")
        for table, values in spoil.items():
            change(parts, t.metadata.tables[table], **{name: moments.get(word, word) for name, word in values.items()})

        def due(ended_before: datetime, merchant: str = MERCHANT, limit: int = 9) -> list[int]:
            with parts.store.reading() as tx:
                return tx.retention.due(merchant, ended_before, told, limit)

        assert due(now + SECOND) == ([1] if is_due else [])
        assert (due(now), due(now + SECOND, "other"), due(now + SECOND, limit=0)) == ([], [], [])

    def test_whoever_paid_first_is_forgotten_first(self, parts: Parts, clock: Clock) -> None:
        several(parts, 2, FRICTIONLESS)
        change(parts, t.attempt, next_at=None)
        change(parts, t.notice, state="sent")
        change(parts, t.payment, 1, ended_at=clock.now() + SECOND)
        with parts.store.reading() as tx:
            assert tx.retention.due(MERCHANT, clock.now() + DAY, clock.now(), 9) == [2, 1]
            assert tx.retention.due(MERCHANT, clock.now() + DAY, clock.now(), 1) == [2]

    def test_what_tells_of_people_is_blanked_once(self, parts: Parts, clock: Clock) -> None:
        payment = open_payment(parts, metadata={"a": "b"}, wire={"c": "d"}, payer_phone="+33612345678", comment="oui")
        pay(parts, payment)
        several(parts, 1)
        change(parts, t.attempt, token="stands for the card", next_at=None)
        with parts.store.transaction() as tx:
            kept_before = tx.retention.merchants()
            done = [tx.retention.forget(1, clock.now() + at * SECOND, clock.now() + DAY) for at in (0, 1)]
            first, second = tx.connection.execute(select(t.payment).order_by(t.payment.c.id)).all()
            rows = [all_of(tx, t.line, "payment_id", "label"), all_of(tx, t.attempt, "phone", "expiry", "token")]
            notices, kept = tx.notices.of_payment(1), tx.retention.merchants()

        people = ("email", "receipt_email", "payer_name", "payer_phone", "beneficiary", "comment", "label")
        assert (done, kept_before, kept, notices) == ([True, False], {MERCHANT}, set(), [])
        assert {getattr(first, name) for name in (*people, "return_url", "notify_url")} == {""}
        assert (first.metadata, first.wire, first.forgotten_at) == ("{}", "{}", clock.now())
        assert (second.email, second.forgotten_at) == ("famille@example.org", None)
        assert rows == [[(1, ""), (2, "Cantine de novembre")], [("", "", "")]]


class TestStatements:
    def test_our_side_of_the_banks_book(self, parts: Parts, clock: Clock) -> None:
        paid = pay(parts, open_payment(parts))
        pay(parts, open_payment(parts), FUNDS)
        waiting = open_payment(parts)
        enter(parts, waiting)
        now = clock.now()
        with parts.store.reading() as tx:
            ids = [op_id for (op_id,) in all_of(tx, t.operation, "op_id")]
            asked = tx.statements.asked([*ids, *(f"op_{n}" for n in range(1100))])
            late = tx.statements.asked([*(f"op_{n}" for n in range(1100)), *ids])
            periods = [(now, now), (now - DAY, now - SECOND), (now + SECOND, now + DAY)]
            approved = [[row.public_id for row in tx.statements.approved(*period)] for period in periods]
            cards = tx.statements.waiting()

        assert sorted(asked) == sorted(late) == sorted(ids)
        (ours,) = (row for row in asked.values() if row.public_id == paid.id)
        assert (ours.amount_cents, ours.currency, ours.status, ours.refunded, ours.asked_at, ours.changed_at) == (
            9612, "EUR", "approved", 0, now, now,
        )  # fmt: skip
        assert approved == [[paid.id], [], []]
        assert [(row.public_id, row.amount_cents, row.currency, bool(row.token)) for row in cards] == [
            (waiting.id, 9612, "EUR", True)
        ]


class TestLog:
    PEN = Pen([b"old" * 8, b"new" * 8], lambda: datetime(2026, 11, 21, 10, tzinfo=UTC), lambda size: "d" * size)

    def test_a_pen_writes_with_its_last_key_and_knows_them_all(self) -> None:
        macs = [hmac.new(key, b"said", sha256).hexdigest() for key in (*self.PEN.keys, b"other" * 8)]

        assert self.PEN.mac(b"said") == macs[1]
        assert [self.PEN.wrote(b"said", mac) for mac in macs] == [True, True, False]

    def test_a_row_says_who_did_what_and_is_signed(self, parts: Parts, clock: Clock) -> None:
        with acting_as(Actor("w" * 99, "o" * 99)), parts.store.transaction() as tx:
            tx.audit.add("tried", "x" * 300, result="r" * 99, facts={"é": 1})
        with parts.store.reading() as tx:
            (row,) = tx.connection.execute(select(t.audit)).all()

        assert (row.who, row.origin, row.what, row.object, row.result) == (
            "w" * 80,
            "o" * 80,
            "tried",
            "x" * 200,
            "r" * 40,
        )
        assert (row.facts, row.payment_id, row.state, row.at) == ('{"é": 1}', None, "", clock.now())
        assert (row.public_id[:4], len(row.public_id)) == ("aud_", 28)
        assert parts.store.pen.wrote(row_message(row), row.mac)
        assert json.loads(row_message(row)) == [
            "row", "2026-11-21T10:00:00+00:00", row.public_id, row.who, "tried", row.object, None, '{"é": 1}', row.result,
            row.origin, "",
        ]  # fmt: skip

    def test_one_row_tells_a_transactions_events_of_a_payment(self, parts: Parts, clock: Clock) -> None:
        (payment,) = several(parts, 1)
        with parts.store.transaction() as tx:
            for kind in ("a.first", "a.second"):
                tx.payments.record(1, f"evt_{kind}", kind, clock.now(), {})
        with parts.store.transaction() as tx:
            tx.payments.allow_no_more_attempts(1)
        with parts.store.reading() as tx:
            states = tx.audit.states([1, 9])
            said = all_of(tx, t.audit, "id", "what", "object", "payment_id", "facts", "result", "state")[2:]

        assert [row[1:6] for row in said] == [
            ("a.first", payment.id, 1, '{"after": "opened", "also": ["a.second"]}', "done"),
            ("payment.changed", payment.id, 1, '{"after": "opened"}', "done"),
        ]
        assert {number: (state.payment, state.status) for number, state in states.items()} == {
            1: (payment.id, "opened")
        }
        assert said[-1][6] == states[1].digest != said[0][6]
        assert states[1].digest.startswith("1:")

    def test_a_change_without_an_event_is_called_a_change(self, parts: Parts, clock: Clock) -> None:
        later = (Instalment(date(2026, 12, 21), Money(500)), Instalment(date(2027, 1, 21), Money(501)))
        paid = pay(parts, open_payment(parts, instalments=later))
        wish = Refund(Which(payment=paid.id), Money(100), Signed(MERCHANT, "refund-1", "d"))
        parts.checkout.refunding.refund(wish, "native")
        opened, now = open_payment(parts), clock.now()
        change(parts, t.refund, status="pending")
        changes: tuple[Callable[[Transaction], object], ...] = (
            lambda tx: tx.attempts.move(tx.attempts.get(1), AttemptStatus.PART_REFUNDED),
            lambda tx: tx.attempts.add_operation("op_x", 1, "capture", 1, now),
            lambda tx: tx.attempts.answer_operation("op_x", "done", now),
            lambda tx: tx.attempts.post(1, "refund", Money(1), now, 99),
            lambda tx: tx.refunds.reserve(1, 1),
            lambda tx: tx.refunds.release(1, 1),
            lambda tx: tx.refunds.finish(1, "done"),
            lambda tx: tx.instalments.move(tx.instalments.due(date(2027, 2, 1), 1)[0], "asked"),
            lambda tx: tx.instalments.void(1),
            lambda tx: tx.payments.extend(tx.payments.get(opened.id), now + DAY, now),
            lambda tx: tx.payments.allow_no_more_attempts(2),
            lambda tx: tx.payments.add_line(2, 7, 1, Line("F", "", Money(1))),
            lambda tx: tx.attempts.add(2, **ATTEMPT, started_at=now),
            lambda tx: tx.payments.move(tx.payments.get(opened.id), Status.WORKING),
        )
        for act in changes:
            with parts.store.transaction() as tx:
                act(tx)
        with parts.store.reading() as tx:
            said = all_of(tx, t.audit, "id", "what", "payment_id", "object")[-len(changes) :]

        assert [row[1:] for row in said] == [("payment.changed", 1, paid.id)] * 9 + [
            ("payment.changed", 2, opened.id)
        ] * 5

    def test_rows_are_linked_to_a_chain_in_their_order(self, parts: Parts) -> None:
        with parts.store.transaction() as tx:
            empty = tx.audit.head()
            tx.audit.seal([])
            for what in ("one", "two", "three"):
                tx.audit.add(what)
        with parts.store.transaction() as tx:
            few, rows = tx.audit.unsealed(2), tx.audit.unsealed(9)
            tx.audit.seal(few)
            left = [row.id for row in tx.audit.unsealed(9)]
            loose = [[row.id for row in tx.audit.loose(*which)] for which in ((0, 9), (3, 9), (0, 0))]
            links = [
                [(link.n, link.audit_id, link.what) for link in tx.audit.links(*which)]
                for which in ((0, 9), (1, 9), (0, 1))
            ]
            head, doubles = tx.audit.head(), tx.audit.doubles()

        macs = [GENESIS]
        for n, row in enumerate(few, start=1):
            macs.append(parts.store.pen.mac(link_message(macs[-1], n, row.id, row.mac)))
        assert sha256(b"guichet audit chain").hexdigest() == GENESIS
        assert (empty, head, doubles) == ((0, GENESIS), (2, macs[-1]), [])
        assert ([row.id for row in rows], left, loose) == ([1, 2, 3], [3], [[3], [], []])
        assert links == [[(1, 1, "one"), (2, 2, "two")], [(2, 2, "two")], [(1, 1, "one")]]
        assert json.loads(link_message("p", 1, 2, "m")) == ["link", "p", 1, 2, "m"]

    def test_the_last_start_knew_what_it_was_told_last(self, parts: Parts) -> None:
        with parts.store.transaction() as tx:
            for about, whole in (("a", {"x": 1}), ("b", {"y": 2}), ("a", None)):
                tx.audit.add("book.read", about, facts={"whole": whole})
            tx.audit.add("other", "c", facts={"whole": 3})

            assert tx.audit.book() == {"a": None, "b": {"y": 2}}

    def test_all_payments_are_walked_over_in_steps(self, parts: Parts) -> None:
        several(parts, 3)
        with parts.store.transaction() as tx:
            assert [tx.audit.payments(0, 2), tx.audit.payments(2, 2, is_taken=True)] == [[1, 2], [3]]


def test_a_missing_payment_is_not_found(parts: Parts) -> None:
    with parts.store.reading() as tx, pytest.raises(NotFound):
        tx.payments.get("pay_none")
