"""The invented debts the portals start with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from portals import Portal

# Once the due date is this far behind, ecolesoft's manual takes the card away.
GRACE_DAYS = 5


@dataclass(frozen=True, slots=True)
class Draft:
    """An invoice before it is numbered.

    :ivar due_cents: what is left to pay, which may be less than ``amount_cents``
    :ivar mark: why it cannot be paid here: ``suspended``, ``direct_debit``, ``treasury``, ``too_late``; empty when it can
    """

    merchant: str
    label: str
    beneficiary: str
    amount_cents: int
    due_cents: int
    issued_on: date
    due_on: date
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Invoice:
    """A debt as the portal lists it.

    :ivar due_cents: what is left to pay, earlier payments taken off
    :ivar state: ``due``, ``pending``, ``waiting`` (the two-hour rule), ``paid``, ``refunded``, or the draft's mark
    :ivar waits_until: when ``waiting`` or ``pending`` ends by itself; ``None`` when only a notice ends it
    """

    id: int
    merchant: str
    number: str
    label: str
    beneficiary: str
    amount_cents: int
    due_cents: int
    issued_on: date
    due_on: date
    state: str
    waits_until: datetime | None = None

    @property
    def may_be_tried(self) -> bool:
        """Whether a payer may press the button: to pay, or to go on with a payment."""
        return self.state in ("due", "pending")


@dataclass(frozen=True, slots=True)
class _Row:
    label: str
    beneficiary: str
    amount_cents: int
    due_cents: int = 0
    mark: str = ""
    due_in_days: int = 12
    merchant: str = ""


def draft_invoices(portal: Portal, today: date) -> tuple[Draft, ...]:
    """Invent the debts of a portal, dated around ``today``."""
    first, *_ = portal.merchants
    return tuple(
        Draft(
            row.merchant or first,
            row.label,
            row.beneficiary,
            row.amount_cents,
            row.due_cents or row.amount_cents,
            issued_on=today + timedelta(days=row.due_in_days - 30),
            due_on=today + timedelta(days=row.due_in_days),
            mark=row.mark,
        )
        for row in _ROWS[portal.slug]
    )


_ROWS: Mapping[str, tuple[_Row, ...]] = {
    "mairie": (
        _Row("Restauration scolaire", "Léa Martin", 6240),
        _Row("Accueil du soir", "Tom Martin", 3100, 450),
        _Row("Centre de loisirs", "Léa Martin", 9600),
        _Row("École de musique", "Tom Martin", 8412),
    ),
    "jvs": (
        _Row("Eau potable, 3e trimestre", "12 rue des Tilleuls", 4830, merchant="jvs-demo-valmont"),
        _Row("Branchement à l’assainissement", "12 rue des Tilleuls", 18000, 12000, merchant="jvs-demo-valmont"),
        _Row("Crèche, octobre", "Jules Durand", 12875, merchant="jvs-demo-rivesaint"),
        _Row("Accueil de loisirs, octobre", "Camille Durand", 9612, merchant="jvs-demo-rivesaint"),
    ),
    "ecolesoft": (
        _Row("Cantine et garderie, 4e période", "Hugo Petit", 9612, due_in_days=27),
        _Row("Cantine et garderie, 3e période", "Hugo Petit", 9612, due_in_days=3),
        _Row("Cantine et garderie, 1re période", "Hugo Petit", 3560, mark="too_late", due_in_days=-GRACE_DAYS - 1),
    ),
    "ifac": (
        _Row("Mercredis, accueil de loisirs", "Inès Benali", 3100, 450),
        _Row("Vacances d’automne, accueil de loisirs", "Inès Benali", 7000),
        _Row("Accueil périscolaire du soir", "Sami Benali", 2480),
    ),
    "alise": (
        _Row("Forfait demi-pension, 2e trimestre", "Julia Durand", 15850),
        _Row("Forfait demi-pension, 2e trimestre", "Charlie Durand", 14200),
    ),
    "sistec": (
        _Row("Multi Services", "Zoé Lefort", 24311),
        _Row("Restauration scolaire", "Zoé Lefort", 5880),
        _Row("Garderie du matin", "Zoé Lefort", 3275, mark="suspended"),
        _Row("Transport scolaire", "Zoé Lefort", 11200, mark="direct_debit"),
        _Row("Restauration scolaire", "Zoé Lefort", 6140, mark="treasury", due_in_days=-45),
    ),
}
