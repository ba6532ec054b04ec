"""The mail relay: one message after the other over kept connections, each message bounded in time.

A kept connection is asked (RSET) before it is trusted with a message, so that one the relay has let go of is made anew
while nothing has been said yet. From then on a message is sent once: what stayed unclear is for the outbox to try again.

Nothing about the payer or the card is logged or put into a reason; a reason names the SMTP stage and code only.
"""

import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from enum import StrEnum

from gateway.core.errors import DeliveryFailed
from gateway.settings import SmtpSettings

# A relay that takes longer to accept a connection is down (reliability: connect 3 s, total 15 s).
CONNECT_SECONDS = 3.0
TOTAL_SECONDS = 15.0
# Relays wait five minutes for the next command (RFC 5321 section 4.5.3.2.7), what stands between us and them perhaps less.
_IDLE_SECONDS = 30.0
_CUT_AGAIN_SECONDS = 1.0
_OK, _READY = 250, 220


class Security(StrEnum):
    """How the connection to the relay is protected."""

    NONE = "none"
    STARTTLS = "starttls"
    TLS = "tls"


@dataclass(frozen=True, slots=True)
class Relay:
    """The mail relay.

    :ivar total_seconds: the whole conversation is cut after this long, however slowly the relay drips
    """

    host: str
    port: int = 25
    security: Security = Security.NONE
    username: str = ""
    password: str = field(default="", repr=False)
    total_seconds: float = TOTAL_SECONDS


def relay_of(told: SmtpSettings) -> Relay:
    """Give the relay of the settings."""
    return Relay(told.host, told.port, Security(told.security), told.username, told.password)


@dataclass(frozen=True, slots=True)
class _Idle:
    """A connection nobody uses just now."""

    relay: Relay
    smtp: smtplib.SMTP
    since: float


_lock = threading.Lock()
_idle: list[_Idle] = []


def send(relay: Relay, message: EmailMessage) -> None:
    """Hand one message to the relay, within its total time.

    Raises :class:`DeliveryFailed`: final when the relay refuses the recipient or the message for good (5xx), to be
    tried again for anything else, the relay's own faults and our credentials included.
    """
    try:
        _converse(relay, message)
    except smtplib.SMTPRecipientsRefused as error:
        code = min((code for code, _ in error.recipients.values()), default=0)
        raise DeliveryFailed(f"smtp {code} recipient refused", again=code < 500) from error
    except smtplib.SMTPDataError as error:
        raise DeliveryFailed(f"smtp {error.smtp_code} message refused", again=error.smtp_code < 500) from error
    except smtplib.SMTPNotSupportedError as error:
        # Of the message, only an accented address asks for an extension (SMTPUTF8, RFC 6531).
        raise DeliveryFailed("smtp relay cannot take this address", again=False) from error
    except smtplib.SMTPResponseException as error:
        raise DeliveryFailed(f"smtp {error.smtp_code} {type(error).__name__}") from error
    except (smtplib.SMTPException, OSError) as error:
        raise DeliveryFailed(f"smtp {type(error).__name__}") from error


def greet(relay: Relay) -> None:
    """Come as far as the first mail would: greeted, encrypted, logged in. Raises :class:`DeliveryFailed`, :class:`OSError`."""
    smtp = _line_to(relay)
    try:
        with _cut_after(relay.total_seconds, smtp):
            _connect(smtp, relay)
    finally:
        smtp.close()


def _converse(relay: Relay, message: EmailMessage) -> None:
    kept = _kept(relay)
    smtp = kept or _line_to(relay)
    is_accepted = False
    try:
        with _cut_after(relay.total_seconds, smtp):
            if kept is None:
                _connect(smtp, relay)
            smtp.send_message(message)
        is_accepted = True
    finally:
        if is_accepted:
            _keep(relay, smtp)
        else:
            smtp.close()


@contextmanager
def _cut_after(seconds: float, smtp: smtplib.SMTP) -> Iterator[None]:
    """Cut a line when time is up: a socket's timeout bounds one read, and a relay may send a byte now and then for ever."""
    is_over = threading.Event()
    threading.Thread(target=_cut, args=(smtp, seconds, is_over), name="smtp cut", daemon=True).start()
    try:
        yield
    finally:
        is_over.set()


def _kept(relay: Relay) -> smtplib.SMTP | None:
    """Take a connection that still answers, if there is one."""
    while True:
        with _lock:
            found = next((one for one in reversed(_idle) if one.relay == relay), None)
            if found is None:
                return None
            _idle.remove(found)
        with suppress(smtplib.SMTPException, OSError):
            with _cut_after(CONNECT_SECONDS, found.smtp):
                is_alive = found.smtp.rset()[0] == _OK
            if is_alive:
                return found.smtp
        found.smtp.close()


def hang_up() -> None:
    """Close the connections that nobody uses just now."""
    with _lock:
        over, _idle[:] = list(_idle), []
    for one in over:
        one.smtp.close()


def _keep(relay: Relay, smtp: smtplib.SMTP) -> None:
    """Keep a connection for the next message; those that waited too long are closed, and no relay need say goodbye."""
    now = time.monotonic()
    with _lock:
        over = [one for one in _idle if now - one.since > _IDLE_SECONDS]
        _idle[:] = [one for one in _idle if one not in over] + [_Idle(relay, smtp, now)]
    for one in over:
        one.smtp.close()


def _line_to(relay: Relay) -> smtplib.SMTP:
    """Give a line that is not connected yet: only one that is there can be cut while the relay greets."""
    if relay.security is Security.TLS:
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(timeout=CONNECT_SECONDS, context=ssl.create_default_context())
    else:
        smtp = smtplib.SMTP(timeout=CONNECT_SECONDS)
    # The name that the certificate must have: the library takes it from its constructor alone, which would connect.
    smtp._host = relay.host  # type: ignore[attr-defined]  # not in its stubs
    return smtp


def _connect(smtp: smtplib.SMTP, relay: Relay) -> None:
    code, _ = smtp.connect(relay.host, relay.port)
    if code != _READY:
        raise smtplib.SMTPConnectError(code, "no greeting")
    if smtp.sock:
        smtp.sock.settimeout(relay.total_seconds)
    _introduce(smtp, relay)


def _introduce(smtp: smtplib.SMTP, relay: Relay) -> None:
    """Lock the line and log in, as the settings want it or not at all: what is missing here is the relay's fault."""
    wanted = "STARTTLS"
    try:
        if relay.security is Security.STARTTLS:
            smtp.starttls(context=ssl.create_default_context())
        wanted = "login"
        if relay.username:
            smtp.login(relay.username, relay.password)
    except smtplib.SMTPNotSupportedError as error:
        raise DeliveryFailed(f"smtp relay offers no {wanted}") from error


def _cut(smtp: smtplib.SMTP, seconds: float, is_over: threading.Event) -> None:
    # Again and again until it is seen: in the middle of a TLS handshake there is no socket to cut.
    while not is_over.wait(seconds):
        seconds = _CUT_AGAIN_SECONDS
        # The conversation may have ended by itself in the meantime.
        with suppress(OSError):
            if smtp.sock:
                smtp.sock.shutdown(socket.SHUT_RDWR)
