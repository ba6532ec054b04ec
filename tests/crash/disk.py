"""A disk of its own for a stage, which can be filled, made read-only or made to fail; run by ``tests.crash.test_storage``.

Run under ``unshare -m`` as ``python -m tests.crash.disk '{...}'``: the small disk is mounted where nobody else sees it,
and is gone with this process however it ends. What was seen is printed as JSON.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import NotRequired, TypedDict

from tests.crash.ageing import settle
from tests.crash.checker import judge
from tests.crash.journey import Stubborn
from tests.crash.rig import Rig, on_stage
from tests.factories import CHALLENGE
from tests.support import strace

PAYERS = 3
HEAD_START_SECONDS = 0.3
FAULT_SECONDS = 4.0
# What was claimed as the fault came waits a minute for its lease to end; how soon the server is back is measured by itself.
PATIENCE_SECONDS = 240
BACK_SECONDS = 90.0
# What the database and the mails of a long trial need, and some.
SIZE = "32m"
# No payer is to read any of this on an error page.
DETAILS = ("Traceback", "sqlite", "psycopg", "/var/", "OSError", "Errno")


class Trial(TypedDict):
    """What is to be tried."""

    home: str
    place: str
    database_url: str
    fault: str
    payments: int


class Seen(TypedDict):
    """What was seen.

    :ivar ready: the statuses of /readyz while the fault lasted
    :ivar back_seconds: until it was ready again
    """

    ready: list[int]
    back_seconds: float
    waiting: int
    findings: NotRequired[list[str]]


def main(trial: Trial) -> Seen:
    """Mount the disk, play, and judge."""
    home, place = Path(trial["home"]), Path(trial["place"])
    with stage_on_disk(home, place, trial["database_url"]) as rig:
        payers = [
            Stubborn(rig, f"{trial['fault']}-{number}".upper(), (CHALLENGE,)) for number in range(trial["payments"])
        ]
        seen = pay_through(rig, payers, FAULTS[trial["fault"]])
        findings = []
        for payer in payers:
            settle(rig, payer.told.reference)
            findings += [f"{payer.told.reference}: {text}" for text in judge(rig, payer.told, mails_max=2)]
            findings += [f"{status}: {body[:400]}" for status, body in payer.told.statuses if is_bad(status, body)]
        return {**seen, "findings": findings}


@contextmanager
def stage_on_disk(home: Path, place: Path, database_url: str) -> Iterator[Rig]:
    """Run a stage whose var/ is the small disk, with SQLite's database on it."""
    var, kept = home / "var", home / "kept"
    var.rename(kept)
    var.mkdir()
    mount("-t", "tmpfs", "-o", f"size={SIZE},mode=700", "small", str(var))
    shutil.copytree(kept, var, dirs_exist_ok=True)
    with on_stage(home, database_url, place) as rig:
        yield rig


def pay_through(rig: Rig, payers: list[Stubborn], fault: "Fault") -> Seen:
    """Have some payers pay, a few at a time, while a fault comes and goes."""
    with ThreadPoolExecutor(PAYERS) as pool:
        paying = [pool.submit(payer.pay, PATIENCE_SECONDS) for payer in payers]
        time.sleep(HEAD_START_SECONDS)
        ready, waiting = [], sum(not future.done() for future in paying)
        with fault(rig):
            until = time.monotonic() + FAULT_SECONDS
            while time.monotonic() < until:
                ready.append(rig.readiness())
                time.sleep(0.25)
        back = rig.wait_until_ready(BACK_SECONDS)
        rig.healed_at = time.time()
        for future in paying:
            future.result()
    return {"ready": ready, "back_seconds": round(back, 2), "waiting": waiting}


def is_bad(status: int, body: str) -> bool:
    """Say whether an answer is more than "try again in a moment" or "something went wrong on our side"."""
    return status not in (500, 503) or any(detail in body for detail in DETAILS)


@contextmanager
def full(rig: Rig) -> Iterator[None]:
    """Leave no byte on the disk."""
    ballast = rig.home / "var/ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        for size in (65_536, 1):
            with suppress(OSError):
                while True:
                    file.write(b"\0" * size)
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def read_only(rig: Rig) -> Iterator[None]:
    """Have everything come up on a disk that cannot be written to."""
    supervisor = rig.process.pid
    os.kill(supervisor, signal.SIGSTOP)
    for child in below(supervisor):
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    remount(rig, "ro")
    os.kill(supervisor, signal.SIGCONT)
    try:
        yield
    finally:
        remount(rig, "rw")


def failing(roles: tuple[str, ...], calls: str, error: str) -> "Fault":
    """Have calls of some processes fail."""

    @contextmanager
    def fault(rig: Rig) -> Iterator[None]:
        with strace.failing([rig.role(role).pid for role in roles], calls, error):
            yield

    return fault


def remount(rig: Rig, how: str) -> None:
    """Remount the disk; the files of processes that were just killed may be open for a moment still."""
    until = time.monotonic() + 60
    while True:
        try:
            return mount("-o", f"remount,{how}", str(rig.home / "var"))
        except RuntimeError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def mount(*words: str) -> None:
    """Mount something. Raises :class:`RuntimeError` with what mount says."""
    done = subprocess.run([shutil.which("mount") or "mount", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"these tests must be allowed to mount a disk of their own: {done.stderr}")


def below(pid: int) -> list[int]:
    """List the children of a process, and theirs."""
    try:
        own = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [*own, *(grandchild for child in own for grandchild in below(child))]


Fault = Callable[[Rig], AbstractContextManager[None]]
OURS = ("web", "worker")
FAULTS: Mapping[str, Fault] = {
    "full": full,
    "read_only": read_only,
    "flush_fails": failing(OURS, "fdatasync,fsync", "EIO"),
    "write_fails": failing(OURS, "pwrite64", "EIO"),
    "no_space": failing(OURS, "pwrite64,ftruncate", "ENOSPC"),
    "files_cannot_be_opened": failing(OURS, "openat", "EMFILE"),
    "renaming_fails": failing(OURS, "?rename,renameat,renameat2,?link,linkat", "EIO"),
    "flush_fails_at_the_bank": failing(("bank",), "fdatasync,fsync", "EIO"),
    "write_fails_at_the_bank": failing(("bank",), "pwrite64", "EIO"),
    "no_space_at_the_bank": failing(("bank",), "pwrite64,ftruncate", "ENOSPC"),
    "send_fails": failing(OURS, "sendto", "EPIPE"),
}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))  # noqa: T201 - what the test reads
