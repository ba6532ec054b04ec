"""Signed requests: each is taken once, and what it did is remembered for ever."""

from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select

from gateway.store import tables as t

_r = t.signed_request.c
_BY_JTI = select(t.signed_request).where(_r.merchant_id == bindparam("merchant"), _r.jti == bindparam("named"))
_ADD = insert(t.signed_request)


class Requests:
    """Queries over ``signed_request``."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def find(self, merchant: str, jti: str) -> Row[Any] | None:
        """Find what a signed request of this id did, if it was seen before."""
        return self._db.execute(_BY_JTI, {"merchant": merchant, "named": jti}).one_or_none()

    def add(self, **facts: object) -> None:
        """Remember that a signed request was taken."""
        self._db.execute(_ADD, facts)
