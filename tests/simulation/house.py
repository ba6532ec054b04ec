"""What all worlds of one process share: keys, settings, and one database that is emptied for each."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import text

from gateway import keys, migrations
from gateway.acquirers.cards import load as load_cards
from gateway.parts import Parts, build
from gateway.settings import load
from gateway.store import tables as t
from tests.support.evidence import watch_moves

ROOT = Path(__file__).parents[2]
START = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


class House:
    """What all worlds of one process share: keys, settings, one database that is emptied for each.

    :param url: of an empty database; SQLite's in the folder when none is given
    """

    def __init__(self, folder: Path, url: str = "") -> None:
        home = self._furnish(folder)
        self.folder = folder
        self.file = home / "var/guichet.sqlite"
        settings = load(home, {"GUICHET_DATABASE_URL": url or f"sqlite:///{self.file}"})
        merchants = dict(settings.merchants)
        # One pays out in the evening and lets a debt rest after a refusal; the other does neither.
        changes = {"remittance": "evening", "attempts_max": 2, "retry_lock_minutes": 5}
        merchants["jvs-demo"] = merchants["jvs-demo"].model_copy(update=changes)
        self.parts: Parts = build(settings.model_copy(update={"merchants": merchants}), lambda: START)
        self.engine = self.parts.store.engine
        migrations.upgrade(self.engine)
        watch_moves(self.engine)
        self.engine.dispose()
        self.cards = load_cards(home / "config/test_cards.toml")
        self._empty = folder / "empty.sqlite"
        if not url:
            shutil.copy(self.file, self._empty)

    @staticmethod
    def _furnish(folder: Path) -> Path:
        home = folder / "home"
        (home / "var").mkdir(parents=True, mode=0o700)
        (home / "keys").mkdir(mode=0o700)
        shutil.copytree(ROOT / "config", home / "config")
        (home / "checkout_templates").symlink_to(ROOT / "checkout_templates")
        keys.ensure_demo(home / "keys", load(ROOT, {}).key_holders, START)
        return home

    def clear(self) -> Path:
        """Empty the database and the bank; gives the path of the bank's book."""
        book = self.folder / "bank.sqlite"
        for path in (book, *(self.folder / f"bank.sqlite-{end}" for end in ("wal", "shm"))):
            path.unlink(missing_ok=True)
        if self.engine.dialect.name == "sqlite":
            self.engine.dispose()
            for end in ("-wal", "-shm"):
                Path(f"{self.file}{end}").unlink(missing_ok=True)
            shutil.copy(self._empty, self.file)
        else:
            names = ", ".join(["seen_move", *t.metadata.tables])
            with self.engine.begin() as db:
                # Some tables refuse to forget; between two worlds they must.
                db.execute(text("SET LOCAL session_replication_role = replica"))
                db.execute(text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))
        return book

    def close(self) -> None:
        """Let go of the database."""
        self.engine.dispose()
