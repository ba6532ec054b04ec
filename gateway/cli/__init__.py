"""The ``guichet`` command: what an operator can do from a shell. Each command says what it did, or why not and what to do."""

import os
import sys
from pathlib import Path

import click

from gateway import __version__
from gateway.cli.book import merchant, notice, payment
from gateway.cli.checks import db, doctor
from gateway.cli.demo import demo
from gateway.cli.keys import keys
from gateway.cli.serving import catcher, serve, simulator, sweep, worker
from gateway.cli.signing import listen, sign
from gateway.core.errors import GatewayError, SettingsError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="guichet")
@click.option("--home", envvar="GUICHET_HOME", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Folder that holds config/, keys/ and var/ (default: this checkout).")  # fmt: skip
@click.pass_context
def guichet(context: click.Context, home: Path | None) -> None:
    """Guichet, a hosted-payment server."""
    context.obj = (home or Path(__file__).parents[2]).resolve()
    os.environ["GUICHET_HOME"] = str(context.obj)


for command in (
    serve,
    worker,
    sweep,
    catcher,
    simulator,
    demo,
    doctor,
    db,
    keys,
    merchant,
    sign,
    payment,
    notice,
    listen,
):
    guichet.add_command(command)


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
