"""REST V4 about payments there are already, through the real core: Transaction/Get and Transaction/CancelOrRefund."""

import hashlib
import json
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest

from gateway.acquirers import Answer, Outcome
from gateway.core.errors import GatewayError
from gateway.core.money import Money
from gateway.core.payment import PaymentResult
from gateway.dialects import HttpCall, HttpReply, LookUp, Open, Refund
from gateway.parts import Parts
from tests.dialects.samples import systempay
from tests.dialects.test_systempay import ASKED, rest
from tests.factories import FUNDS, enter, pay
from tests.support.clock import Clock

REFUND_REFUSED = "4000000800030001"
CAPTURE_ERROR = "4000000800010003"


def call(parts: Parts, path: str, members: object, user: str = "12345678") -> Any:
    """Say something as the shop's server does; gives the whole envelope."""
    dialect, now = parts.dialects["systempay"], parts.now()
    asked = rest(members, path=f"Transaction/{path}", user=user)
    try:
        command = dialect.read(asked, now)
        if isinstance(command, LookUp):
            result = parts.checkout.opening.look_up(command, "systempay")
        else:
            assert isinstance(command, Refund)
            result = parts.checkout.refunding.refund(command, "systempay")
        reply = dialect.found(command, result, "", now)
    except GatewayError as error:
        refusal = dialect.refused(asked, error)
        assert isinstance(refusal, HttpReply)
        reply = refusal
    assert reply.status == 200
    return json.loads(reply.body)


def opened(parts: Parts, request: HttpCall) -> PaymentResult:
    command = parts.dialects["systempay"].read(request, parts.now())
    assert isinstance(command, Open)
    return parts.checkout.opening.open(command, "systempay")[0]


def by_form(parts: Parts, **more: str) -> PaymentResult:
    return opened(parts, systempay("ORDER0000001", parts.now(), **more))


def by_rest(parts: Parts) -> PaymentResult:
    return opened(parts, rest({**ASKED, "amount": 9612, "ipnTargetUrl": "http://127.0.0.1:8001/ipn"}))


def begun(parts: Parts, payment: PaymentResult) -> PaymentResult:
    return parts.checkout.paying.show(payment.id).result


@pytest.mark.parametrize("make", [by_form, by_rest])
def test_a_transaction_is_told_by_its_uuid(parts: Parts, make: Any) -> None:
    payment = begun(parts, make(parts))
    pay(parts, payment)

    envelope = call(parts, "Get", {"uuid": payment.handle})

    told = envelope["answer"]
    assert (envelope["status"], envelope["webService"], envelope["version"]) == ("SUCCESS", "Transaction/Get", "V4")
    assert (told["uuid"], told["amount"], told["currency"]) == (payment.handle, 9612, "EUR")
    assert (told["status"], told["detailedStatus"], told["operationType"]) == ("PAID", "AUTHORISED", "DEBIT")
    assert told["orderDetails"]["orderId"] == ("ORDER0000001" if make is by_form else "CMD-1")
    assert told["transactionDetails"]["cardDetails"]["pan"] == "424242XXXXXX4242"


def test_what_became_of_the_money_is_told(parts: Parts, clock: Clock) -> None:
    payment = begun(parts, by_form(parts))
    pay(parts, payment)

    clock.advance(days=1)
    parts.checkout.sweep()

    assert call(parts, "Get", {"uuid": payment.handle})["answer"]["detailedStatus"] == "CAPTURED"


def test_money_that_waits_for_the_shop_is_running_and_a_capture_that_failed_is_told(parts: Parts, clock: Clock) -> None:
    waits = begun(parts, by_form(parts, vads_validation_mode="1"))
    pay(parts, waits)
    told = call(parts, "Get", {"uuid": waits.handle})["answer"]
    failed = begun(parts, by_rest(parts))
    pay(parts, failed, CAPTURE_ERROR)
    clock.advance(days=1)
    parts.checkout.sweep()

    assert (told["status"], told["detailedStatus"]) == ("RUNNING", "AUTHORISED_TO_VALIDATE")
    assert call(parts, "Get", {"uuid": failed.handle})["answer"]["detailedStatus"] == "CAPTURE_FAILED"


