"""Looks for card numbers and security codes in whatever a program left behind, however they are dressed."""

import base64
import binascii
import email.policy
import io
import random
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from email import message_from_bytes
from pathlib import Path

import pypdf

from gateway.core.card import luhn_valid

# Typed nowhere else, so that finding it means finding the code.
CODES = {3: "947", 4: "9473"}
_CODE = re.compile(rb"(?i)(?:security.?code|csc|cvv|cvc|cvx)[^0-9]{0,12}9473?(?!\d)")

# Twelve digits or more, with whatever people and programs put between them.
_RUN = re.compile(rb"\d(?:(?:[ .+_-]|%20|\xc2\xa0)?\d){11,30}")
# In base64 three digits make four letters of which the first is M, N or O, wherever the run begins.
_BASE64_RUN = re.compile(rb"(?:[MNO][A-Za-z0-9]{2}[A-Za-z0-9+/_-]){4,}")
# One digit each, as a query, JSON, XML, UTF-16 in both orders, or hexadecimal text spell it.
_SPELT = (
    (re.compile(rb"(?:%3[0-9]){12,31}"), 3),
    (re.compile(rb"(?:\\u003[0-9]){12,31}"), 6),
    (re.compile(rb"(?:&#x3[0-9];){12,31}"), 6),
    (re.compile(rb"(?:[0-9]\x00){12,31}"), 2),
    (re.compile(rb"(?:\x00[0-9]){12,31}"), 2),
    (re.compile(rb"(?:3[0-9]){12,31}"), 2),
    (re.compile(rb"(?:3[0-9][ :]){11,30}3[0-9]"), 3),
)


def find_cards(content: bytes, numbers: Iterable[str]) -> set[str]:
    """Find which card numbers are in some bytes: plain, grouped, backwards, or in an encoding."""
    runs = [re.sub(rb"%20|\D", b"", run).decode() for run in _RUN.findall(content)]
    for pattern, width in _SPELT:
        # What spells a digit ends with it, but for the trimmings of its own form.
        runs += [_digits(run, width) for run in pattern.findall(content)]
    letters = [base64.b64decode(run[: len(run) // 4 * 4], altchars=b"-_") for run in _BASE64_RUN.findall(content)]
    plain = " ".join(runs)
    # A number that does not begin at a whole group of three loses up to two digits at each end.
    hidden = b" ".join(letters).decode("ascii", "replace")
    return {n for n in numbers if n in plain or n[::-1] in plain or n[2:-2] in hidden}


def _digits(run: bytes, width: int) -> str:
    return "".join(re.findall("[0-9]", run[at : at + width].decode())[-1] for at in range(0, len(run), width))


def search(paths: Iterable[Path], numbers: Sequence[str]) -> dict[str, set[str]]:
    """Search files; gives what was found where."""
    found: dict[str, set[str]] = {}
    for path in paths:
        if not path.is_file():
            continue
        content = path.read_bytes()
        for part in (content, *inner_parts(content)):
            hits = find_cards(part, numbers) | {match.decode() for match in _CODE.findall(part)}
            if hits:
                found.setdefault(str(path), set()).update(hits)
    return found


def inner_parts(content: bytes) -> Iterator[bytes]:
    """Open what is packed: the parts of a mail, the text of a PDF, what was compressed, the long texts in base64."""
    if content.startswith(b"%PDF"):
        reader = pypdf.PdfReader(io.BytesIO(content))
        yield "\n".join(page.extract_text() for page in reader.pages).encode()
    if content.startswith(b"\x1f\x8b"):
        with suppress(zlib.error):
            yield zlib.decompressobj(31).decompress(content)
    if b"\nMIME-Version:" in content[:4000] or b"\nX-Guichet-Kind:" in content[:4000]:
        for part in message_from_bytes(content, policy=email.policy.default).walk():
            inner = part.get_payload(decode=True)
            if isinstance(inner, bytes):
                yield inner
                yield from inner_parts(inner)
    for text in re.findall(rb"eyJ[A-Za-z0-9_-]{20,}", content):
        with suppress(binascii.Error):
            yield base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))


def memory_hits(pid: int, numbers: Iterable[str]) -> set[str]:
    """Find card numbers in the writable memory of a process."""
    needles = [number.encode() for number in numbers]
    found: set[str] = set()
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in maps:
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if not match or "[vvar" in line:
                continue
            begin, end = int(match[1], 16), int(match[2], 16)
            with suppress(OSError, ValueError):
                memory.seek(begin)
                content = memory.read(end - begin)
                found |= {needle.decode() for needle in needles if needle in content}
    return found


def foreign_numbers(count: int) -> list[str]:
    """Make card numbers no table holds: the published ones are in every process by right."""
    chance, numbers = random.Random(7), list[str]()  # noqa: S311 - repeatable on purpose
    while len(numbers) < count:
        number = "4" + "".join(str(chance.randrange(10)) for _ in range(15))
        if luhn_valid(number):
            numbers.append(number)
    return numbers
