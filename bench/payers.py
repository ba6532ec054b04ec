"""Payers under load, in a process of their own: each of some clients pays one payment after the other, page by page.

They follow redirects as browsers do, and read their code where the simulated SMS arrives.
"""

import ctypes
import json
import multiprocessing
import os
import queue
import random
import re
import struct
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol
from urllib.parse import urlencode

from bench.http import Browser

# Published test cards that ask for a code and are approved, so that no card is typed much oftener than another.
CARDS = ("4000000000003220", "5454545454545454", "4970100500010000", "5555555555554444", "5017674000000002",
         "5017670000001800", "4978860713891312", "4970100000000009", "5970100300000009")  # fmt: skip

_HIDDEN = re.compile(rb'type="hidden" name="([^"]+)" value="([^"]*)"')
_LOCATION = re.compile(rb"\r\nlocation: *(\S+)", re.IGNORECASE)
_CODE_SECONDS = 15.0
_FORM = "application/x-www-form-urlencoded"

# inotify(7): a name was made in the directory, by link or by rename.
_IN_CREATE, _IN_MOVED_TO = 0x100, 0x80
_EVENT = struct.Struct("iIII")


@dataclass(frozen=True, slots=True)
class Load:
    """What is to be done.

    :ivar requests: signed, one for each payment; the last client to find one ends the turn, should time not
    :ivar inbox: the Maildir of the simulated SMS
    :ivar journey: how one is paid, if not as it is with us
    """

    host: str
    port: int
    requests: tuple[str, ...]
    inbox: Path
    clients: int
    seconds: float
    journey: "type[Journey] | None" = None


