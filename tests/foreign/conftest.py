"""One live server for this folder, the shop beside it, and every published client, each started once."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from tests.foreign.driver import DRIVERS, Driver, driving
from tests.foreign.payer import Person
from tests.foreign.shop import Shop, open_shop
from tests.support import foreign, tools
from tests.support.installing import NoTool
from tests.support.server import Server, make_home, running

Tool = TypeVar("Tool")


@pytest.fixture(scope="session")
def canteen() -> Iterator[Shop]:
    """Listen where the merchant book sends the notices of ``alise-demo``: its protocol names no address."""
    with open_shop() as shop:
        yield shop


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, key_folder: Path, canteen: Shop) -> Iterator[Server]:
    """Serve the shipped merchants on SQLite, with a worker."""
    home = make_home(tmp_path_factory.mktemp("foreign") / "home", key_folder)
    book = home / "config/merchants.toml"
    book.write_text(book.read_text().replace("http://127.0.0.1:8001/alise", f"{canteen.origin}/alise"))
    with running(home, f"sqlite:///{home}/var/guichet.sqlite") as server:
        yield server


@pytest.fixture
def shop() -> Iterator[Shop]:
    """Listen for notifications and for the payer's return."""
    with open_shop() as shop:
        yield shop


@pytest.fixture
def person(server: Server) -> Person:
    """Give a payer who never was here."""
    return Person(server.base_url)


@pytest.fixture(scope="session")
def eopayment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """Run eopayment's library."""
    python = found(lambda: foreign.python_path("eopayment"))
    with driving([python, DRIVERS / "eopayment_client.py"], clean(tmp_path_factory.mktemp("home"))) as driver:
        yield driver


@pytest.fixture(scope="session")
def soap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """Run zeep, suds and pysimplesoap."""
    python = found(lambda: foreign.python_path("soap"))
    with driving([python, DRIVERS / "soap_clients.py"], clean(tmp_path_factory.mktemp("home"))) as driver:
        yield driver


@pytest.fixture(scope="session")
def php(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """Run PHP's own ``SoapClient``."""
    program = found(foreign.php_path)
    with driving([program, DRIVERS / "soap_client.php"], clean(tmp_path_factory.mktemp("home"))) as driver:
        yield driver


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """Run the ``soap`` package of Node."""
    program, modules = found(tools.node_path), found(foreign.npm_folder)
    environment = {**clean(tmp_path_factory.mktemp("home")), "NODE_PATH": str(modules)}
    with driving([program, DRIVERS / "soap_client.cjs"], environment) as driver:
        yield driver


def found(find: Callable[[], Tool]) -> Tool:
    """Find a client, or skip the test with the reason."""
    try:
        return find()
    except NoTool as reason:
        pytest.skip(str(reason))


def clean(home: Path) -> dict[str, str]:
    """Give an environment without proxies and without what former runs cached in a home."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}
