"""What is broken: web, worker, bank and mail catcher as processes of their own under the product's own supervisor.

Run as ``python -m tests.crash.stage HOME``, it is ``guichet serve`` and ``guichet simulator`` in one image, so that what
dies is back in a tenth of a second. Where a pool has threads by the dozen it has one here, and each process writes down
which thread does what: "the N-th write of the thread that delivers" is then the same place in every run.
"""

import ctypes
import json
import os
import sys
import threading
from concurrent.futures import Executor
from datetime import timedelta
from pathlib import Path
from socketserver import BaseServer
from typing import Any
from urllib.parse import urlsplit

from flask import Flask

from gateway import delivering, logs, parts, settings, worker
from gateway.acquirers import server
from gateway.app import create_app
from gateway.channels import alarm, catcher, confirmation, email, sms
from gateway.cli.supervisor import Supervisor, end_with
from gateway.cli.webserver import WebServer
from gateway.receipts import mail, pdf
from gateway.store.wake import Bell
from tests.crash import planted

# Loaded before the fork; a child that is started again must not spend a second on it.
PRELOADED = (alarm, confirmation, email, mail, pdf, sms)
# A sweep looks this often instead of every five seconds; how old a thing must be for it stays as it is.
SWEEP_EVERY = timedelta(seconds=0.2)
SILENT_SECONDS = 120
_PR_SET_PTRACER, _ANY = 0x59616D61, -1


def main(home: Path) -> None:
    """Run all of it until told to stop, or until the test that began it is gone."""
    end_with(os.getppid())
    logs.configure()
    read = settings.load(home, os.environ)
    planted.plant(os.environ.get(planted.VARIABLE, ""))
    with Supervisor() as supervisor:
        app = create_app(home, settings=read)
        supervisor.start("catcher", lambda: catcher.run(read.smtp.host, read.smtp.port, read.var / "inbox"))
        supervisor.start("bank", lambda: bank(read))
        supervisor.start("worker", lambda: work(read))
        supervisor.start("web", lambda: OneThread(app, read).run())
        supervisor.watch()


def bank(read: settings.Settings) -> None:
    """Be the bank; one message after the other."""
    server._Server.process_request = BaseServer.process_request  # type: ignore[method-assign, assignment]
    address = urlsplit(read.acquirer.url)
    announce("bank", {"main": threading.get_native_id()})
    server.run(address.hostname or "", address.port or 0, Path(os.environ["CRASH_PLACE"]))


def work(read: settings.Settings) -> None:
    """Be the worker, delivering one code and one other notice at a time."""
    delivering.AT_ONCE, delivering.CODES_AT_ONCE, delivering.SLOW_AT_ONCE = 1, 1, 0
    delivering.MAILS_AT_ONCE, delivering.SLOW_MAILS_AT_ONCE = 1, 0
    worker._SWEEP_EVERY = SWEEP_EVERY
    built = parts.build(read)
    bell = Bell(built.store.engine, read.var / "wake")
    deliverer = built.deliverer(bell.ring)
    hand = worker.Worker(built.store, built.checkout, deliverer, bell, built.now)
    threads = {lane.name: first_thread(lane.pool) for lane in deliverer._lanes}
    announce("worker", {"main": threading.get_native_id(), "sweep": first_thread(hand._sweeper), **threads})
    hand.run()


class OneThread(WebServer):
    """The web server with one process that serves one request at a time."""

    def __init__(self, app: Flask, read: settings.Settings) -> None:
        self._read = read
        super().__init__(app, read)

    def load_config(self) -> None:
        """Set the product's options but for these."""
        super().load_config()
        self.cfg.set("workers", 1)
        self.cfg.set("threads", 1)
        # One that is frozen on purpose lives on.
        self.cfg.set("timeout", SILENT_SECONDS)
        self.cfg.set("post_worker_init", self._announce)

    def _announce(self, gunicorn: Any) -> None:
        asking = self._app.extensions["gateway"].background
        asking._max_workers = 1
        threads = {"main": threading.get_native_id(), "request": first_thread(gunicorn.tpool)}
        announce("web", {**threads, "asking": first_thread(asking)})


def first_thread(pool: Executor) -> int:
    """Have a pool make its thread and tell its id."""
    return pool.submit(threading.get_native_id).result()


def announce(role: str, threads: dict[str, int]) -> None:
    """Write down which thread does what, and let anybody of this account trace this process (Yama forbids it else)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(_ANY), 0, 0, 0)
    place = Path(os.environ["CRASH_PLACE"])
    draft = place / f"{role}.{os.getpid()}"
    draft.write_text(json.dumps({"pid": os.getpid(), "threads": threads}))
    draft.rename(place / f"{role}.json")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
