"""Receipts by SMTP: a real conversation with a real server, good and bad."""

import errno
import io
import logging
import smtplib
import socket
import socketserver
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from mailbox import Maildir
from pathlib import Path

import pytest
from jinja2 import Environment
from pypdf import PdfReader

from gateway.channels import Letter
from gateway.channels.alarm import AlarmChannel
from gateway.channels.catcher import Catcher
from gateway.channels.email import EmailChannel
from gateway.channels.inbox import Inbox
from gateway.channels.smtp import Relay, _cut_after
from gateway.core.errors import DeliveryFailed
from gateway.core.money import Money
from gateway.core.payment import AttemptResult, Event, Line, Mode, Payee, PaymentRequest, PaymentResult, RefundResult
from gateway.core.states import AttemptStatus, Status
from gateway.receipts import Audience
from gateway.receipts.mail import environment
from gateway.receipts.press import Press

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
RESULT = PaymentResult(
    "pay_1",
    "260504000001",
    PaymentRequest("m", "CDE-1", Money(3560), (Line("D-1", "Cantine", Money(3560)),), "Cantine"),
    Payee("m", "Régie de l'Île", mode=Mode.PRODUCTION),
    Status.PAID,
    NOON,
    NOON,
    paid_at=NOON,
    email="élève.parent@wanadoo.example",
    attempts=(AttemptResult("a", 1, AttemptStatus.CAPTURED, "cb", "497010", "1234", NOON),),
    refunds=(RefundResult("ref_1", Money(1000), "done", NOON), RefundResult("ref_2", Money(500), "done", NOON)),
)
TEMPLATES = environment(Path(__file__).resolve().parents[2] / "checkout_templates")


@pytest.fixture
def box(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path)


@pytest.fixture
def caught(box: Inbox) -> Iterator[Catcher]:
    with Catcher("127.0.0.1", 0, box) as catcher:
        yield catcher


def channel(port: int, name: str = "payer_mail", total_seconds: float = 5) -> EmailChannel:
    def templates() -> Environment:
        return TEMPLATES

    def link(result: PaymentResult, audience: Audience, refund: str, duplicate: bool) -> str:
        return f"https://guichet.example/t/{audience}-{result.id}{refund}{'-duplicate' * duplicate}"

    relay = Relay("127.0.0.1", port, total_seconds=total_seconds)
    return EmailChannel(name, relay, "Guichet <recu@guichet.example>", templates, link, Press())


def notice(target: str = "parent@wanadoo.example", kind: str = "payment.succeeded", **facts: str) -> Letter:
    return Letter("ntc_1", "payer_mail", target, result=RESULT, event=Event("evt_1", 4, kind, NOON, facts))


class Script(socketserver.StreamRequestHandler):
    """A relay that answers one stage with what the test wants and the others politely."""

    def handle(self) -> None:
        answers: dict[str, bytes] = self.server.answers  # type: ignore[attr-defined]
        if (hello := answers.get("HELLO", b"220 relay\r\n")) == b"drip":
            self.drip(b"220-a\r\n")
            return
        self.wfile.write(hello)
        while line := self.rfile.readline():
            verb = line[:4].decode().strip().upper()
            self.server.verbs.append(verb)  # type: ignore[attr-defined]
            if verb == "DATA" and "DATA" not in answers:
                self.wfile.write(b"354 go on\r\n")
                while self.rfile.readline() not in (b".\r\n", b""):
                    pass
                verb = "DONE"
            answer = answers.get(verb, b"250 ok\r\n")
            if answer == b"drip":
                self.drip()
                return
            if not answer:
                return
            self.wfile.write(answer)

    def drip(self, piece: bytes = b"250-a\r\n") -> None:
        pause = threading.Event()
        for _ in range(1200):
            try:
                self.wfile.write(piece)
            except OSError:
                return
            pause.wait(0.05)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, answers: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Script)
        self.answers, self.verbs = answers, list[str]()
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


