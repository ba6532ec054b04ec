"""Whoever holds a ticket asks whether it is genuine: what the page says, and what it never tells a stranger."""

import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient

from gateway import keys
from gateway.acquirers import Answer
from gateway.core.errors import AcquirerUnreachable, NotFound
from gateway.core.money import Money
from gateway.core.payment import PaymentResult, Which
from gateway.dialects import Refund, Signed
from gateway.links import Checked, Links
from gateway.parts import Parts, build
from gateway.receipts import Receipt
from gateway.receipts.press import signed_of
from gateway.settings import Settings
from tests.factories import MERCHANT, open_payment, pay
from tests.support.clock import Clock

SAID = Checked("pay_0123456789abcdef01234567", "", Money(9612), "20261121", is_duplicate=False)


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """What is asked here is a page's, not a database's."""
    return sqlite_url


def paid(parts: Parts) -> PaymentResult:
    payment = open_payment(parts, reference="FACT-2026-0042", payer_name="Quentin Zyrianov", beneficiary="Léa Zyrianov")
    return pay(parts, payment)


def give_back(parts: Parts, payment: PaymentResult, cents: int) -> PaymentResult:
    command = Refund(Which(payment=payment.id), Money(cents), Signed(MERCHANT, f"refund-{cents}", "d"))
    parts.checkout.refunding.refund(command, "native")
    parts.checkout.sweep()
    return parts.checkout.opening.told(payment.id)


def path_of(parts: Parts, payment: PaymentResult, *, refund: str = "", duplicate: bool = False) -> str:
    kind = "payment.refunded" if refund else "payment.succeeded"
    receipt = Receipt.of(payment, kind, "payer", refund=refund, duplicate=duplicate)
    return urlsplit(parts.press().check_url(receipt)).path


def ask(client: FlaskClient, path: str, language: str = "en") -> tuple[int, str, str]:
    """Give the status, the verdict, and all the words of the page on one line."""
    answer = client.get(path, query_string={"lang": language})
    page = answer.get_data(as_text=True)
    verdict = re.search(r'data-verdict="(\w+)"', page)
    return answer.status_code, verdict[1] if verdict else "", " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_a_genuine_ticket_is_recognised_and_a_stranger_learns_nothing_more(parts: Parts, client: FlaskClient) -> None:
    payment = paid(parts)

    status, verdict, words = ask(client, path_of(parts, payment))

    assert (status, verdict) == (200, "genuine")
    for told in ("This ticket is genuine", payment.payee.name, "€96.12", "…0042", "It is a test"):
        assert told in words
    attempt = payment.attempt
    assert attempt
    told_to_nobody = ["FACT-2026", "Zyrianov", payment.email, payment.number, attempt.authorisation_number, payment.id]
    assert [one for one in (*told_to_nobody, attempt.last4, "refunded", "duplicate") if one in words] == []


def test_what_was_given_back_since_is_told(parts: Parts, client: FlaskClient) -> None:
    payment = paid(parts)
    parts.checkout.sweep()
    path = path_of(parts, payment)

    part = give_back(parts, payment, 1000)
    assert "Since then €10.00 of this sum has been refunded." in ask(client, path)[2]
    whole = give_back(parts, payment, 8612)
    assert "Since then the whole sum has been refunded." in ask(client, path)[2]

    status, verdict, words = ask(client, path_of(parts, whole, refund=part.refunds[0].id))
    assert (status, verdict) == (200, "genuine")
    assert "Operation Refund" in words
    assert "€10.00" in words
    assert "€96.12" not in words


