"""The usual mistakes in signing a form, tried one by one when a test shop's signature is refused.

Each is a known complaint of integrators: the key of the other mode, the other algorithm, accents turned into entities,
empty fields dropped, fields left in the order of sending.
"""

import base64
import hashlib
import hmac
import html
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from html.entities import codepoint2name
from urllib.parse import quote_from_bytes, unquote_to_bytes

from gateway.dialects.diagnosis import NO_CAUSE, Candidate, Mismatch, diagnose
from gateway.dialects.systempay.forms import Form
from gateway.dialects.systempay.shops import CtxMode, Shop
from gateway.dialects.systempay.signature import Algorithm, signature_of, signed_text

Recode = Callable[[bytes], bytes]

_OTHER: Mapping[Algorithm, Algorithm] = {"sha1": "hmac", "hmac": "sha1"}
_NAMES: Mapping[Algorithm, str] = {"sha1": "SHA-1", "hmac": "HMAC-SHA-256"}


def explain(form: Form, shop: Shop, mode: CtxMode, expected: str) -> dict[str, str]:
    """Say why ``form`` is not signed as it should be, in words that hold no key.

    :param mode: the form's own, which may not be the shop's

    The right signature is shown in the shop's own mode only: a test shop may share its production key with a platform
    where that moves money, and anybody may ask here.
    """
    text = signed_text(form.vads)
    received = form.signature.decode("ascii", "backslashreplace")
    mismatch = Mismatch("systempay", shop.merchant.id, text, expected, received)
    told = dict(diagnose(mismatch, _candidates(form, shop, mode, text) if received else ()))
    if not received:
        told["cause"] = "The form has no field named signature; add it beside the vads_ fields."
    elif missing := ", ".join(other for other in _MODES if other not in shop.site.keys):
        told["cause"] = told["cause"].replace(NO_CAUSE, f"{NO_CAUSE} This site's {missing} key is not known here.")
    if mode != shop.ctx_mode:
        told |= {"expected": f"not shown: made with the {mode} key", "first_difference": ""}
    # A key pasted into a field by mistake must not come out here.
    for key in shop.site.keys.values():
        told = {name: value.replace(key, "[key]") for name, value in told.items()}
    return told


_MODES: tuple[CtxMode, ...] = ("TEST", "PRODUCTION")


def _candidates(form: Form, shop: Shop, mode: CtxMode, text: bytes) -> Iterator[Candidate]:
    yield from _mixed_modes(shop, mode, text)
    if mode not in shop.site.keys:
        return
    key, algorithm = shop.site.keys[mode], shop.algorithm(mode)
    yield from _spellings(form.signature, signature_of(text, key, algorithm))
    yield from _keys(shop, mode, text)
    yield from _algorithms(text, key, algorithm)
    for mistake, cause, signed in _texts(form):
        yield Candidate(mistake, cause, signature_of(signed, key, algorithm), signed)
    other = _OTHER[algorithm]
    for mistake, cause, signed in _texts(form):
        also = f" The algorithm is wrong too: this shop uses {_NAMES[algorithm]}."
        yield Candidate(f"{mistake}, with {_NAMES[other]}", cause + also, signature_of(signed, key, other), signed)


def _spellings(received: bytes, right: str) -> Iterator[Candidate]:
    """The right signature, damaged on its way: the candidate takes the received spelling when only that differs."""
    sent = received.decode("ascii", "backslashreplace")
    for mistake, cause, mended in (
        ("blanks in place of +", "The + signs of the base64 signature arrived as blanks: percent-encode it.", sent.replace(" ", "+")),
        ("upper-case hex", "The SHA-1 signature is in upper case: write its hex digits in lower case.", sent.lower()),
        ("blanks around", "There are blanks or line ends around the signature: trim it.", sent.strip()),
        ("encoded twice", "The signature was percent-encoded twice.", unquote_to_bytes(sent).decode("ascii", "replace")),
        ("no padding", "The = at the end of the base64 signature is missing.", sent + "="),
    ):  # fmt: skip
        yield Candidate(mistake, cause, sent if mended == right else "")


