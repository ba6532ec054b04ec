"""What the merchant book says of Systempay shops: the ``protocol`` table, its rules, and who a site number is.

One merchant may hold several shops (``sites``), each with its own number, keys and algorithm. What the platform's guides
leave open is a setting here, with the default that suits every client we know of.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import (
    Field,
    JsonValue,
    StringConstraints,
    field_validator,
    model_validator,
)

from gateway.core.errors import SettingsError
from gateway.core.payment import Mode, Recipient
from gateway.dialects.addresses import parse_address
from gateway.dialects.book import Table, read_protocol
from gateway.dialects.systempay.signature import Algorithm
from gateway.settings.merchant import Merchant

CtxMode = Literal["TEST", "PRODUCTION"]

# Sixteen digits in the old shops, letters too in the new ones; a blank would be a copying mistake.
Key = Annotated[str, StringConstraints(pattern=r"^[!-~]{8,128}$")]
# ``testpassword_...`` and the like; the colon ends the user name in HTTP Basic, so it may stand here (RFC 7617).
Password = Annotated[str, StringConstraints(pattern=r"^[!-~]{8,128}$")]


class Rules(Table):
    """Which ends of a payment are told by a notification; each is enabled separately in a shop's back office.

    :ivar end: accepted or refused, once the payer can try no further card
    :ivar tries: each refused card while the payer may still try another; clients that take a refusal for an end lose the
        acceptance after it
    :ivar abandon: cancelled, or the session ran out
    :ivar batch: the money was paid out (status ``CAPTURED``); most shops read it as a second payment
    :ivar back_office: money given back by the staff (``operation_type`` ``CREDIT``); the same caution
    """

    end: bool = True
    tries: bool = False
    abandon: bool = True
    batch: bool = False
    back_office: bool = False


class Rest(Table):
    """Access to REST V4: HTTP Basic is the site number and ``password``; ``hmac_key`` signs what browsers bring back."""

    password: Password = Field(repr=False)
    hmac_key: Key = Field(repr=False)
    public_key: str = Field("", max_length=200, description="kr-public-key of the embedded form, shown to integrators")


class Site(Table):
    """One shop: the number its forms carry, and what proves that they are its own.

    :ivar url_check: where notifications go when the form names no address; one, or one per mode
    :ivar url_return: where the payer goes when the form names no address
    """

    site_id: str = Field(pattern=r"^[0-9]{8}$")
    keys: dict[CtxMode, Key] = Field(min_length=1, repr=False)
    algorithm: Algorithm | dict[CtxMode, Algorithm] = "hmac"
    url_check: str | dict[CtxMode, str] = ""
    url_return: str = ""
    rest: Rest | None = None

    @field_validator("url_check", "url_return")
    @classmethod
    def _usable(cls, value: str | dict[CtxMode, str]) -> str | dict[CtxMode, str]:
        for url in value.values() if isinstance(value, dict) else (value,):
            if url:
                parse_address(url)
        return value


_SITE_NAMES = frozenset(Site.model_fields)
# What may be said once for all sites of a list.
_COMMON = frozenset({"url_check", "url_return"})


class Terms(Table):
    """The whole ``protocol`` table of one merchant.

    :ivar strict_status: answer a form error with HTTP 400; the platform's own status is not published, 200 by default
    :ivar time_window: hold ``vads_trans_date`` against the clock; ``auto``: outside test mode only
    :ivar late_seconds: how far ``vads_trans_date`` may lie behind our clock (the platform: 30 minutes)
    :ivar early_seconds: how far it may run ahead (the platform: 1 h 30)
    :ivar retry_source: ``vads_url_check_src`` of a repeated notification; ``PAY`` for clients that drop ``RETRY``
    :ivar reserved_ids: refuse all-digit ``vads_trans_id`` from 900000 on, as before ids could hold letters
    :ivar capture_by_hand: what an empty ``vads_validation_mode`` means
    :ivar capture_days: what an empty ``vads_capture_delay`` means
    """

    sites: tuple[Site, ...] = Field(min_length=1)
    strict_status: bool = False
    time_window: Literal["auto", "on", "off"] = "auto"
    late_seconds: int = Field(1_800, ge=0, le=86_400)
    early_seconds: int = Field(5_400, ge=0, le=86_400)
    rules: Rules = Rules()
    retry_source: Literal["RETRY", "PAY"] = "RETRY"
    reserved_ids: bool = False
    capture_by_hand: bool = False
    capture_days: int = Field(0, ge=0, le=365)

    @model_validator(mode="before")
    @classmethod
    def _one_site(cls, table: dict[str, JsonValue]) -> dict[str, JsonValue]:
        """Read a single shop's settings, written beside the others without a ``sites`` list; spread common addresses."""
        sites = table.get("sites")
        if isinstance(sites, list):
            common = {name: table[name] for name in _COMMON & table.keys()}
            spread = [{**common, **site} if isinstance(site, dict) else site for site in sites]
            return {**{name: value for name, value in table.items() if name not in common}, "sites": spread}
        if "site_id" not in table:
            return table
        site = {name: value for name, value in table.items() if name in _SITE_NAMES}
        return {**{name: value for name, value in table.items() if name not in site}, "sites": [site]}


