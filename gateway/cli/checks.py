"""Commands that look after the server itself: ``doctor`` and ``db``."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.serving import home_argument, open_parts, read
from gateway.core.errors import DeliveryFailed, SettingsError
from gateway.core.payment import Mode

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from gateway.parts import Parts


@click.group()
def db() -> None:
    """Look after the database."""


@db.command()
@home_argument
def upgrade(home: Path) -> None:
    """Bring the schema to this version."""
    from gateway import migrations
    from gateway.store.engine import open_engine

    engine = open_engine(read(home).sqlalchemy_url)
    click.get_current_context().call_on_close(engine.dispose)
    before = migrations.current(engine)
    migrations.upgrade(engine)
    click.echo(f"schema {before or 'empty'} -> {migrations.current(engine)}")


@db.command(name="grant")
@click.argument("role")
@home_argument
def grant_rights(home: Path, role: str) -> None:
    """Let a PostgreSQL account run the application, and no more; run it as the tables' owner, after each upgrade."""
    from gateway.store.engine import open_engine
    from gateway.store.rights import grant

    url = read(home).sqlalchemy_url
    if url.startswith("sqlite"):
        raise click.ClickException("SQLite has no accounts; the file's mode is its only right")
    engine = open_engine(url)
    click.get_current_context().call_on_close(engine.dispose)
    grant(engine, role)
    click.echo(f"{role} may run the application; it may not rewrite history, nor see past the wall between merchants")


@click.command()
@home_argument
def doctor(home: Path) -> None:
    """Check everything a payment needs and say what to mend; exits 1 when something is wrong."""
    try:
        parts = open_parts(home)
    except SettingsError as error:
        for fault in error.faults:
            click.echo(f"[wrong] {fault}")
        sys.exit(1)
    click.echo("[  ok ] settings and key files")
    is_well = True
    for name, check in _CHECKS.items():
        faults = list(check(parts))
        for fault in faults:
            is_well = False
            click.echo(f"[wrong] {name}: {fault}")
        if not faults:
            click.echo(f"[  ok ] {name}")
    for remark in _rights(parts):
        click.echo(f"[ note] rights: {remark}")
    if not parts.keys.stamps:
        click.echo("[ note] tickets: not sealed; guichet keys new stamp, or your authority's certificate in keys/")
    sys.exit(0 if is_well else 1)


@click.command(name="scripts")
@home_argument
def scripts(home: Path) -> None:
    """Write the inventory of the pages' scripts anew, after each was reviewed."""
    from gateway.web import scripts as scripts_

    templates = home / "checkout_templates"
    for fault in list(scripts_.faults(templates)):
        click.echo(fault)
    click.echo(f"wrote {scripts_.write(templates)}")


def _is_current(engine: "Engine") -> bool:
    from gateway import migrations

    return migrations.is_current(engine)


def _database(parts: "Parts") -> Iterator[str]:
    engine = parts.store.engine
    if not _is_current(engine):
        yield "schema is not current; run guichet db upgrade"
    elif engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            if connection.exec_driver_sql("PRAGMA integrity_check").scalar() != "ok":
                yield "SQLite integrity check failed; restore the last backup"
            if connection.exec_driver_sql("PRAGMA synchronous").scalar() != 2:
                yield "synchronous is not FULL; an acknowledged payment could be lost at power loss"
    else:
        with engine.connect() as connection:
            for setting in ("fsync", "synchronous_commit"):
                if connection.exec_driver_sql(f"SHOW {setting}").scalar() == "off":
                    yield f"PostgreSQL has {setting} = off; an acknowledged payment could be lost"
        yield from _sessions(engine)


def _sessions(engine: "Engine") -> Iterator[str]:
    """Say what stands between us and a PostgreSQL session of our own: PgBouncer may lend one for a transaction only."""
    autonomous = engine.execution_options(isolation_level="AUTOCOMMIT")
    asked = "SELECT pg_backend_pid()"
    with autonomous.connect() as one, autonomous.connect() as other:
        # Who has a session to himself keeps it, and nobody else is in it. Three times, for others may be at work.
        pairs = {tuple(each.exec_driver_sql(asked).scalar() for each in (one, other)) for _ in range(3)}
        for setting, least in _OF_SESSION.items():
            said = one.exec_driver_sql(f"SELECT current_setting('{setting}', true)").scalar()
            if said in ("", "0", None) or least not in ("", said):
                yield f"a session begins with {setting} = {said or 'nothing'}; run examples/pgbouncer/account.sql"
    if len(pairs) > 1 or len(set(min(pairs))) == 1:
        yield "a pooler lends sessions for a transaction only: payments will fail; PgBouncer must have pool_mode = session"


