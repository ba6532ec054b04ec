"""The disk is full, read-only, or fails: nothing is paid wrongly or lost, nobody reads details, and it heals by itself."""

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import make_url

from gateway.parts import Parts
from tests.crash.disk import BACK_SECONDS, Seen, Trial
from tests.support.figures import record
from tests.support.scale import IS_NIGHT, scaled
from tests.support.server import ROOT

PAYMENTS = scaled(4, 20)
TRIAL_SECONDS = scaled(400, 900)
# Of SQLite's database, by what must be noticed: what the server cannot do without, and what only some of it does.
SAMPLE = (("sqlite", "full", True), ("sqlite", "flush_fails", True))
# PostgreSQL's own disk is elsewhere. Its clients' sends are not made to fail: a send never fails on a line that is alive.
OTHERS = (
    "files_cannot_be_opened",
    "renaming_fails",
    "flush_fails_at_the_bank",
    "write_fails_at_the_bank",
    "no_space_at_the_bank",
)
WHOLE = (
    *SAMPLE,
    ("sqlite", "read_only", True),
    ("sqlite", "write_fails", True),
    ("sqlite", "no_space", True),
    ("sqlite", "send_fails", False),
    *(("sqlite", fault, False) for fault in OTHERS),
    *(("postgresql", fault, False) for fault in ("full", "read_only", "flush_fails", "write_fails", *OTHERS)),
)

pytestmark = [pytest.mark.nightly_too, pytest.mark.timeout(TRIAL_SECONDS + 60)]


@pytest.mark.parametrize(
    ("database_url", "fault", "is_noticed"),
    [pytest.param(engine, *rest, id=f"{rest[0]}, {engine}") for engine, *rest in (WHOLE if IS_NIGHT else SAMPLE)],
    indirect=["database_url"],
)
def test_a_failing_disk_loses_no_payment(
    home: Path, database_url: str, tmp_path: Path, fault: str, is_noticed: bool
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    seen = tried({
        "home": str(home), "place": str(place), "database_url": database_url, "fault": fault, "payments": PAYMENTS,
    })  # fmt: skip

    engine = make_url(database_url).get_backend_name()
    record(f"storage: {fault}, {engine}", payments=PAYMENTS, violations=0, back_seconds=seen["back_seconds"])
    assert seen["findings"] == []
    assert seen["waiting"]
    assert seen["back_seconds"] <= BACK_SECONDS
    assert any(status != 200 for status in seen["ready"]) or not is_noticed


def tried(trial: Trial) -> Seen:
    """Play a trial with mounts of its own."""
    unshare = shutil.which("unshare")
    assert unshare, "no unshare on the path (util-linux)"
    done = subprocess.run(
        [unshare, "-m", sys.executable, "-m", "tests.crash.disk", json.dumps(trial)],
        cwd=ROOT, capture_output=True, text=True, timeout=TRIAL_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    seen: Seen = json.loads(done.stdout.splitlines()[-1])
    return seen


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_asking_for_readiness_really_writes_each_time(parts: Parts) -> None:
    with closing(sqlite3.connect(parts.settings.var / "guichet.sqlite", isolation_level=None)) as other:
        parts.faults()
        # SQLite's own word for it: changes when somebody else's commit has changed the file.
        (before,) = other.execute("PRAGMA data_version").fetchone()
        parts.faults()
        (after,) = other.execute("PRAGMA data_version").fetchone()

    assert after != before
