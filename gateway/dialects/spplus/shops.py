"""The shops of the merchant book that speak SP Plus: their settings, and which one a siret means."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from gateway.core.errors import SettingsError
from gateway.core.payment import Mode, Recipient
from gateway.dialects.addresses import parse_address
from gateway.dialects.book import Table, read_protocol
from gateway.dialects.spplus.key import MerchantKey
from gateway.settings.merchant import Merchant

# The company's number; the rest of a siret names one of its shops, and some modules leave it out.
COMPANY_LENGTH = 14
_SIRET = re.compile(r"[0-9]{14}(?:-[0-9]{2,3})?", re.ASCII)


def _address(text: str) -> str:
    if text:
        parse_address(text)
    return text


def _siret(text: str) -> str:
    if not re.fullmatch(r"[0-9]{14}-[0-9]{2,3}", text, re.ASCII):
        raise ValueError("must be 14 digits, a dash and a shop number of 2 or 3 digits")
    return text


def _key(text: SecretStr) -> SecretStr:
    MerchantKey.read(text.get_secret_value())
    return text


_Address = Annotated[str, AfterValidator(_address)]


class Protocol(Table):
    """The table ``[merchants.<id>.protocol]`` of an SP Plus shop.

    What the public documentation of SP Plus leaves open is a setting here, with the reading that suits most shops.
    """

    siret: Annotated[str, AfterValidator(_siret)] = Field(description="company number, dash, shop number")
    key: Annotated[SecretStr, AfterValidator(_key)] = Field(
        description="the merchant key: 48 hex digits, with or without blanks"
    )
    urlcheck: _Address = Field("", description="where notices go; empty: the merchant's notify_url")
    urlcheck2: _Address = Field("", description="a second address that is told the same, by itself")
    urlretour: _Address = Field("", description="where the payer goes back to when the request names no address")
    method: Literal["GET", "POST"] = Field("GET", description="how notices are sent")
    retry_minutes: tuple[Annotated[int, Field(ge=1, le=1440)], ...] = Field(
        (1, 5, 15, 60), max_length=7, description="minutes after each failed try of a notice before the next"
    )
    strict: bool = Field(False, description="take only requests whose signature covers every value")
    any_order: bool = Field(
        False,
        description="take a signature over all values even when the canonical ones do not come first and in their "
        "order; such a request can be re-cut by whoever carries it, its amount included",
    )
    any_suffix: bool = Field(True, description="take the company number with another shop number, or with none")
    states: Literal["1", "1,10", "1,4,10"] = Field("1,4,10", description="which steps of a success are told")
    ok_bad_first: bool = Field(True, description="whether okURL and badURL win over urlretour")
    signed_returns: Literal["all", "paid", "none"] = Field(
        "all",
        description="which returns of the payer carry an hmac. It covers values without their names: a payer who holds "
        "a signed refusal can re-cut it into a success for a shop that looks no further; paid gives none away",
    )
    own_query_signed: bool = Field(
        True, description="whether the query that urlcheck or a return address has of its own is signed too"
    )
    instalments: bool = Field(False, description="take modalite=2x and 3x; the later parts are debited on their days")
    instalment_days: int = Field(30, ge=1, le=92, description="days between two instalments")
    capture: Literal["auto", "manual"] = Field(
        "auto", description="manual: approved money waits for the action paiement of the remote administration"
    )


@dataclass(frozen=True, slots=True)
class Shop:
    """One shop: the merchant, what its protocol needs, and whether others of its company are in the book."""

    merchant: Merchant
    protocol: Protocol
    key: MerchantKey
    has_sisters: bool = False

    @property
    def siret(self) -> str:
        """The full number, as it is registered."""
        return self.protocol.siret

    @property
    def company(self) -> str:
        """The number without the shop, which remote administration signs."""
        return self.siret[:COMPANY_LENGTH]

    @property
    def is_test(self) -> bool:
        """Whether developers may be helped."""
        return self.merchant.mode is Mode.TEST

    @property
    def urlcheck(self) -> str:
        """Where notices go; empty for nowhere."""
        return self.protocol.urlcheck or self.merchant.notify_url

    def answers_to(self, siret: str) -> bool:
        """Say whether a siret can mean this shop, were it the only candidate."""
        if siret == self.siret:
            return True
        if not (self.protocol.any_suffix and _SIRET.fullmatch(siret) and siret[:COMPANY_LENGTH] == self.company):
            return False
        shop_number = siret[COMPANY_LENGTH + 1 :]
        return not self.has_sisters or (shop_number != "" and int(shop_number) == self.number)

    @property
    def number(self) -> int:
        """The shop's number within its company."""
        return int(self.siret[COMPANY_LENGTH + 1 :])


class Shops:
    """The book's shops, found by siret or by merchant."""

    def __init__(self, merchants: Mapping[str, Merchant]) -> None:
        """Check every shop's settings. Raises :class:`SettingsError` with the faults of all."""
        faults: list[str] = []
        read = [(m, p) for m in merchants.values() if (p := read_protocol(Protocol, m, faults))]
        companies = [protocol.siret[:COMPANY_LENGTH] for _, protocol in read]
        self._shops = {
            merchant.id: Shop(
                merchant,
                protocol,
                MerchantKey.read(protocol.key.get_secret_value()),
                has_sisters=companies.count(protocol.siret[:COMPANY_LENGTH]) > 1,
            )
            for merchant, protocol in read
        }
        faults += _shared(self._shops.values())
        if faults:
            raise SettingsError(tuple(faults))

    def by_siret(self, siret: str) -> Shop | None:
        """Find the shop a siret means: the one that bears it, else the only one it can mean."""
        candidates = [shop for shop in self._shops.values() if shop.answers_to(siret)]
        exact = [shop for shop in candidates if shop.siret == siret]
        found = exact or candidates
        return found[0] if len(found) == 1 else None

    def of(self, to: Recipient) -> Shop | None:
        """Find the shop of a payment; the book may have lost it since."""
        return self._shops.get(to.merchant)

    def by_merchant(self, merchant: str) -> Shop | None:
        """Find the shop of a merchant."""
        return self._shops.get(merchant)

    def sisters(self, shop: Shop) -> tuple[Shop, ...]:
        """Give the other shops of the same company."""
        return tuple(s for s in self._shops.values() if s.company == shop.company and s is not shop)


def _shared(shops: Iterable[Shop]) -> Iterable[str]:
    seen: dict[str, str] = {}
    for shop in shops:
        if shop.siret in seen:
            yield f"merchants.{shop.merchant.id}.protocol.siret: already that of {seen[shop.siret]}; give each its own"
        seen.setdefault(shop.siret, shop.merchant.id)