def _mixed_modes(shop: Shop, mode: CtxMode, text: bytes) -> Iterator[Candidate]:
    """Try the key of the other mode, under either mode's algorithm; the mode of the form is what chooses."""
    for other, secret in shop.site.keys.items():
        if other != mode:
            cause = f"The {other} key was used for a form whose vads_ctx_mode is {mode}."
            if mode != shop.ctx_mode:
                cause += f" This shop is in {shop.ctx_mode} mode: send vads_ctx_mode={shop.ctx_mode}."
            for algorithm in (shop.algorithm(mode), shop.algorithm(other)):
                yield Candidate("key of the other mode", cause, signature_of(text, secret, algorithm))


def _keys(shop: Shop, mode: CtxMode, text: bytes) -> Iterator[Candidate]:
    key, algorithm = shop.site.keys[mode], shop.algorithm(mode)
    for site in shop.terms.sites:
        if site is not shop.site and mode in site.keys:
            cause = f"The key of site {site.site_id} was used for a form of site {shop.site.site_id}."
            yield Candidate("key of another site", cause, signature_of(text, site.keys[mode], algorithm))
    for secret in (f"{key} ", f" {key}", f"{key}\n", f"{key}\r\n", f" {key} ", f"\u00ef\u00bb\u00bf{key}"):
        cause = "There is a blank, line end or byte-order mark around the key: trim it."
        yield Candidate("blanks around the key", cause, _sign_with(text, secret.encode("latin-1"), algorithm))
    for secret in (key.lower(), key.upper()):
        if secret != key:
            cause = "The key was turned into lower or upper case: use it as it is."
            yield Candidate("key in another case", cause, signature_of(text, secret, algorithm))


def _sign_with(text: bytes, secret: bytes, algorithm: Algorithm) -> str:
    if algorithm == "sha1":
        return hashlib.sha1(text + secret, usedforsecurity=False).hexdigest()
    return base64.b64encode(hmac.digest(secret, text + secret, hashlib.sha256)).decode("ascii")


def _algorithms(text: bytes, key: str, algorithm: Algorithm) -> Iterator[Candidate]:
    other, secret = _OTHER[algorithm], key.encode("ascii")
    cause = f"The form was signed with {_NAMES[other]}; this shop's algorithm is {_NAMES[algorithm]}."
    yield Candidate(f"{_NAMES[other]} instead", cause, signature_of(text, key, other))
    whole, bare = text + secret, text.removesuffix(b"+")
    keyless = hmac.digest(secret, bare, hashlib.sha256)
    cause = "The signed text does not end with + and the key; with HMAC it does too, although the key is used twice."
    yield Candidate("final key missing", cause, base64.b64encode(keyless).decode("ascii"), bare)
    yield Candidate("final key missing, hex", cause, keyless.hex(), bare)
    yield Candidate("final key missing, SHA-1", cause, hashlib.sha1(bare, usedforsecurity=False).hexdigest(), bare)
    cause = "The HMAC is spelt in hex: send the base64 of its 32 bytes."
    yield Candidate("HMAC in hex", cause, hmac.digest(secret, whole, hashlib.sha256).hex())
    hexed = base64.b64encode(hmac.digest(secret, whole, hashlib.sha256).hex().encode()).decode("ascii")
    yield Candidate("base64 of hex", "The base64 is of the HMAC's hex text: take it of its 32 bytes.", hexed)
    cause = "A plain SHA-256 was taken: use HMAC-SHA-256 under the key."
    plain = hashlib.sha256(whole)
    yield Candidate("plain SHA-256", cause, plain.hexdigest())
    yield Candidate("plain SHA-256, base64", cause, base64.b64encode(plain.digest()).decode("ascii"))
    cause = "The SHA-1 is spelt in base64: send its hex digits in lower case."
    sha1 = hashlib.sha1(whole, usedforsecurity=False)
    yield Candidate("SHA-1 in base64", cause, base64.b64encode(sha1.digest()).decode("ascii"))
    cause = "The HMAC was made with SHA-1: use SHA-256."
    yield Candidate("HMAC-SHA-1", cause, base64.b64encode(hmac.digest(secret, whole, hashlib.sha1)).decode("ascii"))


