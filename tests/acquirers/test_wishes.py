"""What a developer wishes of the simulated bank: played once, for one payment, by a bank here and by one over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.acquirers import Acquirer, Answer, Enrolment, Flow, Outcome
from gateway.acquirers.cards import load
from gateway.acquirers.remote import RemoteAcquirer
from gateway.acquirers.simulator import Delays, Simulator
from gateway.acquirers.wishes import FAMILIES, WORDS, Attentive, Wishes, paying
from gateway.core.card import CardEntry, CardNumber, Expiry
from gateway.core.errors import AcquirerUnreachable, CardRefused
from gateway.core.money import Money
from tests.acquirers.conftest import NOON, ROOT, BankProcess

TABLE = load(ROOT / "config" / "test_cards.toml")
TEN_EUROS = Money(1000)
PAYMENT, OTHER = "pay_1", "pay_2"


@pytest.fixture
def wishes(tmp_path: Path) -> Wishes:
    return Wishes(tmp_path / "bank.sqlite3")


@pytest.fixture
def bank(tmp_path: Path, wishes: Wishes) -> Iterator[Acquirer]:
    """Give a bank with somebody before it, while a payer posts to the page of ``PAYMENT``."""
    simulator = Simulator(tmp_path / "bank.sqlite3", TABLE, now=lambda: NOON, delays=Delays(0.0, 0.0))
    now = paying.set(PAYMENT)
    yield Attentive(simulator, wishes)
    paying.reset(now)


def enrol(bank: Acquirer, key: str = "approved", op_id: str = "enrol", code: str = "123") -> Enrolment:
    card = TABLE.by_key(key)
    assert card is not None
    return bank.enrol(CardEntry(CardNumber(card.number), Expiry(2030, 12), code), TEN_EUROS, op_id=op_id)


def authorise(bank: Acquirer, token: str, op_id: str = "auth", proof: str = "proof") -> Answer:
    return bank.authorise(token, TEN_EUROS, op_id=op_id, scheme="visa", authentication=proof)


@pytest.mark.parametrize(
    ("word", "flow", "eci"),
    [
        ("frictionless", Flow.FRICTIONLESS, "05"),
        ("challenge", Flow.CHALLENGE, "05"),
        ("attempted", Flow.ATTEMPTED, "06"),
        ("refused", Flow.REFUSED, ""),
        ("unavailable", Flow.UNAVAILABLE, "07"),
    ],
)
@pytest.mark.parametrize("card", ["approved", "approved-challenge"])
def test_3d_secure_says_once_what_was_wished(
    bank: Acquirer, wishes: Wishes, card: str, word: str, flow: Flow, eci: str
) -> None:
    wishes.make(PAYMENT, "enrol", word)

    first = enrol(bank, card)

    assert (first.flow, first.eci, bool(first.phone)) == (flow, eci, flow is Flow.CHALLENGE)
    assert enrol(bank, card) == first
    assert enrol(bank, card, "again").flow == (Flow.CHALLENGE if card == "approved-challenge" else Flow.FRICTIONLESS)
    assert wishes.pending(PAYMENT) == {}


def test_a_card_s_own_indicator_gives_way_to_the_wished_one(bank: Acquirer, wishes: Wishes) -> None:
    assert enrol(bank, "systempay-visa-0003", "own").eci == "07"
    wishes.make(PAYMENT, "enrol", "frictionless")

    assert enrol(bank, "systempay-visa-0003").eci == "05"


def test_a_wished_challenge_must_be_answered_and_a_wished_silence_is_one(bank: Acquirer, wishes: Wishes) -> None:
    wishes.make(PAYMENT, "enrol", "challenge")
    token = enrol(bank).token
    wishes.make(PAYMENT, "enrol", "silent")

    assert authorise(bank, token, proof="").response_code == "1A"
    assert authorise(bank, token, "proven").outcome is Outcome.APPROVED
    with pytest.raises(AcquirerUnreachable):
        enrol(bank, op_id="silent")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_refusal_is_of_the_wished_family_once(bank: Acquirer, wishes: Wishes, family: str) -> None:
    wishes.make(PAYMENT, "authorise", family)
    token = enrol(bank).token

    refused = authorise(bank, token)

    assert (refused.outcome, refused.response_code, refused.family) == (Outcome.DECLINED, FAMILIES[family], family)
    assert authorise(bank, token) == refused
    assert authorise(bank, token, "again").outcome is Outcome.APPROVED


@pytest.mark.parametrize(
    ("word", "becomes"),
    [
        ("silent_approved", [Outcome.APPROVED]),
        ("silent_declined", [Outcome.DECLINED]),
        ("silent_lost", [Outcome.NOT_FOUND]),
        ("review", [None, None, Outcome.APPROVED]),
    ],
)
def test_a_wished_silence_is_looked_into(
    bank: Acquirer, wishes: Wishes, word: str, becomes: list[Outcome | None]
) -> None:
    wishes.make(PAYMENT, "authorise", word)
    token = enrol(bank).token

    for _ in range(2):
        with pytest.raises(AcquirerUnreachable):
            authorise(bank, token)

    for outcome in becomes:
        if outcome is None:
            with pytest.raises(AcquirerUnreachable):
                bank.status("auth", TEN_EUROS)
        else:
            assert bank.status("auth", TEN_EUROS).outcome is outcome


@pytest.mark.parametrize("card", ["funds", "silent-lost", "approved"])
def test_a_wished_approval_beats_the_card_and_its_security_code(bank: Acquirer, wishes: Wishes, card: str) -> None:
    wishes.make(PAYMENT, "authorise", "approved")

    assert authorise(bank, enrol(bank, card, code="000").token).outcome is Outcome.APPROVED


def test_a_wished_approval_beats_the_amount(bank: Acquirer, wishes: Wishes) -> None:
    refused, card = Money(33351), CardEntry(CardNumber("4242424242424242"), Expiry(2030, 12), "123")

    def ask(n: int) -> Answer:
        token = bank.enrol(card, refused, op_id=f"enrol{n}").token
        return bank.authorise(token, refused, op_id=f"auth{n}", scheme="visa", authentication="")

    assert (ask(1).response_code, ask(2).family) == ("51", "funds")
    wishes.make(PAYMENT, "authorise", "approved")
    assert ask(3).outcome is Outcome.APPROVED


def test_a_slow_bank_is_wished(tmp_path: Path, wishes: Wishes, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("gateway.acquirers.simulator.time.sleep", slept.append)
    simulator = Simulator(tmp_path / "bank.sqlite3", TABLE, now=lambda: NOON)
    bank = Attentive(simulator, wishes)
    token = enrol(bank).token

    wishes.make(PAYMENT, "authorise", "slow", token)

    assert authorise(bank, token).outcome is Outcome.APPROVED
    assert slept == [Delays().slow_seconds]


def test_a_wish_is_for_its_own_payment(bank: Acquirer, wishes: Wishes) -> None:
    for verb, word in (("enrol", "refused"), ("authorise", "funds")):
        wishes.make(OTHER, verb, word)

    enrolment = enrol(bank)

    assert enrolment.flow is Flow.FRICTIONLESS
    assert authorise(bank, enrolment.token).outcome is Outcome.APPROVED
    assert wishes.pending(OTHER) == {"enrol": "refused", "authorise": "funds"}


def test_a_wish_about_money_is_for_the_card_entered_last(bank: Acquirer, wishes: Wishes) -> None:
    first = enrol(bank).token
    wishes.make(PAYMENT, "authorise", "funds", first)
    second = enrol(bank, op_id="second").token

    assert authorise(bank, first, "old").outcome is Outcome.APPROVED
    assert authorise(bank, second, "new").family == "funds"


def test_a_mistyped_number_costs_no_wish(bank: Acquirer, wishes: Wishes) -> None:
    wishes.make(PAYMENT, "enrol", "challenge")

    with pytest.raises(CardRefused):
        bank.enrol(CardEntry(CardNumber("4111111111111111"), Expiry(2030, 12), "123"), TEN_EUROS, op_id="slip")

    assert wishes.pending(PAYMENT) == {"enrol": "challenge"}
    assert enrol(bank).flow is Flow.CHALLENGE


def test_a_wish_can_be_changed_and_taken_back(bank: Acquirer, wishes: Wishes) -> None:
    wishes.make(PAYMENT, "enrol", "refused")
    wishes.make(PAYMENT, "enrol", "challenge")
    wishes.make(PAYMENT, "authorise", "funds")
    wishes.make(PAYMENT, "authorise", "")

    enrolment = enrol(bank)

    assert enrolment.flow is Flow.CHALLENGE
    assert authorise(bank, enrolment.token).outcome is Outcome.APPROVED


@pytest.mark.parametrize(("verb", "word"), [("enrol", "funds"), ("authorise", "declined"), ("capture", "approved")])
def test_no_other_outcome_can_be_wished(wishes: Wishes, verb: str, word: str) -> None:
    with pytest.raises(ValueError, match="no such outcome"):
        wishes.make(PAYMENT, verb, word)

    assert wishes.pending(PAYMENT) == {}
    assert word not in WORDS.get(verb, ())


def test_a_bank_in_a_process_of_its_own_hears_the_wishes_too(bank_process: BankProcess) -> None:
    wishes = Wishes(bank_process.book_path)
    bank = Attentive(RemoteAcquirer(bank_process.start()), wishes)
    now = paying.set(PAYMENT)
    wishes.make(PAYMENT, "enrol", "attempted")
    wishes.make(PAYMENT, "authorise", "stolen")

    enrolment = enrol(bank, "approved-challenge")
    refused = authorise(bank, enrolment.token)

    paying.reset(now)
    assert (enrolment.flow, enrolment.eci) == (Flow.ATTEMPTED, "06")
    assert (refused.response_code, refused.family) == ("43", "stolen")
    # What follows an authorisation finds its card again by the scenario that was played.
    assert authorise(bank, enrolment.token, "next").outcome is Outcome.APPROVED
    assert bank.capture("next", TEN_EUROS, op_id="capture").outcome is Outcome.APPROVED