@dataclass(frozen=True, slots=True)
class Shop:
    """One site number together with the merchant it belongs to."""

    merchant: Merchant
    terms: Terms
    site: Site

    @property
    def is_test(self) -> bool:
        """Whether it is a test shop, whose developer may be told everything."""
        return self.merchant.mode is Mode.TEST

    @property
    def ctx_mode(self) -> CtxMode:
        """The one mode it may be asked in: a test form would otherwise move real money, or the reverse."""
        return "TEST" if self.is_test else "PRODUCTION"

    def algorithm(self, mode: CtxMode) -> Algorithm:
        """Name the signature algorithm of a mode."""
        if isinstance(self.site.algorithm, dict):
            return self.site.algorithm.get(mode, "hmac")
        return self.site.algorithm

    def url_check(self, mode: CtxMode) -> str:
        """Give the shop's own notification address: the site's rule, then the merchant's."""
        rule = self.site.url_check
        return (rule.get(mode, "") if isinstance(rule, dict) else rule) or self.merchant.notify_url

    @property
    def checks_time(self) -> bool:
        """Whether ``vads_trans_date`` is held against the clock."""
        return self.terms.time_window == "on" or (self.terms.time_window == "auto" and not self.is_test)


class Shops:
    """Every shop of the book, by site number. Raises :class:`SettingsError` with every fault at once."""

    def __init__(self, merchants: Mapping[str, Merchant]) -> None:
        faults: list[str] = []
        self._shops: dict[str, Shop] = {}
        for merchant in merchants.values():
            for shop in _read(merchant, faults):
                other = self._shops.setdefault(shop.site.site_id, shop)
                if other is not shop:
                    faults.append(_fault(merchant, "sites", f"{shop.site.site_id} is {other.merchant.id}'s already"))
        if faults:
            raise SettingsError(tuple(faults))

    def get(self, site_id: str) -> Shop | None:
        """Give the shop of a site number, if there is one."""
        return self._shops.get(site_id)

    def of(self, to: Recipient) -> Shop | None:
        """Give the shop a payment was opened by; ``None`` once it has left the book, or lost the key it signed with."""
        wire = to.wire
        shop = self._shops.get(wire.get("site", ""))
        if shop is None or shop.merchant.id != to.merchant:
            return None
        is_usable = shop.site.rest is not None if wire.get("api") == "rest" else wire.get("mode", "") in shop.site.keys
        return shop if is_usable else None


def _read(merchant: Merchant, faults: list[str]) -> list[Shop]:
    terms = read_protocol(Terms, merchant, faults)
    if terms is None:
        return []
    shops = [Shop(merchant, terms, site) for site in terms.sites]
    faults.extend(
        _fault(merchant, "sites", f"{shop.site.site_id} has no {shop.ctx_mode} key; set keys.{shop.ctx_mode}")
        for shop in shops
        if shop.ctx_mode not in shop.site.keys
    )
    return shops


def _fault(merchant: Merchant, place: str, text: str) -> str:
    return f"merchants.{merchant.id}.protocol.{place}: {text}".replace("protocol.: ", "protocol: ")


def mode_of(to: Recipient) -> CtxMode:
    """Give the mode a payment was asked in; its key signs all that is told of it."""
    return "TEST" if to.wire["mode"] == "TEST" else "PRODUCTION"
