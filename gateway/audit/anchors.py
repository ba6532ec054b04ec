"""Signed notes of how long the chain was, kept outside the database: they show when its end was cut off.

One line of JSON each, in ``var/audit/anchors.jsonl``. Copies belong elsewhere: whoever may write both the database and this
file can cut both, to the same length, and only a copy they cannot reach shows it.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from gateway.appending import append

# The chain's newest links are covered by the next anchor: the shorter this is, the fewer they are.
EVERY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Anchor:
    """What was the newest link at a moment.

    :ivar at: seconds since 1970
    """

    at: int
    n: int
    mac: str


class Anchors:
    """The file of anchors.

    :param sign: makes a compact JWS of claims with the server's own key
    :param read: gives the claims of one, or raises :class:`ValueError`
    """

    def __init__(
        self,
        path: Path,
        *,
        sign: Callable[[Mapping[str, object]], str],
        read: Callable[[str], Mapping[str, object]],
        now: Callable[[], datetime],
    ) -> None:
        self._path, self._sign, self._read, self._now = path, sign, read, now
        self._last = self._newest()

    def is_due(self) -> bool:
        """Say whether the last one is old enough for another, or of a clock that was wrong: it is never waited for."""
        return self._last is None or not 0 <= self._now().timestamp() - self._last < EVERY.total_seconds()

    def drop(self, n: int, mac: str) -> None:
        """Note that the chain's newest link is ``n``."""
        claims = {"iat": int(self._now().timestamp()), "n": n, "mac": mac}
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Half a line on a full disk would pass for a forged one, for ever.
        append(self._path, json.dumps({**claims, "jws": self._sign(claims)}).encode() + b"\n")
        self._path.chmod(0o600)
        self._last = self._now().timestamp()

    def all(self) -> Iterator[Anchor | str]:
        """Give every anchor, oldest first, or the words for what is wrong with one."""
        if not self._path.is_file():
            return
        for number, line in enumerate(self._path.read_text("utf-8", "replace").splitlines(), start=1):
            try:
                claims = self._read(json.loads(line)["jws"])
                yield Anchor(int(str(claims["iat"])), int(str(claims["n"])), str(claims["mac"]))
            except (ValueError, KeyError, TypeError):
                yield f"{self._path}, line {number}: not an anchor signed by a key of this server"

    def _newest(self) -> float | None:
        moments = [anchor.at for anchor in self.all() if isinstance(anchor, Anchor)]
        return max(moments, default=None)
