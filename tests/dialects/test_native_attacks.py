"""Attacks on signed requests: every bit, every member, every spelling. None opens a payment, and none learns anything."""

import base64
import gzip
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from gateway.core.errors import BadRequest, NotAuthentic
from gateway.core.payment import Mode
from gateway.dialects import ErrorPage, HttpCall, HttpReply, Open
from gateway.dialects.native import NativeDialect, NativeMerchant
from gateway.keys import Keys, create, create_merchant_keys, credentials
from gateway.keys.jose import request_key
from tests.support.figures import record
from tests.support.scale import scaled

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
ORIGIN = "https://pay.example.org"
ALGORITHMS = ("EdDSA", "ES256", "RS256", "HS256")
BOOK = {f"ville-{alg.lower()}": NativeMerchant(f"ville-{alg.lower()}") for alg in ALGORITHMS}

# The orders of the groups (FIPS 186-5 and RFC 8032).
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class Signer:
    """A merchant and its one key.

    :ivar private: ``None`` where a secret is shared
    """

    merchant: str
    alg: str
    kid: str
    secret: bytes
    private: PrivateKey | None

    def sign(self, message: bytes) -> bytes:
        """Sign as JOSE says."""
        match self.private:
            case None:
                return hmac.digest(self.secret, message, "sha256")
            case ed25519.Ed25519PrivateKey():
                return self.private.sign(message)
            case ec.EllipticCurvePrivateKey():
                return joined(*decode_dss_signature(self.private.sign(message, ec.ECDSA(hashes.SHA256()))))
            case _:
                return self.private.sign(message, padding.PKCS1v15(), hashes.SHA256())

    def token(self, header: bytes | None = None, payload: bytes | None = None) -> str:
        """Sign exact bytes; the request's own where none are given."""
        head = self.header() if header is None else header
        said = f"{b64(head)}.{b64(json.dumps(self.claims()).encode() if payload is None else payload)}"
        return f"{said}.{b64(self.sign(said.encode()))}"

    def header(self, **changes: object) -> bytes:
        """Write the header, with changes."""
        return json.dumps({"alg": self.alg, "kid": self.kid, **changes}).encode()

    def claims(self, **changes: object) -> dict[str, object]:
        """Give good claims but for the changes."""
        good = {
            "iss": self.merchant, "aud": ORIGIN, "iat": SECONDS, "exp": SECONDS + 600, "jti": "a-fresh-id-1",
            "amount": 4250, "reference": "2026-CANT-00042", "label": "Cantine", "email": "parent@example.org",
        }  # fmt: skip
        return {**good, **changes}

    def says(self, **changes: object) -> str:
        """Sign good claims but for the changes."""
        return self.token(payload=json.dumps(self.claims(**changes)).encode())

    def public_spellings(self) -> Mapping[str, bytes]:
        """Write the public key in every way a program might hold it."""
        assert self.private is not None
        key = self.private.public_key()
        pem, der = (key.public_bytes(form, PublicFormat.SubjectPublicKeyInfo) for form in (Encoding.PEM, Encoding.DER))
        spellings = {
            "pem": pem, "pem stripped": pem.strip(), "pem crlf": pem.replace(b"\n", b"\r\n"), "der": der,
            "der base64": base64.b64encode(der), "der hex": der.hex().encode(), "kid": self.kid.encode(),
            "openssh": key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        }  # fmt: skip
        if isinstance(key, ed25519.Ed25519PublicKey):
            spellings["raw"] = key.public_bytes_raw()
            spellings["x"] = b64(key.public_bytes_raw()).encode()
        if isinstance(key, ec.EllipticCurvePublicKey):
            spellings["point"] = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
            spellings["compressed"] = key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
        return spellings


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def joined(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("attacked") / "keys"
    create(folder, "all", NOW)
    for alg in ALGORITHMS:
        create_merchant_keys(folder, f"ville-{alg.lower()}", alg, NOW, keep_private=True)
    return folder


@pytest.fixture(scope="module")
def signers(folder: Path) -> Mapping[str, Signer]:
    return {alg: _signer(folder, alg) for alg in ALGORITHMS}


def _signer(folder: Path, alg: str) -> Signer:
    merchant = f"ville-{alg.lower()}"
    told = credentials(folder, merchant)
    if alg == "HS256":
        return Signer(merchant, alg, told["hs256_kid"], base64.urlsafe_b64decode(told["hs256_secret"] + "="), None)
    private = load_pem_private_key(Path(told["private_key_path"]).read_bytes(), None)
    assert isinstance(private, PrivateKey)
    return Signer(merchant, alg, told["kid"], b"", private)


@pytest.fixture(scope="module")
def dialect(folder: Path) -> NativeDialect:
    return NativeDialect(BOOK, Keys.load(folder, NOW), ORIGIN)


def post(token: str | bytes) -> HttpCall:
    body = token if isinstance(token, bytes) else token.encode()
    return HttpCall("POST", "/v1/payments", headers={"content-type": "application/jose"}, body=body)


def opens(dialect: NativeDialect, token: str | bytes) -> bool:
    """Say whether a token opens a payment; anything but an opening or a refusal fails the test."""
    try:
        return isinstance(dialect.read(post(token), NOW), Open)
    except (NotAuthentic, BadRequest):
        return False


# Bit by bit


@pytest.mark.nightly_too
@pytest.mark.timeout(scaled(400, 3600))
def test_no_altered_bit_opens_a_payment(dialect: NativeDialect, signers: Mapping[str, Signer]) -> None:
    count, variants, survivors = scaled(2, 20), 0, list[tuple[int, int, int]]()
    for number in range(count):
        # The two algorithms whose verification is quick come first.
        signer = signers[("HS256", "EdDSA", "RS256", "ES256")[number % 4]]
        token = signer.says(jti=f"a-fresh-id-{number}", label=f"Cantine {number}").encode()
        assert opens(dialect, token)
        for place in range(len(token)):
            for bit in range(8):
                altered = bytearray(token)
                altered[place] ^= 1 << bit
                variants += 1
                if opens(dialect, bytes(altered)):
                    survivors.append((number, place, bit))

    record("promise 17", tokens=count, altered_bits=variants, opened=len(survivors))
    assert survivors == []


# The list of crafted tokens

ALGS: tuple[object, ...] = (
    "none", "None", "NONE", "nOnE", "", " none", "none ", "none\0", "null", None, 0, False, [], {}, ["none"], "hs256",
    "HS256 ", "HS256\0", "HS384", "HS512", "RS1", "RS384", "RS512", "PS256", "ES384", "ES512", "ES256K", "eddsa",
    "EdDSA ", "Ed448", "dir", "A128KW", "RSA-OAEP", "B64", "HS256/..", "RS256,HS256",
)  # fmt: skip

# Values of kid that a lookup might trip over.
KIDS: tuple[object, ...] = (
    "../ville-hs256", "../../etc/passwd", "/dev/null", "file:///dev/null", "..\\..\\x", "' OR '1'='1", "x' UNION SELECT 1--",
    "%00", "\0", "*", "", " ", "a" * 65, "a" * 60_000, "é", "\u202e", "$(id)", "`id`", "{{7*7}}", "http://127.0.0.1/k",
    None, 0, True, [], {}, ["k"], 1.5,
)  # fmt: skip

HEADER_MEMBERS: Mapping[str, object] = {
    "jku": "https://evil.example/jwks.json", "x5u": "https://evil.example/c.pem", "x5c": ["MIIB"], "x5t": "AAAA",
    "x5t#S256": "AAAA", "crit": ["exp"], "b64": False, "zip": "DEF", "cty": "JWT", "enc": "A256GCM", "epk": {},
    "apu": "x", "iss": "ville-eddsa", "p2c": 10**9, "nonce": "x", "url": ORIGIN, "ALG": "HS256", "": "x",
}  # fmt: skip

# In place of an integer.
NUMBERS = (
    "4250.0", "4.25e3", "4250e0", "4250E+0", "1e400", "-4250", "+4250", "04250", "0x109A", "4_250", "4250.", '"4250"',
    "true", "null", "[4250]", "NaN", "Infinity", "9" * 20, "9" * 5000, "18446744073709555866", "\u0664\u0662",
)  # fmt: skip


def crafted(signers: Mapping[str, Signer]) -> Iterator[tuple[str, str | bytes]]:
    for signer in signers.values():
        yield from _headers(signer)
        yield from _forms(signer)
        yield from _payloads(signer)
    hs256 = signers["HS256"]
    yield from _claims(hs256)
    for signer in signers.values():
        yield from _confusions(signer, hs256)
        yield from _others_keys(signer, signers.values())
    yield from _ecdsa(signers["ES256"])
    yield from _eddsa(signers["EdDSA"])
    yield from _rsa(signers["RS256"])
    yield from _hmac(hs256)


def _headers(signer: Signer) -> Iterator[tuple[str, str | bytes]]:
    for alg in (*ALGS, *(other for other in ALGORITHMS if other != signer.alg)):
        token = signer.token(signer.header(alg=alg))
        yield f"alg {alg!r}, signed", token
        yield f"alg {alg!r}, unsigned", token.rpartition(".")[0] + "."
    for kid in KIDS:
        yield f"kid {str(kid)[:20]!r}", signer.token(signer.header(kid=kid))
    for name, value in HEADER_MEMBERS.items():
        yield f"header {name!r}", signer.token(signer.header(**{name: value}))
    for typ in ("refund-request+jwt", "payment-request+JWT", "application/jwt", "", None, 1, ["JWT"]):
        yield f"typ {typ!r}", signer.token(signer.header(typ=typ))
    good = signer.header()
    for extra in (
        b'"alg":"none",',
        b'"\\u0061lg":"none",',
        b'"kid":"x",',
        b'"k\\u0069d":"x",',
        b'"typ":"JWT","typ":"JWT",',
    ):
        yield f"header twice {extra!r}", signer.token(b"{" + extra + good[1:])
    for odd in (b"", b"{}", b"[]", b"null", b'"x"', good[:-1], good + b"{}", b"\xef\xbb\xbf" + good, b"\xff" + good,
                good.decode().encode("utf-16"), good.replace(b'"', b"'"), b"[" * 2000):  # fmt: skip
        yield f"header {odd[:20]!r}", signer.token(odd)


def _forms(signer: Signer) -> Iterator[tuple[str, str | bytes]]:
    token = signer.token()
    head, payload, signature = token.split(".")
    flat = {"protected": head, "payload": payload, "signature": signature}
    yield "flattened JSON", json.dumps(flat)
    yield "general JSON", json.dumps({"payload": payload, "signatures": [{"protected": head, "signature": signature}]})
    yield "JSON and compact", json.dumps({**flat, "token": token})
    yield "quoted", f'"{token}"'
    yield "Bearer", f"Bearer {token}"
    yield "form", f"request={token}"
    for blank in (" ", "\t", "\n", "\r\n", "\0", "\u00a0", "\u200b", "\ufeff"):
        yield f"{blank!r} before", blank + token
        yield f"{blank!r} behind", token + blank
        yield f"{blank!r} within", f"{head}.{blank}{payload}.{signature}"
    for dots in (token + ".", "." + token, token + "..", f"{head}..{signature}", f"{head}.{payload}", f"{head}.{payload}.",
                 f"{token}.{signature}", f"{head}.{head}.{payload}.{payload}.{signature}", token.replace(".", ",")):  # fmt: skip
        yield f"dots {dots.count('.')} {len(dots)}", dots
    for place, part in enumerate((head, payload, signature)):
        parts: list[str] = [head, payload, signature]
        for spelling in (_stray_bits(part), part + "=" * (-len(part) % 4 or 4), part + "A", part[:-1], part[:-4],
                         f"%{ord(part[0]):02x}{part[1:]}", part.replace("e", "\uff45", 1) + "\u0131"):  # fmt: skip
            if spelling == part:
                continue
            yield f"part {place} spelt {spelling[-6:]!r}", ".".join([*parts[:place], spelling, *parts[place + 1 :]])
    yield "gzip", gzip.compress(token.encode())
    yield "UTF-16", token.encode("utf-16")
    yield "nested", signer.token(payload=token.encode())
    yield "nested in JSON", signer.token(payload=json.dumps({"jwt": token}).encode())
    yield "signed twice", f"{token}.{signer.token().rpartition('.')[2]}"


def _stray_bits(part: str) -> str:
    """Spell the same bytes with other low bits in the last letter (RFC 4648 section 3.5)."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return part if len(part) % 4 in (0, 1) else part[:-1] + alphabet[alphabet.index(part[-1]) ^ 1]


def _payloads(signer: Signer) -> Iterator[tuple[str, str | bytes]]:
    text = json.dumps(signer.claims())
    for name in ("iss", "aud", "amount", "jti"):
        yield f"{name} twice", signer.token(payload=text.replace("{", f'{{"{name}":"x",', 1).encode())
        escaped = f"\\u{ord(name[0]):04x}{name[1:]}"
        yield f"{name} twice, escaped", signer.token(payload=text.replace("{", f'{{"{escaped}":"x",', 1).encode())
    for number in NUMBERS:
        yield f"amount {number[:12]}", signer.token(payload=text.replace("4250", number).encode())
        yield f"exp {number[:12]}", signer.token(payload=text.replace(str(SECONDS + 600), number).encode())
    long = signer.claims(comment="x" * (8 * 1024 + 1 - len(json.dumps(signer.claims(comment="")))))
    assert len(json.dumps(long)) == 8 * 1024 + 1
    deep = signer.claims(metadata={"a": {"b": {"c": {"d": "e"}}}})
    for name, odd in {
        "8 KiB + 1": json.dumps(long).encode(), "deep": json.dumps(deep).encode(), "brackets": b"[" * 8000,
        "lone surrogate": json.dumps(signer.claims(label="\ud800")).encode(), "NUL": b"\0" + text.encode(),
        "NUL in a text": json.dumps(signer.claims(label="a\0b")).encode(), "BOM": b"\xef\xbb\xbf" + text.encode(),
        "invalid UTF-8": text.replace("Cantine", "Cant\xff").encode("latin-1"), "overlong": text.encode().replace(b"C", b"\xc1\x83", 1),
        "UTF-16": text.encode("utf-16"), "UTF-32": text.encode("utf-32"), "trailing": text.encode() + b"{}",
        "comment": b"/**/" + text.encode(), "list": f"[{text}]".encode(), "string": json.dumps(text).encode(),
        "trailing comma": text[:-1].encode() + b",}", "single quotes": text.replace('"', "'").encode(),
        "raw line feed": text.replace("Cantine", "Can\ntine").encode(), "cut": text[:-1].encode(), "empty object": b"{}",
    }.items():  # fmt: skip
        yield f"claims: {name}", signer.token(payload=odd)


def _claims(signer: Signer) -> Iterator[tuple[str, str | bytes]]:
    own = signer.merchant
    others = (name for name in BOOK if name != own)
    issuers: list[object] = [*others, "", own.upper(), f" {own}", f"{own}\0", f"{own}/", [own], {}, None, 1, True]
    for iss in issuers:
        yield f"iss {iss!r}", signer.says(iss=iss)
    for aud in (f"{ORIGIN}.evil.example", f"{ORIGIN}:443", f"{ORIGIN}//", ORIGIN.upper(), "pay.example.org", "*", "",
                ORIGIN.replace("https", "http"), f"{ORIGIN}/v1/payments", [ORIGIN], {"": ORIGIN}, None, 1):  # fmt: skip
        yield f"aud {aud!r}", signer.says(aud=aud)
    for iat, exp in (
        (-600, 0),
        (-900, -1),
        (0, 901),
        (61, 600),
        (-(10**9), 1),
        (0, 0),
        (10, 5),
        (0, 10**12),
        (-SECONDS - 1, 1),
    ):
        yield f"iat {iat:+}, exp {exp:+}", signer.says(iat=SECONDS + iat, exp=SECONDS + exp)
    for name in ("iss", "aud", "iat", "exp", "jti", "amount", "reference", "label"):
        left = {claim: value for claim, value in signer.claims().items() if claim != name}
        yield f"without {name}", signer.token(payload=json.dumps(left).encode())
    for name, value in {
        "mode": "production",
        "nbf": SECONDS,
        "sub": "x",
        "admin": True,
        "Amount": 1,
        "amount ": 1,
    }.items():
        yield f"claim {name!r}", signer.says(**{name: value})


def _confusions(signer: Signer, hs256: Signer) -> Iterator[tuple[str, str | bytes]]:
    """Take a public key for a shared secret, or the key in the token's own header for the merchant's."""
    if signer.private is None:
        return
    for spelling, secret in signer.public_spellings().items():
        for kid in (signer.kid, hs256.kid):
            forger = Signer(signer.merchant, "HS256", kid, secret, None)
            yield f"{signer.alg} as HMAC, {spelling}", forger.token()
            yield f"{signer.alg} as HMAC, {spelling}, own alg", forger.token(forger.header(alg=signer.alg))
    own = ed25519.Ed25519PrivateKey.generate()
    thief = Signer(signer.merchant, "EdDSA", signer.kid, b"", own)
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64(own.public_key().public_bytes_raw())}
    yield "jwk of the thief", thief.token(thief.header(jwk=jwk))
    yield "thief without jwk", thief.token()


def _others_keys(signer: Signer, everybody: Iterable[Signer]) -> Iterator[tuple[str, str | bytes]]:
    for other in everybody:
        if other.merchant == signer.merchant:
            continue
        for alg in {other.alg, signer.alg}:
            for kid in (signer.kid, other.kid):
                forger = Signer(signer.merchant, alg, kid, other.secret, other.private)
                yield f"{signer.merchant} by {other.merchant}, {alg}", forger.token()


def _with_signature(signer: Signer, *signatures: bytes) -> Iterator[tuple[str, str | bytes]]:
    said = signer.token().rpartition(".")[0]
    for signature in signatures:
        yield f"{signer.alg} signature {signature[:8].hex()} {len(signature)}", f"{said}.{b64(signature)}"


def _ecdsa(signer: Signer) -> Iterator[tuple[str, str | bytes]]:
    assert isinstance(signer.private, ec.EllipticCurvePrivateKey)
    said = signer.token().rpartition(".")[0].encode()
    der = signer.private.sign(said, ec.ECDSA(hashes.SHA256()))
    raw = joined(*decode_dss_signature(der))
    order, top = P256_ORDER, 2**256 - 1
    pairs = [(0, 0), (0, 1), (1, 0), (1, 1), (order, order), (order, 1), (1, order), (top, top), (order - 1, order - 1)]
    wrong = [
        joined(*decode_dss_signature(signer.private.sign(said, ec.ECDSA(h))))
        for h in (hashes.SHA384(), hashes.SHA512())
    ]
    other = ec.generate_private_key(ec.SECP384R1()).sign(said, ec.ECDSA(hashes.SHA256()))
    long = b"".join(part.to_bytes(48, "big") for part in decode_dss_signature(other))
    yield from _with_signature(
        signer, der, *(joined(r, s) for r, s in pairs), *wrong, long, other, raw[:-1], raw[1:], raw + b"\0", b"\0" + raw,
        raw[32:] + raw[:32], raw[:32], b"", raw[:32] + bytes(32), bytes(32) + raw[32:], raw + raw, raw.hex().encode(),
        b"".join(b"\0" + part for part in (raw[:32], raw[32:])),
    )  # fmt: skip


def _eddsa(signer: Signer) -> Iterator[tuple[str, str | bytes]]:
    said = signer.token().rpartition(".")[0].encode()
    raw = signer.sign(said)
    # RFC 8032 section 5.1.7 wants S below the order of the group; without that each signature has a twin.
    twin = raw[:32] + (int.from_bytes(raw[32:], "little") + ED25519_ORDER).to_bytes(32, "little")
    neutral = (1).to_bytes(32, "little")
    yield from _with_signature(
        signer, twin, bytes(64), neutral + bytes(32), b"\xff" * 64, raw[:-1], raw + b"\0", b"", raw[32:] + raw[:32],
        signer.sign(hashlib.sha512(said).digest()), signer.sign(said.partition(b".")[2]), signer.sign(said + b"."),
        raw[:32] + bytes(32), raw + raw, raw.hex().encode(),
    )  # fmt: skip


def _rsa(signer: Signer) -> Iterator[tuple[str, str | bytes]]:
    assert isinstance(signer.private, rsa.RSAPrivateKey)
    said = signer.token().rpartition(".")[0].encode()
    raw, size = signer.sign(said), 384
    numbers = signer.private.public_key().public_numbers()
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    # The signature plus the modulus is the same number to a careless verifier (RFC 8017 section 8.2.2 refuses it).
    above = (int.from_bytes(raw, "big") + numbers.n).to_bytes(size + 1, "big")
    yield from _with_signature(
        signer, signer.private.sign(said, pss, hashes.SHA256()), above, b"\0" + raw, raw + b"\0", raw[:-1], bytes(size), b"",
        *(signer.private.sign(said, padding.PKCS1v15(), wrong) for wrong in (hashes.SHA1(), hashes.SHA384(), hashes.SHA512())),  # noqa: S303
        (1).to_bytes(size, "big"), (numbers.n - 1).to_bytes(size, "big"), numbers.n.to_bytes(size, "big"), raw[::-1],
    )  # fmt: skip


def _hmac(signer: Signer) -> Iterator[tuple[str, str | bytes]]:
    said = signer.token().rpartition(".")[0].encode()
    raw = signer.sign(said)
    keys = (
        b"",
        b"\0",
        b"secret",
        b64(signer.secret).encode(),
        signer.secret.hex().encode(),
        signer.secret[:16],
        signer.kid.encode(),
    )
    yield from _with_signature(
        signer, b"", raw[:16], raw[:31], raw + b"\0", raw.hex().encode(), raw[::-1], bytes(32),
        *(hmac.digest(key, said, "sha256") for key in keys),
        *(hmac.digest(signer.secret, said, name) for name in ("sha1", "sha384", "sha512")),
        hmac.digest(signer.secret, said.partition(b".")[2], "sha256"), hashlib.sha256(signer.secret + said).digest(),
    )  # fmt: skip


def test_no_crafted_token_opens_a_payment(dialect: NativeDialect, signers: Mapping[str, Signer]) -> None:
    whole = list(crafted(signers))

    opened = [name for name, token in whole if opens(dialect, token)]

    record("promise 17", crafted=len(whole), opened=len(opened))
    assert all(opens(dialect, signer.token()) for signer in signers.values())
    assert len({token for _, token in whole}) >= 300
    assert opened == []


def test_the_twin_of_an_elliptic_signature_is_the_same_request(
    dialect: NativeDialect, signers: Mapping[str, Signer]
) -> None:
    """Whoever sees r and s can write r and n - s, as valid: one request in two spellings, told apart by nothing but them."""
    said, _, signature = signers["ES256"].token().rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    twin = raw[:32] + (P256_ORDER - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")

    commands = [dialect.read(post(f"{said}.{b64(one)}"), NOW) for one in (raw, twin)]

    assert commands[0] == commands[1]


@pytest.mark.parametrize("bits", [2048, 3064])
def test_too_short_an_rsa_key_is_no_key(bits: int) -> None:
    key = rsa.generate_private_key(65537, bits).public_key()

    with pytest.raises(ValueError, match="3072"):
        request_key(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


# What a stranger learns


def strangers(signer: Signer) -> Mapping[str, str]:
    """Knock as somebody who holds no key of the merchant's."""
    thief = Signer(signer.merchant, "EdDSA", signer.kid, b"", ed25519.Ed25519PrivateKey.generate())
    return {
        "unknown merchant": thief.says(iss="ville-nobody"),
        "unknown key": thief.token(thief.header(kid="nobodys-key")),
        "another algorithm": thief.token(thief.header(alg="ES256")),
        "wrong signature": thief.token(),
    }


def answer(dialect: NativeDialect, call: HttpCall) -> tuple[object, ...]:
    with pytest.raises(NotAuthentic) as refused:
        dialect.read(call, NOW)
    assert refused.value.diagnosis == {}
    said = dialect.refused(call, refused.value)
    if isinstance(said, HttpReply):
        return said.status, said.body, tuple(sorted(said.headers.items()))
    assert isinstance(said, ErrorPage)
    return said.status, said.code, said.detail, said.wording, tuple(said.headers.items())


@pytest.mark.parametrize("carried", ["posted", "by browser"])
def test_a_stranger_does_not_learn_who_is_a_merchant(folder: Path, signers: Mapping[str, Signer], carried: str) -> None:
    merchant = signers["EdDSA"].merchant
    book = {**BOOK, merchant: NativeMerchant(merchant, mode=Mode.PRODUCTION)}
    dialect = NativeDialect(book, Keys.load(folder, NOW), ORIGIN)

    answers = {
        name: answer(dialect, post(token) if carried == "posted" else HttpCall("GET", "/pay", f"request={token}"))
        for name, token in strangers(signers["EdDSA"]).items()
    }

    assert len(answers) == 4
    assert len(set(answers.values())) == 1, answers
    assert "not_authentic" in str(answers["wrong signature"])


def test_the_log_learns_what_the_stranger_does_not(folder: Path, signers: Mapping[str, Signer]) -> None:
    book = {name: NativeMerchant(name, mode=Mode.PRODUCTION) for name in BOOK}
    dialect, codes = NativeDialect(book, Keys.load(folder, NOW), ORIGIN), Counter[str]()
    for token in strangers(signers["EdDSA"]).values():
        with pytest.raises(NotAuthentic) as refused:
            dialect.read(post(token), NOW)
        codes[refused.value.code] += 1

    assert codes == {"unknown_merchant": 1, "unknown_key": 1, "algorithm_not_allowed": 1, "bad_signature": 1}


def test_while_all_are_in_test_mode_each_mistake_has_its_name(
    dialect: NativeDialect, signers: Mapping[str, Signer]
) -> None:
    said = {
        name: dialect.refused(post(token), _refusal(dialect, token))
        for name, token in strangers(signers["EdDSA"]).items()
    }

    assert len({reply.body for reply in said.values() if isinstance(reply, HttpReply)}) == 4


def _refusal(dialect: NativeDialect, token: str) -> NotAuthentic:
    with pytest.raises(NotAuthentic) as refused:
        dialect.read(post(token), NOW)
    return refused.value