def test_a_refusal_is_told_with_its_code(parts: Parts) -> None:
    payment = begun(parts, by_form(parts))
    enter(parts, payment, FUNDS)
    parts.checkout.settling.authorise(payment.id)
    parts.checkout.paying.cancel(payment.id)

    told = call(parts, "Get", {"uuid": payment.handle})["answer"]

    assert (told["status"], told["detailedStatus"], told["detailedErrorCode"]) == ("UNPAID", "REFUSED", "51")


@pytest.mark.parametrize("user", ["12345678", "nobody"])
def test_nobody_is_told_a_transaction_there_is_not(parts: Parts, user: str) -> None:
    live, foreign = begun(parts, by_form(parts)), "f" * 32

    codes = [call(parts, "Get", {"uuid": uuid}, user)["answer"]["errorCode"] for uuid in (live.handle, foreign)]

    assert codes == (["PSP_010"] * 2 if user == "12345678" else ["INT_905"] * 2)


def test_another_site_of_the_merchant_is_not_told(parts: Parts) -> None:
    payment = begun(parts, by_form_of_the_sister(parts))
    pay(parts, payment)

    assert call(parts, "Get", {"uuid": payment.handle})["answer"]["errorCode"] == "PSP_010"


def by_form_of_the_sister(parts: Parts) -> PaymentResult:
    sample = systempay("ORDER0000001", parts.now(), vads_site_id="87654321")
    fields = {name: value for name, value in parse_qsl(sample.body.decode()) if name != "signature"}
    text = "+".join(fields[name] for name in sorted(fields)) + "+1122334455667788"
    fields["signature"] = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    return opened(parts, HttpCall("POST", sample.path, headers=sample.headers, body=urlencode(fields).encode()))


def test_before_the_capture_the_whole_is_cancelled(parts: Parts) -> None:
    payment = begun(parts, by_form(parts, vads_validation_mode="1"))
    pay(parts, payment)

    envelope = call(parts, "CancelOrRefund", {"uuid": payment.handle, "amount": 9612, "currency": "EUR"})

    told = envelope["answer"]
    assert (envelope["status"], envelope["webService"]) == ("SUCCESS", "Transaction/CancelOrRefund")
    assert (told["uuid"], told["operationType"], told["detailedStatus"], told["status"]) == (
        payment.handle,
        "DEBIT",
        "CANCELLED",
        "UNPAID",
    )
    assert call(parts, "Get", {"uuid": payment.handle})["answer"]["detailedStatus"] == "CANCELLED"


def test_after_the_capture_it_is_given_back_as_a_credit_of_its_own(parts: Parts, clock: Clock) -> None:
    payment = begun(parts, by_form(parts))
    pay(parts, payment)
    clock.advance(days=1)
    parts.checkout.sweep()

    part = call(parts, "CancelOrRefund", {"uuid": payment.handle, "amount": 1000, "comment": "lost lunch"})["answer"]
    rest_of_it = call(parts, "CancelOrRefund", {"uuid": payment.handle})["answer"]
    too_much = call(parts, "CancelOrRefund", {"uuid": payment.handle, "amount": 1})

    assert [(told["operationType"], told["detailedStatus"], told["amount"]) for told in (part, rest_of_it)] == [
        ("CREDIT", "AUTHORISED", 1000),
        ("CREDIT", "AUTHORISED", 8612),
    ]
    assert len({payment.handle, part["uuid"], rest_of_it["uuid"]}) == 3
    assert (too_much["status"], too_much["answer"]["errorCode"]) == ("ERROR", "PSP_003")
    given_back = parts.checkout.opening.told(payment.id)
    assert (given_back.refunded_cents, given_back.refunds[0].reason) == (9612, "lost lunch")
    assert call(parts, "Get", {"uuid": payment.handle})["answer"]["detailedStatus"] == "CAPTURED"


