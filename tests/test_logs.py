"""Logs are JSON lines of named fields: no card, no person, no body, whoever writes them."""

import ast
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client import REGISTRY

from gateway import logs
from gateway.core.errors import DeliveryFailed
from gateway.parts import Parts
from tests.factories import CHALLENGE, FUNDS, enter, open_payment, pay
from tests.support.clock import Clock
from tests.support.output import caught
from tests.support.portal import Portal

# What a line may hold: what the logger adds by itself, and the facts the product names.
ALLOWED = {
    "event", "level", "logger", "timestamp", "scrubbed", "exception",
    "attempt", "attempts", "channel", "code", "count", "dialect", "faults", "host", "merchant", "notice", "path",
    "payment", "pid", "port", "program", "reason", "reference", "refund", "seconds", "status", "tries",
}  # fmt: skip
log = logging.getLogger("gateway.test")


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    with caught(monkeypatch) as written:
        yield written


def lines(output: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.getvalue().splitlines()]


def scrubbed_by(logger: str) -> float:
    return REGISTRY.get_sample_value("guichet_scrubbed_total", {"logger": logger}) or 0


class TestForm:
    def test_a_line_is_one_json_object_in_utc(self, output: io.StringIO) -> None:
        log.info("payment authorised", extra={"payment": "pay_1", "merchant": "mairie-demo"})

        (line,) = lines(output)
        moment = line.pop("timestamp")
        assert moment.endswith("Z")
        assert line == {
            "event": "payment authorised", "level": "info", "logger": "gateway.test", "payment": "pay_1",
            "merchant": "mairie-demo",
        }  # fmt: skip

    def test_a_field_without_a_place_is_left_out(self, output: io.StringIO) -> None:
        log.info(
            "card came", extra={"email": "famille@example.org", "token": "secret", "body": "{}", "payment": "pay_1"}
        )

        (line,) = lines(output)
        assert set(line) == {"event", "level", "logger", "timestamp", "payment"}

    def test_every_field_the_product_names_has_its_place(self) -> None:
        named = {
            key.value
            for path in (Path(logs.__file__).parent).rglob("*.py")
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.keyword) and node.arg == "extra" and isinstance(node.value, ast.Dict)
            for key in node.value.keys
            if isinstance(key, ast.Constant)
        }

        assert {"payment", "reason"} <= named
        assert named <= ALLOWED

    def test_a_line_break_in_a_value_makes_no_second_line(self, output: io.StringIO) -> None:
        log.info("refused", extra={"reason": 'x\n{"event": "forged"}'})

        (line,) = lines(output)
        assert line["event"] == "refused"

    def test_a_trace_stays_within_its_line(self, output: io.StringIO) -> None:
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            log.exception("delivery broke")

        (line,) = lines(output)
        assert "ZeroDivisionError" in line["exception"]
        assert set(line) <= ALLOWED

    @pytest.mark.parametrize(
        "said",
        [
            "Invalid request from ip=192.0.2.1: Invalid HTTP request line: 'x-secret'",
            "Error handling request /p/x-secret",
        ],
    )
    def test_the_web_server_quotes_nobody(self, output: io.StringIO, said: str) -> None:
        logging.getLogger("gunicorn.error").warning(said)

        (line,) = lines(output)
        assert line["event"] == said[: said.index(" request") + len(" request")]

    def test_what_libraries_say_below_a_warning_is_not_written(self, output: io.StringIO) -> None:
        for name in ("urllib3.connectionpool", "alembic.runtime", "fontTools.subset", "mail.log"):
            logging.getLogger(name).info("POST http://portal.example/?token=secret")

        assert output.getvalue() == ""


