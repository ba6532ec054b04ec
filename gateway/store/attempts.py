"""Attempts: card submissions, their challenge, their messages to the acquirer, and the ledger of what moved."""

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, bindparam, func, insert, literal_column, select, true, update

from gateway.core.challenge import SENDS_MAX, TRIES_MAX
from gateway.core.errors import NotFound, WrongStatus
from gateway.core.money import Money
from gateway.core.moves import check_attempt_move
from gateway.core.states import FRONT, MONEY, REFUSED, AttemptStatus
from gateway.store import tables as t

AttemptRow = Row[Any]

_a, _c, _o = t.attempt, t.challenge, t.operation
_NEXT_NUMBER = (
    select(func.coalesce(func.max(_a.c.n), 0) + 1).where(_a.c.payment_id == bindparam("of")).scalar_subquery()
)
_ADD = insert(_a).values(n=_NEXT_NUMBER).returning(_a)
_BY_ID = select(_a).where(_a.c.id == bindparam("of"))
_LATEST = select(_a).where(_a.c.payment_id == bindparam("of")).order_by(_a.c.n.desc()).limit(literal_column("1"))
_FRONT, _MONEY = (
    select(_a).where(_a.c.payment_id == bindparam("of"), t.among(_a.c.status, words)) for words in (FRONT, MONEY)
)
_COUNT_REFUSED = select(func.count()).where(_a.c.payment_id == bindparam("of"), t.among(_a.c.status, REFUSED))
_MOVE = update(_a).where(_a.c.id == bindparam("of"), _a.c.status == bindparam("was"))
_RELEASE = update(t.hold).where(t.hold.c.attempt_id == bindparam("of")).values(is_active=False)
# In the order of the debts, so that two attempts cannot wait for each other.
_HOLD = insert(t.hold).from_select(
    ["attempt_id", "debt_id", "is_active"],
    select(bindparam("attempt", type_=_a.c.id.type), t.line.c.debt_id, true())
    .where(t.line.c.payment_id == bindparam("of"))
    .order_by(t.line.c.debt_id),
)
_ADD_CHALLENGE = insert(_c)
_CHALLENGE = select(_c).where(_c.c.attempt_id == bindparam("of"))
_CHALLENGED = (
    select(_a, _c.c.code_mac, _c.c.tries.label("tried"))
    .join(_c, _c.c.attempt_id == _a.c.id)
    .where(_a.c.id == bindparam("of"))
)
_COUNT_TRY = (
    update(_c)
    .where(_c.c.attempt_id == bindparam("of"), _c.c.tries < TRIES_MAX)
    .where(_c.c.closed_at.is_(None), _c.c.expires_at > bindparam("now"))
    .values(tries=_c.c.tries + 1)
)
_CLOSE_CHALLENGE = update(_c).where(_c.c.attempt_id == bindparam("of"), _c.c.closed_at.is_(None))
_NEXT_MESSAGE = (
    select(func.count() + 1).where(_o.c.attempt_id == bindparam("of"), _o.c.kind == bindparam("sort")).scalar_subquery()
)
_ADD_OPERATION = insert(_o).values(n=_NEXT_MESSAGE)
_ANSWER = update(_o).where(_o.c.op_id == bindparam("of")).returning(_o.c.attempt_id)
_POST = insert(t.ledger)