def test_what_the_bank_has_not_given_back_is_not_called_refunded(
    parts: Parts, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silence(*_: object, **__: object) -> Answer:
        raise AcquirerUnreachable("no answer")

    payment = paid(parts)
    parts.checkout.sweep()
    monkeypatch.setattr(parts.checkout.desk.acquirer, "refund", silence)

    asked_for = give_back(parts, payment, 9612)

    assert [refund.status for refund in asked_for.refunds] == ["unknown"]
    for path in (path_of(parts, payment), f"/p/{parts.links.page_token(payment.id)}"):
        assert "refunded" not in ask(client, path)[2]


def test_the_paid_page_tells_what_was_given_back_since(parts: Parts, client: FlaskClient) -> None:
    payment = paid(parts)
    parts.checkout.sweep()
    path = f"/p/{parts.links.page_token(payment.id)}"

    give_back(parts, payment, 1000)
    assert "Since then €10.00 of this sum has been refunded." in ask(client, path)[2]
    give_back(parts, payment, 8612)
    assert "Since then the whole sum has been refunded." in ask(client, path)[2]


def test_a_duplicate_says_that_there_is_an_original(parts: Parts, client: FlaskClient) -> None:
    words = ask(client, path_of(parts, paid(parts), duplicate=True))[2]

    assert "It is a duplicate" in words


@pytest.mark.parametrize("spoil", ["amount", "day", "copy", "payment", "signature", "cut", "nonsense"])
def test_a_code_that_was_changed_is_said_to_be_so(parts: Parts, client: FlaskClient, spoil: str) -> None:
    path = path_of(parts, paid(parts))
    body, signature = path.removeprefix("/v/").rsplit(".", 1)
    payment, refund, amount, day, copy = body.split("_")
    spoilt = {
        "amount": f"{payment}_{refund}_9{amount}_{day}_{copy}.{signature}",
        "day": f"{payment}_{refund}_{amount}_{int(day) + 1}_{copy}.{signature}",
        "copy": f"{payment}_{refund}_{amount}_{day}_2.{signature}",
        "payment": f"{'f' * 24}_{refund}_{amount}_{day}_{copy}.{signature}",
        "signature": f"{body}.{signature[1:]}{signature[0]}",
        "cut": path.removeprefix("/v/")[:-1],
        "nonsense": "é%00_.",
    }[spoil]

    status, verdict, words = ask(client, f"/v/{spoilt}")

    assert (status, verdict) == (404, "forged")
    assert "This ticket is not genuine" in words
    assert "€96.12" not in words


def test_a_code_that_the_books_contradict_is_not_genuine(parts: Parts, client: FlaskClient) -> None:
    said = signed_of(Receipt.of(paid(parts), "payment.succeeded", "payer"))
    unpaid = open_payment(parts, reference="FACT-2")

    for other in (
        replace(said, amount=Money(1)),
        replace(said, day="20200101"),
        replace(said, refund="ref_9"),
        replace(said, payment=unpaid.id),
    ):
        assert ask(client, urlsplit(parts.links.check(other)).path)[:2] == (404, "forged")


def test_a_code_of_a_payment_nobody_keeps_says_just_that(parts: Parts, client: FlaskClient) -> None:
    status, verdict, words = ask(client, urlsplit(parts.links.check(SAID)).path)

    assert (status, verdict) == (410, "gone")
    assert "can no longer be verified" in words


def test_a_ticket_stays_genuine_when_its_payer_is_forgotten(parts: Parts, client: FlaskClient, clock: Clock) -> None:
    path = path_of(parts, paid(parts))

    clock.advance(days=15 * 31)
    for _ in range(2):
        clock.advance(hours=1, seconds=1)
        while parts.checkout.sweep():
            clock.advance(seconds=61)

    with parts.store.reading() as tx:
        assert tx.payments.by_id(1).forgotten_at is not None
    status, verdict, words = ask(client, path)
    assert (status, verdict) == (200, "genuine")
    assert "…0042" in words


def test_a_ticket_outlives_the_key_it_was_signed_with(home: Path, settings: Settings, parts: Parts) -> None:
    url = parts.links.check(SAID)
    old = next(path for path in (home / "keys").glob("ticket-*.key"))
    keys.create(home / "keys", "ticket", parts.now())
    keys.retire(home / "keys", old.name)

    later = build(settings, parts.now)

    assert later.links.checked(url.rsplit("/", 1)[1]) == SAID
    assert later.links.check(SAID) != url
    later.store.engine.dispose()


def test_a_code_is_none_of_the_other_signed_addresses() -> None:
    links = Links("https://pay.example", (b"k",), (b"k",), (b"k",))
    token = links.check(SAID).rsplit("/", 1)[1]

    assert links.checked(token) == SAID
    for read in (links.payment_of, links.ticket_of, links.paylink_of):
        with pytest.raises(NotFound):
            read(token)
    with pytest.raises(NotFound):
        links.checked(links.page_token(SAID.payment))


def test_the_page_speaks_the_holders_language_and_needs_no_script(parts: Parts, app: Flask) -> None:
    path = path_of(parts, paid(parts))

    page = app.test_client().get(path, headers={"Accept-Language": "ar, en;q=0.5"}).get_data(as_text=True)

    assert '<html lang="ar" dir="rtl">' in page
    assert " style=" not in page
    assert app.test_client().get(path).get_data(as_text=True).count("Ce ticket est authentique") >= 2
