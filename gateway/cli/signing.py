"""Commands for portals' developers: ``sign`` a request from a file, ``listen`` for confirmations."""

import json
import secrets
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TextIO

import click
import requests

from gateway import keys as keys_
from gateway.cli.serving import home_argument, read, refuse_busy
from gateway.clock import utc_now

_LIFETIME_SECONDS = 600
_BODY_MAX = 1024 * 1024


@click.command()
@click.argument("file", type=click.File(encoding="utf-8"), default="-")
@click.option(
    "--merchant", default="mairie-demo", show_default=True, help="Whose key signs; sets iss unless the file does."
)
@click.option(
    "--key", "key_path", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Private key (PEM)."
)
@click.option("--kid", help="Its key id (default: its RFC 7638 thumbprint).")
@click.option("--typ", default="payment-request+jwt", show_default=True)
@home_argument
def sign(  # noqa: PLR0913 - one parameter per flag
    home: Path, file: TextIO, merchant: str, key_path: Path | None, kid: str | None, typ: str
) -> None:
    """Make a signed request from the claims in a JSON FILE; iss, aud, iat, exp and jti are added when missing."""
    settings = read(home)
    held = keys_.credentials(home / "keys", ((m := settings.merchants.get(merchant)) and m.portal) or merchant)
    path = key_path or Path(held.get("private_key_path", ""))
    if not path.is_file():
        raise click.ClickException(f"no private key of {merchant!r} is kept here; give one with --key and --kid")
    now = int(utc_now().timestamp())
    claims = {"iss": merchant, "aud": settings.base_url, "iat": now, "exp": now + _LIFETIME_SECONDS}
    claims |= {"jti": secrets.token_hex(16), **json.load(file)}
    click.echo(keys_.sign_request(path.read_bytes(), claims, typ=typ, kid=kid))


@click.command()
@click.option("--port", default=8010, show_default=True, type=click.IntRange(1, 65535))
@click.option("--forward-to", help="Pass each notice on to this address, headers and body unchanged.")
def listen(port: int, forward_to: str | None) -> None:
    """Print the notices that arrive at http://127.0.0.1:PORT/, and optionally forward them."""
    refuse_busy("127.0.0.1", port, "--port")
    click.echo(f"listening; use http://127.0.0.1:{port}/ as notify_url (Ctrl-C stops)")
    HTTPServer(("127.0.0.1", port), _listener(forward_to)).serve_forever()


def _listener(forward_to: str | None) -> Callable[..., BaseHTTPRequestHandler]:
    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), _BODY_MAX))
            click.echo(f"{self.path} {self.headers.get('webhook-id', '-')}\n{body.decode('utf-8', 'replace')}\n")
            self.send_response(_forward(forward_to, body, dict(self.headers)) if forward_to else 204)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing more than the notice itself."""

    return Listener


def _forward(url: str, body: bytes, headers: dict[str, str]) -> int:
    kept = {name: value for name, value in headers.items() if name.lower() not in ("host", "content-length")}
    try:
        return requests.post(url, data=body, headers=kept, timeout=10, allow_redirects=False).status_code
    except requests.RequestException as error:
        click.echo(f"forwarding failed: {error}", err=True)
        return 502