def failure(answers: dict[str, bytes], total_seconds: float = 5) -> DeliveryFailed:
    with Server(answers) as server, pytest.raises(DeliveryFailed) as caught:
        channel(server.server_address[1], total_seconds=total_seconds).deliver(notice(), NOON)
    return caught.value


def test_a_receipt_arrives_with_accents_and_its_ticket(box: Inbox, caught: Catcher) -> None:
    channel(caught.port).deliver(notice(), NOON)

    (found,) = box.messages(kind="mail", payment="pay_1", to="parent@wanadoo.example")
    assert found.subject == "Paiement de la commande CDE-1 - Régie de l'Île"
    assert found.at == NOON
    assert "https://guichet.example/t/payer-pay_1" in found.text
    assert "Régie de l&#39;Île" in found.html
    (ticket,) = found.attachments
    assert ticket.name == "ticket-client-260504000001.pdf"
    text = PdfReader(io.BytesIO(box.attachment(found.key, ticket.index))).pages[0].extract_text()
    assert "Régie de l'Île" in text
    assert "élève.parent@wanadoo.example" in text


def test_the_merchant_gets_the_merchants_copy(box: Inbox, caught: Catcher) -> None:
    channel(caught.port, "merchant_mail").deliver(notice("regie@mairie.example"), NOON)

    (found,) = box.messages(to="regie@mairie.example")
    assert "https://guichet.example/t/merchant-pay_1" in found.text
    assert found.attachments[0].name == "ticket-merchant-260504000001.pdf"


def test_an_accented_address_is_delivered(box: Inbox, caught: Catcher) -> None:
    channel(caught.port).deliver(notice("élève@wanadoo.example"), NOON)

    assert len(box.messages(to="élève@wanadoo.example")) == 1


@pytest.mark.usefixtures("box")
def test_an_alarm_that_is_tried_again_is_known_as_the_same(caught: Catcher, tmp_path: Path) -> None:
    alarms = AlarmChannel(Relay("127.0.0.1", caught.port), "Guichet <recu@guichet.example>")
    raised = replace(notice("first@mairie.example"), channel="alarm_mail", body=b"Alarme\nUn essai.\n")
    for target in ("first@mairie.example", "first@mairie.example", "second@mairie.example"):
        alarms.deliver(replace(raised, target=target), NOON)

    told = [mail["Message-ID"] for mail in Maildir(tmp_path, create=False)]
    assert sorted(Counter(told).values()) == [1, 2]
    assert all(name.endswith("@guichet.example>") for name in told)


def test_a_refund_event_names_its_refund_and_a_duplicate_says_so(box: Inbox, caught: Catcher) -> None:
    channel(caught.port).deliver(replace(notice(kind="payment.refunded", refund="ref_1"), is_repeat=True), NOON)

    (found,) = box.messages()
    assert found.subject.startswith("[DUPLICATA] Remboursement de la commande CDE-1")
    assert "10,00\u00a0EUR" in found.text


def test_a_mail_that_a_full_disk_cannot_keep_is_tried_again(
    box: Inbox, caught: Catcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add_mail(message: bytes) -> str:
        raise OSError(errno.ENOSPC, f"no room for {len(message)} bytes")

    monkeypatch.setattr(box, "add_mail", add_mail)

    with pytest.raises(DeliveryFailed) as failed:
        channel(caught.port).deliver(notice(), NOON)
    assert (failed.value.again, str(failed.value)) == (True, "smtp 452 message refused")


def test_a_dead_relay_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]

    with pytest.raises(DeliveryFailed) as caught:
        channel(port).deliver(notice(), NOON)

    assert caught.value.again


@pytest.mark.parametrize(
    ("stage", "answer", "again"),
    [
        ("RCPT", b"450 busy\r\n", True),
        ("RCPT", b"550 no such mailbox\r\n", False),
        ("DONE", b"451 later\r\n", True),
        ("DONE", b"554 spam\r\n", False),
        ("MAIL", b"550 sender refused\r\n", True),
        ("HELLO", b"554 no service\r\n", True),
        ("DONE", b"", True),
    ],
)
def test_what_the_relay_answers_decides_whether_to_try_again(stage: str, answer: bytes, again: bool) -> None:
    assert failure({stage: answer}).again is again


