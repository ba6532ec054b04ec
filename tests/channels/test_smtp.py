"""The relay's lock and key: TLS from the start or by STARTTLS, a certificate to trust, a login, against a real server."""

import ipaddress
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509

from gateway.channels.smtp import Relay, Security, hang_up, send
from gateway.core.errors import DeliveryFailed
from tests.support.certificates import self_signed
from tests.support.server import free_ports

LOCKED = [Security.STARTTLS, Security.TLS]
HERE = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))


class Post:
    """The relay's side: knows one account, and writes down who did what, and whether it was encrypted."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, bool]] = []

    def authenticate(
        self, server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, given: LoginPassword
    ) -> AuthResult:
        self.seen.append(("login", given.login.decode(), _is_encrypted(server)))
        return AuthResult(success=given == LoginPassword(b"guichet", b"s3cret"), handled=False)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.seen.append(("mail", envelope.rcpt_tos[0], _is_encrypted(server)))
        return "250 kept" if session.authenticated else "530 log in first"


def _is_encrypted(server: SMTP) -> bool:
    return server.transport is not None and server.transport.get_extra_info("ssl_object") is not None


class Locked(Controller):
    """Speaks TLS from the start."""

    def factory(self) -> SMTP:
        """Offer the login at once: the connection is encrypted already."""
        return SMTP(self.handler, hostname="relay", authenticator=self.handler.authenticate, auth_require_tls=False)


class Unlocked(Controller):
    """Begins in clear; with a certificate it offers STARTTLS, and the login behind it."""

    def __init__(self, post: Post, port: int, context: ssl.SSLContext | None) -> None:
        super().__init__(post, "127.0.0.1", port)
        self._context = context

    def factory(self) -> SMTP:
        """Offer the login behind STARTTLS only."""
        return SMTP(self.handler, hostname="relay", authenticator=self.handler.authenticate, tls_context=self._context)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("relay") / "relay.pem", HERE)


@pytest.fixture(scope="module")
def of_another(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("relay") / "other.pem", x509.DNSName("relay.example"))


@contextmanager
def relaying(security: Security, certificate: Path | None) -> Iterator[tuple[Post, Relay]]:
    """Run a relay that knows the account it is asked for."""
    post, (port,), context = Post(), free_ports(1), None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    if security is Security.TLS:
        server: Controller = Locked(post, "127.0.0.1", port, ssl_context=context)
    else:
        server = Unlocked(post, port, context)
    server.start()
    try:
        yield post, Relay("127.0.0.1", port, security, "guichet", "s3cret", total_seconds=5)
    finally:
        # A server that stops before its clients leaves half a TLS farewell behind.
        hang_up()
        server.stop()


def mail() -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "recu@guichet.example", "parent@ecole.example", "Paiement"
    message.set_content("96,12 EUR")
    return message


def refusal(relay: Relay) -> DeliveryFailed:
    with pytest.raises(DeliveryFailed) as failed:
        send(relay, mail())
    return failed.value


@pytest.mark.parametrize("security", LOCKED)
def test_login_and_mail_travel_encrypted(
    security: Security, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with relaying(security, certificate) as (post, relay):
        send(relay, mail())

    assert post.seen == [("login", "guichet", True), ("mail", "parent@ecole.example", True)]


@pytest.mark.parametrize("security", LOCKED)
def test_a_wrong_password_sends_nothing_and_is_tried_again(
    security: Security, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with relaying(security, certificate) as (post, relay):
        error = refusal(Relay("127.0.0.1", relay.port, security, "guichet", "wr0ng", total_seconds=5))

    assert (str(error), error.again) == ("smtp 535 SMTPAuthenticationError", True)
    assert {what for what, _, _ in post.seen} == {"login"}


@pytest.mark.parametrize("security", LOCKED)
def test_a_certificate_nobody_vouches_for_gets_neither_password_nor_mail(security: Security, certificate: Path) -> None:
    with relaying(security, certificate) as (post, relay):
        error = refusal(relay)

    assert (str(error), error.again) == ("smtp SSLCertVerificationError", True)
    assert post.seen == []


@pytest.mark.parametrize("security", LOCKED)
def test_a_certificate_for_another_name_gets_neither_password_nor_mail(
    security: Security, of_another: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(of_another))
    with relaying(security, of_another) as (post, relay):
        error = refusal(relay)

    assert (str(error), error.again) == ("smtp SSLCertVerificationError", True)
    assert post.seen == []


def test_without_starttls_nothing_is_sent_in_clear() -> None:
    with relaying(Security.STARTTLS, None) as (post, relay):
        error = refusal(relay)

    assert (str(error), error.again) == ("smtp relay offers no STARTTLS", True)
    assert post.seen == []


def test_without_a_login_to_use_nothing_is_sent() -> None:
    # In clear this relay offers no login.
    with relaying(Security.NONE, None) as (post, relay):
        error = refusal(relay)

    assert (str(error), error.again) == ("smtp relay offers no login", True)
    assert post.seen == []


def test_a_relay_that_cannot_take_an_accented_address_ends_the_notice() -> None:
    message = mail()
    message.replace_header("To", "élève@ecole.example")
    with relaying(Security.NONE, None) as (post, relay), pytest.raises(DeliveryFailed) as failed:
        send(Relay("127.0.0.1", relay.port), message)

    assert (str(failed.value), failed.value.again) == ("smtp relay cannot take this address", False)
    assert post.seen == []