class TestCards:
    NUMBERS = (
        "4242424242424242",
        "4242 4242 4242 4242",
        "4242-4242-4242-4242",
        "4242.4242.4242.4242",
        "378282246310005",
        "6759649826438453",
        # Of brands that are not known here: the shortest there are, and the longest.
        "300123456786",
        "6011000000001",
        "30569309025904",
        "6062820000000000002",
    )

    @pytest.mark.parametrize("number", NUMBERS)
    def test_a_card_number_in_a_field_is_masked_and_reported(self, output: io.StringIO, number: str) -> None:
        log.warning("refused", extra={"reason": f"typed {number}, they did"})

        (line,) = lines(output)
        assert line["reason"] == f"typed [card ****{number[-4:]}], they did"
        assert line["scrubbed"] is True

    def test_a_card_number_among_other_figures_is_masked(self, output: io.StringIO) -> None:
        log.info("asked", extra={"reason": "on 2026-11-21 by 4970 1051 9190 9006 123"})

        (line,) = lines(output)
        assert (line["reason"], line["scrubbed"]) == ("on 2026-11-21 by [card number]", True)

    def test_an_id_of_ours_stays_readable_whatever_its_digits(self, output: io.StringIO) -> None:
        log.info("payment created", extra={"payment": "pay_4242424242424242abcdef01", "reason": "pay_4242424242424242"})

        (line,) = lines(output)
        assert (line["payment"], line["reason"]) == ("pay_4242424242424242abcdef01", "pay_[card ****4242]")

    @pytest.mark.parametrize("begin", ["", "a"])
    def test_the_chains_newest_link_stays_readable_whatever_its_digits(self, output: io.StringIO, begin: str) -> None:
        link = f"{begin}4242424242424242".ljust(64, "c")
        log.info("audit chain anchored", extra={"reference": link, "reason": link[:-1]})

        (line,) = lines(output)
        assert (line["reference"], line["reason"]) == (
            link,
            f"{begin}[card ****4242]".ljust(len(link) - 1 - 16 + 15, "c"),
        )

    def test_each_such_line_is_an_error_and_counted_by_who_wrote_it(self, output: io.StringIO) -> None:
        before = scrubbed_by("gateway.test")

        log.info("refused", extra={"reason": "typed 4242424242424242", "code": "5555 5555 5555 4444"})
        log.info("refused", extra={"reason": "typed 4242424242424241"})

        assert [line["level"] for line in lines(output)] == ["error", "info"]
        assert scrubbed_by("gateway.test") == before + 1

    @pytest.mark.parametrize("number", NUMBERS)
    def test_a_card_number_in_the_phrase_is_masked(self, output: io.StringIO, number: str) -> None:
        log.warning("typed %s", number)

        assert number not in output.getvalue()

    @pytest.mark.parametrize("number", NUMBERS)
    def test_a_card_number_in_a_trace_is_masked(self, output: io.StringIO, number: str) -> None:
        try:
            raise ValueError(number)
        except ValueError:
            log.exception("delivery broke")

        assert number not in output.getvalue()

    def test_a_number_that_is_no_card_stays_readable(self, output: io.StringIO) -> None:
        log.info("refused", extra={"reference": "4242424242424241", "reason": "20261121100000"})

        (line,) = lines(output)
        assert (line["reference"], line["reason"]) == ("4242424242424241", "20261121100000")
        assert "scrubbed" not in line


class TestThePaymentsOfAnHour:
    """What the product itself writes, good ways and bad, at the lowest level."""

    SECRETS = ("famille@example.org", "Jeanne", "Dupuis", "0612345678", "+33612345678", "eyJ")

    def test_nothing_personal_and_no_secret_is_written(
        self, output: io.StringIO, parts: Parts, client: FlaskClient, clock: Clock
    ) -> None:
        logging.getLogger().setLevel(logging.DEBUG)
        portal = Portal(parts.settings.home)
        payer = {"name": "Jeanne Dupuis", "phone": "+33612345678"}
        for changes in ({}, {"amount": -1}, {"email": "not one"}, {"iss": "nobody"}):
            token = portal.request(clock, payer=payer, **changes)
            client.post("/v1/payments", data=token, content_type="application/jose")
        client.post("/v1/payments", data="eyJhbGciOiJub25lIn0.e30.", content_type="application/jose")
        payment = open_payment(parts, payer_name="Jeanne Dupuis", payer_phone="+33612345678")
        page = parts.links.page(payment.id)
        client.get(page)
        client.post(page, data={"number": CHALLENGE, "action": "pay"})
        pay(parts, payment, FUNDS)
        parts.checkout.paying.change_card(payment.id)
        enter(parts, payment, CHALLENGE)
        deliverer = parts.deliverer()
        deliverer.deliver_due()
        deliverer.close()
        parts.checkout.sweep()

        written = output.getvalue()

        fields = {name for line in lines(output) for name in line}
        assert fields <= ALLOWED, fields - ALLOWED
        # What had to be masked should not have been written at all.
        assert [line for line in lines(output) if "scrubbed" in line] == []
        assert len(lines(output)) >= 5
        assert [secret for secret in self.SECRETS if secret in written] == []
        assert page.rpartition("/")[2] not in written

    def test_a_receivers_words_are_shortened(self, output: io.StringIO, parts: Parts) -> None:
        class Chatty:
            name = "confirmation"

            def deliver(self, *_: object) -> None:
                raise DeliveryFailed("x" * 5000)

        pay(parts, open_payment(parts))
        deliverer = parts.deliverer()
        deliverer._channels = {**deliverer._channels, "confirmation": Chatty()}
        deliverer.deliver_due()
        deliverer.close()

        assert max(len(line.get("reason", "")) for line in lines(output)) == 200
