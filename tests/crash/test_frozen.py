"""The web is frozen as it begins to speak to the bank, thaws after its message was given up, and debits nothing."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from gateway.core.states import AttemptStatus
from gateway.store import tables as t
from tests.crash.ageing import grow_old, payments, settle
from tests.crash.checker import judge
from tests.crash.journey import Stubborn
from tests.crash.rig import Rig
from tests.crash.test_kill_points import USUAL
from tests.support import strace
from tests.support.figures import record
from tests.support.scale import IS_NIGHT

FROZEN_SECONDS = 90.0  # less than the silence after which the stage has a web process taken for dead

pytestmark = [pytest.mark.nightly_too, pytest.mark.timeout(500)]


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"] if IS_NIGHT else ["postgresql"], indirect=True)
def test_a_sender_that_thaws_after_the_reversal_debits_nothing(rig: Rig) -> None:
    payer, web = Stubborn(rig, "FROZEN", USUAL), rig.role("web")
    # The first socket the asking thread ever makes is for the bank; it is stopped before it calls.
    with ThreadPoolExecutor(1) as pool, strace.freezing(web.threads["asking"], "socket", 1):
        paying = pool.submit(payer.pay, 2 * FROZEN_SECONDS)
        until = time.monotonic() + FROZEN_SECONDS
        while AttemptStatus.REVERSED not in statuses(rig):
            assert time.monotonic() < until, statuses(rig)
            if statuses(rig):
                grow_old(rig, "FROZEN")
            time.sleep(0.1)
        os.kill(web.pid, signal.SIGCONT)
        assert paying.result() == "paid"
        settle(rig, "FROZEN")

    assert judge(rig, payer.told) == []
    assert sorted(statuses(rig)) == [AttemptStatus.CAPTURED, AttemptStatus.REVERSED]
    assert sorted(entry.state for entry in rig.bank.book()) == ["captured", "reversed"]
    record(f"a sender frozen as it asks the bank, {rig.parts.store.engine.dialect.name}", late_debits=0)


def statuses(rig: Rig) -> list[str]:
    """List where the attempts of the debt stand."""
    asked = select(t.attempt.c.status).where(t.attempt.c.payment_id.in_(payments("FROZEN")))
    with rig.parts.store.reading() as tx:
        return [str(status) for status in tx.connection.execute(asked).scalars()]
