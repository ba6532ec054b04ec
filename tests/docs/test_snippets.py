"""The documentation, held against the product: every snippet of the README runs against a live Guichet.

The example programs are started as their reader would start them, with the demonstration keys.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from gateway import keys
from gateway.cli.payer import Payer
from gateway.clock import utc_now
from gateway.core.signing import sign_webhook
from gateway.dialects.native.faults import FAULTS
from gateway.dialects.native.problems import ERRORS
from gateway.keys import Keys
from gateway.settings import AcquirerSettings, LimitSettings, Settings, SmsSettings, SmtpSettings, WebSettings
from gateway.settings.merchant import Merchant
from tests.support import tools
from tests.support.answering import Quiet, answering
from tests.support.installing import NoTool
from tests.support.server import Server, free_ports, make_home, running, wait_until

ROOT = Path(__file__).parents[2]
SNIPPETS = ROOT / "examples/snippets"
LANGUAGES = {"py": "python", "php": "php", "mjs": "javascript"}
CARD = {"number": "4242424242424242", "expiry": "12/30", "security_code": "123", "email": "parent@example.org"}

# The README's sign snippets ask for this much.
CENTS = 4250


@dataclass(frozen=True)
class Delivery:
    """One confirmation as it arrived, and what the snippet answered."""

    body: bytes
    headers: Mapping[str, str]
    status: int


@dataclass
class Relay:
    """A portal's address: keeps every delivery and passes it on to the receiver under test."""

    url: str
    receiver: str = ""
    deliveries: list[Delivery] = field(default_factory=list)

    def pass_on(self, body: bytes, headers: Mapping[str, str]) -> int:
        """Hand a confirmation to the receiver and keep what came of it."""
        status = post(self.receiver, body, headers)
        self.deliveries.append(Delivery(body, headers, status))
        return status


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, key_folder: Path) -> Iterator[Server]:
    home = make_home(tmp_path_factory.mktemp("docs") / "home", key_folder)
    with running(home, f"sqlite:///{home}/var/guichet.sqlite") as server:
        yield server


@pytest.fixture
def relay() -> Iterator[Relay]:
    class Listener(Quiet):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(kept.pass_on(body, {k.lower(): v for k, v in self.headers.items()}))
            self.send_header("Content-Length", "0")
            self.end_headers()

    with answering(Listener) as place:
        kept = Relay(f"http://{place}")
        yield kept


def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    kept = {name: value for name, value in headers.items() if name.startswith(("webhook-", "content-type"))}
    with requests.Session() as session:
        session.trust_env = False
        return session.post(url, data=body, headers=kept, timeout=60).status_code


def program(extension: str) -> str:
    """Name the interpreter of a snippet; the test is skipped, with the reason, where there is none."""
    finders: dict[str, Callable[[], str]] = {
        "py": lambda: sys.executable,
        "php": tools.php_path,
        "mjs": tools.node_path,
    }
    try:
        return finders[extension]()
    except NoTool as error:
        pytest.skip(str(error))


def environment(live: Server, portal: str) -> dict[str, str]:
    """Set what the README says to set."""
    told = keys.credentials(live.home / "keys", "mairie-demo")
    return os.environ | {
        "GUICHET": live.base_url,
        "PORTAL": portal,
        "MERCHANT_KEY": told["private_key_path"],
        "MERCHANT_KID": told["kid"],
        "MERCHANT_WHSEC": told["whsec"],
        "MERCHANT_WHPK": told["whpk"],
        "NO_PROXY": "127.0.0.1",
    }


def sign(live: Server, extension: str, portal: str, reference: str) -> subprocess.CompletedProcess[str]:
    words = [program(extension), str(SNIPPETS / f"sign_request.{extension}"), reference]
    return subprocess.run(
        words, env=environment(live, portal), capture_output=True, text=True, timeout=100, check=False
    )  # fmt: skip


