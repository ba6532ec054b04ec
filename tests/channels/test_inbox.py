"""The test inbox: what is kept, what is found again, and how many processes may use it at once."""

import multiprocessing
import os
import signal
import smtplib
import socket
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest

from gateway.channels import catcher, inbox
from gateway.channels.catcher import Catcher
from gateway.channels.inbox import Inbox
from gateway.core.errors import NotFound
from tests.support.server import free_ports, wait_until

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
CODE_SMS = "123456 : votre code pour payer 35,60 EUR à Mairie.\n\n@guichet.example #123456"


def written_mail(to: str = "Élodie <parent@wanadoo.example>", payment: str = "pay_1") -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "g@guichet.example", to, "Paiement réglé"
    message["Date"], message["X-Guichet-Payment"] = NOON, payment
    message.set_content("Réglé : 35,60 EUR\n")
    message.add_alternative("<p>Réglé</p>", subtype="html")
    message.add_attachment(b"%PDF-1.7 ticket", maintype="application", subtype="pdf", filename="ticket-é.pdf")
    return message.as_bytes()


@pytest.fixture
def box(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path / "inbox")


def test_an_sms_is_found_with_its_code(box: Inbox) -> None:
    box.add_sms("+33612345678", CODE_SMS, "pay_1", NOON)

    (found,) = box.messages()
    assert (found.kind, found.to, found.at, found.payment) == ("sms", "+33612345678", NOON, "pay_1")
    assert found.text == CODE_SMS
    assert found.code == "123456"
    assert (found.subject, found.html, found.attachments) == ("", "", ())


def test_a_mail_is_found_with_its_parts(box: Inbox) -> None:
    key = box.add_mail(written_mail())

    (found,) = box.messages()
    assert (found.kind, found.to, found.at, found.payment) == ("mail", "parent@wanadoo.example", NOON, "pay_1")
    assert (found.subject, found.text, found.html) == ("Paiement réglé", "Réglé : 35,60 EUR", "<p>Réglé</p>")
    (attached,) = found.attachments
    assert (attached.name, attached.content_type, attached.size) == ("ticket-é.pdf", "application/pdf", 15)
    assert box.attachment(key, attached.index) == b"%PDF-1.7 ticket"
    assert box.message(key) == found


def test_the_newest_comes_first(box: Inbox) -> None:
    for number in range(12):
        box.add_sms("+33612345678", f"n{number}", "pay_1", NOON)

    assert [message.text for message in box.messages(limit=3)] == ["n11", "n10", "n9"]


@pytest.mark.parametrize(
    ("asked", "texts"),
    [
        ({"kind": "sms"}, ["two", "one"]),
        ({"kind": "mail"}, ["Réglé : 35,60 EUR"]),
        ({"payment": "pay_2"}, ["two"]),
        ({"to": "+33611111111"}, ["one"]),
        ({"to": " 33611111111"}, ["one"]),
        ({"to": "PARENT@wanadoo.example"}, ["Réglé : 35,60 EUR"]),
        ({"kind": "sms", "payment": "pay_1", "to": "+33622222222"}, []),
        ({"payment": ""}, ["Réglé : 35,60 EUR", "two", "one"]),
    ],
)
def test_messages_are_searched_by_kind_payment_and_receiver(
    box: Inbox, asked: dict[str, str], texts: list[str]
) -> None:
    box.add_sms("+33611111111", "one", "pay_1", NOON)
    box.add_sms("+33622222222", "two", "pay_2", NOON)
    box.add_mail(written_mail())

    assert [message.text for message in box.messages(**asked)] == texts  # type: ignore[arg-type]  # three texts


@pytest.mark.parametrize("key", ["../../etc/passwd", "", ".", "1.M1P1Q1.host", "1.M1P1Q1.host/../x", "\x00"])
def test_a_key_that_is_not_a_message_is_not_found(box: Inbox, key: str) -> None:
    with pytest.raises(NotFound):
        box.attachment(key, 0)


@pytest.mark.parametrize("index", [1, -1, 99])
def test_an_attachment_that_is_not_there_is_not_found(box: Inbox, index: int) -> None:
    key = box.add_mail(written_mail())

    with pytest.raises(NotFound):
        box.attachment(key, index)


