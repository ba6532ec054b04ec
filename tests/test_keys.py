"""Key files: made, refused, rotated; nothing readable by others, no half of a pair."""

import base64
import hashlib
import os
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwcrypto.jwk import JWK

from gateway.core.errors import SettingsError
from gateway.keys import Keys, create, create_merchant_keys, credentials, ensure_demo, files, list_keys, retire

NOVEMBER = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    ensure_demo(folder, ["mairie-demo"], NOVEMBER)
    return folder


def _faults(directory: Path) -> str:
    with pytest.raises(SettingsError) as caught:
        Keys.load(directory, NOVEMBER)
    return "\n".join(caught.value.faults)


def _add(directory: Path, name: str, content: bytes) -> Path:
    path = directory / name
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def _public_pem(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed448.Ed448PublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_everything_made_is_for_its_owner_alone(directory: Path) -> None:
    modes = {path.stat().st_mode & 0o777 for path in directory.rglob("*") if path.is_file()}
    folders = {path.stat().st_mode & 0o777 for path in [directory, *directory.rglob("*")] if path.is_dir()}

    assert modes == {0o600}
    assert folders == {0o700}


def test_a_key_is_on_the_disk_before_it_is_used(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut must leave neither an empty key nor none where one has sealed something."""
    synced: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(Path(f"/proc/self/fd/{fd}").readlink()))

    path = files.write(directory / "seal-2026-12.key", b"secret")

    assert path.read_bytes() == b"secret"
    assert [synced[0].name[:5], *synced[1:]] == [".new-", directory]


def test_making_demo_keys_twice_changes_nothing(directory: Path) -> None:
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}

    ensure_demo(directory, ["mairie-demo"], DECEMBER)

    assert {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == before


def _make_demo(directory: str) -> None:
    ensure_demo(Path(directory), ["mairie-demo", "jvs-demo"], NOVEMBER)


def test_two_servers_starting_at_once_make_one_set(tmp_path: Path) -> None:
    folder = tmp_path / "keys"

    with ProcessPoolExecutor(4) as pool:
        list(pool.map(_make_demo, [str(folder)] * 8))

    assert len(list(folder.glob("*.pem"))) == 1
    assert len(list((folder / "merchants").glob("*.pub.pem"))) == 2
    told = credentials(folder, "jvs-demo")
    assert JWK.from_pem(Path(told["private_key_path"]).read_bytes()).thumbprint() == told["kid"]


def test_a_half_made_pair_is_completed(directory: Path) -> None:
    merchants = directory / "merchants"
    before = credentials(directory, "mairie-demo")
    (merchants / "mairie-demo-2026-11.pub.pem").unlink()
    (merchants / "mairie-demo-2026-11.api").unlink()

    ensure_demo(directory, ["mairie-demo"], NOVEMBER)

    assert credentials(directory, "mairie-demo") == before
    assert Keys.load(directory, NOVEMBER).api_key_owner(before["api_key"]) == "mairie-demo"


def test_a_missing_folder_says_what_to_run(tmp_path: Path) -> None:
    assert "run guichet keys new" in _faults(tmp_path / "keys")


def test_every_fault_is_told_at_once_with_its_cure(directory: Path) -> None:
    directory.chmod(0o755)
    (directory / "page-2026-11.key").chmod(0o640)
    (directory / "code-2026-11.key").unlink()
    _add(directory, "backup.pem", b"")
    _add(directory, "seal-2026-12.key", b"c2hvcnQ")
    _add(directory / "merchants", "mairie-demo-2026-12.whsec", b"whsec_x")

    faults = _faults(directory)

    assert f"run chmod 700 {directory}" in faults
    assert f"run chmod 600 {directory}/page-2026-11.key" in faults
    assert "no usable code key; run guichet keys new code" in faults
    assert "backup.pem: not the name of a key" in faults
    assert "seal-2026-12.key: holds 5 bytes instead of 32" in faults
    assert "mairie-demo-2026-12.whsec" in faults
    assert len(faults.splitlines()) == 6


@pytest.mark.parametrize(
    ("name", "mode", "cure"),
    [("", 0o750, "700"), ("mairie-demo-2026-11.hs256", 0o640, "600"), ("mairie-demo-2026-11.whsec", 0o604, "600")],
)
def test_what_others_may_read_of_a_merchant_is_refused(directory: Path, name: str, mode: int, cure: str) -> None:
    path = directory / "merchants" / name
    path.chmod(mode)

    assert _faults(directory).endswith(f"run chmod {cure} {path}")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_refused(directory: Path) -> None:
    os.chown(directory / "page-2026-11.key", 65534, 65534)

    assert "belongs to user 65534" in _faults(directory)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"not a key", "is not a PEM key"),
        (_public_pem(ec.generate_private_key(ec.SECP384R1()).public_key()), "neither Ed25519, P-256 nor RSA"),
        (_public_pem(ed448.Ed448PrivateKey.generate().public_key()), "neither Ed25519, P-256 nor RSA"),
        (_public_pem(rsa.generate_private_key(65537, 2048).public_key()), "fewer than 3072 bits"),
    ],
)
def test_a_weak_or_foreign_request_key_is_refused(directory: Path, content: bytes, reason: str) -> None:
    _add(directory / "merchants", "ville-2026-11.pub.pem", content)

    assert reason in _faults(directory)


def test_a_private_key_in_the_place_of_a_public_one_is_refused(directory: Path) -> None:
    private = (directory / "merchants/mairie-demo-2026-11.pem").read_bytes()
    _add(directory / "merchants", "ville-2026-11.pub.pem", private)

    assert "private key where the public half belongs" in _faults(directory)


def test_a_short_shared_secret_is_refused(directory: Path) -> None:
    _add(directory / "merchants", "ville-2026-11.hs256", base64.urlsafe_b64encode(b"x" * 31))

    assert "fewer than 32 bytes" in _faults(directory)


def test_an_api_key_in_clear_is_refused(directory: Path) -> None:
    _add(directory / "merchants", "ville-2026-11.api", b"guichet_abcdef")

    assert "not a SHA-256 digest" in _faults(directory)


@pytest.mark.parametrize("alg", ["EdDSA", "ES256", "RS256"])
def test_a_new_merchant_key_has_its_algorithm_and_thumbprint(directory: Path, alg: str) -> None:
    told = create_merchant_keys(directory, "ville", alg, NOVEMBER, keep_private=False)

    (key,) = Keys.load(directory, NOVEMBER).request_keys("ville")
    assert (key.kid, key.alg) == (told["kid"], alg)
    assert JWK.from_pem(told["private_key"].encode()).thumbprint() == key.kid
    assert "private_key_path" not in told


def test_only_the_digest_of_an_api_key_is_kept(directory: Path) -> None:
    told = create_merchant_keys(directory, "ville", "HS256", NOVEMBER, keep_private=False)

    kept = b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())
    assert told["api_key"].encode() not in kept
    assert hashlib.sha256(told["api_key"].encode()).hexdigest().encode() in kept
    assert Keys.load(directory, NOVEMBER).api_key_owner(told["api_key"]) == "ville"


def test_what_a_merchant_is_given_has_256_random_bits(directory: Path) -> None:
    told = create_merchant_keys(directory, "ville", "HS256", NOVEMBER, keep_private=False)

    drawn = (told["hs256_secret"], told["api_key"].removeprefix("guichet_"), told["whsec"].removeprefix("whsec_"))
    assert [len(text.rstrip("=")) for text in drawn] == [43, 43, 43]


@pytest.mark.parametrize("presented", ["", "guichet_", "\u00e9", "\ud800", "0" * 64])
def test_an_unknown_api_key_has_no_owner(directory: Path, presented: str) -> None:
    assert Keys.load(directory, NOVEMBER).api_key_owner(presented) is None


def test_a_digest_is_no_api_key(directory: Path) -> None:
    digest = (directory / "merchants/mairie-demo-2026-11.api").read_text().strip()

    assert Keys.load(directory, NOVEMBER).api_key_owner(digest) is None


@pytest.mark.parametrize(
    ("merchant", "alg"), [("ville", "none"), ("ville", "HS512"), ("../ville", "EdDSA"), ("Ville", "EdDSA")]
)
def test_an_impossible_merchant_key_is_refused(directory: Path, merchant: str, alg: str) -> None:
    with pytest.raises(SettingsError):
        create_merchant_keys(directory, merchant, alg, NOVEMBER, keep_private=False)


def test_the_newest_signing_key_signs_and_both_are_published(directory: Path) -> None:
    create(directory, "signing", NOVEMBER)
    keys = Keys.load(directory, NOVEMBER)

    token = keys.sign_result({"sub": "pay_1"})

    published = keys.signing_jwks()["keys"]
    assert len(published) == 2
    assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "kid": published[0]["kid"], "typ": "payment-result+jwt"}
    assert jwt.decode(token, jwt.PyJWK(published[0]), ["EdDSA"]) == {"sub": "pay_1"}


def test_published_keys_hold_no_private_half_and_their_thumbprint(directory: Path) -> None:
    (published,) = Keys.load(directory, NOVEMBER).signing_jwks()["keys"]

    assert set(published) == {"kty", "crv", "x", "kid", "use", "alg"}
    assert JWK(**published).thumbprint() == published["kid"]


def test_a_key_of_next_month_is_published_but_does_not_sign_yet(directory: Path) -> None:
    create(directory, "all", DECEMBER)

    early, later = Keys.load(directory, NOVEMBER), Keys.load(directory, DECEMBER)

    assert early.signing_jwks()["keys"][0] == later.signing_jwks()["keys"][1]
    assert early.secrets("page")[-1] == later.secrets("page")[0]
    assert len(early.secrets("page")) == 2


def test_secrets_of_different_purposes_differ(directory: Path) -> None:
    keys = Keys.load(directory, NOVEMBER)

    held = {keys.secrets(purpose)[-1] for purpose in ("page", "cookie", "code", "seal", "ticket")}

    assert len(held) == 5
    assert {len(secret) for secret in held} == {32}


def test_the_newest_confirmation_secret_comes_first(directory: Path) -> None:
    old = credentials(directory, "mairie-demo")["whsec"]
    new = create_merchant_keys(directory, "mairie-demo", "EdDSA", DECEMBER, keep_private=True)["whsec"]

    held = Keys.load(directory, DECEMBER).confirmation_keys("mairie-demo")

    assert [base64.b64encode(secret).decode() for secret in held.secrets] == [new[6:], old[6:]]
    assert len(held.private_keys) == 2


def test_a_retired_key_no_longer_counts(directory: Path) -> None:
    old = credentials(directory, "mairie-demo")["kid"]
    new = create_merchant_keys(directory, "mairie-demo", "ES256", NOVEMBER, keep_private=True)["kid"]

    moved = retire(directory, old)

    kids = [key.kid for key in Keys.load(directory, NOVEMBER).request_keys("mairie-demo")]
    assert old not in kids
    assert new in kids
    assert sorted(path.name for path in moved) == ["mairie-demo-2026-11.pem", "mairie-demo-2026-11.pub.pem"]
    assert all(path.parent == directory / "retired" for path in moved)


def test_the_last_key_of_its_kind_stays(directory: Path) -> None:
    with pytest.raises(SettingsError, match="the last"):
        retire(directory, "page-2026-11.key")

    assert (directory / "page-2026-11.key").exists()


def test_an_unknown_key_cannot_be_retired(directory: Path) -> None:
    with pytest.raises(SettingsError, match="no key"):
        retire(directory, "nothing")


def test_the_name_of_a_retired_key_is_not_used_again(directory: Path) -> None:
    create(directory, "page", NOVEMBER)
    retire(directory, "page-2026-11.key")

    (path,) = create(directory, "page", NOVEMBER)

    assert path.name == "page-2026-11-3.key"


def test_an_unknown_kind_of_key_is_refused(directory: Path) -> None:
    with pytest.raises(SettingsError, match="no such key"):
        create(directory, "pages", NOVEMBER)


def test_the_list_names_every_key_but_no_private_half(directory: Path) -> None:
    names = [row.path.name for row in list_keys(directory)]

    assert "signing-2026-11.pem" in names
    assert "mairie-demo-2026-11.pub.pem" in names
    assert "mairie-demo-2026-11.pem" not in names
    assert "mairie-demo-2026-11.api.txt" not in names


def test_the_private_half_of_a_demo_merchant_verifies_nothing(directory: Path) -> None:
    told = credentials(directory, "mairie-demo")
    Path(told["public_key_path"]).unlink()

    keys = Keys.load(directory, NOVEMBER).request_keys("mairie-demo")

    assert [key.alg for key in keys] == ["HS256"]
