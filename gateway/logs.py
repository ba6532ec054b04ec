"""Logs as one JSON object a line: a constant phrase and fields, never a body, an address line or a card.

Only the fields below are written; a card-like number that slips into one is masked, counted and reported.
"""

import json
import logging
import re
import sys
import traceback
from datetime import UTC, datetime

from gateway.core.card import luhn_valid
from gateway.core.card_guard import without_card_numbers

# What log lines may carry. No personal data has a name here.
_FIELDS = frozenset(
    {
        "attempt", "attempts", "channel", "code", "count", "dialect", "faults", "host", "merchant", "notice", "path",
        "payment", "pid", "port", "program", "reason", "reference", "refund", "seconds", "status", "tries",
    }
)  # fmt: skip
# Our own ids and the chain's newest link are matched first and left alone: one link in a hundred holds digits enough, and a
# right check digit.
_CARD_LIKE = re.compile(r"(?P<ours>\b(?:[a-z]{3}_[0-9a-f]{24}|[0-9a-f]{64})\b)|(?<!\d)\d(?:[ .-]?\d){11,18}(?!\d)")
# How the lines begin in which gunicorn quotes a request.
_QUOTING = ("Invalid request", "Error handling request")


class _Line(logging.Formatter):
    """Writes a record as one line, in a third of the time that a chain of processors took.

    Every process writes some lines a payment, and one library less is some megabytes of memory less in each.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Write a record; the handler calls this."""
        line: dict[str, object] = {
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "timestamp": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        }
        line.update((name, value) for name, value in vars(record).items() if name in _FIELDS)
        if record.exc_info and record.exc_info[1]:
            line["exception"] = _where(record.exc_info[1])
        return json.dumps(_scrub(line), ensure_ascii=False, default=repr)


def configure(level: str = "INFO") -> None:
    """Send every logger's lines to standard error as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # gunicorn brings handlers of its own; its lines go where all others go.
    for server in ("gunicorn.error", "gunicorn.access"):
        logging.getLogger(server).handlers.clear()
        logging.getLogger(server).propagate = True
        logging.getLogger(server).addFilter(_without_strangers_words)
    # Libraries log addresses; only their warnings are wanted.
    for noisy in ("urllib3", "alembic", "fontTools", "fpdf", "mail.log"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _without_strangers_words(record: logging.LogRecord) -> bool:
    """Leave out what gunicorn quotes of a request: a page's token, a card, whatever somebody sent."""
    said = record.getMessage()
    for phrase in _QUOTING:
        if said.startswith(phrase):
            record.msg, record.args = phrase, ()
    return True


def _where(raised: BaseException) -> str:
    """Tell where an exception came from and of which kind, cause by cause; its words may hold what a payer typed."""
    lines: list[str] = []
    error: BaseException | None = raised
    while error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        lines.append(f"{type(error).__module__}.{type(error).__qualname__}")
        lines.extend(f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames)
        error = error.__cause__ or error.__context__
    return "\n".join(lines)


def _scrub(line: dict[str, object]) -> dict[str, object]:
    """Mask what looks like a card number: the last line of defence, whose every hit is a bug, counted and an error."""
    for field, value in list(line.items()):
        if isinstance(value, str):
            # Any brand's length by itself, and the known brands' among other figures.
            masked = without_card_numbers(_CARD_LIKE.sub(_mask, value))
            if masked != value:
                line[field], line["scrubbed"], line["level"] = masked, True, "error"
    if "scrubbed" in line:
        # Where it counts is known only once the server runs, which is long after logging began.
        from gateway.metrics import SCRUBBED

        SCRUBBED.labels(line["logger"]).inc()
    return line


def _mask(match: re.Match[str]) -> str:
    if match["ours"]:
        return match[0]
    digits = re.sub(r"\D", "", match[0])
    return f"[card ****{digits[-4:]}]" if luhn_valid(digits) else match[0]