def test_a_receiver_cannot_add_a_header(box: Inbox) -> None:
    box.add_sms("+336\r\nX-Guichet-Kind: mail", "text", "pay_1\r\nSubject: x", NOON)

    (found,) = box.messages()
    assert found.kind == "sms"
    assert found.subject == ""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no headers at all",
        b"Subject: =?bad?=\r\nContent-Type: text/plain; charset=klingon\r\n\r\n\xff\xfe",
        b"To: \xff\xff\r\nDate: yesterday\r\n\r\nx",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nno end",
        b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ntext",
        b'To: "\r\nSubject: x\r\n\r\ntext',
        b"To: a: b, c;;\r\nSubject: x\r\n\r\ntext",
    ],
)
def test_a_broken_mail_is_shown_all_the_same(box: Inbox, content: bytes) -> None:
    box.add_mail(content)

    assert [message.kind for message in box.messages()] == ["mail"]


def test_only_the_newest_are_kept(box: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "KEPT", 5)
    monkeypatch.setattr(inbox, "_SLACK", 2)

    for number in range(30):
        box.add_sms("+336", f"n{number}", "pay_1", NOON)

    kept = [message.text for message in box.messages()]
    assert 5 <= len(kept) <= 7
    assert kept == [f"n{number}" for number in range(29, 29 - len(kept), -1)]


def test_a_message_a_mail_reader_has_opened_is_still_found(box: Inbox, tmp_path: Path) -> None:
    key = box.add_mail(written_mail())
    (tmp_path / "inbox/new" / key).rename(tmp_path / "inbox/cur" / f"{key}:2,S")

    assert [message.key for message in box.messages()] == [key]


def test_clearing_empties_it(box: Inbox) -> None:
    box.add_mail(written_mail())

    box.clear()

    assert box.messages() == []


def write_many(path: Path, writer: int) -> None:
    box = Inbox(path)
    for number in range(50):
        box.add_sms(f"+33{writer}", f"{writer}-{number}", "pay_1", NOON)


def test_several_processes_write_while_one_reads(tmp_path: Path) -> None:
    box = Inbox(tmp_path / "inbox")
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=write_many, args=(tmp_path / "inbox", writer)) for writer in range(4)]

    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert all(message.text for message in box.messages(limit=20))
    for writer in writers:
        writer.join()

    found = {message.text for message in box.messages(limit=1000)}
    assert found == {f"{writer}-{number}" for writer in range(4) for number in range(50)}


def test_a_second_search_reads_only_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box, one, parsed = Inbox(tmp_path), written_mail(payment="pay_NUMBER"), list[Path]()
    for number in range(50):
        content = one.replace(b"pay_NUMBER", b"pay_%d" % number)
        (tmp_path / "new" / f"1700000000.M{number}P1Q1.host").write_bytes(content)
    box.messages(payment="pay_0")

    parse = inbox._parse

    def counted(path: Path) -> EmailMessage:
        parsed.append(path)
        return parse(path)

    monkeypatch.setattr(inbox, "_parse", counted)
    (found,) = box.messages(payment="pay_7")

    assert found.payment == "pay_7"
    assert len(parsed) == 1


def test_the_catcher_keeps_what_it_is_sent(box: Inbox) -> None:
    with Catcher("127.0.0.1", 0, box) as caught, smtplib.SMTP("127.0.0.1", caught.port, timeout=60) as smtp:
        smtp.sendmail("g@guichet.example", ["parent@wanadoo.example"], written_mail())

    assert [message.subject for message in box.messages()] == ["Paiement réglé"]


def test_a_busy_port_is_an_error(box: Inbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        Catcher("127.0.0.1", taken.getsockname()[1], box).start()


def test_the_catcher_process_ends_cleanly_when_told_to(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    process = multiprocessing.get_context("spawn").Process(target=catcher.run, args=("127.0.0.1", port, tmp_path))
    process.start()
    wait_for_port(port)

    assert process.pid is not None
    os.kill(process.pid, signal.SIGTERM)
    process.join(60)

    assert process.exitcode == 0


def wait_for_port(port: int) -> None:
    def answers() -> bool:
        try:
            with smtplib.SMTP("127.0.0.1", port, timeout=60):
                return True
        except OSError:
            return False

    wait_until(answers)
