"""A caller who takes too long to say what it wants is not listened to for ever; one that has said it is answered."""

import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from gunicorn.workers.gthread import ThreadWorker

from gateway.cli.webserver import Worker


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
    worker._arriving, worker.pending_conns = {}, deque()
    ours, theirs = ends
    theirs.sendall(said)
    read: list[bytes] = []
    thread = threading.Thread(target=lambda: read.append(worker.handle(Conn(ours, thinks))), daemon=True)
    thread.start()

    until = time.monotonic() + 5
    while thread.is_alive() and time.monotonic() < until:
        worker.murder_pending()
        time.sleep(0.05)

    assert read == [said]
    assert theirs.recv(100) == b"answered"
