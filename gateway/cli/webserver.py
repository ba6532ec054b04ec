"""The web server of ``guichet serve``: gunicorn, given an application that is built already."""

import ctypes
import gc
import logging
import socket
import struct
import sys
import time
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.http import errors
from gunicorn.workers.gthread import ThreadWorker

from gateway import logs
from gateway.settings import Settings
from gateway.web import security_headers

log = logging.getLogger(__name__)

_THREADS = 8
# A web process is replaced after this many requests, give or take, whatever it may still remember.
_REQUESTS_MAX = 2000
# After so many requests a web process is looked at for what it has learned: statements, words, pages.
_LESSON = 100
# Seconds a request may take to arrive. Without an end, a handful of callers who send a byte now and then hold all threads.
_ARRIVAL_SECONDS = 5.0

# What is no request is refused with 400, unless HTTP has a closer word (RFC 9110, RFC 6585).
_REFUSALS = {
    errors.LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    errors.LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    errors.ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    errors.UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
}

# A header that the application tried to send, and may not.
_OURS = (errors.InvalidResponseHeader, errors.InvalidResponseHeaderName)

# Seconds from the moment nobody new is let in until the door is shut: more than a handshake under way takes.
_SHUTTING_SECONDS = 0.15
# Of linux/asm-generic/socket.h; Python does not name it.
_SO_ATTACH_FILTER = 26
# Drops what opens a connection, SYN without ACK, and passes all else (linux/filter.h; a packet begins with its TCP header).
_NOBODY_NEW = b"".join(
    struct.pack("HBBI", *step)
    for step in (
        (0x30, 0, 0, 13),  # load the flags
        (0x54, 0, 0, 0x12),  # keep SYN and ACK
        (0x15, 0, 1, 0x02),  # unless SYN stands alone, skip one
        (0x06, 0, 0, 0),  # drop
        (0x06, 0, 0, 0xFFFFFFFF),  # pass
    )
)


class Worker(ThreadWorker):  # type: ignore[misc]  # the library ships no types
    """A gunicorn worker that does not wait for ever for a request, and leaves no caller at the door when it stops."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._arriving: dict[Any, float] = {}
        self._learned = 0

    def handle(self, conn: Any) -> Any:
        """Serve one request of a connection; gunicorn calls this in a thread of its pool."""
        self._arriving[conn] = time.monotonic() + _ARRIVAL_SECONDS
        try:
            return super().handle(conn)
        finally:
            self._arriving.pop(conn, None)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:  # noqa: ARG002 - gunicorn's words
        """Answer what never reached the application; gunicorn calls this.

        Its own answer has none of the security headers, and repeats to the caller, and to the log, what the caller said.
        """
        is_theirs = isinstance(exc, errors.ParseException) and not isinstance(exc, _OURS)
        status = _REFUSALS.get(type(exc), HTTPStatus.BAD_REQUEST) if is_theirs else HTTPStatus.INTERNAL_SERVER_ERROR
        if is_theirs:
            log.warning("not a request", extra={"reason": type(exc).__name__})
        else:
            log.error("a request broke", exc_info=exc)
        with suppress(OSError):
            client.setblocking(False)
            client.sendall(_refusal(status, is_https=self.app.is_https))

    def set_accept_enabled(self, enabled: bool) -> None:
        """Take new connections or not; who stops lets in those that wait, then shuts its door.

        Left open until the last request under way is answered, the door would let in callers whom nobody serves: their
        requests would be cut off, and no proxy may send a payer's card a second time.
        """
        super().set_accept_enabled(enabled)
        if enabled or self.alive:
            return
        for listener in self.sockets:
            count = -1
            while count != self.nr_conns:
                count = self.nr_conns
                self.accept(listener)
            listener.close()

    def murder_pending(self) -> None:
        """End what takes too long; gunicorn calls this about every second.

        Only reading ends: a request that has arrived is answered, however long that takes.
        """
        super().murder_pending()
        now = time.monotonic()
        for conn, until in list(self._arriving.items()):
            if now > until:
                with suppress(OSError):
                    conn.sock.shutdown(socket.SHUT_RD)
        self._keep_lessons()

    def _keep_lessons(self) -> None:
        """Put what this process has learned out of the collector's sight, now and then, when no caller is there.

        What held a card is collected at the end of its request, and looking through all that is no garbage was the dearest
        part of taking a card. With no connection open, nothing that survives a collection is anybody's.
        """
        if not self.nr_conns and self.nr - self._learned >= _LESSON:
            self._learned = self.nr
            gc.collect()
            gc.freeze()


def _refusal(status: HTTPStatus, *, is_https: bool) -> bytes:
    """Write an answer in neutral words."""
    text = f"{status.phrase}.\n"
    headers = {
        "Connection": "close",
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Length": str(len(text)),
        **security_headers(is_https=is_https),
    }
    lines = (f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {value}" for name, value in headers.items()))
    return ("\r\n".join(lines) + "\r\n\r\n" + text).encode()


class _Arbiter(Arbiter):  # type: ignore[misc]  # the library ships no types
    """A gunicorn master that loses no connection when it stops.

    The kernel makes connections before anybody takes them, and cuts off those still waiting when the last holder of the
    door shuts it. So nobody new is let in for a moment before: who knocks meanwhile gets no answer, knocks again a second
    later as TCP does, finds the door shut, and goes to the next host.
    """

    def stop(self, graceful: bool = True) -> None:
        """Stop the workers; gunicorn calls this."""
        if graceful and sys.platform == "linux":
            for listener in self.LISTENERS:
                # A kernel without such filters (gVisor) stops as well as it can.
                with suppress(OSError):
                    _let_nobody_in(listener.sock)
            time.sleep(_SHUTTING_SECONDS)
        super().stop(graceful)


def _let_nobody_in(door: socket.socket) -> None:
    """Make no more connections at a listening socket, whoever holds it."""
    steps = ctypes.create_string_buffer(_NOBODY_NEW, len(_NOBODY_NEW))
    program = struct.pack("HP", len(_NOBODY_NEW) // 8, ctypes.addressof(steps))
    door.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


class WebServer(BaseApplication):  # type: ignore[misc]  # the library ships no types
    """One gunicorn; ``run`` is the whole life of its process and of the workers it forks."""

    def __init__(self, app: Flask, settings: Settings) -> None:
        self._app, self._settings = app, settings
        self.is_https = settings.base_url.startswith("https:")
        super().__init__()

    def load_config(self) -> None:
        """Set the options; gunicorn calls this."""
        web = self._settings.web
        options = {
            "proc_name": "guichet",
            "bind": f"{web.host}:{web.port}",
            "workers": web.workers,
            "preload_app": True,
            "worker_class": Worker,
            "threads": _THREADS,
            "control_socket_disable": True,
            "max_requests": _REQUESTS_MAX,
            "max_requests_jitter": _REQUESTS_MAX // 4,
            "graceful_timeout": 40,
            # Longer than clients keep a connection: who lets go first must not be asked just then (node's agents: 5 s).
            "keepalive": 75,
            "loglevel": "warning",
            "worker_tmp_dir": str(self._settings.var),
            # A header that is no more than usual; long ones are refused before anything is read.
            "limit_request_line": 8190,
            "limit_request_fields": 50,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Give the application; gunicorn calls this once its own log is set up, which then becomes ours."""
        logs.configure()
        return self._app

    def run(self) -> None:
        """Serve until told to stop."""
        _Arbiter(self).run()
