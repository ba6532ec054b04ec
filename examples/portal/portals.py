"""The six portals: who each speaks for, in which protocol, and the families behind them. Nobody here exists.

The credentials of the four older protocols are the public test values of Guichet's demonstration merchants.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Account:
    """A prepaid account; ``opening_cents`` is what it held before any top-up, and may be below zero."""

    label: str
    beneficiary: str
    opening_cents: int


@dataclass(frozen=True, slots=True)
class Portal:
    """One skin: who it speaks for, with which credential, and for whom it shows debts.

    :ivar protocol: which of the ``speakers`` it uses
    :ivar credential: what Guichet knows the portal by: a key's name, a site, a siret, a numcli or a merchant id
    :ivar merchants: merchant id, as confirmations name it, to the name payers know
    :ivar prefix: begins each reference, so that a clerk sees where it comes from
    :ivar page_minutes: how long a page of Guichet lives in this protocol; 0 where Guichet says so itself
    :ivar is_single: whether a payment settles one invoice only
    :ivar menu: what the list of invoices and the history are called here
    """

    slug: str
    title: str
    tagline: str
    shows: str
    protocol: str
    credential: str
    merchants: Mapping[str, str]
    prefix: str
    payer: str
    email: str
    phone: str
    secret: str = ""
    page_minutes: int = 0
    is_single: bool = False
    menu: tuple[str, str] = ("Factures", "Paiements")
    accounts: Mapping[str, Account] = field(default_factory=dict)


MAIRIE = Portal(
    slug="mairie",
    title="Ville de Démonstration",
    tagline="Espace famille",
    shows="Factures à cocher, paiement groupé, approvisionnement d’un compte.",
    protocol="native",
    credential="mairie-demo",
    merchants=MappingProxyType({"mairie-demo": "Ville de Démonstration"}),
    prefix="VD",
    payer="Nadia Martin",
    email="famille.martin@example.org",
    # 06 39 98 xx xx is the range ARCEP keeps for fiction.
    phone="+33639980012",
    accounts=MappingProxyType(
        {
            "cantine-lea": Account("Cantine de Léa", "Léa Martin", 840),
            "cantine-tom": Account("Cantine de Tom", "Tom Martin", 315),
        }
    ),
)

JVS = Portal(
    slug="jvs",
    title="Mes factures en ligne",
    tagline="Toutes vos collectivités, un seul compte",
    shows="Plusieurs collectivités, un code QR sur la facture papier, le paiement au téléphone, le suivi des paiements.",
    protocol="native",
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

ECOLESOFT = Portal(
    slug="ecolesoft",
    title="Portail enfance de La Falaise",
    tagline="Cantine et garderie",
    shows="Factures impayées, une facture par paiement, récapitulatif avec adresse électronique, mes règlements.",
    protocol="payline",
    credential="1234567890",
    secret="DJMESHXYou6LmjQFdH",  # noqa: S106 - public test value
    merchants=MappingProxyType({"1234567890": "La Falaise – Régie périscolaire"}),
    prefix="LF",
    payer="Sonia Petit",
    email="sonia.petit@example.org",
    phone="+33639980056",
    page_minutes=15,
    is_single=True,
    menu=("Mes factures", "Mes règlements"),
)

IFAC = Portal(
    slug="ifac",
    title="Portail famille",
    tagline="Accueils de loisirs",
    shows="Factures à cocher, reste à payer d’une facture, confirmation du montant, recharge du compte.",
    protocol="systempay",
    credential="12345678",
    secret="1122334455667788",  # noqa: S106 - public test value
    merchants=MappingProxyType({"12345678": "Accueil de loisirs"}),
    prefix="TH",
    payer="Karim Benali",
    email="karim.benali@example.org",
    phone="+33639980078",
    page_minutes=10,
    menu=("Factures et compte", "Paiements"),
    accounts=MappingProxyType({"famille": Account("Compte famille", "Famille Benali", -3450)}),
)

ALISE = Portal(
    slug="alise",
    title="Lycée de Démonstration",
    tagline="Règlement en ligne de la demi-pension",
    shows="Paiement d’avance ou créance, montant libre, commentaire, récapitulatif, historique des états.",
    protocol="spplus",
    credential="00000000000001-01",
    # The demonstration key printed in the bank's kits.
    secret="58 6d fc 9c 34 91 9b 86 3f fd 64 63 c9 13 4a 26 ba 29 74 1e c7 e9 80 79",  # noqa: S106
    merchants=MappingProxyType({"00000000000001-01": "Lycée de Démonstration"}),
    prefix="ali",
    payer="Jean Durand",
    email="jean.durand@example.org",
    phone="+33639980090",
    page_minutes=30,
    menu=("Créditer un compte", "Historique"),
    accounts=MappingProxyType(
        {
            "julia": Account("Durand Julia", "Julia Durand", 1240),
            "charlie": Account("Durand Charlie", "Charlie Durand", 610),
        }
    ),
)

SISTEC = Portal(
    slug="sistec",
    title="Le portail des factures",
    tagline="Mairie de Sistec – Restauration scolaire",
    shows="Fenêtre ou pleine page, plusieurs factures, paiement suspendu, prélèvement, trésorerie, règle des deux heures.",
    protocol="tipi",
    credential="004200",
    merchants=MappingProxyType({"004200": "Mairie de Sistec – Restauration scolaire"}),
    prefix="X",
    payer="Paul Lefort",
    email="paul.lefort@example.org",
    phone="+33639980021",
    page_minutes=30,
    menu=("Mes factures", "Paiements"),
)

PORTALS: Mapping[str, Portal] = MappingProxyType(
    {portal.slug: portal for portal in (MAIRIE, ECOLESOFT, IFAC, ALISE, SISTEC, JVS)}
)
