"""Why a signature was refused: the usual mistakes are tried one by one until one gives what was received.

For merchants in test mode only, since the answer names the right signature. Nothing here knows a key or an algorithm: a
dialect makes the candidates, this module compares and words the outcome.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# Enough to recognise the place in a request, little enough to stay on one line.
_CONTEXT = 16

# What is told when nothing fits; a dialect may add what it could not try.
NO_CAUSE = "None of the usual mistakes gives the signature that was received."


@dataclass(frozen=True, slots=True)
class Candidate:
    """One usual mistake and the signature it makes.

    :ivar mistake: its name in a few words, for the list of what was tried (``key used without decoding``)
    :ivar cause: one sentence telling the developer what was done and what to do instead
    :ivar signature: what the mistake gives, spelt exactly as the protocol spells signatures
    :ivar signed: the bytes the mistake signs, where they differ from the right ones
    """

    mistake: str
    cause: str
    signature: str
    signed: bytes | None = None


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A refused signature.

    :ivar signed: what should have been signed, without the key
    :ivar expected: the signature it makes
    :ivar received: the signature that came, in the same spelling as ``expected``
    """

    dialect: str
    merchant: str
    signed: bytes
    expected: str
    received: str


def diagnose(mismatch: Mismatch, candidates: Iterable[Candidate]) -> Mapping[str, str]:
    """Find the mistake that explains a refused signature, and tell all a developer needs to mend it.

    :param candidates: likeliest first; a generator is asked for no more once one fits

    The answer's keys are those of :class:`~gateway.core.errors.NotAuthentic` diagnoses: ``dialect``, ``merchant``,
    ``signed``, ``expected``, ``received``, ``first_difference``, ``cause`` and ``tried``.
    """
    tried: list[str] = []
    found: Candidate | None = None
    for candidate in candidates:
        tried.append(candidate.mistake)
        if candidate.signature == mismatch.received:
            found = candidate
            break
    if found and found.signed is not None:
        difference = first_difference(readable(mismatch.signed), readable(found.signed))
    else:
        difference = first_difference(mismatch.expected, mismatch.received)
    return {
        "dialect": mismatch.dialect,
        "merchant": mismatch.merchant,
        "signed": readable(mismatch.signed),
        "expected": mismatch.expected,
        "received": readable(mismatch.received.encode("utf-8", "backslashreplace")),
        "first_difference": difference,
        "cause": found.cause if found else NO_CAUSE,
        "tried": ", ".join(dict.fromkeys(tried)),
    }


def first_difference(ours: str, theirs: str) -> str:
    """Say where two texts part, counting characters from 1; empty when they do not.

    Each side is shown from that place on, a few characters long.
    """
    if ours == theirs:
        return ""
    shorter = min(len(ours), len(theirs))
    place = next((i for i in range(shorter) if ours[i] != theirs[i]), shorter)
    return f"character {place + 1}: ours {_from(ours, place)}, theirs {_from(theirs, place)}"


def readable(raw: bytes) -> str:
    r"""Show bytes as text in which nothing hides: what is not UTF-8, and control characters, as ``\xe9``."""
    text = raw.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _from(text: str, place: int) -> str:
    if place == len(text):
        return "ends"
    rest = text[place : place + _CONTEXT]
    return f"has {rest!r}" + ("..." if place + _CONTEXT < len(text) else "")
