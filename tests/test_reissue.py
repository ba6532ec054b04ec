"""What a person asks for again says so, and what could not be delivered rings."""

from collections.abc import Iterator

import pytest

from gateway.channels.catcher import Catcher
from gateway.core.payment import PaymentResult
from gateway.parts import Parts
from gateway.settings import Settings, load
from tests.factories import deliver, open_payment, pay
from tests.support.crash import Receiver, listening


@pytest.fixture
def settings(home, database_url: str) -> Iterator[Settings]:  # type: ignore[no-untyped-def]
    from gateway.channels.inbox import Inbox

    with Catcher("127.0.0.1", 0, Inbox(home / "var/inbox")) as catcher:
        yield load(home, {"GUICHET_DATABASE_URL": database_url, "GUICHET_SMTP__PORT": str(catcher.port)})


@pytest.fixture
def portal() -> Iterator[Receiver]:
    with listening(Receiver(answer=lambda _: (410, {}))) as portal:
        yield portal


@pytest.fixture
def paid(parts: Parts, portal: Receiver) -> PaymentResult:
    return pay(parts, open_payment(parts, notify_url=portal.url))


def test_payer_and_manager_each_get_their_copy(parts: Parts, paid: PaymentResult) -> None:

    deliver(parts)

    mails = {mail.to: mail for mail in parts.inbox.messages(kind="mail", payment=paid.id) if mail.attachments}
    assert set(mails) == {"famille@example.org", "regisseur@demonstration.example"}
    assert mails["famille@example.org"].attachments[0].name == f"ticket-client-{paid.number}.pdf"
    assert mails["regisseur@demonstration.example"].attachments[0].name == f"ticket-merchant-{paid.number}.pdf"


def test_a_receipt_sent_again_is_marked_duplicate(parts: Parts, paid: PaymentResult) -> None:
    deliver(parts)
    with parts.store.transaction() as tx:
        rows = tx.notices.of_payment(tx.payments.get(paid.id).id)
        tx.notices.resend(next(row.id for row in rows if row.channel == "payer_mail"), parts.now())

    deliver(parts)

    again, first = (m for m in parts.inbox.messages(payment=paid.id, to="famille@example.org"))
    assert "DUPLICATA" in again.subject.upper()
    assert "DUPLICATA" not in first.subject.upper()


def test_a_confirmation_given_up_rings_once_at_the_merchants(
    parts: Parts, paid: PaymentResult, portal: Receiver
) -> None:
    deliver(parts)
    with parts.store.transaction() as tx:
        rows = tx.notices.of_payment(tx.payments.get(paid.id).id)
        dead = next(row for row in rows if row.channel == "confirmation")
        tx.notices.resend(dead.id, parts.now())
    deliver(parts)

    deliver(parts)

    alarms = [m for m in parts.inbox.messages(kind="mail", payment=paid.id) if "non remise" in m.subject]
    assert dead.state == "dead"
    assert [alarm.to for alarm in alarms] == ["regisseur@demonstration.example"]
    assert portal.url.split("/")[2] in alarms[0].text
    assert "HTTP 410" in alarms[0].text


def test_a_refund_is_told_to_payer_and_manager_with_its_own_ticket(parts: Parts, paid: PaymentResult) -> None:
    from gateway.core.money import Money
    from gateway.dialects import Refund, Signed, Which

    deliver(parts)
    command = Refund(Which(payment=paid.id), Money(1000), Signed("mairie-demo", "refund-1", "d"))
    parts.checkout.refunding.refund(command, "native")

    deliver(parts)

    told = [m for m in parts.inbox.messages(kind="mail", payment=paid.id) if "10,00" in m.text]
    assert {mail.to for mail in told} == {"famille@example.org", "regisseur@demonstration.example"}
