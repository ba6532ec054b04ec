"""A real PgBouncer for the tests, run by the example configuration as an operator would install it.

Debian's package is unpacked beside the Python packages with the libraries it names, not installed: installed it would
start. The tests ask :func:`pgbouncer_path` and skip, with the reason, when there is none.
"""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

import psycopg
from sqlalchemy import URL, make_url

from tests.support.growing import admit
from tests.support.installing import NoTool, libraries_of, unpack_debian
from tests.support.server import free_ports, wait_until

EXAMPLE = Path(__file__).parents[2] / "examples/pgbouncer"
_UNPACKED = Path(sys.prefix) / "pgbouncer"
_ACCOUNT, _PASSWORD = "guichet", "of the tests"


def pgbouncer_path() -> str:
    """Find a PgBouncer that starts. Raises :class:`NoTool`."""
    places = (os.environ.get("PATH", ""), "/usr/sbin", str(_UNPACKED / "usr/sbin"))
    found = shutil.which("pgbouncer", path=os.pathsep.join(places))
    if not found:
        raise NoTool("no pgbouncer on the path; on Debian: apt-get install pgbouncer")
    told = subprocess.run([found, "--version"], env=_environ(), capture_output=True, text=True, timeout=30, check=False)
    if told.returncode:
        raise NoTool(f"{found} does not start: {told.stderr.strip()}")
    return found


def unpack_pgbouncer() -> None:
    """Fetch Debian's package and its libraries."""
    unpack_debian(["pgbouncer", *libraries_of("pgbouncer")], _UNPACKED)


def _environ() -> Mapping[str, str]:
    folders = [str(path) for path in _UNPACKED.glob("**/lib/*-linux-gnu")]
    return {"PATH": os.environ.get("PATH", ""), "LD_LIBRARY_PATH": os.pathsep.join(folders)}


@dataclass(frozen=True, slots=True)
class Bouncer:
    """A running PgBouncer before one database.

    :ivar url: by the example, as the application's account
    :ivar hasty_url: the same, but a connection is lent for a transaction only
    :ivar account: as PostgreSQL knows it
    :ivar admin: of a superuser, past PgBouncer
    """

    url: str
    hasty_url: str
    account: str
    admin: str

    def forget(self, setting: str) -> None:
        """Take from the account what ``account.sql`` gave it."""
        _execute(self.admin, f"ALTER ROLE {self.account} RESET {setting}")


@contextmanager
def bouncing(folder: Path, admin: str) -> Iterator[Bouncer]:
    """Run the example before a migrated database while the body runs, with an account as its comments want it.

    :param folder: for its files
    :param admin: the database's address as a superuser
    """
    # Accounts belong to the server, which other tests use at the same time.
    account = f"bounced_{os.getpid()}"
    admit(admin, account)
    try:
        _execute(admin, f"ALTER ROLE {account} PASSWORD '{_PASSWORD}'")
        _execute(admin, (EXAMPLE / "account.sql").read_text().replace(f"ROLE {_ACCOUNT} ", f"ROLE {account} "))
        (port,) = free_ports(1)
        with _running(_write(folder, make_url(admin), account, port), folder / "pgbouncer.log", port):
            url = f"postgresql+psycopg://{account}:{quote(_PASSWORD)}@127.0.0.1:{port}"
            yield Bouncer(f"{url}/guichet", f"{url}/hasty", account, admin)
    finally:
        _execute(admin, f"DROP OWNED BY {account}; DROP ROLE {account}")


@contextmanager
def _running(configuration: Path, log: Path, port: int) -> Iterator[None]:
    # It refuses to run as root; "nobody" is whom the tests' PostgreSQL lets in by its socket.
    user = ["--user", "nobody"] if os.geteuid() == 0 else []
    command = [pgbouncer_path(), *user, str(configuration)]
    with log.open("wb") as said:
        process = subprocess.Popen(command, env=_environ(), stdout=said, stderr=said)
    try:
        wait_until(partial(_answers, port))
        yield
    finally:
        process.terminate()
        process.wait(20)


def _write(folder: Path, database: URL, account: str, port: int) -> Path:
    host = str(database.query.get("host") or database.host)
    place = f"host={host} port={database.port or 5432} dbname={database.database}"
    text = (EXAMPLE / "pgbouncer.ini").read_text()
    folder.mkdir()
    accounts = folder / "userlist.txt"
    accounts.write_text(f'"{account}" "{_PASSWORD}"\n')
    for example, ours in {
        "guichet = host=10.0.0.5 port=5432 dbname=guichet": f"guichet = {place}\nhasty = {place} pool_mode=transaction",
        "listen_addr = 10.0.0.4": "listen_addr = 127.0.0.1",
        "listen_port = 6432": f"listen_port = {port}\nunix_socket_dir =",
        "/etc/pgbouncer/userlist.txt": str(accounts),
    }.items():
        assert example in text, f"{EXAMPLE} no longer says {example}"
        text = text.replace(example, ours)
    (folder / "pgbouncer.ini").write_text(text)
    return folder / "pgbouncer.ini"


def _execute(admin: str, statements: str) -> None:
    address = make_url(admin).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as db:
        db.execute(statements.encode())


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
