"""Who takes too long to say what it wants is not listened to for ever; who has said it, or only knocked, is answered."""

import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.workers.gthread import TConn, ThreadWorker

from gateway.cli.webserver import WebServer, Worker


@dataclass(frozen=True, eq=False)
class Conn:
    """What gunicorn knows of a connection, and how long the application takes to answer."""

    sock: socket.socket
    thinks: float


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Give both ends of a connection: the server's, the caller's."""
    pair = socket.socketpair()
    yield pair
    for end in pair:
        end.close()


def read_then_answer(_worker: Worker, conn: Conn) -> bytes:
    """Serve as gunicorn does: read to the end of the request, then answer."""
    said = b""
    while not said.endswith(b"\n") and (piece := conn.sock.recv(1)):
        said += piece
    time.sleep(conn.thinks)
    conn.sock.sendall(b"answered")
    return said


@pytest.mark.parametrize(("said", "thinks"), [(b"GET /heal", 0), (b"GET /healthz\n", 0.6)])
def test_reading_ends_and_answering_does_not(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch, said: bytes, thinks: float
) -> None:
    monkeypatch.setattr(ThreadWorker, "handle", read_then_answer)
    monkeypatch.setattr("gateway.cli.webserver._ARRIVAL_SECONDS", 0.2)
    worker = object.__new__(Worker)
    worker._arriving, worker.pending_conns, worker.nr_conns = {}, deque(), 1
    ours, theirs = ends
    theirs.sendall(said)
    read: list[bytes] = []
    thread = threading.Thread(target=lambda: read.append(worker.handle(Conn(ours, thinks))), daemon=True)
    thread.start()

    until = time.monotonic() + 60
    while thread.is_alive() and time.monotonic() < until:
        worker.murder_pending()
        time.sleep(0.05)

    assert read == [said]
    assert theirs.recv(100) == b"answered"


@pytest.fixture
def door() -> Iterator[socket.socket]:
    """Listen as a server does."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        door.setblocking(False)
        yield door


def knock(door: tuple[str, int], seconds: float = 60) -> str:
    """Try to connect, and say what comes of it."""
    try:
        socket.create_connection(door, seconds).close()
    except OSError as error:
        return type(error).__name__
    return "connected"


@pytest.mark.parametrize("stops", [True, False])
def test_a_worker_that_stops_takes_those_at_the_door_and_shuts_it(
    door: socket.socket, monkeypatch: pytest.MonkeyPatch, stops: bool
) -> None:
    taken: list[TConn] = []
    monkeypatch.setattr(ThreadWorker, "enqueue_req", lambda _, conn: taken.append(conn))
    worker = object.__new__(Worker)
    worker.sockets, worker.alive, worker.nr_conns = [door], not stops, 0
    worker.cfg, worker._accepting = Config(), False
    address = door.getsockname()
    waiting = [socket.create_connection(address) for _ in range(3)]

    worker.set_accept_enabled(False)

    assert (len(taken), knock(address)) == ((3, "ConnectionRefusedError") if stops else (0, "connected"))
    for end in (*waiting, *taken):
        end.close()


@pytest.mark.skipif(sys.platform != "linux", reason="packet filters of sockets are Linux's")
def test_a_server_that_stops_lets_nobody_new_in_and_loses_nobody_who_was(
    door: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, seen = door.getsockname(), []
    before = socket.create_connection(address)

    def stop(_arbiter: Arbiter, _graceful: bool) -> None:
        before.sendall(b"here")
        theirs, _ = door.accept()
        with theirs:
            seen.extend([theirs.recv(4), knock(address, 0.3)])

    monkeypatch.setattr(Arbiter, "__init__", lambda self, _: setattr(self, "LISTENERS", [SimpleNamespace(sock=door)]))
    monkeypatch.setattr(Arbiter, "run", lambda self: self.stop(True))
    monkeypatch.setattr(Arbiter, "stop", stop)
    object.__new__(WebServer).run()

    assert seen == [b"here", "TimeoutError"]
    before.close()
