"""For tests that break things: a merchant's receiver that checks what it gets, and processes to be killed."""

import hashlib
import itertools
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
import requests
from standardwebhooks import Webhook, WebhookVerificationError

from gateway.core.errors import GatewayError
from gateway.parts import Parts, build
from gateway.settings import load
from tests.support.answering import Quiet, answering
from tests.support.patience import be_patient


@dataclass(frozen=True, slots=True)
class Told:
    """One notice that arrived.

    :ivar is_genuine: the published library found the signature right
    """

    id: str
    type: str
    payment: str
    sequence: int
    digest: str
    is_genuine: bool
    status: int


@dataclass
class Receiver:
    """A merchant's endpoint on this machine; answers ``answer(n)`` to its n-th request (0, 1, ...).

    :ivar secret: ``whsec_...``, or empty when signatures do not matter
    """

    secret: str = ""
    answer: Callable[[int], tuple[int, Mapping[str, str]]] = lambda _: (204, {})
    told: list[Told] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""

    def take(self, headers: Mapping[str, str], body: bytes) -> tuple[int, Mapping[str, str]]:
        """Write one request down and say what to answer."""
        said = json.loads(body)
        with self._lock:
            status, more = self.answer(len(self.told))
            self.told.append(
                Told(
                    id=headers.get("webhook-id", ""),
                    type=str(said.get("type", "")),
                    payment=str(said["data"]["id"]),
                    sequence=max(event["seq"] for event in said["data"]["events"]),
                    digest=hashlib.sha256(body).hexdigest(),
                    is_genuine=self._is_genuine(headers, body),
                    status=status,
                )
            )
        return status, more

    def _is_genuine(self, headers: Mapping[str, str], body: bytes) -> bool:
        if not self.secret:
            return False
        try:
            Webhook(self.secret).verify(body, {name.lower(): value for name, value in headers.items()})
        except WebhookVerificationError:
            return False
        return True


@contextmanager
def listening(receiver: Receiver) -> Iterator[Receiver]:
    """Serve the receiver while the body runs; ``receiver.url`` says where."""

    class Endpoint(Quiet):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            if not length or len(body) < length:
                # The sender was killed while it spoke.
                self.close_connection = True
                return
            status, headers = receiver.take(dict(self.headers.items()), body)
            self.send_response(status)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

    with answering(Endpoint) as place:
        receiver.url = f"http://{place}/confirmations"
        yield receiver


def rises(numbers: Sequence[int]) -> bool:
    """Say whether each number is greater than the one before."""
    return all(before < after for before, after in itertools.pairwise(numbers))


class Racers:
    """Processes released by one barrier, forked from a built Guichet as the web server's workers are.

    :param module: where the verbs to be raced are; imported once, before the fork
    :ivar held: how many races there were
    """

    def __init__(self, home: Path, database_url: str, count: int, module: str) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["gateway.parts"])
        # Kept: its semaphores end with it.
        self._barrier = context.Barrier(count)
        pairs = [context.Pipe() for _ in range(count)]
        self._pipes = [ours for ours, _ in pairs]
        theirs = [pipe for _, pipe in pairs]
        self._nest = context.Process(target=_hatch, args=(home, database_url, self._barrier, theirs, module))
        self._nest.start()
        self.held = 0

    def race(self, verb: Callable[..., object], *args: object) -> list[str]:
        """Have every process do the same thing at once; gives what each returned, or the code of its refusal.

        ``verb`` is called with the process's ``Parts``, its number and ``args``; it must be found by its module's name.
        """
        self.held += 1
        for pipe in self._pipes:
            pipe.send((verb, args))
        answers = []
        for pipe in self._pipes:
            assert pipe.poll(300), "a racer is stuck"
            answers.append(pipe.recv())
        return answers

    def close(self) -> None:
        """End the processes."""
        for pipe in self._pipes:
            pipe.send(None)
        self._nest.join(20)
        self._nest.kill()
        for pipe in self._pipes:
            pipe.close()


