"""The programs we measure ourselves beside stand on the same ground as we do."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def locked(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^(\S+)==(\S+)", path.read_text(), re.MULTILINE))


def test_the_shop_has_our_own_web_server_and_database_driver() -> None:
    ours, theirs = locked(ROOT / "requirements.lock"), locked(ROOT / "bench/pins/django.txt")

    shared = {name: (ours[name], theirs[name]) for name in ("gunicorn", "psycopg", "psycopg-binary")}

    assert all(mine == other for mine, other in shared.values()), f"{shared}: make lock"
