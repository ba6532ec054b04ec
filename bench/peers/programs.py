"""The programs Guichet is measured beside: from PyPI, under the hashes of ``bench/pins``, each in an environment of its own."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.journeys import CLIENTS
from bench.payers import Journey, Load, pay
from bench.site import ROOT
from tests.support.installing import NoTool, install_python, is_locked

PINS = ROOT / "bench/pins"
INSTALLED = Path(sys.prefix) / "peers"  # gone with the environment it was made beside
_UP_SECONDS = 60.0


def environment(peer: str) -> Path:
    """Find the environment of a peer, or make it. Raises :class:`NoTool`."""
    folder, pins = INSTALLED / peer, PINS / f"{peer}.txt"
    if not is_locked(folder / "pins.txt", pins):
        print(f"P10: installing {peer} into {folder}", file=sys.stderr, flush=True)
        install_python(folder, pins)
    if not is_locked(folder / "pins.txt", pins):
        raise NoTool(f"{peer} could not be installed from {pins.relative_to(ROOT)}")
    return folder


def per_second(
    port: int, journey: type[Journey], folder: Path, payments: int = 10_000, seconds: float = 600.0
) -> float:
    """Pay at a peer, with as many clients as at ours, until all is paid or the time is up; gives payments a second."""
    # Our payers look for codes; here none will come.
    (folder / "new").mkdir(exist_ok=True)
    done = pay(Load("127.0.0.1", port, ("",) * payments, folder, CLIENTS, seconds, journey))
    if done.faults:
        raise RuntimeError(f"{len(done.faults)} payments at a peer went wrong, the first so: {done.faults[0]}")
    return done.payments / done.seconds


@contextmanager
def running(command: Sequence[str], environ: Mapping[str, str], log: Path, port: int) -> Iterator[int]:
    """Run a server while the body runs, which begins when its port is open; gives the id of its process."""
    with log.open("ab") as said:
        process = subprocess.Popen(command, env=environ, stdin=subprocess.DEVNULL, stdout=said, stderr=said)  # noqa: S603 - ours
    try:
        _wait_until_open(port, process, log)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def _wait_until_open(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + _UP_SECONDS
    while process.poll() is None and time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args!r} does not listen\n{log.read_text()[-2000:]}")
