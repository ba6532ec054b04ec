"""What every acquirer must do, run over the simulator in this process and over HTTP to a process of its own.

The last tests kill that process between the bank's decision and its answer.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.acquirers import Acquirer, Answer, Enrolment, Flow, Outcome
from gateway.acquirers.cards import load
from gateway.acquirers.remote import Deadlines, RemoteAcquirer
from gateway.acquirers.simulator import Delays, Simulator
from gateway.core.card import CardEntry, CardNumber, Expiry
from gateway.core.errors import AcquirerUnreachable, CardRefused
from gateway.core.money import Money
from tests.acquirers.conftest import NOON, ROOT, BankProcess

TABLE = load(ROOT / "config" / "test_cards.toml")
TEN_EUROS = Money(1000)


@pytest.fixture(scope="module")
def shared_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    bank = BankProcess(tmp_path_factory.mktemp("bank") / "home")
    yield bank.start()
    bank.kill()


@pytest.fixture(params=["in process", "over http"])
def bank(request: pytest.FixtureRequest, tmp_path: Path) -> Acquirer:
    if request.param == "over http":
        return RemoteAcquirer(request.getfixturevalue("shared_url"))
    return Simulator(tmp_path / "bank.sqlite3", TABLE, now=lambda: NOON, delays=Delays(0.0, 0.0))


@pytest.fixture
def op(request: pytest.FixtureRequest) -> str:
    """A prefix of operation ids of this test's own, the bank over http being shared."""
    return f"{abs(hash(request.node.nodeid)):x}-"


def entry(key: str, code: str = "123") -> CardEntry:
    card = TABLE.by_key(key)
    assert card is not None
    return CardEntry(CardNumber(card.number), Expiry(2030, 12), code if card.schemes != ("amex",) else "1234")


def enrol(bank: Acquirer, op: str, key: str, code: str = "123") -> Enrolment:
    return bank.enrol(entry(key, code), TEN_EUROS, op_id=f"{op}enrol")


def authorise(bank: Acquirer, op: str, key: str, proof: str = "proof", code: str = "123") -> Answer:
    enrolment = enrol(bank, op, key, code)
    return bank.authorise(
        enrolment.token, TEN_EUROS, op_id=f"{op}auth", scheme=enrolment.schemes[0], authentication=proof
    )


def capture(bank: Acquirer, op: str, key: str = "approved") -> Answer:
    authorise(bank, op, key)
    return bank.capture(f"{op}auth", TEN_EUROS, op_id=f"{op}capture")


@pytest.mark.parametrize(
    ("key", "flow", "eci", "reason"),
    [
        ("approved", Flow.FRICTIONLESS, "05", ""),
        ("approved-mastercard-challenge", Flow.CHALLENGE, "02", ""),
        ("approved-attempted", Flow.ATTEMPTED, "06", ""),
        ("cb-mastercard", Flow.FRICTIONLESS, "02", ""),
        ("3ds-refused", Flow.REFUSED, "", "N"),
        ("3ds-rejected", Flow.REFUSED, "", "R"),
        ("3ds-unavailable", Flow.UNAVAILABLE, "07", "U"),
    ],
)
def test_enrolment_tells_what_the_cards_bank_wants(
    bank: Acquirer, op: str, key: str, flow: Flow, eci: str, reason: str
) -> None:
    enrolment = enrol(bank, op, key)

    assert (enrolment.flow, enrolment.eci, enrolment.response_code) == (flow, eci, reason)
    assert bool(enrolment.phone) == (flow is Flow.CHALLENGE)


def test_a_silent_3d_secure_is_not_an_answer(bank: Acquirer, op: str) -> None:
    with pytest.raises(AcquirerUnreachable):
        enrol(bank, op, "3ds-timeout")