def _rights(parts: "Parts") -> Iterator[str]:
    """Say what this server could do and never needs to."""
    from gateway.store.rights import too_many

    yield from too_many(parts.store.engine)
    if os.geteuid() == 0:
        yield "it runs as root; give it an account of its own"
    for path in (parts.settings.var, Path(parts.settings.sqlalchemy_url.removeprefix("sqlite:///"))):
        if path.exists() and path.stat().st_mode & 0o077 and path.parent.stat().st_mode & 0o077:
            yield f"others may read {path}; run chmod go= {path}"


def _worker(parts: "Parts") -> Iterator[str]:
    if _is_current(parts.store.engine):
        yield from (fault for fault in parts.faults() if fault.startswith("worker"))


def _outbox(parts: "Parts") -> Iterator[str]:
    if _is_current(parts.store.engine):
        dead = parts.figures()["notices"].get("dead", 0)
        if dead:
            yield f"{dead} dead notices; guichet notice list --state dead, then guichet notice resend"


def _attempts(parts: "Parts") -> Iterator[str]:
    if _is_current(parts.store.engine):
        for status, count in parts.figures()["attempts"].items():
            yield f"{count} attempts are {status}; guichet payment list shows their payments"


def _mail(parts: "Parts") -> Iterator[str]:
    from gateway.channels.smtp import greet, relay_of

    smtp = parts.settings.smtp
    try:
        greet(relay_of(smtp))
    except (OSError, DeliveryFailed) as error:
        yield f"{smtp.host}:{smtp.port}: {error}; is the relay (or `guichet serve`, for the catcher) running?"


def _merchants(parts: "Parts") -> Iterator[str]:
    for merchant in parts.settings.merchants.values():
        if not any(parts.keys.request_keys(owner) for owner in (merchant.id, merchant.portal) if owner):
            yield f"{merchant.id} has no request key; guichet keys new --merchant {merchant.id}"
        if merchant.mode is Mode.PRODUCTION and not merchant.contract:
            yield f"{merchant.id} is in production without a contract number"


def _scripts(parts: "Parts") -> Iterator[str]:
    from gateway.web import scripts

    yield from scripts.faults(parts.settings.home / "checkout_templates")


def _tickets(parts: "Parts") -> Iterator[str]:
    """Say why tickets go unsealed, or sealed with what nobody trusts any more."""
    from gateway.keys import stamp_of
    from gateway.receipts.sealing import can_seal

    stamp = stamp_of(parts.keys.stamps, parts.now())
    if stamp and not can_seal():
        yield "there is a stamp, but they are not sealed: pyhanko is missing; install the extra pades"
    if stamp and stamp.valid_until <= parts.now():
        yield f"sealed with a certificate that ended on {stamp.valid_until:%Y-%m-%d}; put its successor in keys/"


def _limits(parts: "Parts") -> Iterator[str]:
    if _is_current(parts.store.engine):
        with parts.store.reading() as tx:
            for merchant, kind in tx.limits.alerts(parts.now()):
                yield f"somebody tries out {_TRIED[kind]} at {merchant}; see docs/operations.md"


# What every session must begin with, where no word is given any but none; a pooler may leave out that we say so.
_OF_SESSION = {
    "guichet.merchants": "*",
    "lock_timeout": "",
    "statement_timeout": "",
    "idle_in_transaction_session_timeout": "",
}

_TRIED = {"refusals": "cards", "range": "cards of one range", "codes": "telephone numbers"}

_CHECKS: dict[str, "Callable[[Parts], Iterator[str]]"] = {
    "database": _database,
    "worker": _worker,
    "outbox": _outbox,
    "attempts": _attempts,
    "mail relay": _mail,
    "merchants": _merchants,
    "scripts": _scripts,
    "tickets": _tickets,
    "card testing": _limits,
}
