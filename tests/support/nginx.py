"""A real nginx for the tests, run by the example configuration as an operator would install it.

Debian's package is unpacked beside the Python packages, not installed: installed it would start and take port 80. The
tests ask :func:`nginx_path` and skip, with the reason, when there is none.
"""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from pathlib import Path

from cryptography.x509 import IPAddress

from tests.support.certificates import self_signed
from tests.support.installing import NoTool, unpack_debian
from tests.support.server import free_ports, wait_until

EXAMPLE = Path(__file__).parents[2] / "examples/nginx/guichet.conf"
_UNPACKED = Path(sys.prefix) / "nginx"

# What Debian's nginx.conf says around the files of conf.d, as far as it matters, with every path in one folder.
_AROUND = """
{user}
pid {folder}/pid;
error_log {folder}/error.log;
worker_processes 2;
events {{}}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/guichet.conf;
}}
"""


def nginx_path() -> str:
    """Find nginx. Raises :class:`NoTool`."""
    places = (os.environ.get("PATH", ""), "/usr/sbin", str(_UNPACKED / "usr/sbin"))
    found = shutil.which("nginx", path=os.pathsep.join(places))
    if not found:
        raise NoTool("no nginx on the path; on Debian: apt-get install nginx")
    return found


def unpack_nginx() -> None:
    """Fetch Debian's package, and unpack it without running anything of it."""
    unpack_debian(["nginx"], _UNPACKED)


@dataclass(frozen=True, slots=True)
class Proxy:
    """A running nginx.

    :ivar base_url: https, for which ``certificate`` vouches
    """

    base_url: str
    certificate: Path
    folder: Path

    @property
    def logged(self) -> str:
        """What it wrote into its own log, and into that of the example."""
        return "".join(path.read_text() for path in self.folder.glob("*.log"))


@contextmanager
def proxying(folder: Path, hosts: tuple[str, str], address: str = "127.0.0.1") -> Iterator[Proxy]:
    """Run the example before two hosts, ``address:port`` each, while the body runs."""
    folder.mkdir()
    http, https = free_ports(2)
    certificate = self_signed(folder / "guichet.pem", IPAddress(ip_address(address)))
    written = {
        "listen 80;": f"listen {address}:{http};",
        "listen 443 ssl;": f"listen {address}:{https} ssl;",
        "/etc/ssl/pay.example.org.pem": str(certificate),
        "/etc/ssl/pay.example.org.key": str(certificate),
        "/var/log/nginx/guichet.log": f"{folder}/guichet.log",
        "10.0.0.2:8000": hosts[0],
        "10.0.0.3:8000": hosts[1],
        "pay.example.org": address,
    }
    main = _write(folder, written)
    check(main)
    with (folder / "printed.log").open("wb") as log:
        nginx = subprocess.Popen([nginx_path(), "-c", main, "-g", "daemon off;"], stdout=log, stderr=log)
    try:
        wait_until(partial(_answers, address, https))
        yield Proxy(f"https://{address}:{https}", certificate, folder)
    finally:
        nginx.terminate()
        nginx.wait(60)


def check(main: Path) -> None:
    """Have nginx judge a configuration: it must not even be warned of."""
    judged = subprocess.run([nginx_path(), "-t", "-c", main], capture_output=True, text=True, timeout=60, check=False)
    assert judged.returncode == 0, judged.stderr
    assert "[warn]" not in judged.stderr, judged.stderr


def _answers(address: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0


def _write(folder: Path, written: Mapping[str, str]) -> Path:
    text = EXAMPLE.read_text()
    for example, ours in written.items():
        assert example in text, f"{EXAMPLE} no longer says {example}"
        text = text.replace(example, ours)
    (folder / "guichet.conf").write_text(text)
    main = folder / "nginx.conf"
    # Started by root, its processes would else be an account's that may not look into the tests' folders.
    main.write_text(_AROUND.format(folder=folder, user="user root;" if os.geteuid() == 0 else ""))
    return main
