"""The signatures real shops send: the kits' functions differ in which values they run together.

Every variant is HMAC-SHA-1 over values alone, in upper-case hex. Which one a request carries is found by trying.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from gateway.dialects.spplus.fields import CANONICAL
from gateway.dialects.spplus.key import MerchantKey
from gateway.dialects.spplus.query import Parameter


class Variant(StrEnum):
    """What was run together and signed."""

    V7 = "V7"  # the canonical values, in their own order, escapes undone; nothing else
    ALL_DECODED = "VALL-dec"  # every value in order of appearance, escapes undone
    ALL_RAW = "VALL-raw"  # the same, as it was sent
    PREFIX_DECODED = "VPREFIX-dec"  # the values before ``hmac``, escapes undone
    PREFIX_RAW = "VPREFIX-raw"  # the same, as they were sent


# May be left out: the last of the canonical values, and the language.
_OPTIONAL = frozenset({"validite", "langue"})

_WHOLE = frozenset({Variant.ALL_DECODED, Variant.ALL_RAW})


@dataclass(frozen=True, slots=True)
class Signing:
    """One way to sign a request.

    :ivar message: the bytes that are signed
    :ivar covered: the parameters they stand for, in order
    """

    variant: Variant
    message: bytes
    covered: tuple[Parameter, ...]

    @property
    def text(self) -> bytes:
        """The signed values with their escapes undone."""
        return b"".join(p.value for p in self.covered)

    @property
    def is_canonical(self) -> bool:
        """Whether the canonical values come first and in their own order; names are not signed, so places must tell."""
        names = tuple(p.name for p in self.covered if p.value)
        expected = tuple(name for name in CANONICAL if name in names or name not in _OPTIONAL)
        return names[: len(expected)] == expected

    def covers_canonical(self, parameters: Sequence[Parameter]) -> bool:
        """Whether no canonical value stands outside, after the ``hmac``: it would be obeyed although nobody signed it."""
        return not set(CANONICAL) & set(self.partial(parameters))

    def partial(self, parameters: Sequence[Parameter]) -> tuple[str, ...]:
        """Name the parameters with a value that this signature does not protect."""
        covered = {p.name for p in self.covered}
        return tuple(p.name for p in parameters if p.value and p.name not in covered and p.name != "hmac")


def signings(parameters: Sequence[Parameter], *, strict: bool = False) -> Iterator[Signing]:
    """Give the ways a request may be signed, the first that fits counting.

    :param strict: only those that cover every value
    """
    by_name = {p.name: p for p in parameters}
    canonical = tuple(by_name[name] for name in CANONICAL if name in by_name)
    every = tuple(p for p in parameters if p.name != "hmac")
    place = next((i for i, p in enumerate(parameters) if p.name == "hmac"), len(parameters))
    prefix = tuple(parameters[:place])
    for variant, covered in (
        (Variant.V7, canonical),
        (Variant.ALL_DECODED, every),
        (Variant.ALL_RAW, every),
        (Variant.PREFIX_DECODED, prefix),
        (Variant.PREFIX_RAW, prefix),
    ):
        if strict and variant not in _WHOLE:
            continue
        is_raw = variant in (Variant.ALL_RAW, Variant.PREFIX_RAW)
        yield Signing(variant, b"".join(p.raw if is_raw else p.value for p in covered), covered)


def matching(
    parameters: Sequence[Parameter], key: MerchantKey, received: str, *, strict: bool = False
) -> tuple[Signing, ...]:
    """Find the signings that ``received`` proves, in the order of preference; empty when it proves nothing."""
    return tuple(s for s in signings(parameters, strict=strict) if key.verify(s.message, received))
