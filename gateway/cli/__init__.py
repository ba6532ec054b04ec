"""The ``guichet`` command: what an operator can do from a shell. Each command says what it did, or why not and what to do."""

import os
import sys
from importlib import import_module
from pathlib import Path

import click

from gateway import __version__
from gateway.core.errors import GatewayError, SettingsError

# Each command's room; loaded when the command is called, so that a worker need not read what only a person asks for.
_ROOMS = {
    "serve": "serving",
    "worker": "serving",
    "sweep": "serving",
    "catcher": "serving",
    "simulator": "serving",
    "demo": "demo",
    "doctor": "checks",
    "db": "checks",
    "scripts": "checks",
    "keys": "keys",
    "verify-audit": "audit",
    "backup": "backup",
    "reconcile": "reconcile",
    "merchant": "book",
    "payment": "book",
    "notice": "book",
    "sign": "signing",
    "listen": "signing",
    "links": "links",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(_ROOMS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _ROOMS:
            return None
        command: click.Command = getattr(import_module(f"gateway.cli.{_ROOMS[cmd_name]}"), cmd_name.replace("-", "_"))
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="guichet")
@click.option("--home", envvar="GUICHET_HOME", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Folder that holds config/, keys/ and var/ (default: this checkout).")  # fmt: skip
@click.pass_context
def guichet(context: click.Context, home: Path | None) -> None:
    """Guichet, a hosted-payment server."""
    context.obj = (home or Path(__file__).parents[2]).resolve()
    os.environ["GUICHET_HOME"] = str(context.obj)


def main() -> None:
    """Run the command; a fault on purpose is a message, not a trace."""
    try:
        guichet()
    except SettingsError as error:
        click.echo("Guichet cannot start; mend all of these:", err=True)
        for fault in error.faults:
            click.echo(f"  - {fault}", err=True)
        sys.exit(2)
    except GatewayError as error:
        click.echo(f"guichet: {error}", err=True)
        sys.exit(1)
