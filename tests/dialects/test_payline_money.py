"""Payline's money: the contracts a payment is offered on, purchases in several times, and the codes test cards force."""

from dataclasses import replace
from datetime import UTC, date, datetime
from urllib.parse import parse_qsl

import pytest
from lxml import etree

from gateway.acquirers.cards import load
from gateway.core.card import luhn_valid
from gateway.core.errors import SettingsError
from gateway.core.money import Money
from gateway.core.payment import Event, Instalment, InstalmentResult, PaymentResult
from gateway.core.states import AttemptStatus, InstalmentStatus
from gateway.dialects import HttpCall, Open, Try
from gateway.dialects.payline.codes import of_attempt
from gateway.dialects.payline.merchant import Terms
from tests.dialects.payline_counter import (
    BASIC,
    EXTENDED,
    NOW,
    WEB,
    Counter,
    a_dialect,
    a_merchant,
    an_attempt,
    ask,
    has,
    opening,
    read,
)
from tests.support.server import ROOT

CONTRACTS = [
    {"number": "1234567", "label": "CB", "card_type": "CB"},
    {"number": "7654321", "label": "American Express", "card_type": "AMEX"},
    {"number": "5555555", "label": "Maestro", "card_type": "MAESTRO"},
]
CB = ("cb", "visa", "mastercard", "maestro")


def offered(*lists: tuple[str, list[str]], contract: str = "1234567") -> Open:
    """Read a wish with these lists of contracts."""
    written = ""
    for name, numbers in lists:
        written += f"<{name}>{''.join(f'<selectedContract>{one}</selectedContract>' for one in numbers)}</{name}>"
    body = opening(lambda text: text.replace("<contractNumber>1234567", f"<contractNumber>{contract}") + written)
    call = HttpCall("POST", WEB, headers={"authorization": BASIC}, body=body)
    command = a_dialect(contracts=CONTRACTS).read(call, NOW)
    assert isinstance(command, Open)
    return command


@pytest.mark.parametrize(
    ("lists", "schemes", "again"),
    [
        ([], (*CB, "amex"), ()),
        ([("selectedContractList", ["7654321"])], ("amex",), ()),
        ([("selectedContractList", ["5555555", "7654321"])], ("maestro", "amex"), ()),
        ([("selectedContractList", ["7654321", "1234567"])], (*CB, "amex"), ()),
        (
            [("selectedContractList", ["7654321"]), ("secondSelectedContractList", ["5555555", "1234567"])],
            ("amex",),
            ("maestro", "cb", "visa", "mastercard"),
        ),
        ([("secondSelectedContractList", ["7654321"])], (*CB, "amex"), ("amex",)),
    ],
)
def test_the_contracts_of_a_wish_are_the_brands_of_its_page(
    lists: list[tuple[str, list[str]]], schemes: tuple[str, ...], again: tuple[str, ...]
) -> None:
    request = offered(*lists).request

    assert (request.schemes, request.schemes_again) == (schemes, again)


def test_another_offer_is_another_wish() -> None:
    first = offered(("selectedContractList", ["7654321"]))
    second = offered(("selectedContractList", ["7654321"]), ("secondSelectedContractList", ["1234567"]))

    assert first.signed.digest != second.signed.digest


@pytest.mark.parametrize("name", ["selectedContractList", "secondSelectedContractList"])
def test_a_contract_of_somebody_else_is_refused_in_either_list(name: str) -> None:
    listed = (
        f"<{name}><selectedContract>1234567</selectedContract><selectedContract>9999999</selectedContract></{name}>"
    )

    reply = Counter().post(WEB, opening(lambda text: text + listed))

    assert read(reply, "result", "code") == "02303"
    assert read(reply, "result", "longMessage") == "Invalid contract number : 9999999"


