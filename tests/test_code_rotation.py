"""A new key for one-time codes: codes on their way stay good, new ones are kept under the new key alone."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gateway import keys
from gateway.checkout import Stage
from gateway.core.challenge import Bound, code_mac
from gateway.core.money import Money
from gateway.parts import Parts, build
from tests.factories import CHALLENGE, enter, open_payment, read_code
from tests.support.clock import Clock


@contextmanager
def restarted(parts: Parts, clock: Clock) -> Iterator[Parts]:
    """Give the server as its keys are now; ``parts`` is the one before."""
    again = build(parts.settings, clock.now)
    yield again
    again.store.engine.dispose()


@pytest.fixture
def rotated(parts: Parts, clock: Clock) -> Iterator[Parts]:
    """Give the server as it is after ``guichet keys new code`` and a restart."""
    keys.create(parts.settings.home / "keys", "code", clock.now())
    with restarted(parts, clock) as again:
        yield again


def test_a_code_sent_before_the_rotation_is_good_after_it(parts: Parts, rotated: Parts) -> None:
    payment = open_payment(parts)
    enter(parts, payment, CHALLENGE)
    code = read_code(parts, payment)

    is_right = rotated.checkout.paying.answer_challenge(payment.id, code)

    assert is_right
    assert rotated.checkout.paying.show(payment.id).stage is Stage.REVIEW


def test_it_expires_as_it_would_have(parts: Parts, rotated: Parts, clock: Clock) -> None:
    payment = open_payment(parts)
    enter(parts, payment, CHALLENGE)
    code = read_code(parts, payment)
    clock.advance(minutes=5, seconds=1)

    assert not rotated.checkout.paying.answer_challenge(payment.id, code)


def test_a_wrong_code_is_wrong_under_every_key(parts: Parts, rotated: Parts) -> None:
    payment = open_payment(parts)
    enter(parts, payment, CHALLENGE)
    code = read_code(parts, payment)
    wrong = f"{(int(code) + 1) % 1_000_000:06d}"

    assert not rotated.checkout.paying.answer_challenge(payment.id, wrong)


def test_a_code_sent_after_it_is_kept_under_the_new_key(parts: Parts, rotated: Parts) -> None:
    payment = open_payment(rotated)
    enter(rotated, payment, CHALLENGE)
    code = read_code(rotated, payment)

    with rotated.store.reading() as tx:
        attempt = tx.attempts.latest(tx.payments.get(payment.id).id)
        assert attempt is not None
        challenge = tx.attempts.challenge(attempt.id)
    assert challenge is not None
    bound = Bound(attempt.public_id, payment.request.merchant, Money(9612))
    macs = [code_mac(key, code, bound) for key in rotated.keys.secrets("code")]
    assert len(macs) == 2
    assert challenge.code_mac == macs[-1] != macs[0]
    assert not parts.checkout.paying.answer_challenge(payment.id, code)


def test_a_retired_key_opens_nothing(parts: Parts, rotated: Parts, clock: Clock) -> None:
    payment = open_payment(parts)
    enter(parts, payment, CHALLENGE)
    code = read_code(parts, payment)
    folder = rotated.settings.home / "keys"
    oldest, _ = (key.path.name for key in keys.list_keys(folder) if key.owner == "code")
    keys.retire(folder, oldest)

    with restarted(parts, clock) as again:
        assert not again.checkout.paying.answer_challenge(payment.id, code)
