"""What the tests share: one real PostgreSQL, fresh databases on both engines, a home of its own, a clock to move."""

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from flask import Flask
from flask.testing import FlaskClient

from gateway import keys, migrations
from gateway.acting import Actor, start_as
from gateway.app import create_app
from gateway.parts import Parts, build
from gateway.settings import Settings, load
from gateway.store import open_engine
from gateway.web.rendering import init_rendering
from tests.support.clock import Clock
from tests.support.patience import be_patient
from tests.support.postgres import drop_database, fresh_database, start_postgres

ROOT = Path(__file__).parents[1]
ORIGIN = "http://127.0.0.1:8000"
_SERVER = "TEST_POSTGRES_SERVER"

# Fixtures that begin with starting a program which needs seconds by itself.
_STARTED = {
    *("arena", "bank_process", "browser", "guichet", "house", "live"),
    *("proxy", "racers", "server", "soap", "stage", "theatre"),
}

# How long one example takes, or is thought up, is the machine's; Hypothesis would fail a test for a fifth of a second.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    """Start PostgreSQL once, in the process that hands the work out; workers find it in their environment."""
    if os.environ.get("PYTEST_XDIST_WORKER") or config.option.collectonly:
        return
    server = start_postgres()
    os.environ[_SERVER] = server.url
    config.add_cleanup(server.stop)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give what may be the first to start a server, or a browser, the time that this takes beside everything else."""
    for item in items:
        slow = _STARTED.intersection(getattr(item, "fixturenames", ()))
        if slow and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(400))


def pytest_collection_finish() -> None:
    """Put the collected tests, which are no garbage, out of the collector's sight.

    A typed card ends in a collection, and looking through seven thousand tests takes a third of a second.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def postgres() -> str:
    """Give the address of the PostgreSQL server the tests run on."""
    return os.environ[_SERVER]


@pytest.fixture(scope="session")
def key_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a demonstration server's keys once."""
    folder = tmp_path_factory.mktemp("keys")
    holders = load(ROOT, {}).key_holders
    keys.ensure_demo(folder, holders, Clock().now())
    return folder


def furnish(home: Path, key_folder: Path) -> Path:
    """Make a home where there is none."""
    home.mkdir()
    (home / "checkout_templates").symlink_to(ROOT / "checkout_templates")
    shutil.copytree(ROOT / "config", home / "config")
    shutil.copytree(key_folder, home / "keys")
    (home / "keys").chmod(0o700)
    (home / "var").mkdir(mode=0o700)
    return home


@pytest.fixture
def home(tmp_path: Path, key_folder: Path) -> Path:
    """Make a home: the shipped settings and templates, keys of its own, nothing in var/."""
    return furnish(tmp_path / "home", key_folder)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Migrate an empty SQLite file once, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "template.sqlite"
    engine = open_engine(f"sqlite:///{path}")
    migrations.upgrade(engine)
    engine.dispose()
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres: str) -> Iterator[str]:
    """Migrate an empty PostgreSQL database once, to be copied."""
    name = f"template_{os.getpid()}"
    engine = open_engine(fresh_database(postgres, name))
    migrations.upgrade(engine)
    engine.dispose()
    yield name
    drop_database(postgres, name)


@pytest.fixture
def sqlite_url(home: Path, sqlite_template: Path) -> str:
    """Give a migrated, empty SQLite database; what depends on no engine takes it for its ``database_url``."""
    path = home / "var/guichet.sqlite"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Give a migrated, empty database: every test that uses one runs on both engines."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_url")
        return
    server: str = request.getfixturevalue("postgres")
    name = f"t{os.getpid()}_{abs(hash(request.node.nodeid)) % 10**10}"
    copied: str = request.getfixturevalue("postgres_template")
    yield fresh_database(server, name, copied)
    drop_database(server, name)


@pytest.fixture(scope="session")
def drawing() -> Flask:
    """Make what renders the templates, and is nothing else of a server."""
    app = Flask(__name__)
    app.config.update(SECRET_KEY="a test key")
    init_rendering(app, ROOT)
    return app


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nobody sent away who waits for a database; a file whose tests are about just that has its own."""
    be_patient(monkeypatch)


@pytest.fixture(autouse=True)
def this_process() -> Iterator[None]:
    """Forget who this process acts as: a command that ran in it has said so, and the next test is nobody's operator."""
    yield
    start_as(Actor("server"))


@pytest.fixture
def clock() -> Clock:
    """Give a clock that stands still until moved."""
    return Clock()


@pytest.fixture
def settings(home: Path, database_url: str) -> Settings:
    """Read the shipped settings over the fresh database."""
    return load(home, {"GUICHET_DATABASE_URL": database_url})


@pytest.fixture
def parts(settings: Settings, clock: Clock) -> Iterator[Parts]:
    """Build everything below the web."""
    parts = build(settings, clock.now)
    yield parts
    parts.store.engine.dispose()


@pytest.fixture
def app(settings: Settings, home: Path, clock: Clock) -> Iterator[Flask]:
    """Build the web application over the same database as ``parts``."""
    app = create_app(home, clock.now, settings=settings)
    yield app
    app.extensions["gateway"].checkout.desk.store.engine.dispose()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Give a browser without JavaScript."""
    return app.test_client()