@pytest.mark.parametrize(
    ("scheme", "contract", "method"),
    [("cb", "1234567", "CB"), ("visa", "1234567", "CB"), ("amex", "7654321", "AMEX"), ("maestro", "1234567", "CB")],
)
def test_the_contract_told_is_the_one_that_took_the_card(scheme: str, contract: str, method: str) -> None:
    counter = Counter(a_dialect(contracts=CONTRACTS))
    token = read(counter.post(WEB, opening()), "token")
    asked = ask("getWebPaymentDetails", f"<version>34</version><token>{token}</token>")
    before = counter.post(WEB, asked)
    counter.pay(scheme=scheme)

    told = counter.post(WEB, asked)

    assert (read(before, "contractNumber"), read(before, "payment", "method")) == ("1234567", "CB")
    assert (read(told, "contractNumber"), read(told, "payment", "contractNumber")) == (contract, contract)
    assert read(told, "payment", "method") == method


def test_a_contract_of_no_card_is_no_contract_of_ours() -> None:
    with pytest.raises(SettingsError) as caught:
        a_dialect(contracts=[{"number": "1", "card_type": "PAYPAL"}])

    assert caught.value.faults[0].startswith("merchants.falaise-demo.protocol.contracts")


def test_the_soft_descriptor_is_the_name_on_the_statement() -> None:
    counter = Counter()
    named = opening(lambda t: t.replace("</payment>", "<softDescriptor>LA FALAISE  CANTINE</softDescriptor></payment>"))
    token = read(counter.post(WEB, named), "token")
    counter.pay()

    told = counter.post(WEB, ask("getWebPaymentDetails", f"<version>34</version><token>{token}</token>"))

    assert counter.payments[-1].request.statement == "LA FALAISE CANTINE"
    assert read(told, "payment", "softDescriptor") == "LA FALAISE  CANTINE"
    assert read(told, "transaction", "softDescriptor") == "LA FALAISE  CANTINE"


# Purchases in several times.

THREE_TIMES = "<amount>3204</amount><billingCycle>40</billingCycle><billingLeft>3</billingLeft>"


def in_parts(recurring: str = THREE_TIMES) -> bytes:
    return opening(lambda text: text.replace("<mode>CPT", "<mode>NX") + f"<recurring>{recurring}</recurring>")


def bought(counter: Counter, **second: object) -> PaymentResult:
    """Have a purchase in three times paid, and its second part stand as ``second`` says."""
    counter.post(WEB, in_parts())
    counter.pay()
    parts = [InstalmentResult(2, date(2026, 12, 21), Money(3204), InstalmentStatus.PLANNED)]
    parts.append(InstalmentResult(3, date(2027, 1, 21), Money(3204), InstalmentStatus.PLANNED))
    parts[0] = replace(parts[0], **second)  # type: ignore[arg-type]  # a test names the fields it changes
    return counter.change(instalments=tuple(parts))


def records(counter: Counter) -> list[dict[str, str | None]]:
    """Tell the billing records: each a flat table of what it says."""
    token = counter.payments[-1].handle
    told = counter.post(WEB, ask("getWebPaymentDetails", f"<version>34</version><token>{token}</token>"))
    found = etree.fromstring(told.body).xpath("//*[local-name()='billingRecord']")
    assert isinstance(found, list)
    rows = []
    for record in found:
        assert isinstance(record, etree._Element)
        row = {}
        for leaf in record.iter(etree.Element):
            if len(leaf) == 0:
                above = leaf.getparent()
                inner = "" if above is record or above is None else etree.QName(above).localname + "."
                row[inner + etree.QName(leaf).localname] = leaf.text
        rows.append(row)
    return rows


def test_a_purchase_in_parts_tells_each_of_its_debits() -> None:
    counter = Counter()
    purchase = bought(counter)

    first, second, third = records(counter)

    assert (first["date"], first["amount"], first["status"], first["rank"]) == ("21/11/2026", "3204", "1", "1")
    assert (first["result.code"], first["transaction.id"], first["nbTry"]) == ("00000", "00000000000001", "1")
    assert (first["authorization.number"], first["authorization.authorizedAmount"]) == ("A55A", "3204")
    assert (second["date"], second["amount"], second["status"], second["rank"]) == ("21/12/2026", "3204", "0", "2")
    assert (second["result"], second["transaction"], second["nbTry"]) == (None, None, "0")
    assert (third["date"], third["status"], third["rank"]) == ("21/01/2027", "0", "3")
    token = purchase.handle
    told = counter.post(WEB, ask("getWebPaymentDetails", f"<version>34</version><token>{token}</token>"))
    assert (read(told, "paymentRecordId"), read(told, "payment", "amount")) == (purchase.id, "9612")


