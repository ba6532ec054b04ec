"""What each database promises before money is entrusted to it."""

import pytest
from sqlalchemy import text

from gateway.parts import Parts


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("pragma", "value"),
    # 2 is FULL: what was acknowledged survives a power loss (https://www.sqlite.org/pragma.html#pragma_synchronous).
    [("synchronous", 2), ("journal_mode", "wal"), ("foreign_keys", 1), ("secure_delete", 1), ("trusted_schema", 0)],
)
def test_every_connection_to_sqlite_keeps_what_it_acknowledged(parts: Parts, pragma: str, value: object) -> None:
    connections = [parts.store.engine.raw_connection() for _ in range(2)]

    found = {connection.cursor().execute(f"PRAGMA {pragma}").fetchone() for connection in connections}

    for connection in connections:
        connection.close()
    assert found == {(value,)}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_session_of_postgresql_waits_for_the_disk_and_for_nobody_else_for_long(parts: Parts) -> None:
    with parts.store.engine.connect() as db:
        assert db.execute(text("SHOW synchronous_commit")).scalar_one() == "on"
        assert db.execute(text("SHOW lock_timeout")).scalar_one() == "2s"
        assert db.execute(text("SHOW statement_timeout")).scalar_one() == "5s"