@dataclass
class Done:
    """What was done.

    :ivar seconds: from the first request to the last answer
    :ivar start_seconds: before that, until their process was there
    :ivar cpu_seconds: what the payers themselves took
    :ivar pages: by step, how long each answer took, in seconds
    :ivar faults: journeys that did not end well, in words
    """

    payments: int = 0
    seconds: float = 0.0
    start_seconds: float = 0.0
    cpu_seconds: float = 0.0
    pages: dict[str, list[float]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def pay(load: Load) -> Done:
    """Have payers pay in a process of their own, so that their work is not that of whoever measures."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(load, theirs))
    began = time.monotonic()
    process.start()
    # Or a process that dies would be waited for without end.
    theirs.close()
    ours.recv()
    start_seconds = time.monotonic() - began
    done: Done = ours.recv()
    process.join()
    done.start_seconds = start_seconds
    return done


def _run(load: Load, answer: "Connection[Done, None]") -> None:
    codes, done, due = Codes(load.inbox), Done(), deque(load.requests)
    answer.send(done)
    until, began = time.monotonic() + load.seconds, time.monotonic()
    cpu = time.process_time()
    threads = [threading.Thread(target=_client, args=(load, codes, due, done, until)) for _ in range(load.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done.seconds, done.cpu_seconds = time.monotonic() - began, time.process_time() - cpu
    answer.send(done)


def _client(load: Load, codes: "Codes", due: "deque[str]", done: Done, until: float) -> None:
    chance = random.Random()  # noqa: S311 - no secret
    while time.monotonic() < until:
        try:
            request = due.popleft()
        except IndexError:
            return
        source = "127." + ".".join(str(chance.randint(1, 254)) for _ in range(3))
        browser = Browser(load.host, load.port, source)
        try:
            (load.journey or Journey)(browser, done.pages, codes).pay(request, chance.choice(CARDS))
        except (OSError, Astray, queue.Empty) as error:
            done.faults.append(f"{type(error).__name__}: {error}")
        else:
            done.payments += 1
        finally:
            browser.close()


class Astray(Exception):
    """A page is not the one that should follow."""


class Web(Protocol):
    """What asks for pages, keeping cookies: a :class:`bench.http.Browser`, or something in its place."""

    def ask(self, method: str, path: str, body: bytes = b"", kind: str = "") -> tuple[int, bytes, bytes]:
        """Send one request; gives the status, the head and the body of its answer."""


class Phone(Protocol):
    """What one-time codes are read from."""

    def take(self, payment: str) -> str:
        """Wait for the code of a payment."""


class Journey:
    """One payment, from the signed request to the page that says it is paid.

    :param times: where each step's time is written
    """

    def __init__(self, web: Web, times: dict[str, list[float]], codes: Phone) -> None:
        self._web, self._times, self._codes = web, times, codes

    def pay(self, request: str, card: str) -> None:
        """Go all the way. Raises :class:`Astray` where a page is not the one that should follow."""
        _, answer = self._ask("create", "POST", "/v1/payments", request.encode(), "application/jose")
        said = json.loads(answer)
        path = "/p/" + said["checkout_url"].partition("/p/")[2]
        page = self._page("card", path)
        typed = {"number": card, "expiry": "12/30", "security_code": "123", "email": "famille@example.org"}
        page = self._press("pay", path, page, typed, leads_to="challenge")
        code = self._codes.take(said["id"])
        self._press("confirm", f"{path}/challenge", page, {"code": code}, leads_to="paid")

    def _press(self, button: str, path: str, page: bytes, typed: dict[str, str], *, leads_to: str) -> bytes:
        hidden = {name.decode(): value.decode() for name, value in _HIDDEN.findall(page)}
        body = urlencode(hidden | typed | {"action": button}).encode()
        head, _ = self._ask(button, "POST", path, body, _FORM)
        found = _LOCATION.search(head)
        if not found:
            raise Astray(f"{button} leads nowhere")
        return self._page(leads_to, found[1].decode())

    def _page(self, name: str, path: str) -> bytes:
        head, page = self._ask(name, "GET", path)
        while found := _LOCATION.search(head):
            head, page = self._ask(name, "GET", found[1].decode())
        if f'data-page="{name}"'.encode() not in page:
            raise Astray(f"not the {name} page")
        return page

    def _ask(self, step: str, method: str, path: str, body: bytes = b"", kind: str = "") -> tuple[bytes, bytes]:
        began = time.perf_counter()
        status, head, answer = self._web.ask(method, path, body, kind)
        is_detour = method == "GET" and status == 303
        self._times.setdefault("redirect" if is_detour else step, []).append(time.perf_counter() - began)
        if status not in (200, 201, 303):
            raise Astray(f"{step}: {status} {answer[:300]!r}")
        return head, answer


class Codes:
    """One-time codes, by payment, as the simulated SMS arrive; the kernel says when (inotify), nobody polls."""

    def __init__(self, inbox: Path) -> None:
        self._folder = inbox / "new"
        libc = ctypes.CDLL(None, use_errno=True)
        self._watch = libc.inotify_init1(os.O_CLOEXEC)
        if libc.inotify_add_watch(self._watch, bytes(self._folder), _IN_CREATE | _IN_MOVED_TO) < 0:
            raise OSError(ctypes.get_errno(), f"cannot watch {self._folder}")
        self._arrived: dict[str, queue.SimpleQueue[str]] = {}
        threading.Thread(target=self._listen, daemon=True).start()

    def take(self, payment: str) -> str:
        """Wait for the code of a payment. Raises :class:`queue.Empty`."""
        return self._arrived.setdefault(payment, queue.SimpleQueue()).get(timeout=_CODE_SECONDS)

    def _listen(self) -> None:
        while True:
            events, at = os.read(self._watch, 65536), 0
            while at < len(events):
                length = _EVENT.unpack_from(events, at)[3]
                name = events[at + _EVENT.size : at + _EVENT.size + length].rstrip(b"\0")
                at += _EVENT.size + length
                self._read(name)

    def _read(self, name: bytes) -> None:
        with open(bytes(self._folder) + b"/" + name, "rb") as file:
            head = file.read(1000)
        if not head.startswith(b"X-Guichet-Kind: sms"):
            return
        payment = re.search(rb"X-Guichet-Payment: (\S+)", head)
        code = re.search(rb"\n@\S+ #(\d+)", head)
        if payment and code:
            self._arrived.setdefault(payment[1].decode(), queue.SimpleQueue()).put(code[1].decode())