def test_mails_share_a_connection() -> None:
    with Server({}) as server:
        for _ in range(3):
            channel(server.server_address[1]).deliver(notice(), NOON)

    mail = ["MAIL", "RCPT", "DATA"]
    assert server.verbs == ["EHLO", *mail, "RSET", *mail, "RSET", *mail]


@pytest.mark.parametrize("answer", [b"", b"421 closing\r\n"])
def test_a_relay_that_let_go_of_a_connection_gets_the_next_mail_by_another_and_once(answer: bytes) -> None:
    with Server({"RSET": answer}) as server:
        for _ in range(2):
            channel(server.server_address[1]).deliver(notice(), NOON)

    assert [verb for verb in server.verbs if verb != "RSET"] == ["EHLO", "MAIL", "RCPT", "DATA"] * 2


def test_a_mail_whose_acceptance_stays_unclear_on_a_kept_connection_is_not_sent_twice() -> None:
    with Server({}) as server:
        channel(server.server_address[1]).deliver(notice(), NOON)
        server.answers["DONE"] = b""
        with pytest.raises(DeliveryFailed) as failed:
            channel(server.server_address[1]).deliver(notice(), NOON)

    assert failed.value.again
    assert server.verbs.count("DATA") == 2


@pytest.mark.parametrize("stage", ["HELLO", "EHLO", "DONE"])
def test_a_relay_that_drips_is_cut_in_time(stage: str) -> None:
    began = time.monotonic()

    error = failure({stage: b"drip"}, total_seconds=0.4)

    assert error.again
    assert time.monotonic() - began < 30


def test_a_line_that_could_not_be_cut_at_first_is_cut_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """During a TLS handshake the library holds no socket that could be."""
    monkeypatch.setattr("gateway.channels.smtp._CUT_AGAIN_SECONDS", 0.05)
    ours, theirs = socket.socketpair()
    line = smtplib.SMTP()
    with ours, theirs, _cut_after(0.01, line):
        theirs.settimeout(30)
        assert not line.sock
        time.sleep(0.1)
        line.sock = ours

        assert theirs.recv(1) == b""


def test_a_kept_connection_that_drips_is_given_up_in_time() -> None:
    with Server({}) as server:
        channel(server.server_address[1]).deliver(notice(), NOON)
        server.answers["RSET"] = b"drip"
        began = time.monotonic()
        channel(server.server_address[1]).deliver(notice(), NOON)

    assert time.monotonic() - began < 30
    assert server.verbs.count("DATA") == 2


@pytest.mark.parametrize("target", ["a@b.example\r\nBcc: x@y.example", "", "nobody"])
def test_a_target_that_cannot_be_mailed_ends_the_notice(target: str, caught: Catcher, box: Inbox) -> None:
    with pytest.raises(DeliveryFailed) as failed:
        channel(caught.port).deliver(notice(target), NOON)

    assert not failed.value.again
    assert box.messages() == []


def test_an_event_without_a_receipt_ends_the_notice(caught: Catcher) -> None:
    with pytest.raises(DeliveryFailed) as failed:
        channel(caught.port).deliver(notice(kind="payment.refused"), NOON)

    assert not failed.value.again


def test_neither_reasons_nor_logs_name_the_payer(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    error = failure({"RCPT": b"550 parent@wanadoo.example unknown\r\n"})

    assert str(error) == "smtp 550 recipient refused"
    assert not [
        record for record in caplog.records if "wanadoo" in record.getMessage() or "35,60" in record.getMessage()
    ]


def test_the_password_is_not_shown() -> None:
    assert "s3cret" not in repr(replace(Relay("h"), username="u", password="s3cret"))
