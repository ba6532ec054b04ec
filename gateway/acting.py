"""Who is acting, and from where: said once at the rim, read where an act is written down.

It travels beside the call rather than through twenty signatures that have no other use for it. Nothing is ever
allowed or refused by it; what a merchant may see is an argument of the transaction.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something.

    :ivar who: ``payer``, ``merchant mairie-demo``, ``operator root``, ``worker``, ``server``, ``caller`` (not known yet)
    :ivar origin: an address, a machine and process, or ``command line``
    """

    who: str
    origin: str = ""


_process = Actor("server")
_CURRENT: ContextVar[Actor | None] = ContextVar("actor", default=None)


def actor() -> Actor:
    """Say who is acting here and now; this process itself, unless somebody said otherwise."""
    return _CURRENT.get() or _process


def start_as(program: Actor) -> None:
    """Say what this process is: what its threads do is done by it."""
    global _process
    _process = program


def become(who: Actor | None) -> None:
    """Act as ``who`` from here on, for one request; with ``None``, as this process itself again."""
    _CURRENT.set(who)


@contextmanager
def acting_as(who: Actor) -> Iterator[None]:
    """Act as ``who`` for a while."""
    token = _CURRENT.set(who)
    try:
        yield
    finally:
        _CURRENT.reset(token)
