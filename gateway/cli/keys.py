"""``guichet keys``: make, list, retire. A new key works beside the old one until the old one is retired."""

from pathlib import Path

import click
from sqlalchemy.exc import SQLAlchemyError

from gateway import keys as keys_
from gateway.cli.serving import home_argument, open_parts, read
from gateway.clock import utc_now
from gateway.core.errors import SettingsError


@click.group()
def keys() -> None:
    """Make, list and retire keys."""


@keys.command()
@click.argument("what", default="all")
@click.option("--merchant", help="Make a merchant's set instead: request key, API key, confirmation keys.")
@click.option("--alg", type=click.Choice(["EdDSA", "ES256", "RS256", "HS256"]), default="EdDSA", show_default=True)
@click.option("--keep-private", is_flag=True, help="Keep the merchant's private half here (demonstration only).")
@home_argument
def new(home: Path, what: str, merchant: str | None, alg: str, keep_private: bool) -> None:
    """Make keys: all, signing, page, cookie, code, seal, ticket, card, audit, link or stamp; or, with --merchant, a merchant's."""
    if merchant is None:
        made = keys_.create(home / "keys", what, utc_now())
        for path in made:
            click.echo(f"made {path}")
        _note(home, "key.made", " ".join(path.name for path in made))
    else:
        if merchant not in read(home).merchants:
            raise click.ClickException(f"no merchant {merchant!r} in config/merchants.toml; add it first")
        told = keys_.create_merchant_keys(home / "keys", merchant, alg, utc_now(), keep_private=keep_private)
        for name, value in told.items():
            click.echo(f"{name}: {value}")
        _note(home, "key.made", f"merchant {merchant}")
        click.echo("The secrets above are shown once; give them to the merchant by a safe way.")
    click.echo("Restart the server to use them.")


@keys.command(name="list")
@home_argument
def list_(home: Path) -> None:
    """List the keys in use."""
    for key in keys_.list_keys(home / "keys"):
        click.echo(f"{key.owner:24} {key.what:10} {key.month:9} {key.kid or '-':45} {key.path.name}")


@keys.command()
@click.argument("name")
@home_argument
def retire(home: Path, name: str) -> None:
    """Take a key out of use, by key id or file name; the last of its kind stays."""
    moved = keys_.retire(home / "keys", name)
    for path in moved:
        click.echo(f"moved to {path}")
    _note(home, "key.retired", " ".join(path.name for path in moved))
    click.echo("Restart the server; what the key signed is refused from then on.")


@keys.command(name="demo", hidden=True)
@home_argument
def demo_keys(home: Path) -> None:
    """Make what a development server lacks."""
    keys_.ensure_demo(home / "keys", read(home).key_holders, utc_now())


def _note(home: Path, what: str, about: str) -> None:
    """Write it into the audit log, once there is one: the first keys are older than the database."""
    from gateway import migrations

    try:
        parts = open_parts(home)
        if migrations.is_current(parts.store.engine):
            parts.auditor.record(what, about)
            return
    except (SettingsError, OSError, SQLAlchemyError):
        pass
    click.echo("(Not in the audit log yet: the next start writes it down.)")
