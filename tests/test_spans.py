"""Which time must outlast which: who takes over what is still under way does it twice."""

from datetime import timedelta

import pytest

from gateway import delivering, parts, worker
from gateway.acquirers.remote import Deadlines
from gateway.channels import egress, smtp
from gateway.channels.sms import Provider
from gateway.checkout import refunding, settling, sweeping
from gateway.cli.webserver import WebServer
from gateway.core.challenge import CHALLENGE_LIFE, CODE_LIFE
from gateway.core.limits import DAY, KEPT
from gateway.settings import Settings

# The longest one message to the bank can take.
BANK = timedelta(seconds=Deadlines().connect_seconds + Deadlines().answer_seconds)
# The longest one delivery can take, by whichever channel.
DELIVERY = timedelta(seconds=max(egress._TOTAL_SECONDS, smtp.TOTAL_SECONDS, Provider("", {}).total_seconds))


def test_what_is_being_delivered_is_taken_over_by_nobody() -> None:
    # One begun at the very end of its run, and as much again for a machine that is busy.
    assert delivering._RUN_LONGEST + 2 * DELIVERY < delivering.LEASE


def test_nobody_inquires_while_the_bank_may_still_answer() -> None:
    assert BANK < settling._DEADLINE


def test_no_second_sweeper_asks_what_the_first_is_asking() -> None:
    assert BANK < sweeping._SWEEP_LEASE
    # A refund may have to be captured first.
    assert 2 * BANK < refunding._SWEEP_LEASE


def test_a_code_dies_before_its_challenge() -> None:
    assert CODE_LIFE <= CHALLENGE_LIFE <= timedelta(minutes=10)


def test_what_a_rule_looks_back_to_is_still_there() -> None:
    assert DAY < KEPT


def test_a_worker_is_missed_after_three_beats_and_within_half_a_minute() -> None:
    assert 3 * worker._SWEEP_EVERY < parts._WORKER_SILENCE <= timedelta(seconds=30)


@pytest.fixture
def web(settings: Settings) -> WebServer:
    return WebServer(None, settings)  # type: ignore[arg-type]  # it is not run


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_web_process_outlasts_its_requests_and_no_more(web: WebServer) -> None:
    assert timedelta(seconds=web.cfg.graceful_timeout) > BANK
    assert 0 < web.cfg.max_requests <= 5000
    assert 0 < web.cfg.max_requests_jitter < web.cfg.max_requests
    assert 0 < web.cfg.limit_request_fields <= 100
    assert 0 < web.cfg.limit_request_line <= 8190