def test_a_number_outside_the_table_is_refused(bank: Acquirer, op: str) -> None:
    card = CardEntry(CardNumber("4111111111111111"), Expiry(2030, 1), "123")

    with pytest.raises(CardRefused) as caught:
        bank.enrol(card, TEN_EUROS, op_id=f"{op}enrol")

    assert (caught.value.field, caught.value.rule) == ("cc-number", "not_a_test_card")


def test_enrolling_twice_gives_one_token(bank: Acquirer, op: str) -> None:
    assert enrol(bank, op, "approved") == enrol(bank, op, "approved")


def test_brands_are_told_from_the_first_digits(bank: Acquirer) -> None:
    assert bank.schemes("497010") == ("cb", "visa")
    assert bank.schemes("999999") == ()


@pytest.mark.parametrize("key", ["approved", "approved-challenge", "approved-amex", "cb-visa", "approved-slow"])
def test_an_approval_echoes_the_question_and_carries_six_characters(bank: Acquirer, op: str, key: str) -> None:
    answer = authorise(bank, op, key)

    assert (answer.op_id, answer.outcome, answer.amount) == (f"{op}auth", Outcome.APPROVED, TEN_EUROS)
    assert (answer.response_code, len(answer.authorisation_number)) == ("00", 6)


@pytest.mark.parametrize(
    ("key", "code", "family"),
    [
        ("do-not-honour", "05", "do_not_honour"),
        ("funds", "51", "funds"),
        ("expired", "54", "expired"),
        ("stolen", "43", "stolen"),
        ("wrong-code", "82", "wrong_code"),
        ("limit", "61", "limit"),
        ("technical", "96", "technical"),
        ("funds-challenge", "51", "funds"),
        ("3ds-refused", "1A", "authentication"),
        ("systempay-maestro-0002", "02", "call_issuer"),
    ],
)
def test_a_decline_says_its_code_and_family(bank: Acquirer, op: str, key: str, code: str, family: str) -> None:
    answer = authorise(bank, op, key)

    assert (answer.outcome, answer.response_code, answer.family) == (Outcome.DECLINED, code, family)
    assert bank.status(f"{op}auth", TEN_EUROS) == answer


def test_a_card_to_be_challenged_is_declined_without_proof(bank: Acquirer, op: str) -> None:
    assert authorise(bank, op, "approved-challenge", proof="").family == "authentication"


def test_another_amount_than_the_enrolled_one_is_declined(bank: Acquirer, op: str) -> None:
    token = enrol(bank, op, "approved").token

    answer = bank.authorise(token, Money(1001), op_id=f"{op}auth", scheme="visa", authentication="proof")

    assert (answer.outcome, answer.family) == (Outcome.DECLINED, "authentication")


def test_a_brand_the_card_has_not_is_declined(bank: Acquirer, op: str) -> None:
    token = enrol(bank, op, "approved").token

    answer = bank.authorise(token, TEN_EUROS, op_id=f"{op}auth", scheme="cb", authentication="proof")

    assert (answer.outcome, answer.family) == (Outcome.DECLINED, "not_permitted")


def test_the_documented_wrong_code_is_declined_on_our_own_cards_only(bank: Acquirer, op: str) -> None:
    assert authorise(bank, op, "approved", code="000").family == "wrong_code"
    assert authorise(bank, f"{op}2", "systempay-visa-0000", code="000").outcome is Outcome.APPROVED


def test_an_unknown_token_is_declined(bank: Acquirer, op: str) -> None:
    answer = bank.authorise("nothing", TEN_EUROS, op_id=f"{op}auth", scheme="visa", authentication="proof")

    assert (answer.outcome, answer.response_code) == (Outcome.DECLINED, "14")


def test_saying_it_twice_does_it_once_and_answers_the_same(bank: Acquirer, op: str) -> None:
    assert authorise(bank, op, "approved") == authorise(bank, op, "approved")
    assert capture(bank, op) == capture(bank, op)
    refunds = {bank.refund(f"{op}auth", Money(600), op_id=f"{op}refund") for _ in range(3)}

    assert {answer.outcome for answer in refunds} == {Outcome.APPROVED}


