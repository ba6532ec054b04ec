"""The SMTP catcher: a mail server for laptops and tests that keeps every mail in the inbox and sends none on."""

import asyncio
import logging
import signal
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet

from aiosmtpd.smtp import SMTP, Envelope, Session

from gateway.channels.inbox import Inbox

log = logging.getLogger(__name__)

# Ten megabytes: two hundred tickets.
_SIZE_MAX = 10 * 1024 * 1024


_Result = TypeVar("_Result")


class Catcher:
    """A catcher running in a thread of this process.

    :ivar port: the port it listens on; once started, the one that was free if 0 was asked
    """

    def __init__(self, host: str, port: int, inbox: Inbox) -> None:
        self.host, self.port, self._keeper = host, port, _Keeper(inbox)
        self._conversations: WeakSet[SMTP] = WeakSet()

    def start(self) -> None:
        """Begin to listen. Raises :class:`OSError` when the port is taken."""
        # Everything runs in the catcher's own thread: the caller's may have a loop of its own.
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="catcher", daemon=True)
        self._thread.start()
        try:
            self._server = self._run(self._loop.create_server(self._converse, self.host, self.port))
        except OSError:
            self._end()
            raise
        self.port = int(self._server.sockets[0].getsockname()[1])

    def stop(self) -> None:
        """Stop listening, cut the conversations under way and end the thread."""
        self._run(self._close())
        self._run(self._loop.shutdown_default_executor())
        self._end()

    def _run(self, task: Coroutine[Any, Any, _Result]) -> _Result:
        return asyncio.run_coroutine_threadsafe(task, self._loop).result()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> "Catcher":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _converse(self) -> SMTP:
        conversation = SMTP(
            self._keeper, data_size_limit=_SIZE_MAX, enable_SMTPUTF8=True, hostname="guichet", loop=self._loop
        )
        self._conversations.add(conversation)
        return conversation

    async def _close(self) -> None:
        self._server.close()
        for conversation in list(self._conversations):
            if conversation.transport is not None:
                conversation.transport.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


def run(host: str, port: int, inbox_path: Path) -> None:
    """Catch mails until SIGTERM or SIGINT; the whole life of a process of its own.

    Raises :class:`OSError` when the port is taken.
    """
    ended = threading.Event()
    with Catcher(host, port, Inbox(inbox_path)):
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())
        ended.wait()


class _Keeper:
    """The catcher's side of the SMTP conversation; aiosmtpd finds the hook by its name."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802, ARG002
        """Keep one mail; the disk is written outside the event loop, so that other senders need not wait."""
        content = envelope.content
        if not isinstance(content, bytes):
            return "554 no content"
        try:
            await asyncio.get_running_loop().run_in_executor(None, self._inbox.add_mail, content)
        except OSError:
            # For the library any exception is a 500, and the mail would be given up (RFC 5321 section 4.2.3).
            log.warning("a mail could not be kept")
            return "452 no room for it now"
        return "250 kept"
