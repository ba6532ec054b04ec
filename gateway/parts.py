"""The composition root below the web: the only place that knows which dialects, acquirers and channels exist.

Web, workers and commands share what ``build`` makes. Nothing here decides anything about payments.
"""

import os
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from sqlalchemy.exc import SQLAlchemyError

from gateway import migrations
from gateway import settings as settings_
from gateway.acquirers import Acquirer, cards
from gateway.acquirers.simulator import Simulator
from gateway.audit import Anchors, Auditor, Sealer
from gateway.channels import AnyChannel
from gateway.channels.inbox import Inbox
from gateway.channels.sealed import Seal, SealedChannel
from gateway.checkout import Checkout, Desk
from gateway.clock import utc_now
from gateway.core.errors import SettingsError, StoreBusy
from gateway.core.payment import PaymentResult
from gateway.delivering import LANES, Deliverer
from gateway.dialects import Dialect, House
from gateway.dialects.native import NativeDialect, NativeMerchant
from gateway.dialects.payfip import PayfipDialect
from gateway.dialects.payline import PaylineDialect
from gateway.dialects.spplus import SpplusDialect
from gateway.dialects.systempay import SystempayDialect
from gateway.dialects.tipi import TipiDialect
from gateway.keys import Keys, list_keys
from gateway.links import Links
from gateway.outbox import Outbox
from gateway.receipts.press import Press
from gateway.settings import Settings
from gateway.settings.merchant import Merchant
from gateway.store import Pen, Store, open_engine, wake

# Every dialect but the native one, which alone needs the key files.
DIALECTS: Mapping[str, Callable[[Mapping[str, Merchant], House], Dialect]] = {
    "tipi": TipiDialect,
    "payfip": PayfipDialect,
    "payline": PaylineDialect,
    "spplus": SpplusDialect,
    "systempay": SystempayDialect,
}

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

# Three missed beats of the worker (it beats every five seconds) and a margin.
_WORKER_SILENCE = timedelta(seconds=20)


@dataclass(frozen=True)
class Parts:
    """What web, worker and commands share."""

    settings: Settings
    keys: Keys
    store: Store
    checkout: Checkout
    outbox: Outbox
    dialects: Mapping[str, Dialect]
    links: Links
    seal: Seal
    inbox: Inbox
    auditor: Auditor
    now: Callable[[], datetime]

    def deliverer(self, on_done: Callable[[], None] = lambda: None, lanes: Collection[str] = LANES) -> Deliverer:
        """Make the part of a worker that carries notices out, those of some lanes or all."""
        channels = {channel.name: channel for channel in _channels(self, lanes)}
        return Deliverer(self.store, channels, self.now, outbox=self.outbox, on_done=on_done)

    def anchors(self) -> Anchors:
        """Open the notes of how long the audit chain was."""
        path = self.settings.var / "audit/anchors.jsonl"
        return Anchors(path, sign=self.keys.sign_anchor, read=self.keys.read_anchor, now=self.now)

    def pen(self) -> Pen:
        """Make what the audit log is written with, of the keys as they are now."""
        return Pen(self.keys.secrets("audit"), self.now)

    def sealer(self) -> Sealer:
        """Make the part of a worker that keeps the audit chain."""
        return Sealer(self.store, self.anchors())

    def press(self) -> Press:
        """Make the part that makes tickets."""
        return Press(self.links, self.keys.stamps)

    def book(self) -> Mapping[str, Mapping[str, object]]:
        """Tell what this server was told of merchants and keys, without a secret: what a dialect needs is a digest."""
        merchants = {}
        for merchant in self.settings.merchants.values():
            digest = self.store.pen.mac(repr(sorted(merchant.protocol.items())).encode())[:16]
            merchants[f"merchant {merchant.id}"] = merchant.model_dump(mode="json", exclude={"protocol"}) | {
                "protocol": digest
            }
        listed = list_keys(self.settings.home / "keys")
        return merchants | {f"key {key.path.name}": {"owner": key.owner, "id": key.kid} for key in listed}

    def worded(self, result: PaymentResult) -> PaymentResult:
        """Set the words of the payment's own dialect beside ours in its history (the fact ``dialect_code``)."""
        speaker = self.dialects[result.dialect]
        events = []
        for event in result.events:
            code = speaker.code(result, event)
            events.append(replace(event, facts={**event.facts, "dialect_code": code}) if code else event)
        return replace(result, events=tuple(events))

    def faults(self) -> tuple[str, ...]:
        """Say what keeps this server from taking payments."""
        try:
            if not migrations.is_current(self.store.engine):
                return ("database: the schema is not current; run `guichet db upgrade`",)
            with self.store.transaction() as tx:
                # Old enough to be nobody's heartbeat, and another moment each time: a row that stays as it was is one
                # SQLite does not write, so that a full disk or a failing one would not be noticed.
                tx.notices.beat("readyz", _LONG_AGO + timedelta(microseconds=secrets.randbelow(10**10)))
                beat = tx.notices.last_beat()
        except (StoreBusy, OSError, SQLAlchemyError):
            return ("database: no answer",)
        # One in the future is of a clock that was wrong, or of a worker that died by such a clock.
        if beat is None or abs(self.now() - beat) > _WORKER_SILENCE:
            return ("worker: no heartbeat; start `guichet worker`",)
        return ()

    def figures(self) -> Mapping[str, Mapping[str, int]]:
        """Count what needs watching."""
        with self.store.reading() as tx:
            return {
                "notices": tx.notices.count_by_state(),
                "attempts": tx.attempts.count_by_status(),
                "endpoints": {"paused": tx.endpoints.count_paused()},
                "oldest_seconds": tx.watch.ages(self.now()),
                "cards_lately": tx.watch.cards(self.now()),
                **tx.watch.checks(self.now()),
            }


