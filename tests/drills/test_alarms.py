"""The alarms of ``examples/prometheus``: each rests on a figure that is there, and that trouble moves."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient

from gateway.cli import guichet
from gateway.parts import Parts
from tests.conftest import ROOT
from tests.factories import CHALLENGE, FUNDS, SILENT_LOST, deliver, enter, open_payment, pay
from tests.support.clock import Clock

RULES = (ROOT / "examples/prometheus/guichet.rules.yml").read_text()


def shown(client: FlaskClient) -> dict[str, float]:
    """Read /metrics: each of our series with its value."""
    lines = re.findall(r"^(guichet_\S+) (\S+)$", client.get("/metrics").text, re.MULTILINE)
    return {series: float(value) for series, value in lines}


def told(client: FlaskClient, name: str, state: str) -> float:
    return shown(client)[f'guichet_{name}{{state="{state}"}}']


def test_every_figure_of_the_rules_is_one_that_the_server_gives(
    client: FlaskClient, parts: Parts, clock: Clock
) -> None:
    pay(parts, open_payment(parts), SILENT_LOST)
    with parts.store.transaction() as tx:
        for check in ("audit", "reconcile"):
            tx.watch.found(check, 0, clock.now())

    page = client.get("/metrics").text

    wanted = set(
        re.findall(r'guichet_[a-z_]+(?:\{state="\w+"\})?', re.sub(r"(?m)^\s*#.*|summary:.*|alert:.*", "", RULES))
    )
    # Nothing is in these states here; that they are counted is tested elsewhere.
    absent = {'guichet_attempts{state="review"}', 'guichet_notices{state="dead"}'}
    assert len(wanted) > 8
    assert {name for name in wanted - absent if name not in page} <= {"guichet_scrubbed_total"}
    assert "guichet_scrubbed" in page


def test_an_unknown_outcome_grows_old(client: FlaskClient, parts: Parts, clock: Clock) -> None:
    before = told(client, "oldest_seconds", "attempt_unknown")
    pay(parts, open_payment(parts), SILENT_LOST)
    clock.advance(seconds=150)

    assert (before, told(client, "oldest_seconds", "attempt_unknown")) == (0, 150)


def test_a_due_notice_grows_old_until_it_is_sent_or_its_portal_is_paused(
    client: FlaskClient, parts: Parts, clock: Clock
) -> None:
    pay(parts, open_payment(parts, email=""))
    clock.advance(seconds=90)
    late = told(client, "oldest_seconds", "notice_due")
    with parts.store.transaction() as tx:
        for _ in range(10):
            tx.endpoints.fails("http://127.0.0.1:8001/confirmations", clock.now())
        for one in tx.notices.newest(10):
            if one.channel != "confirmation":
                tx.notices.bury(one.id, one.lease, "not for this test")

    assert (late, told(client, "oldest_seconds", "notice_due")) == (90, 0)
    assert told(client, "endpoints", "paused") == 1


def test_the_share_of_refused_cards_is_that_of_ten_minutes(client: FlaskClient, parts: Parts, clock: Clock) -> None:
    pay(parts, open_payment(parts), FUNDS)
    pay(parts, open_payment(parts))

    both = told(client, "cards_lately", "entered"), told(client, "cards_lately", "refused")
    clock.advance(minutes=11)

    assert list(both) == [2, 1]
    assert told(client, "cards_lately", "entered") == 0


def test_a_check_leaves_what_it_found_and_when(client: FlaskClient, parts: Parts, clock: Clock) -> None:
    assert not [series for series in shown(client) if "check" in series]
    with parts.store.transaction() as tx:
        tx.watch.found("reconcile", 2, clock.now())
        tx.watch.found("reconcile", 1, clock.now())
    clock.advance(hours=3)

    assert told(client, "check_findings", "reconcile") == 1
    assert told(client, "check_age_seconds", "reconcile") == 3 * 3600


def test_verifying_the_audit_log_leaves_its_result(parts: Parts, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUICHET_DATABASE_URL", parts.settings.database_url)

    done = CliRunner().invoke(guichet, ["--home", str(home), "verify-audit"])

    assert done.exit_code == 0, done.output
    assert parts.figures()["check_findings"] == {"audit": 0}


def test_a_code_that_came_too_late_is_nobodys_alarm(client: FlaskClient, parts: Parts, clock: Clock) -> None:
    """It can never be sent again: nothing but the end of the merchant's term would silence it."""
    enter(parts, open_payment(parts), CHALLENGE)
    clock.advance(seconds=300)

    deliver(parts)

    assert 'guichet_notices{state="dead"}' not in shown(client)
