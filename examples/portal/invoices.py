"""The two portals and the invented debts they start with. Nobody here exists."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Draft:
    """An invoice before it is numbered.

    :ivar due_cents: what is left to pay, which may be less than ``amount_cents``
    """

    merchant: str
    label: str
    beneficiary: str
    amount_cents: int
    due_cents: int
    issued_on: date
    due_on: date


@dataclass(frozen=True, slots=True)
class Invoice:
    """A debt as the portal lists it; ``state`` is ``due``, ``pending``, ``paid`` or ``refunded``."""

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


@dataclass(frozen=True, slots=True)
class Portal:
    """One skin: who it speaks for, with which credential, and for whom it shows debts.

    :ivar credential: names the key and webhook secret; the merchant paid is named in each request
    :ivar merchants: merchant id to the name payers know
    :ivar prefix: begins each reference, so that a clerk sees where it comes from
    :ivar accounts: prepaid accounts: id to label, beneficiary and opening balance in cents
    """

    slug: str
    title: str
    tagline: str
    credential: str
    merchants: Mapping[str, str]
    prefix: str
    payer: str
    email: str
    phone: str
    accounts: Mapping[str, tuple[str, str, int]] = field(default_factory=dict)


MAIRIE = Portal(
    slug="mairie",
    title="Ville de Démonstration",
    tagline="Espace famille",
    credential="mairie-demo",
    merchants=MappingProxyType({"mairie-demo": "Ville de Démonstration"}),
    prefix="VD",
    payer="Nadia Martin",
    email="famille.martin@example.org",
    # 06 39 98 xx xx is the range ARCEP keeps for fiction.
    phone="+33639980012",
    accounts=MappingProxyType(
        {
            "cantine-lea": ("Cantine de Léa", "Léa Martin", 840),
            "cantine-tom": ("Cantine de Tom", "Tom Martin", 315),
        }
    ),
)

JVS = Portal(
    slug="jvs",
    title="Mes factures en ligne",
    tagline="Toutes vos collectivités, un seul compte",
    credential="jvs-demo",
    merchants=MappingProxyType(
        {
            "jvs-demo-valmont": "Commune de Valmont-sur-Orge",
            "jvs-demo-rivesaint": "Communauté de communes de Rivesaint",
        }
    ),
    prefix="MF",
    payer="Camille Durand",
    email="camille.durand@example.org",
    phone="+33639980034",
)

PORTALS: Mapping[str, Portal] = MappingProxyType({portal.slug: portal for portal in (MAIRIE, JVS)})


def draft_invoices(portal: Portal, today: date) -> tuple[Draft, ...]:
    """Invent the debts of a portal, dated around ``today``."""
    rows = _MAIRIE_ROWS if portal is MAIRIE else _JVS_ROWS
    return tuple(
        Draft(
            merchant,
            label,
            beneficiary,
            amount,
            due,
            issued_on=today - timedelta(days=18),
            due_on=today + timedelta(days=12),
        )
        for merchant, label, beneficiary, amount, due in rows
    )


_MAIRIE_ROWS = (
    ("mairie-demo", "Restauration scolaire", "Léa Martin", 6240, 6240),
    ("mairie-demo", "Accueil du soir", "Tom Martin", 3100, 450),
    ("mairie-demo", "Centre de loisirs", "Léa Martin", 9600, 9600),
    ("mairie-demo", "École de musique", "Tom Martin", 8412, 8412),
)

_JVS_ROWS = (
    ("jvs-demo-valmont", "Restauration scolaire", "Jules Durand", 4830, 4830),
    ("jvs-demo-valmont", "Location de la salle des fêtes", "Camille Durand", 18000, 12000),
    ("jvs-demo-rivesaint", "Eau et assainissement", "12 rue des Tilleuls", 12875, 12875),
    ("jvs-demo-rivesaint", "Collecte des ordures ménagères", "12 rue des Tilleuls", 9612, 9612),
)
