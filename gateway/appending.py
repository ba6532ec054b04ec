"""Adding to a file, all or nothing: what a full disk would leave of a line may pass for another, or make the whole unreadable."""

import fcntl
from pathlib import Path


def append(path: Path, data: bytes) -> None:
    """Add bytes to a file's end, one process after the other. Raises :class:`OSError`, and has added none then."""
    with path.open("ab", buffering=0) as file:
        # What is cut off again must be one's own.
        fcntl.flock(file, fcntl.LOCK_EX)
        before, rest = file.seek(0, 2), memoryview(data)
        try:
            while rest:
                rest = rest[file.write(rest) :]
        except OSError:
            file.truncate(before)
            raise
