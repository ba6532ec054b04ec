"""Sealed tickets: whole, dated by their event, the same whenever they are made, and checked by pyhanko's own validator."""

import asyncio
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pyhanko.keys import load_certs_from_pemder_data
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import SignatureCoverageLevel, validate_pdf_signature
from pyhanko.sign.validation.status import PdfSignatureStatus
from pyhanko_certvalidator import ValidationContext

from gateway.cli import guichet
from gateway.core.errors import SettingsError
from gateway.core.money import Money
from gateway.core.payment import Line, Payee
from gateway.keys import Keys, Stamp
from gateway.keys.stamps import make_stamp, read_stamp
from gateway.links import Links
from gateway.receipts import Receipt, sealing
from gateway.receipts.press import Press
from tests.support.clock import Clock
from tests.support.receipts import AT, a_paid_payment

PAID = a_paid_payment(Line("FACT-42", "Cantine", Money(9612)), payee=Payee("m", "Ville de Démonstration"))
RECEIPT = Receipt.of(PAID, "payment.succeeded", "payer")
LINKS = Links("https://guichet.example", (b"page key",), (b"ticket key",))


@pytest.fixture(autouse=True)
def no_loop() -> Iterator[None]:
    """Let pyhanko run a loop of its own, though the browser of other tests may keep one in this thread."""
    kept = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    yield
    asyncio._set_running_loop(kept)


@pytest.fixture(scope="module")
def stamp() -> Stamp:
    return read_stamp(make_stamp(AT - timedelta(days=1)))


@pytest.fixture(scope="module")
def later() -> bytes:
    return make_stamp(AT + timedelta(days=30))


def check(content: bytes, stamp: Stamp) -> PdfSignatureStatus:
    """Ask the validator, who trusts this stamp and lives a week after the payment."""
    (signature,) = PdfFileReader(io.BytesIO(content)).embedded_signatures
    (root,) = load_certs_from_pemder_data(stamp.certificates[0].public_bytes(Encoding.PEM))
    context = ValidationContext(trust_roots=[root], moment=AT + timedelta(days=40), allow_fetching=False)
    return validate_pdf_signature(signature, context)


def test_a_sealed_ticket_is_whole_and_says_when_and_by_whom(stamp: Stamp) -> None:
    content = Press(LINKS, [stamp]).ticket(RECEIPT, "fr")

    status = check(content, stamp)
    assert (status.intact, status.valid, status.trusted) == (True, True, True)
    assert status.coverage is SignatureCoverageLevel.ENTIRE_FILE
    assert status.md_algorithm == "sha256"
    signature = PdfFileReader(io.BytesIO(content)).embedded_signatures[0]
    assert signature.sig_object["/SubFilter"] == "/ETSI.CAdES.detached"
    assert signature.self_reported_timestamp == AT
    # PAdES-B (EN 319 142-1, 6.3): the moment is in the dictionary, and the certificate is signed along.
    attributes = {one["type"].native for one in signature.signer_info["signed_attrs"]}
    assert "signing_certificate_v2" in attributes
    assert "signing_time" not in attributes


@pytest.mark.parametrize("where", [b"<dc:title>", b"/Length1"])
def test_one_changed_byte_is_noticed(stamp: Stamp, where: bytes) -> None:
    content = bytearray(Press(LINKS, [stamp]).ticket(RECEIPT, "fr"))
    content[content.index(where) + len(where) + 1] ^= 1

    status = check(bytes(content), stamp)

    assert not status.intact
    assert not status.bottom_line


def test_the_ticket_of_one_event_is_one_file(stamp: Stamp, later: bytes) -> None:
    first = Press(LINKS, [stamp]).ticket(RECEIPT, "fr")

    with time_machine.travel(datetime(2031, 1, 1, tzinfo=UTC)):
        # A stamp that came later does not touch what was sealed before.
        again = Press(LINKS, [read_stamp(later), stamp]).ticket(RECEIPT, "fr")

    assert again == first
    assert again.startswith(Press(LINKS).ticket(RECEIPT, "fr"))


def test_a_ticket_older_than_every_stamp_has_the_first_and_its_first_moment(stamp: Stamp, later: bytes) -> None:
    first = read_stamp(later)

    content = Press(LINKS, [first]).ticket(RECEIPT, "fr")

    assert check(content, first).trusted
    assert PdfFileReader(io.BytesIO(content)).embedded_signatures[0].self_reported_timestamp == first.valid_from
    assert not check(content, stamp).trusted


def test_a_stamp_in_the_key_folder_seals_and_may_leave_again(
    home: Path, stamp: Stamp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*words: str) -> str:
        return CliRunner().invoke(guichet, ["--home", str(home), *words]).output

    assert "tickets: not sealed; guichet keys new stamp" in run("doctor")
    assert not Keys.load(home / "keys", Clock().now()).stamps

    assert "stamp-" in run("keys", "new", "stamp")
    (made,) = Keys.load(home / "keys", Clock().now()).stamps
    assert made.key.key_size == 3072
    assert "[  ok ] tickets" in run("doctor")

    monkeypatch.setattr(sealing, "find_spec", lambda _name: None)
    assert "[wrong] tickets: there is a stamp, but they are not sealed" in run("doctor")
    assert Press(LINKS, [stamp]).ticket(RECEIPT, "fr") == Press(LINKS).ticket(RECEIPT, "fr")

    (file,) = (home / "keys").glob("stamp-*.pem")
    run("keys", "retire", file.name)
    assert not Keys.load(home / "keys", Clock().now()).stamps


def test_the_doctor_tells_that_a_certificate_has_ended(home: Path) -> None:
    path = home / "keys/stamp-2020-01.pem"
    path.write_bytes(make_stamp(datetime(2020, 1, 1, tzinfo=UTC)))
    path.chmod(0o600)

    assert (
        "sealed with a certificate that ended on 2023-"
        in CliRunner().invoke(guichet, ["--home", str(home), "doctor"]).output
    )


def test_a_file_that_can_seal_nothing_is_refused_at_the_start(home: Path, stamp: Stamp, later: bytes) -> None:
    def pem(key: object) -> bytes:
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())  # type: ignore[attr-defined,no-any-return]

    certificate = stamp.certificates[0].public_bytes(Encoding.PEM)
    for content, fault in (
        (pem(ec.generate_private_key(ec.SECP256R1())) + certificate, "holds no RSA key"),
        (pem(stamp.key), "certificate"),
        (pem(read_stamp(later).key) + certificate, "certificate"),
        (certificate, ""),
    ):
        path = home / "keys/stamp-2026-01.pem"
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(SettingsError) as refused:
            Keys.load(home / "keys", Clock().now())
        assert [fault in one for one in refused.value.faults] == [True]