def test_an_operation_id_cannot_be_used_for_something_else(bank: Acquirer, op: str) -> None:
    token = enrol(bank, op, "approved").token
    bank.authorise(token, TEN_EUROS, op_id=f"{op}auth", scheme="visa", authentication="proof")

    with pytest.raises(ValueError, match="operation"):
        bank.authorise(token, Money(999), op_id=f"{op}auth", scheme="visa", authentication="proof")
    with pytest.raises(ValueError, match="operation"):
        bank.capture(f"{op}auth", TEN_EUROS, op_id=f"{op}auth")


@pytest.mark.parametrize(
    ("key", "truth"),
    [
        ("silent-approved", Outcome.APPROVED),
        ("silent-approved-challenge", Outcome.APPROVED),
        ("silent-declined", Outcome.DECLINED),
        ("silent-lost", Outcome.NOT_FOUND),
    ],
)
def test_only_an_inquiry_tells_what_a_silent_bank_did(bank: Acquirer, op: str, key: str, truth: Outcome) -> None:
    for _ in range(2):
        with pytest.raises(AcquirerUnreachable):
            authorise(bank, op, key)

    assert bank.status(f"{op}auth", TEN_EUROS).outcome is truth


def test_a_review_ends_in_an_approval_at_the_third_inquiry(bank: Acquirer, op: str) -> None:
    with pytest.raises(AcquirerUnreachable):
        authorise(bank, op, "approved-review")
    for _ in range(2):
        with pytest.raises(AcquirerUnreachable):
            bank.status(f"{op}auth", TEN_EUROS)

    assert bank.status(f"{op}auth", TEN_EUROS).outcome is Outcome.APPROVED
    assert bank.capture(f"{op}auth", TEN_EUROS, op_id=f"{op}capture").outcome is Outcome.APPROVED


def test_an_operation_nobody_saw_is_not_found(bank: Acquirer, op: str) -> None:
    assert bank.status(f"{op}never", TEN_EUROS).outcome is Outcome.NOT_FOUND


def test_an_authorisation_that_comes_after_its_reversal_is_declined(bank: Acquirer, op: str) -> None:
    reversed_first = bank.reverse(f"{op}auth", TEN_EUROS, op_id=f"{op}reverse")
    answer = authorise(bank, op, "approved")

    assert reversed_first.outcome is Outcome.REVERSED
    assert (answer.outcome, answer.family) == (Outcome.DECLINED, "reversed")
    assert bank.status(f"{op}auth", TEN_EUROS).outcome is Outcome.REVERSED
    assert authorise(bank, op, "approved") == answer


@pytest.mark.parametrize("key", ["approved", "approved-review", "silent-approved", "silent-lost"])
def test_a_reversed_authorisation_cannot_be_captured(bank: Acquirer, op: str, key: str) -> None:
    try:
        authorise(bank, op, key)
    except AcquirerUnreachable:
        assert key != "approved"

    assert bank.reverse(f"{op}auth", TEN_EUROS, op_id=f"{op}reverse").outcome is Outcome.REVERSED
    assert bank.status(f"{op}auth", TEN_EUROS).outcome is Outcome.REVERSED
    answer = bank.capture(f"{op}auth", TEN_EUROS, op_id=f"{op}capture")
    assert (answer.outcome, answer.family) == (Outcome.DECLINED, "reversed")


def test_reversing_a_decline_succeeds_for_nothing_is_held(bank: Acquirer, op: str) -> None:
    authorise(bank, op, "funds")

    assert bank.reverse(f"{op}auth", TEN_EUROS, op_id=f"{op}reverse").outcome is Outcome.REVERSED


def test_captured_money_is_not_reversed(bank: Acquirer, op: str) -> None:
    capture(bank, op)

    answer = bank.reverse(f"{op}auth", TEN_EUROS, op_id=f"{op}reverse")

    assert (answer.outcome, answer.family) == (Outcome.DECLINED, "wrong_state")


