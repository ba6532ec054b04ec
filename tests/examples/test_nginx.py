"""The example configuration of nginx, run by nginx itself before two stand-ins for hosts that show what reached them."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from gateway.dialects.soap import BODY_BYTES_MAX
from gateway.parts import Parts
from tests.support.answering import Quiet, answering
from tests.support.installing import NoTool
from tests.support.nginx import Proxy, check, nginx_path, proxying

SECRET = "bearer-secret-of-a-payer"


@pytest.fixture(autouse=True)
def _nginx() -> None:
    try:
        nginx_path()
    except NoTool as error:
        pytest.skip(str(error))


@dataclass
class Host:
    """A stand-in for one Guichet: notes what came.

    :ivar breaks: whether it closes the connection in place of an answer
    """

    breaks: bool = False
    came: list[tuple[str, str, Mapping[str, str], int]] = field(default_factory=list)
    address: str = ""


@contextmanager
def hosting(host: Host) -> Iterator[Host]:
    class Answer(Quiet):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            host.came.append((self.command, self.path, dict(self.headers.items()), len(body)))
            if host.breaks:
                self.close_connection = True
                return
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with answering(Answer) as place:
        host.address = place
        yield host


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    with hosting(Host()) as one, hosting(Host()) as other:
        yield one, other


@pytest.fixture
def proxy(tmp_path: Path, hosts: tuple[Host, Host]) -> Iterator[Proxy]:
    with proxying(tmp_path / "nginx", (hosts[0].address, hosts[1].address)) as proxy:
        yield proxy


@pytest.fixture
def nobody() -> Iterator[str]:
    """Give an address that refuses connections, and stays ours."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


def ask(
    proxy: Proxy, verb: str, path: str = f"/p/{SECRET}", body: bytes = b"", headers: Mapping[str, str] | None = None
) -> int:
    with requests.Session() as session:
        session.trust_env = False
        reply = session.request(
            verb, proxy.base_url + path, data=body, headers=headers, verify=str(proxy.certificate), timeout=60
        )
    return reply.status_code


def count(hosts: tuple[Host, Host]) -> int:
    return sum(len(host.came) for host in hosts)


def test_nginx_itself_finds_no_fault_in_it(proxy: Proxy) -> None:
    main = proxy.folder / "nginx.conf"
    check(main)

    example = proxy.folder / "guichet.conf"
    example.write_text(example.read_text().replace("keepalive 16;", "keepalive 16"))
    with pytest.raises(AssertionError, match="invalid"):
        check(main)


def test_what_a_caller_claims_of_its_origin_is_not_passed_on(proxy: Proxy, hosts: tuple[Host, Host]) -> None:
    claims = {"X-Forwarded-For": "192.0.2.9", "X-Forwarded-Proto": "gopher", "X-Forwarded-Host": "evil.example"}

    assert ask(proxy, "GET", headers={**claims, "Forwarded": "for=192.0.2.9"}) == 200

    ((_, _, headers, _),) = [*hosts[0].came, *hosts[1].came]
    passed = {name: value for name, value in headers.items() if "orwarded" in name}
    assert passed == {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "127.0.0.1"}


def test_a_page_goes_to_the_other_host_when_one_breaks_off_and_a_card_never_does(
    proxy: Proxy, hosts: tuple[Host, Host]
) -> None:
    hosts[0].breaks = hosts[1].breaks = True

    looked = [ask(proxy, "GET") for _ in range(2)]
    asked = count(hosts)
    paid = [ask(proxy, "POST", body=b"number=4000000000003220") for _ in range(2)]

    assert (looked, asked) == ([502, 502], 4)
    assert (paid, count(hosts) - asked) == ([502, 502], 2)
    # Each time nginx had something to say of it, and an address to name.
    assert SECRET not in proxy.logged


def test_a_card_goes_to_the_other_host_every_time_when_one_takes_no_connection(
    tmp_path: Path, hosts: tuple[Host, Host], nobody: str
) -> None:
    for number, pair in enumerate(((nobody, hosts[1].address), (hosts[0].address, nobody))):
        with proxying(tmp_path / str(number), pair) as half:
            assert [ask(half, "POST", body=b"number=4000000000003220") for _ in range(8)] == [200] * 8

    assert (len(hosts[0].came), len(hosts[1].came)) == (8, 8)


def test_bodies_are_as_long_as_the_longest_any_dialect_reads(proxy: Proxy, hosts: tuple[Host, Host]) -> None:
    longest = b"x" * BODY_BYTES_MAX

    taken, refused = ask(proxy, "POST", body=longest), ask(proxy, "POST", body=longest + b"x")

    assert (taken, refused, count(hosts)) == (200, 413, 1)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_dialect_reads_more(parts: Parts) -> None:
    assert max(dialect.body_max for dialect in parts.dialects.values()) == BODY_BYTES_MAX


def test_figures_and_readiness_are_not_for_the_world(proxy: Proxy, hosts: tuple[Host, Host]) -> None:
    answers = [ask(proxy, "GET", path) for path in ("/metrics", "/readyz", "/healthz")]

    assert (answers, count(hosts)) == ([403, 403, 200], 1)
