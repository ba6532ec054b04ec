"""A peer that answers without end, for as long as anybody reads."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# What the system itself holds for a socket is some megabytes.
MOST = 48 * 1024 * 1024


class Flood:
    """What was taken in of an answer.

    :ivar url: where it is asked for
    :ivar sent: bytes; :data:`MOST` when nobody stopped it
    """

    def __init__(self, port: int) -> None:
        self.url, self.sent = f"http://127.0.0.1:{port}", 0


@contextmanager
def flooding(begun: bytes, piece: bytes) -> Iterator[Flood]:
    """Answer one call with ``begun``, then with ``piece`` again and again."""

    def answer() -> None:
        peer, _ = server.accept()
        with peer, suppress(OSError):
            peer.settimeout(5)
            peer.recv(65536)
            peer.sendall(begun)
            while flood.sent < MOST:
                flood.sent += peer.send(piece)

    with socket.create_server(("127.0.0.1", 0)) as server:
        flood = Flood(server.getsockname()[1])
        thread = threading.Thread(target=answer)
        thread.start()
        yield flood
        thread.join()
