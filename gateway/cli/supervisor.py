"""Keeps a handful of forked processes alive: starts the one that dies again, stops them all.

It forks rather than start programs. What this process has imported and built before is there for every child at once, is
in memory once, and a child that died is back in milliseconds. The price: this process must have no thread and no open
database connection when it forks, and it never does the children's work itself.
"""

import ctypes
import gc
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.context import ForkProcess
from types import FrameType
from typing import Self

from setproctitle import setproctitle

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_LOOK_SECONDS = 0.2
# A process that dies at once is not started more often than this.
_RESTART_SECONDS = 1.0
# Longer than the web server waits for requests under way.
STOP_SECONDS = 42.0


@dataclass
class Supervisor:
    """Runs named tasks in a process each, until SIGTERM or SIGINT; leaving its context ends them all.

    Between entering the context and forking, load what the tasks need. Nothing loaded by then is ever garbage: it is not
    looked through for any, and put out of the collector's sight, because looking would copy what the children share.
    """

    _tasks: dict[str, Callable[[], None]] = field(default_factory=dict)
    _children: dict[str, ForkProcess] = field(default_factory=dict)
    _started: dict[str, float] = field(default_factory=dict)
    _stopping: bool = False

    def __enter__(self) -> Self:
        gc.disable()
        for number in _SIGNALS:
            signal.signal(number, self._stop)
        return self

    def __exit__(self, *_: object) -> None:
        """Ask every process to end, then insist."""
        for child in self._children.values():
            child.terminate()
        until = time.monotonic() + STOP_SECONDS
        for child in self._children.values():
            child.join(max(until - time.monotonic(), 0.1))
            child.kill()
            child.join()

    def start(self, name: str, task: Callable[[], None]) -> None:
        """Run ``task`` in a process of its own, and again whenever that dies."""
        self._tasks[name] = task
        self._fork(name)

    def watch(self) -> None:
        """Start again whatever dies, until told to stop."""
        while not self._stopping:
            self._look()

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _look(self) -> None:
        time.sleep(_LOOK_SECONDS)
        for name, child in self._children.items():
            rests = time.monotonic() - self._started[name] < _RESTART_SECONDS
            if self._stopping or rests or child.is_alive():
                continue
            log.warning("process died; starting it again", extra={"program": name, "status": child.exitcode})
            self._fork(name)

    def _fork(self, name: str) -> None:
        child = multiprocessing.get_context("fork").Process(target=_live, args=(name, os.getpid(), self._tasks[name]))
        self._started[name] = time.monotonic()
        gc.freeze()
        # A signal between the fork and the child's own settings would be answered there by this process's handler.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            child.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        self._children[name] = child
        log.info("process started", extra={"program": name, "pid": child.pid})


def _live(name: str, parent: int, task: Callable[[], None]) -> None:
    """Be a child: nothing of the parent's settings holds here; ``multiprocessing`` sees to its exit handlers."""
    end_with(parent)
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    if sys.platform == "linux":
        # Elsewhere the title may not be changed after a fork.
        setproctitle(f"guichet: {name}")
    gc.enable()
    threading.excepthook = _tell
    try:
        task()
    except Exception:
        # Python would print the words of the exception, which may hold what a payer typed.
        log.critical("process broke", exc_info=True, extra={"program": name})
        sys.exit(1)


def _tell(broken: threading.ExceptHookArgs) -> None:
    """Write down why a thread ended, as for a process; Python calls this."""
    if broken.exc_value is not None:
        log.critical("thread broke", exc_info=broken.exc_value)


def end_with(parent: int) -> None:
    """Have the kernel end this new process when its parent is killed, and keep the terminal's Ctrl-C for the parent."""
    os.setpgid(0, 0)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)
