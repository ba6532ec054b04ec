"""What the operator decided: ``config/*.toml`` and ``GUICHET_*`` variables, as frozen values.

``load`` returns them or raises one :class:`SettingsError` that lists every fault with its file and key. No other module
reads TOML or the environment. Keys and secrets of the ``keys/`` folder are read by ``gateway.keys``.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import Field, ValidationError, field_validator, model_validator

from gateway.core.errors import SettingsError
from gateway.core.payment import Mode
from gateway.settings.merchant import Address, Merchant, Table

# Variables that point at things before any settings exist.
_RESERVED = frozenset({"GUICHET_HOME"})


class AcquirerSettings(Table):
    """Which bank is asked for money: the simulator in this process, or one behind an address."""

    kind: Literal["simulator", "remote"] = "simulator"
    url: str = "http://127.0.0.1:8002"


class SmtpSettings(Table):
    """The mail relay. ``catcher`` starts a local one that keeps everything in the test inbox."""

    host: str = "127.0.0.1"
    port: int = Field(8025, ge=1, le=65535)
    security: Literal["none", "starttls", "tls"] = "none"
    username: str = ""
    password: str = ""
    sender: Address = "guichet@example.org"
    catcher: bool = False


class SmsSettings(Table):
    """How one-time codes leave: the test inbox, or any provider with an HTTP interface."""

    driver: Literal["inbox", "http"] = "inbox"
    url: str = ""
    token: str = ""
    fields: dict[str, str] = Field(default_factory=lambda: {"to": "{to}", "text": "{text}"})
    encoding: Literal["json", "form"] = "json"


class WebSettings(Table):
    """The web server: where it listens and how many processes serve."""

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=1, le=65535)
    workers: int = Field(2, ge=1, le=64)
    proxies: int = Field(0, ge=0, le=5, description="reverse proxies in front whose X-Forwarded-* may be trusted")
    metrics_token: str = Field("", description="who may read /metrics; empty: only this machine")


class LimitSettings(Table):
    """How many cards, codes and calls are too many; whoever passes a limit is told nothing of it.

    :ivar factor: development only: multiplies every figure but those of one page, for a machine where all payers come
        from one address and test cards are refused on purpose
    """

    factor: int = Field(1, ge=1, le=1_000_000)
    cards_per_page: int = Field(10, ge=1, le=100)
    cards_per_address: int = Field(10, ge=1, description="within ten minutes")
    cards_per_address_day: int = Field(30, ge=1)
    refusals_per_card_hour: int = Field(3, ge=1)
    refusals_per_card_day: int = Field(10, ge=1)
    refusals_per_address_day: int = Field(5, ge=1, description="while the merchant is under attack")
    guesses_per_card_day: int = Field(25, ge=5, description="wrong one-time codes, of a million possible ones")
    codes_per_phone_hour: int = Field(6, ge=1)
    codes_per_block_hour: int = Field(60, ge=1, description="telephone numbers that differ in the last four digits")
    posts_per_second: int = Field(15, ge=1, description="by one merchant's programs")
    attack_cards: int = Field(20, ge=2, description="from so many cards in ten minutes on, refusals may be an attack")
    attack_percent: int = Field(30, ge=1, le=99)
    range_cards: int = Field(15, ge=2, description="the same for cards that share their first eight digits")
    range_percent: int = Field(80, ge=1, le=99)

    @property
    def scaled(self) -> "LimitSettings":
        """The figures as they are meant, the factor taken in."""
        kept = ("factor", "cards_per_page", "attack_percent", "range_percent")
        figures = self.model_dump(exclude=set(kept))
        return self.model_copy(update={"factor": 1, **{name: n * self.factor for name, n in figures.items()}})


class Settings(Table):
    """Everything ``config/`` says, checked as a whole."""

    home: Path
    base_url: str = "http://127.0.0.1:8000"
    database_url: str = "sqlite:///var/guichet.sqlite"
    timezone: str = "Europe/Paris"
    loopback_callbacks: bool = Field(False, description="development only: confirmations may go to this machine")
    acquirer: AcquirerSettings = AcquirerSettings()
    smtp: SmtpSettings = SmtpSettings()
    sms: SmsSettings = SmsSettings()
    web: WebSettings = WebSettings()
    limits: LimitSettings = LimitSettings()
    merchants: dict[str, Merchant] = Field(default_factory=dict)

    @field_validator("base_url")
    @classmethod
    def _is_origin(cls, url: str) -> str:
        scheme, _, rest = url.rstrip("/").partition("://")
        if scheme not in ("http", "https") or not rest or "/" in rest or "@" in rest:
            raise ValueError("must be an origin such as https://pay.example.org, without path")
        return url.rstrip("/")

    @field_validator("timezone")
    @classmethod
    def _is_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError) as error:  # unknown, no name, or that of a folder
            raise ValueError("must be a zone of the IANA database such as Europe/Paris") from error
        return name

    @model_validator(mode="after")
    def _whole(self) -> "Settings":
        faults = [*self._production_faults(), *self._portal_faults()]
        if self.sms.driver == "http" and not self.sms.url:
            faults.append("sms.url: missing; the http driver needs the provider's address")
        if faults:
            raise ValueError("\n".join(faults))
        return self

    def _production_faults(self) -> list[str]:
        live = [merchant.id for merchant in self.merchants.values() if merchant.mode is Mode.PRODUCTION]
        if not live:
            return []
        faults = []
        if self.acquirer.kind in ("simulator", "remote"):
            faults.append(
                f"merchants.{live[0]}.mode: production on the simulated acquirer; set a real one or mode = 'test'"
            )
        if self.loopback_callbacks:
            faults.append("loopback_callbacks: true beside a production merchant; remove it")
        if self.limits.factor > 1:
            faults.append("limits.factor: the limits of a test machine beside a production merchant; remove it")
        if self.base_url.startswith("http://"):
            faults.append("base_url: plain http beside a production merchant; use https")
        return faults

    def _portal_faults(self) -> list[str]:
        return [
            f"merchants.{merchant.id}.portal: no merchant {merchant.portal!r}; name one of the book"
            for merchant in self.merchants.values()
            if merchant.portal and merchant.portal not in self.merchants
        ]

    @property
    def var(self) -> Path:
        """Where this server keeps what it makes: database, inbox, metrics."""
        return self.home / "var"

    @property
    def key_holders(self) -> tuple[str, ...]:
        """The merchants with keys of their own; the others' portal signs and is answered for them."""
        return tuple(merchant.id for merchant in self.merchants.values() if merchant.portal is None)

    @property
    def is_test_kit_on(self) -> bool:
        """Whether ``/_test`` is mounted: only while every merchant is in test mode."""
        return all(merchant.mode is Mode.TEST for merchant in self.merchants.values())

    @property
    def sqlalchemy_url(self) -> str:
        """``database_url`` with a relative SQLite path made absolute under ``home``."""
        prefix = "sqlite:///"
        if not self.database_url.startswith(prefix):
            return self.database_url
        return prefix + str(self.home / self.database_url.removeprefix(prefix))


