"""How a web process tells sleeping workers that something is due, so that nobody has to poll quickly.

Each worker listens on a datagram socket of its own, for those on its machine. Where none of them hears, PostgreSQL carries the
call to other machines (``NOTIFY``): it is a round trip of whoever calls, and two processes of the server must have their turn
before a worker does. Either may be lost without harm: a worker looks by itself every half second.
"""

import contextlib
import logging
import os
import select
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

if TYPE_CHECKING:
    # Only PostgreSQL's users pay for loading its driver.
    import psycopg

log = logging.getLogger(__name__)

_CHANNEL = "guichet_notice"


def caller(engine: Engine, directory: Path) -> Callable[[], None]:
    """Give the function that wakes every worker of this machine; of all others where there is none."""

    def call() -> None:
        if not _ring(directory) and engine.dialect.name == "postgresql":
            _notify(engine)

    return call


def _notify(engine: Engine) -> None:
    # What is called out is committed already; a call that cannot be made must not look like a failure of it.
    with (
        contextlib.suppress(SQLAlchemyError),
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
    ):
        connection.execute(text(f"NOTIFY {_CHANNEL}"))


def _ring(directory: Path) -> bool:
    """Wake the workers of this machine; say whether any of them heard. One that hangs hears ten calls, then none."""
    is_heard = False
    for path in directory.glob("*.sock"):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bell:
            bell.setblocking(False)
            bell.sendto(b"!", str(path))
            is_heard = True
    return is_heard


def _is_deaf(path: Path) -> bool:
    """Say whether nobody listens on a socket any more, whoever was killed in its place."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bell:
        try:
            bell.connect(str(path))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


class Bell:
    """A worker's ear: ``wait`` returns when something may be due, or when the time is up."""

    def __init__(self, engine: Engine, directory: Path) -> None:
        self._path: Path | None = None
        self._socket: socket.socket | None = None
        self._listener: psycopg.Connection[tuple[object, ...]] | None = None
        # The deliverer's threads ring this one when a delivery has ended and the next in line may go.
        self._inner, self._ringer = socket.socketpair()
        self._ringer.setblocking(False)
        self._url = ""
        if engine.dialect.name == "postgresql":
            address = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
            # SQLAlchemy writes a space of a password as it is, and libpq takes no such address.
            self._url = address.replace(" ", "%20")
        self._listen_on_socket(directory)

    def _listen_on_socket(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for other in filter(_is_deaf, directory.glob("*.sock")):
            other.unlink(missing_ok=True)
        path = directory / f"{os.getpid()}.sock"
        path.unlink(missing_ok=True)
        ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            ear.bind(str(path))
        except OSError:
            # Linux takes 107 bytes of path; below a deeper home PostgreSQL's call must do, or the worker's own look.
            ear.close()
            if not self._url:
                log.warning(
                    "no socket to be woken by; deliveries may wait half a second", extra={"path": str(directory)}
                )
            return
        self._path, self._socket = path, ear

    def ring(self) -> None:
        """Wake this worker from another of its threads."""
        with contextlib.suppress(OSError):
            self._ringer.send(b"!")

    def wait(self, seconds: float) -> None:
        """Sleep until something may be due, at most ``seconds``."""
        ears: list[int] = [self._inner.fileno()]
        if self._socket is not None:
            ears.append(self._socket.fileno())
        if self._url and (listener := self._connected()) is not None:
            ears.append(listener.fileno())
        ready, _, _ = select.select(ears, [], [], seconds)
        self._drain(ready)

    def _connected(self) -> "psycopg.Connection[tuple[object, ...]] | None":
        """Listen on PostgreSQL; while it is away, the worker's own look every half second must do."""
        import psycopg

        if self._listener is None or self._listener.closed:
            self._listener = None
            with contextlib.suppress(psycopg.Error):
                self._listener = _listening(self._url)
        return self._listener

    def _drain(self, ready: list[int]) -> None:
        if self._inner.fileno() in ready:
            self._inner.recv(4096)
        if self._socket is not None and self._socket.fileno() in ready:
            # All of them: one look is what each asks for.
            with contextlib.suppress(BlockingIOError):
                while True:
                    self._socket.recv(4096, socket.MSG_DONTWAIT)
        if self._listener is not None and self._listener.fileno() in ready:
            self._listener = _heard(self._listener)

    def close(self) -> None:
        """Leave nothing behind."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        for end in (self._socket, self._inner, self._ringer, self._listener):
            if end is not None:
                end.close()


def _listening(url: str) -> "psycopg.Connection[tuple[object, ...]]":
    """Open an ear; nothing stays open where that fails half-way. Raises :class:`psycopg.Error`."""
    import psycopg

    listener = psycopg.connect(url, autocommit=True, connect_timeout=3)
    try:
        listener.execute(f"LISTEN {_CHANNEL}")
    except psycopg.Error:
        listener.close()
        raise
    return listener


def _heard(listener: "psycopg.Connection[tuple[object, ...]]") -> "psycopg.Connection[tuple[object, ...]] | None":
    """Take in what was called; a connection that broke is given up, to be made again."""
    import psycopg

    try:
        for _ in listener.notifies(timeout=0):
            pass
    except psycopg.Error:
        listener.close()
        return None
    return listener
