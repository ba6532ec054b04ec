"""A client in a process of its own: one line of JSON asks for a verb, one line answers with what came of it."""

import json
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DRIVERS = Path(__file__).parent / "drivers"

# Covers the start of an interpreter and the loading of a WSDL beside a whole suite; then the driver is ended, so that
# reading its answer fails.
_PATIENCE_SECONDS = 100


class Failed(Exception):
    """The client raised.

    :ivar kind: the name of what it raised
    :ivar facts: what else the driver found worth telling
    """

    def __init__(self, kind: str, text: str, facts: Mapping[str, Any]) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind, self.text, self.facts = kind, text, facts


class Driver:
    """Speaks with one running client."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process, self._lock = process, threading.Lock()

    def ask(self, verb: str, **arguments: object) -> Any:
        """Have the client do something, and give the answer. Raises :class:`Failed` with what the client raised."""
        # A shop's thread may be asking while the test does.
        with self._lock:
            line = self._answer(json.dumps({"verb": verb, **arguments}))
        assert line, f"the driver ended at {verb}: its standard error says why"
        said = json.loads(line)
        if "raised" in said:
            raise Failed(said["raised"], said["text"], said.get("facts", {}))
        return said["answer"]

    def _answer(self, line: str) -> str:
        asked, answers = self._process.stdin, self._process.stdout
        assert asked is not None
        assert answers is not None
        watch = threading.Timer(_PATIENCE_SECONDS, self._process.kill)
        watch.start()
        try:
            asked.write(f"{line}\n")
            asked.flush()
            return answers.readline()
        finally:
            watch.cancel()


@contextmanager
def driving(command: Sequence[str | Path], environment: Mapping[str, str]) -> Iterator[Driver]:
    """Run a driver while the body runs."""
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        try:
            yield Driver(process)
        finally:
            process.kill()
