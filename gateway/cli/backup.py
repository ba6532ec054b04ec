"""``guichet backup``: a copy of the database while payments go on. Keys are in none."""

import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import click
from sqlalchemy import make_url

from gateway.cli.serving import home_argument, read


@click.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@home_argument
def backup(home: Path, path: Path) -> None:
    """Copy the database to PATH, which must be new; only its owner may read it. Keys and settings are not in it."""
    url = read(home).sqlalchemy_url
    try:
        # Made first, so that at no moment anybody else can read it.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}") from error
    is_whole = False
    try:
        _copy_file(url, path) if url.startswith("sqlite") else _dump(url, path)
        is_whole = True
    except (sqlite3.Error, OSError, subprocess.CalledProcessError) as error:
        raise click.ClickException(f"no backup was made: {error}") from error
    finally:
        # Also where somebody stops it: half a copy must not look like one.
        if not is_whole:
            path.unlink()
    click.echo(f"{path}: {path.stat().st_size} bytes; keys/ and config/ are not in it, keep them elsewhere")


def _copy_file(url: str, path: Path) -> None:
    source = Path(url.removeprefix("sqlite:///")).absolute().as_uri()
    with closing(sqlite3.connect(f"{source}?mode=ro", uri=True)) as ours, closing(sqlite3.connect(path)) as copy:
        # All at once: copied page by page, it would begin anew with every payment.
        ours.backup(copy)
        if copy.execute("PRAGMA quick_check").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("the copy is damaged")


def _dump(url: str, path: Path) -> None:
    address = make_url(url)
    # Every merchant's rows: without this an account that is no superuser dumps none of them, and says nothing.
    environ = {**os.environ, "PGOPTIONS": "-c guichet.merchants=*"}
    if address.password is not None:
        environ["PGPASSWORD"] = str(address.password)
    plain = address.set(drivername="postgresql", password=None).render_as_string()
    command = ["pg_dump", "--enable-row-security", "--format=custom", f"--file={path}", f"--dbname={plain}"]
    subprocess.run(command, env=environ, check=True)  # noqa: S603 - our own words and the operator's address
