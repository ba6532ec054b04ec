"""Keeps a handful of processes alive: starts them together, restarts the one that dies, stops them all."""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import IO

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
# A process that dies at once is not started more often than this.
_RESTART_SECONDS = 1.0
_STOP_SECONDS = 20.0


@dataclass
class Supervisor:
    """Runs named commands until told to stop.

    :ivar early: the commands that need no preparation; they start while it is made
    :ivar prepare: what must be done before the others start
    :ivar environ: added to this process's own environment
    :ivar output: where the processes' output goes; this process's own when not given
    """

    commands: Mapping[str, Sequence[str]]
    environ: Mapping[str, str]
    early: Sequence[str] = ()
    prepare: Callable[[], None] = lambda: None
    output: IO[bytes] | None = None
    _children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _started: dict[str, float] = field(default_factory=dict)
    _stopping: bool = False

    def run(self) -> None:
        """Start everything and watch over it until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        try:
            self.start()
            self.watch()
        finally:
            self.stop()

    def start(self) -> None:
        """Start every command, the prepared ones last."""
        for name in self.early:
            self._start(name)
        self.prepare()
        for name in self.commands:
            if name not in self.early:
                self._start(name)

    def watch(self) -> None:
        """Start again whatever dies, until told to stop."""
        while not self._stopping:
            self._look()

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _start(self, name: str) -> None:
        environ = {**os.environ, **self.environ}
        self._started[name] = time.monotonic()
        self._children[name] = subprocess.Popen(  # noqa: S603 - our own commands
            self.commands[name], env=environ, stdout=self.output, stderr=self.output, preexec_fn=_die_with_parent
        )
        log.info("process started", extra={"program": name, "pid": self._children[name].pid})

    def _look(self) -> None:
        time.sleep(0.2)
        for name, child in list(self._children.items()):
            if self._stopping or child.poll() is None or time.monotonic() - self._started[name] < _RESTART_SECONDS:
                continue
            log.warning("process died; starting it again", extra={"program": name, "status": child.returncode})
            self._start(name)

    def stop(self) -> None:
        """Ask every process to end, then insist."""
        self._stopping = True
        for child in self._children.values():
            child.terminate()
        until = time.monotonic() + _STOP_SECONDS
        for child in self._children.values():
            try:
                child.wait(max(until - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._children.clear()


def _die_with_parent() -> None:
    """Have the kernel end this child when its parent is killed, and keep the terminal's Ctrl-C for the parent."""
    os.setpgid(0, 0)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
