"""What a process writes once its logs are configured, caught where a test can read it."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gateway import logs


@contextmanager
def caught(monkeypatch: pytest.MonkeyPatch, level: str = "INFO") -> Iterator[io.StringIO]:
    """Configure the logs over a text of the test's own; the test run's handlers come back afterwards."""
    root, written = logging.getLogger(), io.StringIO()
    handlers, before = root.handlers[:], root.level
    monkeypatch.setattr("sys.stderr", written)
    root.handlers = []
    logs.configure(level)
    yield written
    root.handlers = handlers
    root.setLevel(before)