def load_settings(home: Path) -> Settings:
    """Read this server's settings."""
    return settings_.load(home, os.environ)


def build(
    settings: Settings,
    now: Callable[[], datetime] = utc_now,
    *,
    around: Callable[[Acquirer], Acquirer] = lambda bank: bank,
) -> Parts:
    """Build everything below the web.

    :param around: puts something before the bank; as it is, nothing

    Raises :class:`SettingsError` with every fault.
    """
    settings.var.mkdir(mode=0o700, exist_ok=True)
    keys = Keys.load(settings.home / "keys", now())
    dialects = _dialects(settings, keys)
    engine = open_engine(settings.sqlalchemy_url)
    payees = {merchant.id: merchant.payee for merchant in settings.merchants.values()}
    store = Store(engine, payees, Pen(keys.secrets("audit"), now))
    managers = {merchant.id: merchant.managers for merchant in settings.merchants.values()}
    bell = wake.caller(engine, settings.var / "wake")
    outbox = Outbox(dialects=dialects, managers=managers, wake=bell)
    seal = Seal(keys.secrets("seal"))
    desk = Desk(
        store=store,
        acquirer=around(_acquirer(settings, now)),
        outbox=outbox,
        merchants=settings.merchants,
        now=now,
        code_key=keys.secrets("code")[-1],
        old_code_keys=keys.secrets("code")[:-1],
        card_key=keys.secrets("card")[-1],
        limits=settings.limits,
        seal=seal.seal,
        host=urlsplit(settings.base_url).hostname or "",
        zone=ZoneInfo(settings.timezone),
    )
    return Parts(
        settings=settings,
        keys=keys,
        store=store,
        checkout=Checkout(desk),
        outbox=outbox,
        dialects=dialects,
        links=_links(settings, keys),
        seal=seal,
        inbox=Inbox(settings.var / "inbox"),
        auditor=Auditor(store, now),
        now=now,
    )


def _links(settings: Settings, keys: Keys) -> Links:
    page, ticket, link = (keys.secrets(purpose) for purpose in ("page", "ticket", "link"))
    return Links(settings.base_url, page, ticket, link, keys.old_ticket_secrets())


