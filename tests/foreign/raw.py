"""Requests no library would make: every header is the caller's own, and a missing one is missing."""

from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from urllib.parse import urlsplit

_TIMEOUT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, reason phrase included. Header names are lower-case."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: str


def post(url: str, body: str, headers: Mapping[str, str] | None = None) -> Reply:
    """Post bytes with these headers, ``Host`` and ``Content-Length`` alone."""
    octets, parts = body.encode(), urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=_TIMEOUT_SECONDS)
    try:
        connection.putrequest("POST", f"{parts.path}?{parts.query}".removesuffix("?"), skip_accept_encoding=True)
        for name, value in {"Content-Length": str(len(octets)), **(headers or {})}.items():
            connection.putheader(name, value)
        connection.endheaders(octets)
        got = connection.getresponse()
        told = {name.lower(): value for name, value in got.getheaders()}
        return Reply(got.status, got.reason, told, got.read().decode())
    finally:
        connection.close()