def _texts(form: Form) -> Iterator[tuple[str, str, bytes]]:
    """Give what may have been signed instead of the right text: its mistake, the cause, the bytes."""
    fields = form.vads
    full = {name: value for name, value in fields.items() if value}
    yield "empty fields dropped", "Empty fields were sent but not signed: sign exactly what is sent.", signed_text(full)
    for name in _OFTEN_EMPTY:
        if name not in fields:
            cause = f"{name} was signed empty but not sent: sign exactly what is sent."
            yield "an empty field added", cause, signed_text({**fields, name: b""})
    joined = b"+".join([*fields.values(), b""])
    yield "not sorted", "The fields were signed in the order of sending: sort them by name.", joined
    folded = b"+".join([*(fields[name] for name in sorted(fields, key=str.lower)), b""])
    yield "sorted without regard to case", "Sort names by their bytes: upper case comes before lower case.", folded
    yield "joined without +", "The values were joined without + between them.", _joined_by(b"", fields)
    yield "joined with &", "The values were joined with & instead of +.", _joined_by(b"&", fields)
    everything = {**fields, **form.others}
    cause = "Fields whose names do not begin with vads_ were signed too."
    yield "other fields signed", cause, b"+".join([*(everything[name] for name in sorted(everything)), b""])
    for mistake, cause, recode in _RECODES:
        yield mistake, cause, signed_text({name: recode(value) for name, value in fields.items()})


def _joined_by(joint: bytes, fields: Mapping[str, bytes]) -> bytes:
    """Join the sorted values otherwise than the protocol does."""
    return joint.join([*(fields[name] for name in sorted(fields)), b""])


# Fields that client libraries like to declare empty.
_OFTEN_EMPTY = (
    "vads_capture_delay",
    "vads_validation_mode",
    "vads_payment_cards",
    "vads_order_info",
    "vads_return_mode",
)


def _latin1(value: bytes) -> bytes:
    return value.decode("utf-8", "replace").encode("latin-1", "replace")


def _utf8(value: bytes) -> bytes:
    return value.decode("latin-1").encode("utf-8")


def _named_entities(value: bytes) -> bytes:
    text = value.decode("utf-8", "replace")
    return "".join(f"&{codepoint2name[ord(c)]};" if ord(c) in codepoint2name else c for c in text).encode()


def _numeric_entities(value: bytes) -> bytes:
    return value.decode("utf-8", "replace").encode("ascii", "xmlcharrefreplace")


def _escaped(value: bytes) -> bytes:
    return html.escape(value.decode("utf-8", "replace"), quote=True).encode()


def _unescaped(value: bytes) -> bytes:
    return html.unescape(value.decode("utf-8", "replace")).encode()


def _quoted(value: bytes) -> bytes:
    return quote_from_bytes(value, safe="").replace("%20", "+").encode("ascii")


def _unaccented(value: bytes) -> bytes:
    text = unicodedata.normalize("NFKD", value.decode("utf-8", "replace"))
    return text.encode("ascii", "ignore")


_ENTITIES = "HTML entities were signed, but browsers send the characters they stand for: sign before escaping."
_RECODES: tuple[tuple[str, str, Recode], ...] = (
    ("Latin-1 signed", "The signed text was in Latin-1: sign the bytes of UTF-8.", _latin1),
    ("UTF-8 signed, Latin-1 sent", "UTF-8 was signed but Latin-1 was sent: send the page and form in UTF-8.", _utf8),
    ("named entities signed", _ENTITIES, _named_entities),
    ("numeric entities signed", _ENTITIES, _numeric_entities),
    ("escaped values signed", _ENTITIES, _escaped),
    ("values escaped twice", "Values were HTML-escaped twice in the page: escape them once.", _unescaped),
    ("percent-encoding signed", "Percent-encoded values were signed: sign them before encoding.", _quoted),
    ("percent-encoded twice", "Values were percent-encoded twice: encode them once.", unquote_to_bytes),
    ("+ for blanks", "Blanks were sent as they are but signed as +, or the reverse.", lambda value: value.replace(b" ", b"+")),
    ("line ends", r"Browsers send line ends as \r\n: sign them so.", lambda value: value.replace(b"\r\n", b"\n")),
    ("trimmed values signed", "Values were trimmed before signing but sent untrimmed.", bytes.strip),
    ("accents dropped", "Accents were dropped before signing: sign what is sent.", _unaccented),
)  # fmt: skip