@pytest.mark.parametrize(
    ("status", "attempt", "word", "code"),
    [
        (InstalmentStatus.PLANNED, None, "0", None),
        (InstalmentStatus.WORKING, an_attempt(status=AttemptStatus.AUTHORISING), "0", None),
        (InstalmentStatus.PAID, an_attempt(), "1", "00000"),
        (
            InstalmentStatus.REFUSED,
            an_attempt(status=AttemptStatus.DECLINED, response_code="51", number=4),
            "2",
            "01116",
        ),
        (InstalmentStatus.RETRYING, an_attempt(status=AttemptStatus.DECLINED, response_code="05"), "3", "01100"),
        (InstalmentStatus.VOID, None, "4", None),
    ],
)
def test_each_later_debit_has_the_status_of_its_record(
    status: InstalmentStatus, attempt: object, word: str, code: str | None
) -> None:
    counter = Counter()
    paid_at = datetime(2026, 12, 21, 7, 0, tzinfo=UTC) if status is InstalmentStatus.PAID else None
    bought(counter, status=status, attempt=attempt, number="0000000007" if attempt else "", paid_at=paid_at)

    second = records(counter)[1]

    assert (second["status"], second.get("result.code")) == (word, code)
    assert second.get("transaction.id") == ("00000000000007" if attempt else None)
    assert second["nbTry"] == str(getattr(attempt, "number", 0))
    assert second.get("authorization.number") == ("A55A" if status is InstalmentStatus.PAID else None)
    if paid_at:
        assert second["transaction.date"] == "21/12/2026 08:00:00"


def test_a_payment_at_once_has_no_billing_records() -> None:
    counter = Counter()
    token = read(counter.post(WEB, opening()), "token")
    counter.pay()

    told = counter.post(WEB, ask("getWebPaymentDetails", f"<version>34</version><token>{token}</token>"))

    assert (read(told, "paymentRecordId"), read(told, "billingRecordList")) == (None, None)
    assert has(told, "billingRecordList")


def test_another_plan_is_another_wish() -> None:
    other = THREE_TIMES.replace("<billingCycle>40", "<billingCycle>60")
    counter = Counter()

    for body in (in_parts(), in_parts(), in_parts(other)):
        counter.post(WEB, body)

    first, again, another = (one.signed.digest for one in counter.commands if isinstance(one, Open))
    assert first == again
    assert first != another
    assert counter.payments[-1].request.instalments[0] == Instalment(date(2027, 2, 21), Money(3204))


def later_debit(counter: Counter) -> PaymentResult:
    """Give the second debit of a purchase: a payment of its own, of whose token no merchant has heard."""
    purchase = bought(counter)
    part = replace(purchase, id="pay_9", number="0000000009", handle="f" * 32, parent=purchase.id, rank=2)
    counter.payments.append(replace(part, instalments=()))
    return counter.payments[-1]


def test_a_later_debit_is_told_as_a_billing() -> None:
    counter = Counter()
    debit = later_debit(counter)
    body = counter.dialect.confirmed(debit, Event("e", 2, "payment.succeeded", NOW))

    call = counter.dialect.delivery(debit.recipient, Try("ntc_1", body, 1, NOW))

    assert parse_qsl(call.query, keep_blank_values=True) == [
        ("shop", "2"),
        ("notificationType", "BILL"),
        ("paymentRecordId", "pay_1"),
        ("walletId", ""),
        ("transactionId", "00000000000009"),
        ("billingRecordDate", "21/11/2026"),
        ("orderRef", "44023989"),
    ]


def test_an_order_in_parts_is_told_by_its_purchase_and_a_debit_by_its_number() -> None:
    counter = Counter()
    later_debit(counter)

    by_order = counter.post(
        EXTENDED, ask("getTransactionDetails", "<version>34</version><orderRef>44023989</orderRef>")
    )
    by_number = counter.post(
        EXTENDED, ask("getTransactionDetails", "<version>34</version><transactionId>9</transactionId>")
    )

    assert read(by_order, "transaction", "id") == "00000000000001"
    assert read(by_number, "transaction", "id") == "00000000000009"