@contextmanager
def receiving(live: Server, extension: str, log: Path) -> Iterator[str]:
    """Run a verify snippet as its reader would; gives its address."""
    (port,) = free_ports(1)
    path = str(SNIPPETS / f"verify_confirmation.{extension}")
    words = {
        "py": [program("py"), "-m", "flask", "--app", path, "run", "--port", str(port)],
        "php": ["php", "-S", f"127.0.0.1:{port}", path],
        "mjs": ["node", path],
    }[extension]
    words[0] = program(extension)
    with log.open("wb") as out:
        told = environment(live, "") | {"PORT": str(port)}
        receiver = subprocess.Popen(words, env=told, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        url = f"http://127.0.0.1:{port}/confirmations"
        try:
            wait_until(lambda: _answers(url), 90)
            yield url
        finally:
            receiver.terminate()
            receiver.wait(60)


def _answers(url: str) -> bool:
    try:
        return post(url, b"{}", {}) == 401
    except requests.ConnectionError:
        return False


@pytest.mark.parametrize("extension", LANGUAGES)
@pytest.mark.parametrize("name", ["sign_request", "verify_confirmation"])
def test_the_readme_shows_the_snippets_as_they_are(name: str, extension: str) -> None:
    text = (SNIPPETS / f"{name}.{extension}").read_text()

    assert f"```{LANGUAGES[extension]}\n{text}```\n" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("extension", LANGUAGES)
def test_a_signed_request_is_accepted(live: Server, extension: str) -> None:
    done = sign(live, extension, "http://127.0.0.1:9", f"SIGNED-{extension}")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{live.base_url}/p/")


@pytest.mark.parametrize("extension", LANGUAGES)
def test_a_refused_request_tells_why(live: Server, extension: str) -> None:
    done = sign(live, extension, "http://127.0.0.1:9", "-begins with a dash")

    assert (done.returncode, done.stdout) == (1, "")
    assert '"pointer":"/reference","code":"format"' in done.stderr


@pytest.mark.parametrize("extension", LANGUAGES)
def test_a_genuine_confirmation_is_taken_and_any_other_refused(
    live: Server, relay: Relay, extension: str, tmp_path: Path
) -> None:
    log, reference = tmp_path / "receiver.log", f"VERIFIED-{extension}"
    with receiving(live, extension, log) as relay.receiver:
        told = pay(live, relay, reference)
        answers = {name: post(relay.receiver, body, headers) for name, body, headers in forgeries(live, told)}

    assert told.status == 204
    assert f"{told.headers['webhook-id']} payment.succeeded {reference} {CENTS}" in log.read_text()
    refused = dict.fromkeys(("tampered", "unsigned", "other id", "old", "early"), 401)
    assert answers == refused | {"as it was": 204, "now": 204}


def test_the_published_javascript_library_verifies_a_confirmation(live: Server, relay: Relay, tmp_path: Path) -> None:
    try:
        folder = tools.npm_folder()
    except NoTool as error:
        pytest.skip(str(error))
    with receiving(live, "py", tmp_path / "receiver.log") as relay.receiver:
        told = pay(live, relay, "NPM-1")

    assert _javascript(folder, live, told.body, told.headers) == "payment.succeeded"
    assert _javascript(folder, live, told.body + b" ", told.headers) == "No matching signature found"


def test_every_setting_is_documented() -> None:
    text = (ROOT / "docs/operations.md").read_text()
    tables: dict[str, type[Settings | AcquirerSettings | SmtpSettings | SmsSettings | WebSettings | LimitSettings | Merchant]] = {
        "": Settings, "acquirer.": AcquirerSettings, "smtp.": SmtpSettings, "sms.": SmsSettings, "web.": WebSettings,
        "limits.": LimitSettings, "merchants.<id>.": Merchant,
    }  # fmt: skip
    # Given by --home and by the file's own structure; nobody writes them as settings.
    implied = {"home", "acquirer", "smtp", "sms", "web", "limits", "merchants", "merchants.<id>.id"}
    names = {prefix + name for prefix, model in tables.items() for name in model.model_fields} - implied

    assert {name for name in names if f"`{name}`" not in text} == set()


def test_every_error_and_fault_is_documented() -> None:
    text = (ROOT / "docs/native.md").read_text()

    assert {code for code in (*ERRORS, *FAULTS) if f"`{code}`" not in text} == set()


def test_every_link_of_the_documentation_leads_somewhere() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    links = [
        (page, link) for page in pages for link in re.findall(r"(?:\]\(|src=\"|srcset=\")([^)\"#]+)", page.read_text())
    ]

    dead = [link for page, link in links if "://" not in link and not (page.parent / link).exists()]

    assert dead == []


def pay(live: Server, relay: Relay, reference: str) -> Delivery:
    """Pay one request of the Python snippet and give the confirmation that came."""
    payer = Payer(live.base_url)
    page = payer.open(sign(live, "py", relay.url, reference).stdout.strip())
    page = payer.press(payer.press(page, "pay", **CARD), "confirm")
    assert page.name == "paid"
    wait_until(lambda: relay.deliveries)
    return relay.deliveries[0]


def forgeries(live: Server, told: Delivery) -> Iterator[tuple[str, bytes, Mapping[str, str]]]:
    headers = dict(told.headers)
    yield "as it was", told.body, headers
    yield "tampered", told.body.replace(b"4250", b"4251", 1), headers
    yield "unsigned", told.body, headers | {"webhook-signature": ""}
    yield "other id", told.body, headers | {"webhook-id": "evt_0"}
    for name, seconds in (("now", 0), ("old", -360), ("early", 360)):
        yield name, told.body, headers | _stamped(live, told, int(time.time()) + seconds)


def _stamped(live: Server, told: Delivery, timestamp: int) -> dict[str, str]:
    """Sign the same notice again, for good, at another time."""
    held = Keys.load(live.home / "keys", utc_now()).confirmation_keys("mairie-demo")
    signature = sign_webhook(held, message_id=told.headers["webhook-id"], timestamp=timestamp, body=told.body)
    return {"webhook-timestamp": str(timestamp), "webhook-signature": signature}


def _javascript(folder: Path, live: Server, body: bytes, headers: Mapping[str, str]) -> str:
    script = """
        const { Webhook } = require("standardwebhooks");
        const [headers, body] = JSON.parse(require("node:fs").readFileSync(0));
        try { console.log(new Webhook(process.env.MERCHANT_WHSEC).verify(body, headers).type); }
        catch (error) { console.log(error.message); }
    """
    told = environment(live, "") | {"NODE_PATH": str(folder)}
    given = json.dumps([dict(headers), body.decode()])
    done = subprocess.run(
        [program("mjs"), "-e", script], env=told, input=given, capture_output=True, text=True, timeout=100, check=True
    )
    return done.stdout.strip()