class Attempts:
    """Queries over ``attempt``, ``hold``, ``challenge``, ``operation`` and ``ledger``."""

    def __init__(self, connection: Connection, touch: Callable[[int, str], None]) -> None:
        self._db = connection
        self._touch = touch
        self._payment_of: dict[int, int] = {}

    def add(self, payment_id: int, **facts: object) -> AttemptRow:
        """Insert an attempt with the payment's next number."""
        self._touch(payment_id, "")
        row = self._db.execute(_ADD, {"of": payment_id, "payment_id": payment_id, **facts}).one()
        self._payment_of[row.id] = payment_id
        return row

    def get(self, attempt_id: int) -> AttemptRow:
        """Find one by its row id."""
        row = self._db.execute(_BY_ID, {"of": attempt_id}).one()
        self._payment_of[row.id] = row.payment_id
        return row

    def latest(self, payment_id: int) -> AttemptRow | None:
        """Find the newest attempt of a payment."""
        return self._one(_LATEST, payment_id)

    def front(self, payment_id: int) -> AttemptRow | None:
        """Find the attempt that waits for the payer, if any."""
        return self._one(_FRONT, payment_id)

    def _one(self, asked: Select[Any], of: int) -> AttemptRow | None:
        row = self._db.execute(asked, {"of": of}).one_or_none()
        if row is not None:
            self._payment_of[row.id] = row.payment_id
        return row

    def money(self, payment_id: int) -> AttemptRow:
        """Find the attempt that holds the money of a payment. Raises :class:`NotFound`."""
        row = self._one(_MONEY, payment_id)
        if row is None:
            raise NotFound("no attempt of this payment holds money")
        return row

    def first_debit(self, payment_id: int) -> AttemptRow:
        """Find the attempt that paid a purchase, given back since or not. Raises :class:`NotFound`."""
        a, has_paid = t.attempt, (*MONEY, AttemptStatus.REFUNDED)
        asked = select(a).where(a.c.payment_id == payment_id, a.c.status.in_(has_paid)).order_by(a.c.n.desc()).limit(1)
        row = self._db.execute(asked).one_or_none()
        if row is None:
            raise NotFound("no attempt has paid this purchase")
        return row

    def forget_tokens(self, payment_id: int) -> None:
        """Forget what stood for the payer's cards."""
        self._db.execute(update(t.attempt).where(t.attempt.c.payment_id == payment_id).values(token=""))

    def count_refused(self, payment_id: int) -> int:
        """Count the cards of a payment that ended badly; abandoned ones do not count."""
        return int(self._db.execute(_COUNT_REFUSED, {"of": payment_id}).scalar_one())

    def move(self, row: AttemptRow, target: AttemptStatus, **changes: object) -> None:
        """Move an attempt from the status it was read in, and let go of the debts when no money can be held any more.

        Raises :class:`WrongStatus` if it is there no longer.
        """
        check_attempt_move(AttemptStatus(row.status), target)
        self._payment_of[row.id] = row.payment_id
        self._touch(row.payment_id, "")
        done = self._db.execute(_MOVE, {"of": row.id, "was": row.status, "status": target, **changes})
        if done.rowcount != 1:
            raise WrongStatus(f"the attempt was no longer {row.status}")
        if row.status in MONEY and target not in MONEY:
            self._db.execute(_RELEASE, {"of": row.id})

    def hold_debts(self, attempt_id: int, payment_id: int) -> None:
        """Claim the money of every debt of the payment for this attempt; the unique index refuses a second."""
        self._db.execute(_HOLD, {"attempt": attempt_id, "of": payment_id})

    def dismiss(self, attempt_id: int) -> None:
        """Note that the payer has read the refusal and wants another card."""
        self._db.execute(update(t.attempt).where(t.attempt.c.id == attempt_id).values(dismissed=True))

    def due(self, now: datetime, limit: int) -> list[AttemptRow]:
        """Find the attempts somebody must look at: deadlines, inquiries, reversals, captures."""
        asked = select(t.attempt).where(t.attempt.c.next_at <= now).order_by(t.attempt.c.next_at).limit(limit)
        return list(self._db.execute(asked))

    def stranded(self, later: datetime, limit: int, statuses: Collection[AttemptStatus]) -> list[AttemptRow]:
        """Find what nobody would look at until ``later``: where no such wait is planned, the clock was set back."""
        a = t.attempt.c
        return list(
            self._db.execute(select(t.attempt).where(a.next_at > later, t.among(a.status, statuses)).limit(limit))
        )

    def claim(self, row: AttemptRow, until: datetime) -> bool:
        """Take a due attempt for oneself until ``until``; false when another sweeper was faster."""
        done = self._db.execute(
            update(t.attempt)
            .where(t.attempt.c.id == row.id, t.attempt.c.next_at == row.next_at, t.attempt.c.status == row.status)
            .values(next_at=until, tries=t.attempt.c.tries + 1)
        )
        return done.rowcount == 1

    def reschedule(self, row: AttemptRow, next_at: datetime | None) -> None:
        """Say when an attempt must be looked at again, unless it has moved on since it was read.

        Whoever moved it said when: approved money may wait for its merchant's word, and for nothing else.
        """
        a = t.attempt
        self._db.execute(update(a).where(a.c.id == row.id, a.c.status == row.status).values(next_at=next_at))

    def forgotten(self, warned_before: datetime, lapsed_before: datetime, limit: int) -> list[AttemptRow]:
        """Find approved money that waits for its merchant since long: to be warned of (tries 0), or lapsed (tries below 2)."""
        a = t.attempt
        is_late = (a.c.tries == 0) & (a.c.ended_at <= warned_before) | (a.c.tries < 2) & (a.c.ended_at <= lapsed_before)
        asked = select(a).where(a.c.status == AttemptStatus.APPROVED, a.c.next_at.is_(None), is_late)
        return list(self._db.execute(asked.order_by(a.c.ended_at).limit(limit)))

    def mark(self, attempt_id: int, tries: int) -> None:
        """Note how far the wait for a merchant's word has gone."""
        self._db.execute(update(t.attempt).where(t.attempt.c.id == attempt_id).values(tries=tries))

    # The challenge.

    def hasten_captures(self, now: datetime) -> int:
        """Make approved attempts that wait for a day of their own due at once; not those that wait for their merchant."""
        a = t.attempt
        done = self._db.execute(
            update(a).where(a.c.status == AttemptStatus.APPROVED, a.c.next_at > now).values(next_at=now)
        )
        return done.rowcount

    def open_challenge(self, attempt_id: int, mac: bytes, now: datetime, expires_at: datetime) -> None:
        """Insert the challenge of an attempt; its first code is on its way."""
        times = {"opened_at": now, "sent_at": now, "expires_at": expires_at}
        self._db.execute(_ADD_CHALLENGE, {"attempt_id": attempt_id, "tries": 0, "sends": 1, "code_mac": mac, **times})

    def challenge(self, attempt_id: int) -> Row[Any] | None:
        """Find the challenge of an attempt."""
        return self._db.execute(_CHALLENGE, {"of": attempt_id}).one_or_none()

    def challenged(self, attempt_id: int) -> AttemptRow | None:
        """Find an attempt with its challenge's ``code_mac``, and ``tried``, how many codes were compared."""
        return self._one(_CHALLENGED, attempt_id)

    def count_try(self, attempt_id: int, now: datetime) -> bool:
        """Count one comparison before it is made; false when none is left, or the code is dead."""
        return self._db.execute(_COUNT_TRY, {"of": attempt_id, "now": now}).rowcount == 1

    def close_challenge(self, attempt_id: int, now: datetime) -> bool:
        """Use the code up; false when it was used already."""
        return self._db.execute(_CLOSE_CHALLENGE, {"of": attempt_id, "closed_at": now}).rowcount == 1

    def replace_code(
        self, attempt_id: int, mac: bytes, now: datetime, *, sent_before: datetime, life: datetime
    ) -> bool:
        """Put a new code in place of the old; false when no send is left or the last one was too recent."""
        c = t.challenge
        done = self._db.execute(
            update(c)
            .where(and_(c.c.attempt_id == attempt_id, c.c.closed_at.is_(None), c.c.sends < SENDS_MAX))
            .where(c.c.sent_at <= sent_before)
            .values(sends=c.c.sends + 1, code_mac=mac, sent_at=now, expires_at=life)
        )
        return done.rowcount == 1

    def stale_challenges(self, opened_before: datetime, limit: int) -> list[int]:
        """Name the payments whose challenge has been open for too long."""
        asked = (
            select(t.attempt.c.payment_id)
            .join(t.challenge, t.challenge.c.attempt_id == t.attempt.c.id)
            .where(t.among(t.attempt.c.status, FRONT), t.attempt.c.status == AttemptStatus.AUTHENTICATING)
            .where(t.challenge.c.opened_at <= opened_before)
            .limit(limit)
        )
        return list(self._db.execute(asked).scalars())

    # Messages to the acquirer, and the ledger.

    def add_operation(self, op_id: str, attempt_id: int, kind: str, amount_cents: int, now: datetime) -> None:
        """Write down what is about to be asked of the acquirer, before it is asked."""
        self._touch_attempt(attempt_id)
        said = {"op_id": op_id, "attempt_id": attempt_id, "kind": kind, "amount_cents": amount_cents, "asked_at": now}
        self._db.execute(_ADD_OPERATION, {"of": attempt_id, "sort": kind, **said})

    def operation(self, attempt_id: int, kind: str) -> Row[Any] | None:
        """Find the latest message of a kind."""
        o = t.operation
        asked = select(o).where(o.c.attempt_id == attempt_id, o.c.kind == kind).order_by(o.c.n.desc()).limit(1)
        return self._db.execute(asked).one_or_none()

    def answer_operation(self, op_id: str, outcome: str, now: datetime) -> None:
        """Write down what the acquirer answered."""
        answered = {"of": op_id, "outcome": outcome, "answered_at": now}
        self._touch_attempt(self._db.execute(_ANSWER, answered).scalar_one())

    def post(self, attempt_id: int, kind: str, money: Money, at: datetime, refund_id: int = 0) -> None:
        """Write a balanced pair to the ledger: what the acquirer owes, and to whom."""
        self._touch_attempt(attempt_id)
        sign = 1 if kind == "debit" else -1
        both = {"attempt_id": attempt_id, "kind": kind, "refund_id": refund_id, "currency": money.currency, "at": at}
        sides = (("acquirer", sign * money.cents), ("merchant", -sign * money.cents))
        self._db.execute(_POST, [{**both, "account": account, "amount_cents": cents} for account, cents in sides])

    def _touch_attempt(self, attempt_id: int) -> None:
        if attempt_id not in self._payment_of:
            self.get(attempt_id)
        self._touch(self._payment_of[attempt_id], "")

    def count_by_status(self) -> dict[str, int]:
        """Count the attempts that need watching, by status, for metrics."""
        asked = select(t.attempt.c.status, func.count()).where(t.among(t.attempt.c.status, t.WATCHED))
        return {str(row.status): int(row[1]) for row in self._db.execute(asked.group_by(t.attempt.c.status))}