def _dialects(settings: Settings, keys: Keys) -> dict[str, Dialect]:
    """Make every dialect with its merchants. All of them also speak the native one.

    Raises :class:`SettingsError` with every fault.
    """
    zone, loopback_allowed = ZoneInfo(settings.timezone), settings.loopback_callbacks
    native = _native(settings, keys)
    house = House(
        settings.base_url, zone, loopback_allowed, secrets.token_bytes, book=settings.merchants, sign=native.sign_notice
    )
    speakers: dict[str, dict[str, Merchant]] = {name: {} for name in ("native", *DIALECTS)}
    faults: list[str] = []
    for merchant in settings.merchants.values():
        if merchant.dialect in speakers:
            speakers[merchant.dialect][merchant.id] = merchant
        else:
            known = ", ".join(speakers)
            faults.append(f"config/merchants.toml: merchants.{merchant.id}.dialect: unknown; choose among {known}")
    dialects: dict[str, Dialect] = {"native": native}
    for name, make in DIALECTS.items():
        try:
            dialects[name] = make(speakers[name], house)
        except SettingsError as error:
            faults.extend(f"config/merchants.toml: {fault}" for fault in error.faults)
    if faults:
        raise SettingsError(tuple(faults))
    return dialects


def _native(settings: Settings, keys: Keys) -> NativeDialect:
    merchants = {merchant.id: native_merchant(merchant) for merchant in settings.merchants.values()}
    return NativeDialect(
        merchants,
        keys,
        settings.base_url,
        zone=ZoneInfo(settings.timezone),
        loopback_allowed=settings.loopback_callbacks,
    )


def native_merchant(merchant: Merchant) -> NativeMerchant:
    """Say what the native protocol must know of a merchant, whichever it speaks itself."""
    return NativeMerchant(
        id=merchant.id,
        portal=merchant.portal,
        callback_urls=merchant.callback_urls,
        return_urls=merchant.return_urls,
        # An address registered for another protocol's notices would not understand ours.
        notify_url=merchant.notify_url if merchant.dialect == NativeDialect.name else "",
        currencies=frozenset({merchant.currency}),
        amount_max=merchant.amount_cents_max,
        email_rule=merchant.email_rule,
        mode=merchant.mode,
    )


def _acquirer(settings: Settings, now: Callable[[], datetime]) -> Acquirer:
    table = cards.load(settings.home / "config/test_cards.toml")
    if settings.acquirer.kind == "remote":
        from gateway.acquirers.remote import RemoteAcquirer

        return RemoteAcquirer(settings.acquirer.url)
    return Simulator(settings.var / "acquirer.sqlite3", table, now=now)


def _channels(parts: Parts, lanes: Collection[str]) -> Iterator[AnyChannel]:
    """Make the ways out of some lanes. Only workers deliver; nobody else need load the clients of HTTP, SMTP and PDF."""
    if "codes" in lanes:
        from gateway.channels import sms

        told = parts.settings.sms
        provider = sms.Provider(told.url, told.fields, sms.Encoding(told.encoding), told.token)
        yield SealedChannel(sms.HttpSms(provider) if told.driver == "http" else sms.InboxSms(parts.inbox), parts.seal)
    if "confirmations" in lanes:
        from gateway.channels.confirmation import ConfirmationChannel

        yield ConfirmationChannel(parts.dialects, allow_loopback=parts.settings.loopback_callbacks)
    if "mails" in lanes:
        yield from _mails(parts)


def _mails(parts: Parts) -> Iterator[AnyChannel]:
    from gateway.channels.alarm import AlarmChannel
    from gateway.channels.email import EmailChannel
    from gateway.channels.smtp import relay_of
    from gateway.receipts.mail import environment

    relay, smtp, press = relay_of(parts.settings.smtp), parts.settings.smtp, parts.press()
    templates = environment(parts.settings.home / "checkout_templates")
    for name in ("payer_mail", "merchant_mail"):
        yield EmailChannel(name, relay, smtp.sender, lambda: templates, parts.links.ticket, press)
    yield AlarmChannel(relay, smtp.sender)