# The codes of the published simulator.

FORCED = """
    01100 01101 01103 01108 01109 01110 01111 01113 01114 01115 01116 01117 01118 01119 01120 01121 01122 01123 01125
    01128 01129 01130 01131 01132 01133 01180 01181 01182 01183 01184 01185 01197 01198 01199 01200 01201 01202 01206
    01207 01208 01209 01280 01902 01904 01907 01909 01912 01913 01914 01915 01917 01940 01941 01942 01943
"""
TERMS = Terms.model_validate(a_merchant().protocol)


@pytest.mark.parametrize("code", FORCED.split())
def test_every_bank_s_code_is_forced_by_the_card_that_holds_it(code: str) -> None:
    number = next(f"4970103469{code}{digit}" for digit in range(10) if luhn_valid(f"4970103469{code}{digit}"))

    card = load(ROOT / "config/test_cards.toml").find(number)

    assert card is not None
    refused = an_attempt(status=AttemptStatus.DECLINED, response_code=card.code, response_family=card.family)
    assert of_attempt(refused, TERMS).number == code


def test_the_published_examples_are_among_them() -> None:
    table = load(ROOT / "config/test_cards.toml")
    published = ("4970103469012066", "4970103469012082", "4970103469011001", "4970103469011167", "4970103469012017")

    assert [card.key for number in published if (card := table.find(number))] == [
        "payline-01206", "payline-01208", "payline-01100", "payline-01116", "payline-01201",
    ]  # fmt: skip


AMOUNTS = {
    33305: "01100", 33360: "01103", 33302: "01108", 33303: "01109", 33313: "01110", 33314: "01111", 33351: "01116",
    33355: "01117", 33356: "01118", 33357: "01119", 33358: "01120", 33361: "01121", 33363: "01122", 33316: "01131",
    33331: "01199", 33354: "01201", 33334: "01202", 33338: "01206", 33312: "01902", 33330: "01904", 33391: "01907",
    33396: "01909", 33315: "01912", 33394: "01913", 33304: "01200", 33333: "01201", 33307: "01207", 33341: "01208",
    33343: "01209",
}  # fmt: skip


@pytest.mark.parametrize("number", ["4970102121041646", "4242424242424242"], ids=["a sample of Payline's", "our own"])
def test_amounts_force_their_codes_on_good_cards(number: str) -> None:
    table = load(ROOT / "config/test_cards.toml")
    card = table.find(number)
    assert card is not None

    told = {
        cents: of_attempt(
            an_attempt(status=AttemptStatus.DECLINED, response_code=code, response_family=""), TERMS
        ).number
        for cents in range(33290, 33400)
        if (code := table.refusal(card, cents))
    }

    assert told == AMOUNTS


def test_no_other_service_s_card_is_refused_by_amount() -> None:
    table = load(ROOT / "config/test_cards.toml")

    others = [card for card in table.cards if card.source.service not in {"payline", "guichet"}]

    assert others
    assert not [card.key for card in others if table.refusal(card, 33305)]


def test_what_the_sdks_say_of_themselves_is_kept_with_the_payment() -> None:
    headers = {"authorization": BASIC, "version": "shop 1 - PHP SDK 4.77", "x-failover-cause": "APP_02101"}
    odd = {"authorization": BASIC, "version": "é\n"}

    said, unsaid = (a_dialect().read(HttpCall("POST", WEB, headers=one, body=opening()), NOW) for one in (headers, odd))

    assert isinstance(said, Open)
    assert isinstance(unsaid, Open)
    assert said.marks == {"client": "shop 1 - PHP SDK 4.77", "failover": "APP_02101"}
    assert unsaid.marks == {}


def test_a_card_number_in_a_header_is_not_kept() -> None:
    headers = {"authorization": BASIC, "version": "4970 1051 9190 9006", "x-failover-cause": "4970105191909006"}
    call = HttpCall("POST", "/V4/services/WebPaymentAPI", headers=headers, body=opening())

    said = a_dialect().read(call, NOW)

    assert isinstance(said, Open)
    assert said.marks == {}
