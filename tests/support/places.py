"""Several hosts on one machine: each has a network of its own, with nothing in common but cables to this one.

That takes root and ``ip`` (Linux network namespaces, ip-netns(8)). Where it cannot be had, each host is an address of the
loopback network of its own instead, and what a host kept to its own loopback would be seen by the others.
"""

import ctypes
import os
import shutil
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

_CLONE_NEWNET = 0x40000000


@dataclass(frozen=True, slots=True)
class Place:
    """Where a host is.

    :ivar address: where this machine finds it
    :ivar enter: what a command begins with to be run there
    """

    address: str
    enter: tuple[str, ...] = ()
    _namespace: str = ""

    @contextmanager
    def line(self, port: int) -> Iterator[None]:
        """Let what calls ``port`` of the host's own loopback address reach that of this machine."""
        if not self._namespace:
            yield
            return
        with _inside(self._namespace, port) as line:
            thread = threading.Thread(target=line.serve_forever, args=(0.05,), daemon=True)
            thread.start()
            yield
            line.shutdown()
            thread.join()


@contextmanager
def places(count: int, *, apart: bool) -> Iterator[list[Place]]:
    """Make places while the body runs.

    :param apart: whether they may have networks of their own: what they need must then come by files or lines
    """
    with ExitStack() as stack:
        try:
            if not apart or os.geteuid() != 0 or not shutil.which("ip"):
                raise NotADirectoryError
            found = [stack.enter_context(_namespace(number)) for number in range(count)]
        except (OSError, subprocess.CalledProcessError):
            found = [Place(f"127.0.0.{number + 2}") for number in range(count)]
        yield found


@contextmanager
def _namespace(number: int) -> Iterator[Place]:
    """Make a network with one cable to this machine's; 10.200.0.0/14 is cut into nets of four addresses, by process."""
    pid = os.getpid() % 2**14
    name, cable = f"guichet-{pid}-{number}", f"gt{pid}n{number}"
    first = (10 << 24) + (200 << 16) + pid * 16 + number * 4
    ours, theirs = (socket.inet_ntoa((first + n).to_bytes(4)) for n in (1, 2))
    _ip("netns", "add", name, check=True)
    try:
        _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name, check=True)
        _ip("address", "add", f"{ours}/30", "dev", cable, check=True)
        _ip("link", "set", cable, "up", check=True)
        _ip("-n", name, "address", "add", f"{theirs}/30", "dev", "eth0", check=True)
        for link in ("lo", "eth0"):
            _ip("-n", name, "link", "set", link, "up", check=True)
        yield Place(theirs, ("ip", "netns", "exec", name), name)
    finally:
        _ip("netns", "delete", name)


def _ip(*words: str, check: bool = False) -> bool:
    done = subprocess.run(["ip", *words], capture_output=True, timeout=60, check=check)  # noqa: S607 - where the system has it
    return done.returncode == 0


class _Line(socketserver.ThreadingTCPServer):
    """Listens in one network for what listens in another, at the same address of its loopback."""

    def __init__(self, port: int) -> None:
        self.address = ("127.0.0.1", port)
        super().__init__(self.address, _Carrier)


class _Carrier(socketserver.BaseRequestHandler):
    """Carries one connection on, byte by byte, until both ends have said their last."""

    server: _Line

    def handle(self) -> None:
        """Carry; the library calls this in a thread of the connection's own."""
        with socket.create_connection(self.server.address) as far:
            back = threading.Thread(target=_carry, args=(far, self.request))
            back.start()
            _carry(self.request, far)
            back.join()


def _carry(here: socket.socket, there: socket.socket) -> None:
    with suppress(OSError):
        while piece := here.recv(65536):
            there.sendall(piece)
    with suppress(OSError):
        there.shutdown(socket.SHUT_WR)


def _inside(namespace: str, port: int) -> _Line:
    """Listen in another network: a socket stays where its thread was when it was made."""
    made: list[_Line] = []

    def enter() -> None:
        with open(f"/run/netns/{namespace}") as door:
            if ctypes.CDLL(None).setns(door.fileno(), _CLONE_NEWNET) == 0:
                made.append(_Line(port))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert made, "the network could not be entered"
    return made[0]