def test_a_reversal_is_of_the_whole_amount(bank: Acquirer, op: str) -> None:
    authorise(bank, op, "approved")

    with pytest.raises(ValueError, match="operation"):
        bank.reverse(f"{op}auth", Money(500), op_id=f"{op}reverse")


def test_money_is_captured_once(bank: Acquirer, op: str) -> None:
    assert capture(bank, op).outcome is Outcome.APPROVED

    again = bank.capture(f"{op}auth", TEN_EUROS, op_id=f"{op}capture2")

    assert (again.outcome, again.response_code) == (Outcome.DECLINED, "94")


@pytest.mark.parametrize("key", ["funds", "3ds-refused"])
def test_money_that_was_never_approved_is_not_captured(bank: Acquirer, op: str, key: str) -> None:
    assert capture(bank, op, key).outcome is Outcome.DECLINED


@pytest.mark.parametrize("amount", [Money(1001), Money(1000, "CHF")])
def test_more_than_was_authorised_is_not_captured(bank: Acquirer, op: str, amount: Money) -> None:
    authorise(bank, op, "approved")

    assert bank.capture(f"{op}auth", amount, op_id=f"{op}capture").family == "amount"


def test_capture_and_refund_fail_where_their_card_says_so(bank: Acquirer, op: str) -> None:
    assert capture(bank, f"{op}1", "capture-error").response_code == "96"
    assert capture(bank, f"{op}2", "refund-refused").outcome is Outcome.APPROVED
    assert bank.refund(f"{op}2auth", TEN_EUROS, op_id=f"{op}2refund").response_code == "57"


def test_a_lost_capture_succeeds_when_it_is_said_again(bank: Acquirer, op: str) -> None:
    with pytest.raises(AcquirerUnreachable):
        capture(bank, op, "capture-second-try")

    assert capture(bank, op, "capture-second-try").outcome is Outcome.APPROVED


def test_refunds_never_pass_what_was_captured(bank: Acquirer, op: str) -> None:
    capture(bank, op)

    cents = [600, 500, 400, 1]
    answers = [bank.refund(f"{op}auth", Money(c), op_id=f"{op}refund{c}") for c in cents]

    assert [answer.outcome.value for answer in answers] == ["approved", "declined", "approved", "declined"]


def test_uncaptured_money_is_not_refunded(bank: Acquirer, op: str) -> None:
    authorise(bank, op, "approved")

    assert bank.refund(f"{op}auth", TEN_EUROS, op_id=f"{op}refund").family == "wrong_state"


def test_of_32_refunds_at_once_of_60_percent_one_succeeds(bank: Acquirer, op: str) -> None:
    capture(bank, op)

    with ThreadPoolExecutor(32) as threads:
        answers = list(
            threads.map(lambda n: bank.refund(f"{op}auth", Money(600), op_id=f"{op}refund{n}").outcome, range(32))
        )

    assert sorted(answers).count(Outcome.APPROVED) == 1
    assert answers.count(Outcome.DECLINED) == 31


def later(bank: Acquirer, op: str, token: str, cents: int = 300, **said: str) -> Answer:
    """Ask for a later instalment of what ``authorise`` was approved for."""
    words = {"op_id": f"{op}later", "follows": f"{op}auth", "scheme": "visa", "authentication": "", **said}
    return bank.authorise(token, Money(cents), **words)


@pytest.mark.parametrize("key", ["approved", "approved-challenge"])
def test_a_later_instalment_needs_no_payer_and_may_be_of_another_amount(bank: Acquirer, op: str, key: str) -> None:
    token = enrol(bank, op, key).token
    authorise(bank, op, key)

    answers = [later(bank, op, token, cents, op_id=f"{op}later{cents}") for cents in (300, 2000)]

    assert [(answer.outcome, answer.amount.cents) for answer in answers] == [
        (Outcome.APPROVED, 300),
        (Outcome.APPROVED, 2000),
    ]
    assert bank.status(f"{op}later300", Money(300)).outcome is Outcome.APPROVED
    assert bank.capture(f"{op}later300", Money(300), op_id=f"{op}capture").outcome is Outcome.APPROVED


