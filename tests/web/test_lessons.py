"""A web process hides from the collector only what is nobody's: never while a caller, and so perhaps a card, is there."""

import gc

import pytest

from gateway.cli.webserver import _LESSON, Worker


@pytest.mark.parametrize(
    ("connections", "requests", "is_kept"), [(0, _LESSON, True), (1, _LESSON, False), (0, 1, False)]
)
def test_what_was_learned_is_kept_when_nobody_is_there(
    monkeypatch: pytest.MonkeyPatch, connections: int, requests: int, is_kept: bool
) -> None:
    told: list[str] = []
    monkeypatch.setattr(gc, "collect", lambda: told.append("collected"))
    monkeypatch.setattr(gc, "freeze", lambda: told.append("hidden"))
    worker = object.__new__(Worker)
    worker.nr_conns, worker.nr, worker._learned = connections, requests, 0

    worker._keep_lessons()
    worker._keep_lessons()

    assert told == (["collected", "hidden"] if is_kept else [])