def _hatch(
    home: Path, database_url: str, barrier: Barrier, pipes: "list[Connection[str, object]]", module: str
) -> None:
    import_module(module)
    be_patient(pytest.MonkeyPatch())
    parts = build(load(home, {"GUICHET_DATABASE_URL": database_url}))
    # Loads what is loaded at the first use of a database; no connection is carried across the fork.
    parts.faults()
    parts.store.engine.dispose()
    context = multiprocessing.get_context("fork")
    racers = [
        context.Process(target=_run, args=(parts, barrier, pipe, number), daemon=True)
        for number, pipe in enumerate(pipes)
    ]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()


def _run(parts: Parts, barrier: Barrier, pipe: "Connection[str, object]", number: int) -> None:
    while task := pipe.recv():
        assert isinstance(task, tuple)
        verb, args = task
        barrier.wait(300)
        try:
            answer = str(verb(parts, number, *args))
        except GatewayError as error:
            answer = error.code
        except Exception as error:  # noqa: BLE001 - whatever it is, the test must see it
            answer = f"BROKE {type(error).__name__}: {error}"
        pipe.send(answer)
    parts.store.engine.dispose()


@dataclass
class Guichet:
    """``guichet serve`` as an operator's machine runs it: started again whenever its first process is gone."""

    home: Path
    database_url: str
    port: int
    smtp_port: int
    _stopping: bool = False
    _first: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log_path(self) -> Path:
        """What every process printed."""
        return self.home / "var/serve.log"

    def __enter__(self) -> "Guichet":
        self._watch = threading.Thread(target=self._keep, daemon=True)
        self._watch.start()
        self.wait_until_ready()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        if self._first is not None:
            self._first.terminate()
        self._watch.join(60)

    def _keep(self) -> None:
        command = [
            sys.executable, "-m", "gateway", "--home", str(self.home), "serve",
            "--port", str(self.port), "--smtp-port", str(self.smtp_port),
        ]  # fmt: skip
        environ = {name: value for name, value in os.environ.items() if not name.startswith("GUICHET_")}
        environ["GUICHET_DATABASE_URL"] = self.database_url
        with self.log_path.open("ab") as log:
            while not self._stopping:
                self._first = subprocess.Popen(
                    command,
                    cwd=Path(__file__).parents[2],
                    env=environ,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
                self._first.wait()
                time.sleep(0.5)

    def wait_until_ready(self, seconds: float = 150) -> None:
        """Wait until it says that it can take payments."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with suppress(requests.RequestException):
                if requests.get(f"{self.base_url}/readyz", timeout=30).status_code == 200:
                    return
            time.sleep(0.1)
        raise AssertionError(f"not ready after {seconds} s\n{self.log_path.read_text()[-4000:]}")

    def pids(self, what: str) -> list[int]:
        """Find its processes: ``supervisor``, ``master``, ``web``, ``worker``, ``back office`` or ``catcher``."""
        first = self._first.pid if self._first is not None else 0
        if what == "supervisor":
            return [first]
        titles = {
            "master": "gunicorn: master", "web": "gunicorn: worker", "worker": "guichet: worker",
            "back office": "guichet: back office", "catcher": "guichet: catcher",
        }  # fmt: skip
        own = children(first)
        below = [*own, *(grandchild for child in own for grandchild in children(child))]
        return [pid for pid in below if title_of(pid).startswith(titles[what])]

    def kill(self, what: str, chance: random.Random) -> bool:
        """Kill one of its processes as a power cut would; false when there is none just now."""
        pids = self.pids(what)
        if not pids:
            return False
        with suppress(ProcessLookupError):
            os.kill(chance.choice(pids), signal.SIGKILL)
        return True


def children(pid: int) -> list[int]:
    """Name the processes that one has begun."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def title_of(pid: int) -> str:
    """Say what a process calls itself."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
