"""What the operator decided reaches the part it was meant for: keys by their purpose, locks on the lines, the way of codes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from gateway.app import create_app
from gateway.channels import AnyChannel
from gateway.channels.sealed import Seal
from gateway.channels.sms import Encoding, Provider
from gateway.channels.smtp import Relay, Security
from gateway.core.errors import DeliveryFailed
from gateway.links import Links
from gateway.parts import Parts, build
from gateway.settings import load
from tests.factories import open_payment
from tests.support.clock import Clock

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@contextmanager
def _channels(parts: Parts, clock: Clock, **names: str) -> Iterator[Mapping[str, AnyChannel]]:
    """Give a worker's channels under these settings."""
    url = {"GUICHET_DATABASE_URL": parts.settings.database_url}
    told = {f"GUICHET_{name}": value for name, value in names.items()}
    others = build(load(parts.settings.home, url | told), clock.now)
    deliverer = others.deliverer()
    yield deliverer._channels
    deliverer.close()
    others.store.engine.dispose()


def test_each_secret_serves_its_own_purpose(parts: Parts, clock: Clock) -> None:
    secrets, desk, payment = parts.keys.secrets, parts.checkout.desk, open_payment(parts)
    links = Links(parts.settings.base_url, secrets("page"), secrets("ticket"), secrets("link"))
    app = create_app(parts.settings.home, clock.now, settings=parts.settings)
    app.extensions["gateway"].checkout.desk.store.engine.dispose()

    assert (desk.code_key, desk.old_code_keys) == (secrets("code")[-1], secrets("code")[:-1])
    assert desk.card_key == secrets("card")[-1]
    assert parts.store.pen.keys == secrets("audit")
    assert Seal(secrets("seal")).open(desk.seal(b"a code")) == b"a code"
    assert links.payment_of(parts.links.page_token(payment.id)) == payment.id
    assert links.ticket_of(parts.links.ticket(payment, "payer").rpartition("/")[2])[0] == payment.id
    assert links.paylink_of(parts.links.paylink_token(7)) == 7
    assert app.config["SECRET_KEY"] == secrets("cookie")[-1]


def test_what_is_signed_for_a_payer_is_no_anchor_of_the_log(parts: Parts) -> None:
    claims = {"iat": 1, "n": 1, "mac": "m"}

    assert parts.keys.read_anchor(parts.keys.sign_anchor(claims)) == claims
    with pytest.raises(ValueError, match="is not signed by a key of this server"):
        parts.keys.read_anchor(parts.keys.sign_result(claims))


@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
def test_every_mail_goes_by_the_line_the_operator_locked(parts: Parts, clock: Clock, security: str) -> None:
    told = {"SMTP__HOST": "relay.example.org", "SMTP__PORT": "587", "SMTP__SECURITY": security}
    with _channels(parts, clock, **told, SMTP__USERNAME="guichet", SMTP__PASSWORD="s3cret") as channels:
        relays = [vars(channels[name])["_relay"] for name in ("payer_mail", "merchant_mail", "alarm_mail")]

    assert relays == [Relay("relay.example.org", 587, Security(security), "guichet", "s3cret")] * 3


def test_codes_go_by_the_provider_and_are_opened_at_the_last_moment(parts: Parts, clock: Clock) -> None:
    told = {"SMS__DRIVER": "http", "SMS__URL": "https://sms.example.org/", "SMS__TOKEN": "t", "SMS__ENCODING": "form"}
    with _channels(parts, clock, **told) as channels:
        sealed = vars(channels["sms"])

    fields = parts.settings.sms.fields
    provider = Provider("https://sms.example.org/", fields, Encoding.FORM, "t")
    assert vars(sealed["_inner"])["_provider"] == provider
    assert sealed["_seal"].open(parts.seal.seal(b"a code")) == b"a code"


@pytest.mark.parametrize("allowed", ["true", "false"])
def test_this_machine_is_called_only_where_the_operator_said_so(parts: Parts, clock: Clock, allowed: str) -> None:
    with _channels(parts, clock, LOOPBACK_CALLBACKS=allowed) as channels:
        way_out = vars(channels["confirmation"])["_way_out"]
    with pytest.raises(DeliveryFailed) as failed, way_out.call("POST", "http://127.0.0.1:9/", b"", {}):
        pass

    assert ("forbidden" in str(failed.value)) is (allowed == "false")
