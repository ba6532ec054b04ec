"""Why a signature was refused: kept for the developer of a merchant in test mode, shown at ``/_test/signatures``.

What is kept is the string that is signed as we see it, what was expected and received, and the likely cause. The key
itself is never handed here.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from flask import Blueprint, Response, jsonify, render_template, request

from gateway.core.card_guard import without_card_numbers

_KEPT = 200
# One line of the file: a request is 64 KiB at most, so this cuts nothing that helps.
_VALUE_MAX = 8000


class Refusals:
    """The newest refused signatures, one JSON object a line, shared by any number of processes."""

    def __init__(self, path: Path, now: Callable[[], datetime]) -> None:
        self._path, self._now = path, now

    def add(self, diagnosis: Mapping[str, str]) -> None:
        """Keep one; the oldest are thrown away. A full disk is no reason to answer the merchant differently."""
        line = {
            "at": self._now().isoformat(timespec="seconds"),
            **{key: without_card_numbers(text[:_VALUE_MAX]) for key, text in diagnosis.items()},
        }
        with suppress(OSError):
            with self._path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(json.dumps(line) + "\n")
            lines = self._lines()
            if len(lines) > 2 * _KEPT:
                fresh = self._path.with_suffix(".new")
                fresh.write_text("".join(f"{kept}\n" for kept in lines[-_KEPT:]), "utf-8")
                fresh.replace(self._path)

    def newest(self, merchant: str = "") -> list[dict[str, str]]:
        """List them, newest first; of one merchant when it is named."""
        found: list[dict[str, str]] = []
        for line in reversed(self._lines()):
            with suppress(ValueError):
                refusal = json.loads(line)
                if not merchant or refusal.get("merchant") == merchant:
                    found.append(refusal)
        return found[:_KEPT]

    def _lines(self) -> list[str]:
        try:
            return self._path.read_text("utf-8").splitlines()
        except FileNotFoundError:
            return []


def add_signature_views(testkit: Blueprint, refusals: Refusals) -> None:
    """Mount the page and its JSON twin."""

    @testkit.get("/signatures")
    def signatures_page() -> str:
        merchant = request.args.get("merchant", "").strip()
        return render_template("testkit/signatures.html", refusals=refusals.newest(merchant), merchant=merchant)

    @testkit.get("/signatures.json")
    def signatures_json() -> Response:
        return jsonify(refusals=refusals.newest(request.args.get("merchant", "").strip()))
