"""The web server of ``guichet serve``: gunicorn, given an application that is built already."""

import socket
import time
from contextlib import suppress
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.workers.gthread import ThreadWorker

from gateway import logs
from gateway.settings import Settings

_THREADS = 8
# A web process is replaced after this many requests, give or take, whatever it may still remember.
_REQUESTS_MAX = 2000
# Seconds a request may take to arrive. Without an end, a handful of callers who send a byte now and then hold all threads.
_ARRIVAL_SECONDS = 5.0


class Worker(ThreadWorker):  # type: ignore[misc]  # the library ships no types
    """A gunicorn worker that stops listening to a caller whose request takes too long to arrive."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._arriving: dict[Any, float] = {}

    def handle(self, conn: Any) -> Any:
        """Serve one request of a connection; gunicorn calls this in a thread of its pool."""
        self._arriving[conn] = time.monotonic() + _ARRIVAL_SECONDS
        try:
            return super().handle(conn)
        finally:
            self._arriving.pop(conn, None)

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


class WebServer(BaseApplication):  # type: ignore[misc]  # the library ships no types
    """One gunicorn; ``run`` is the whole life of its process and of the workers it forks."""

    def __init__(self, app: Flask, settings: Settings) -> None:
        self._app, self._settings = app, settings
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
