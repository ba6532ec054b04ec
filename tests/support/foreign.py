"""Where the published clients of older protocols come from, that tests/foreign runs against a live server.

``python -m tests.support.foreign`` finds them or installs them: Python ones into environments of their own, since their
pins are not ours to keep and one is under the AGPL; an npm package; Debian's SOAP extension for PHP when root. All but
the last are pinned with their hashes in tests/foreign/pins. The tests ask :func:`python_path`, :func:`npm_folder` and
:func:`php_path` and skip, with the reason, when something is missing.
"""

import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

from tests.support import installing, tools
from tests.support.installing import Finder, NoTool, install_debian, is_locked, provide, succeeds

PINS = Path(__file__).parents[1] / "foreign/pins"
INSTALLED = Path(sys.prefix) / "foreign"  # gone with the environment it was made beside

# The environments, each with one client that only it has.
ENVIRONMENTS = {"eopayment": "eopayment", "soap": "zeep"}


def python_path(environment: str) -> Path:
    """Find the interpreter of ``eopayment`` or ``soap`` (zeep, suds, pysimplesoap). Raises :class:`NoTool`."""
    folder = INSTALLED / environment
    found = next(folder.glob(f"lib/python3.*/site-packages/{ENVIRONMENTS[environment]}"), None)
    if found is None or not is_locked(folder / "pins.txt", PINS / f"{environment}.txt"):
        raise NoTool(f"no {environment} clients in {folder}; python3 start.py test installs them")
    return folder / "bin/python"


def npm_folder() -> Path:
    """Find the ``node_modules`` that holds the SOAP client. Raises :class:`NoTool`."""
    folder = INSTALLED / "npm"
    is_same = is_locked(folder / "package-lock.json", PINS / "npm/package-lock.json")
    if not is_same or not (folder / "node_modules/soap").is_dir():
        raise NoTool(f"no soap in {folder}; python3 start.py test installs it with npm")
    return folder / "node_modules"


def php_path() -> str:
    """Find a PHP that has ``SoapClient``. Raises :class:`NoTool`."""
    php = tools.php_path()
    probe = [php, "-r", "echo extension_loaded('soap') ? 'yes' : 'no';"]
    told = subprocess.run(probe, capture_output=True, text=True, timeout=tools.PROBE_SECONDS, check=False)
    if told.stdout != "yes":
        raise NoTool(f"{php} has no SOAP extension; on Debian: apt-get install php-soap")
    return php


def install_python(environment: str) -> None:
    """Make one of the environments."""
    print(f"installing the {environment} clients with uv", flush=True)
    installing.install_python(INSTALLED / environment, PINS / f"{environment}.txt")


def install_npm() -> None:
    """Install the npm package as its lock says, running nothing of what it brings."""
    npm, folder = shutil.which("npm"), INSTALLED / "npm"
    if not npm:
        return
    print("installing soap with npm", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(PINS / "npm", folder)
    succeeds([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder)])


FINDERS: tuple[Finder, ...] = (
    ("eopayment", partial(python_path, "eopayment"), partial(install_python, "eopayment")),
    ("zeep, suds, pysimplesoap", partial(python_path, "soap"), partial(install_python, "soap")),
    ("soap of npm", npm_folder, install_npm),
    ("SOAP of PHP", php_path, lambda: install_debian(["php-cli", "php-soap"])),
)


if __name__ == "__main__":
    sys.exit(provide(FINDERS))
