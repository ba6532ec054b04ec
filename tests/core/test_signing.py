"""Confirmation signatures, against the published example and against foreign verifiers."""

import base64

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.signing import ConfirmationKeys, read_secret, sign_webhook, write_public_key, write_secret

# The worked example of the Standard Webhooks and Svix documentation.
PUBLISHED_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PUBLISHED_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
PUBLISHED_TIMESTAMP = 1614265330
PUBLISHED_BODY = b'{"test": 2432232314}'
PUBLISHED_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

# RFC 8032 section 7.1, TEST 1.
RFC8032_PRIVATE = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
RFC8032_PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")


def _sign(keys: ConfirmationKeys, *, message_id: str = "ntc_1", timestamp: int = 1, body: bytes = b"{}") -> str:
    return sign_webhook(keys, message_id=message_id, timestamp=timestamp, body=body)


def test_the_published_vector_is_met() -> None:
    keys = ConfirmationKeys(secrets=(read_secret(PUBLISHED_SECRET),))

    header = _sign(keys, message_id=PUBLISHED_ID, timestamp=PUBLISHED_TIMESTAMP, body=PUBLISHED_BODY)

    assert header == PUBLISHED_SIGNATURE


def test_the_asymmetric_signature_covers_id_timestamp_and_body() -> None:
    private = Ed25519PrivateKey.from_private_bytes(RFC8032_PRIVATE)

    version, _, signature = _sign(ConfirmationKeys(private_keys=(private,)), timestamp=12, body=b"paid").partition(",")

    assert version == "v1a"
    Ed25519PublicKey.from_public_bytes(RFC8032_PUBLIC).verify(base64.b64decode(signature), b"ntc_1.12.paid")
    with pytest.raises(InvalidSignature):
        Ed25519PublicKey.from_public_bytes(RFC8032_PUBLIC).verify(base64.b64decode(signature), b"ntc_1.13.paid")


def test_every_key_signs_in_the_order_given() -> None:
    keys = ConfirmationKeys((b"n" * 32, b"o" * 32), (Ed25519PrivateKey.generate(),))

    signatures = _sign(keys).split(" ")

    assert [signature.partition(",")[0] for signature in signatures] == ["v1", "v1", "v1a"]
    assert signatures[0] == _sign(ConfirmationKeys((b"n" * 32,)))


@pytest.mark.parametrize("message_id", ["", "ntc.1", "."])
def test_an_id_with_a_dot_is_never_signed(message_id: str) -> None:
    with pytest.raises(ValueError, match="dot"):
        _sign(ConfirmationKeys((b"n" * 32,)), message_id=message_id)


@given(st.binary(min_size=24, max_size=64))
def test_a_secret_reads_back_as_it_was_written(secret: bytes) -> None:
    assert read_secret(write_secret(secret)) == secret


@pytest.mark.parametrize(
    "text", ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_", "whsec_c2hvcnQ=", "whsec_!!!!", f"{PUBLISHED_SECRET}!"]
)
def test_a_text_that_is_no_secret_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="confirmation secret"):
        read_secret(text)


def test_the_public_half_is_spelt_as_the_specification_shows() -> None:
    text = write_public_key(Ed25519PublicKey.from_public_bytes(RFC8032_PUBLIC))

    assert text == "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="


def test_keys_do_not_show_themselves() -> None:
    assert "n" * 4 not in repr(ConfirmationKeys((b"n" * 32,)))
