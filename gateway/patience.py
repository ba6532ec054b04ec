"""Waiting for others no longer than was said: each wait is given what is left of the whole.

A socket's own timeout begins anew with each byte, and whoever answers may send one now and then for ever; or more in that
time than memory holds.
"""

import io
import socket
import time
from dataclasses import dataclass

# Of one answer, all that comes over the wire: heads of some kilobytes, and the 16 KiB of a body that anybody reads, even in
# chunks of one byte. Who reads bounds what he asks for, but the library asks for all that comes where a chunk's size is -1,
# and goes through interim answers and trailers without end.
_ANSWER_BYTES_MAX = 256 * 1024


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call may take.

    :ivar connect_seconds: to reach one address, TLS included
    :ivar read_seconds: between two bytes of the answer
    :ivar until: the end of the whole, by the monotonic clock
    """

    connect_seconds: float
    read_seconds: float
    until: float

    def left(self, most: float) -> float:
        """Give the seconds that the next wait may take, at most ``most``. Raises :class:`TimeoutError` when none is left."""
        seconds = min(most, self.until - time.monotonic())
        if seconds <= 0:
            raise TimeoutError("no time left")
        return seconds


class Timed(io.RawIOBase):
    """A socket's reading side for one answer, each wait within the patience of the call."""

    def __init__(self, stream: socket.socket, patience: Patience) -> None:
        super().__init__()
        self._stream, self._patience = stream, patience
        self._bytes_left = _ANSWER_BYTES_MAX

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]  # what BufferedReader gives
        """Fill a buffer with what comes. Raises :class:`TimeoutError`, and :class:`OSError` when it is too much."""
        self._stream.settimeout(self._patience.left(self._patience.read_seconds))
        count = self._stream.recv_into(buffer)
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise OSError("more than an answer")
        return count
