"""Payment links: made once, revoked perhaps, forgotten in the end."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, exists, insert, or_, select, update

from gateway.core.errors import NotFound
from gateway.core.money import Money
from gateway.core.paylink import LinkTerms, PayLink
from gateway.core.payment import Line, Payee, PaymentRequest, normal_reference
from gateway.store import tables as t

# What tells of a person; portals and secretaries write pupils' names into labels.
_OF_PEOPLE = {"email": "", "payer_name": "", "label": ""}


class PayLinks:
    """Queries over ``link``."""

    def __init__(self, connection: Connection, payee_of: Callable[[str], Payee]) -> None:
        self._db, self._payee_of = connection, payee_of

    def add(self, terms: Sequence[LinkTerms], now: datetime) -> list[int]:
        """Insert links; gives their numbers in the same order. A debt that has a valid one is refused by its index."""
        if not terms:
            return []
        added = insert(t.link).returning(t.link.c.id, sort_by_parameter_order=True)
        return list(self._db.execute(added, [{**_row_of(one), "created_at": now} for one in terms]).scalars())

    def get(self, number: int) -> PayLink:
        """Find one. Raises :class:`NotFound`."""
        row = self._db.execute(select(t.link).where(t.link.c.id == number)).one_or_none()
        if row is None:
            raise NotFound("no such link")
        return self._told(row)

    def valid_of(self, request: PaymentRequest) -> PayLink | None:
        """Find the link of a debt that is not revoked."""
        row = self._db.execute(
            select(t.link)
            .where(t.link.c.merchant_id == request.merchant, t.link.c.fiscal_year == request.fiscal_year)
            .where(t.link.c.debt == normal_reference(request.reference), t.link.c.revoked_at.is_(None))
        ).one_or_none()
        return self._told(row) if row else None

    def by_reference(self, merchant: str, reference: str) -> list[PayLink]:
        """Find a merchant's links of a reference in any of its spellings, newest first."""
        asked = select(t.link).where(t.link.c.merchant_id == merchant, t.link.c.debt == normal_reference(reference))
        return [self._told(row) for row in self._db.execute(asked.order_by(t.link.c.id.desc()))]

    def newest(self, limit: int, merchant: str = "") -> list[PayLink]:
        """Find the latest links, of one merchant or of all."""
        asked = select(t.link).order_by(t.link.c.id.desc()).limit(limit)
        asked = asked.where(t.link.c.merchant_id == merchant) if merchant else asked
        return [self._told(row) for row in self._db.execute(asked)]

    def revoke(self, number: int, now: datetime) -> bool:
        """End a link; false when that was done before."""
        done = self._db.execute(
            update(t.link).where(t.link.c.id == number, t.link.c.revoked_at.is_(None)).values(revoked_at=now)
        )
        return done.rowcount == 1

    def forget(self, merchant: str, before: datetime, now: datetime, limit: int) -> int:
        """Blank what tells of people in a merchant's links that ended before then; returns how many they were."""
        k, d, p = t.link.c, t.debt.c, t.payment.c
        is_same_debt = and_(d.merchant_id == k.merchant_id, d.fiscal_year == k.fiscal_year, d.reference == k.debt)
        is_paid = exists().where(is_same_debt, d.state == "paid", p.id == d.holder_id, p.ended_at < before)
        # Whoever revoked it, or printed its last day, said when it was over; of the others the payment does.
        is_over = or_(k.revoked_at < before, k.pay_before < before.date(), is_paid)
        idle = and_(k.merchant_id == merchant, k.forgotten_at.is_(None), k.created_at < before, is_over)
        batch = update(t.link).where(k.id.in_(select(k.id).where(idle).limit(limit)), k.forgotten_at.is_(None))
        return self._db.execute(batch.values(forgotten_at=now, **_OF_PEOPLE)).rowcount

    def _told(self, row: Row[Any]) -> PayLink:
        amount = Money(row.amount_cents, row.currency)
        request = PaymentRequest(
            merchant=row.merchant_id,
            reference=row.reference,
            amount=amount,
            lines=(Line(row.reference, row.label, amount),),
            label=row.label,
            email=row.email,
            payer_name=row.payer_name,
            fiscal_year=row.fiscal_year,
            language=row.language,
            pay_before=row.pay_before,
        )
        payee = self._payee_of(row.merchant_id)
        return PayLink(row.id, LinkTerms(request, row.grace_days), payee, row.created_at, row.revoked_at)


def _row_of(terms: LinkTerms) -> dict[str, object]:
    request = terms.request
    return {
        "merchant_id": request.merchant,
        "fiscal_year": request.fiscal_year,
        "reference": request.reference,
        "debt": normal_reference(request.reference),
        "amount_cents": request.amount.cents,
        "currency": request.amount.currency,
        "label": request.label,
        "email": request.email,
        "payer_name": request.payer_name,
        "language": request.language,
        "pay_before": request.pay_before,
        "grace_days": terms.grace_days,
    }