def test_a_refund_the_bank_refuses_is_an_error(parts: Parts, clock: Clock) -> None:
    payment = begun(parts, by_form(parts))
    pay(parts, payment, REFUND_REFUSED)
    clock.advance(days=1)
    parts.checkout.sweep()

    envelope = call(parts, "CancelOrRefund", {"uuid": payment.handle})

    assert (envelope["status"], envelope["answer"]["errorCode"]) == ("ERROR", "PSP_003")


def test_a_cancellation_the_bank_refuses_is_an_error_too(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    payment = begun(parts, by_form(parts, vads_validation_mode="1"))
    pay(parts, payment)

    def refuse(_target: str, amount: Money, *, op_id: str) -> Answer:
        return Answer(op_id, Outcome.DECLINED, amount, "12", "wrong_state")

    monkeypatch.setattr(parts.checkout.desk.acquirer, "reverse", refuse)
    envelope = call(parts, "CancelOrRefund", {"uuid": payment.handle})

    assert (envelope["status"], envelope["answer"].get("errorCode")) == ("ERROR", "PSP_003")
    assert call(parts, "Get", {"uuid": payment.handle})["answer"]["detailedStatus"] == "AUTHORISED_TO_VALIDATE"


def test_what_was_never_paid_is_not_given_back(parts: Parts) -> None:
    payment = begun(parts, by_form(parts))

    envelope = call(parts, "CancelOrRefund", {"uuid": payment.handle})

    assert (envelope["status"], envelope["answer"]["errorCode"]) == ("ERROR", "PSP_003")
    assert parts.checkout.opening.told(payment.id).is_live


def test_a_settled_payment_is_refunded_not_cancelled(parts: Parts, clock: Clock) -> None:
    payment = begun(parts, by_form(parts))
    pay(parts, payment)
    parts.checkout.sweep()
    clock.advance(days=2)
    parts.checkout.sweep()

    envelope = call(parts, "CancelOrRefund", {"uuid": payment.handle, "resolutionMode": "CANCELLATION_ONLY"})

    assert envelope["answer"]["errorCode"] == "PSP_003"
    assert parts.checkout.opening.told(payment.id).refunds == ()


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({}, "INT_902"),
        ({"uuid": "x"}, "INT_902"),
        ({"uuid": "F" * 32}, "INT_902"),
        ({"uuid": "f" * 32, "amount": 0}, "INT_009"),
        ({"uuid": "f" * 32, "amount": "1"}, "INT_009"),
        ({"uuid": "f" * 32, "currency": "USD"}, "INT_010"),
        ({"uuid": "f" * 32, "resolutionMode": "REFUND_ONLY"}, "INT_902"),
        ({"uuid": "f" * 32, "comment": "\x00"}, "INT_902"),
        ({"uuid": "f" * 32}, "PSP_010"),
    ],
)
def test_a_wrong_order_is_answered_in_the_envelope(parts: Parts, members: object, code: str) -> None:
    envelope = call(parts, "CancelOrRefund", members)

    assert (envelope["status"], envelope["answer"]["errorCode"]) == ("ERROR", code)
    assert envelope["answer"]["_type"] == "V4/WebService/WebServiceError"


def test_only_the_shop_gives_money_back(parts: Parts) -> None:
    payment = begun(parts, by_form(parts))
    pay(parts, payment)
    wrong = rest({"uuid": payment.handle}, "testpassword_OTHER", path="Transaction/CancelOrRefund")

    with pytest.raises(GatewayError):
        parts.dialects["systempay"].read(wrong, parts.now())

    assert parts.checkout.opening.told(payment.id).refunds == ()