def test_saying_a_later_instalment_twice_debits_once(bank: Acquirer, op: str) -> None:
    token = enrol(bank, op, "approved").token
    authorise(bank, op, "approved")

    assert later(bank, op, token) == later(bank, op, token)


def test_a_later_instalment_follows_an_approval_of_its_own_card_only(bank: Acquirer, op: str) -> None:
    token = enrol(bank, op, "approved").token
    before = later(bank, op, token, op_id=f"{op}early")
    authorise(bank, op, "approved")
    other = enrol(bank, f"{op}other", "approved").token

    strange = later(bank, op, other, op_id=f"{op}strange")
    foreign = bank.authorise(
        token, Money(300, "CHF"), op_id=f"{op}foreign", scheme="visa", authentication="", follows=f"{op}auth"
    )
    bank.reverse(f"{op}auth", TEN_EUROS, op_id=f"{op}reverse")
    undone = later(bank, op, token, op_id=f"{op}undone")

    refusals = [before, strange, foreign, undone]
    assert [answer.response_code for answer in refusals] == ["1A"] * 4


def test_a_token_alone_buys_nothing_more(bank: Acquirer, op: str) -> None:
    token = enrol(bank, op, "approved").token
    authorise(bank, op, "approved")

    assert later(bank, op, token, follows="").response_code == "1A"


def test_later_instalments_are_refused_as_their_card_asks(bank: Acquirer, op: str) -> None:
    tokens = {}
    for key in ("later-refused", "later-second-try"):
        tokens[key] = enrol(bank, f"{op}{key}", key).token
        assert authorise(bank, f"{op}{key}", key).outcome is Outcome.APPROVED

    said = {
        key: [later(bank, f"{op}{key}", token, op_id=f"{op}{key}{n}").response_code for n in range(3)]
        for key, token in tokens.items()
    }

    assert said == {"later-refused": ["51", "51", "51"], "later-second-try": ["51", "00", "00"]}


def kill_once(bank_process: BankProcess, key: str, *, written: bool) -> RemoteAcquirer:
    """Kill the bank in the middle of an authorisation, then start it again over the same file."""
    bank = RemoteAcquirer(bank_process.url, deadlines=Deadlines(answer_seconds=120))
    token = enrol(bank, "", key).token
    own_book = Simulator(bank_process.book_path, TABLE, now=lambda: NOON)
    with ThreadPoolExecutor(1) as threads:
        lost = threads.submit(bank.authorise, token, TEN_EUROS, op_id="auth", scheme="visa", authentication="")
        until = time.monotonic() + 60
        while time.monotonic() < until and bool(own_book.book()) != written:
            time.sleep(0.02)
        if not written:
            time.sleep(0.3)
        bank_process.kill()
        assert isinstance(lost.exception(), AcquirerUnreachable)
    return RemoteAcquirer(bank_process.start())


def test_a_bank_killed_before_it_answers_knows_what_it_did(bank_process: BankProcess) -> None:
    bank_process.start(silence=60)

    bank = kill_once(bank_process, "silent-approved", written=True)

    assert bank.status("auth", TEN_EUROS).outcome is Outcome.APPROVED
    assert bank.capture("auth", TEN_EUROS, op_id="capture").outcome is Outcome.APPROVED


def test_a_bank_killed_before_it_decides_never_debits_after_the_reversal(bank_process: BankProcess) -> None:
    bank_process.start(slow=60)

    bank = kill_once(bank_process, "approved-slow", written=False)

    assert bank.status("auth", TEN_EUROS).outcome is Outcome.NOT_FOUND
    assert bank.reverse("auth", TEN_EUROS, op_id="reverse").outcome is Outcome.REVERSED
    assert authorise(bank, "", "approved-slow").outcome is Outcome.DECLINED