def load(home: Path, environ: Mapping[str, str]) -> Settings:
    """Read ``config/gateway.toml``, ``config/merchants.toml`` and ``GUICHET_*`` variables; the variables win.

    ``GUICHET_SMTP__HOST`` sets ``smtp.host``. Raises :class:`SettingsError` with every fault at once.
    """
    faults: list[str] = []
    tree = _read_toml(home / "config/gateway.toml", faults)
    book = _read_toml(home / "config/merchants.toml", faults)
    merchants = book.pop("merchants", {})
    faults += [f"config/merchants.toml: {name}: only [merchants.<id>] tables stand here" for name in book]
    for name, value in environ.items():
        if name.startswith("GUICHET_") and name not in _RESERVED:
            _place(tree, name.removeprefix("GUICHET_").lower().split("__"), value)
    if "merchants" in tree:
        faults.append("config/gateway.toml or GUICHET_MERCHANTS: merchants stand in config/merchants.toml alone")
    if isinstance(merchants, dict):
        merchants = {
            name: {**table, "id": name} if isinstance(table, dict) else table for name, table in merchants.items()
        }
    try:
        settings = Settings.model_validate({**tree, "merchants": merchants, "home": home})
    except ValidationError as error:
        faults.extend(_lines(error))
    if faults:
        raise SettingsError(tuple(faults))
    return settings


def _read_toml(path: Path, faults: list[str]) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        faults.append(f"{path}: missing; copy the one that comes with the product")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        faults.append(f"{path}: {error}")
    return {}


def _place(tree: dict[str, object], path: list[str], value: str) -> None:
    """Put an environment variable's text where the same TOML key would be; unknown keys are faulted with the rest."""
    for part in path[:-1]:
        child = tree.setdefault(part, {})
        if not isinstance(child, dict):
            return
        tree = child
    tree[path[-1]] = value


def _lines(error: ValidationError) -> list[str]:
    lines: list[str] = []
    for fault in error.errors(include_input=False, include_url=False, include_context=False):
        place = ".".join(str(part) for part in fault["loc"])
        if not place:
            lines.extend(fault["msg"].removeprefix("Value error, ").splitlines())
        elif fault["type"] == "extra_forbidden":
            lines.append(f"{_origin(place)}: unknown setting; remove it or correct its spelling")
        else:
            lines.append(f"{_origin(place)}: {fault['msg'].removeprefix('Value error, ')}")
    return lines


def _origin(place: str) -> str:
    file = "merchants.toml" if place.startswith("merchants.") else "gateway.toml"
    return f"config/{file} or GUICHET_{place.upper().replace('.', '__')}: {place}"
