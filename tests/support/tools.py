"""Where strace, nginx and PgBouncer come from, PHP and Node, and the JavaScript verifier that the snippets need.

``python -m tests.support.tools`` finds them or installs them: Debian's packages when root, and one npm package under
the hashes of its lock. The tests ask :func:`php_path`, :func:`node_path` and :func:`npm_folder` and skip, with the
reason, when something is missing.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.installing import Finder, NoTool, install_debian, provide, succeeds
from tests.support.nginx import nginx_path, unpack_nginx
from tests.support.pgbouncer import pgbouncer_path, unpack_pgbouncer
from tests.support.strace import strace_path

# The oldest that run the snippets: str_contains and throw expressions, request.toArray and a global fetch.
PHP_OLDEST = (8, 0)
NODE_OLDEST = (18, 0)
PROBE_SECONDS = 30

# What the installed package is made from, and where: beside the Python packages of the same environment.
LOCKED = Path(__file__).parents[1] / "docs/npm"
INSTALLED = Path(sys.prefix) / "npm"


def php_path() -> str:
    """Find a PHP for the command line that has libsodium. Raises :class:`NoTool`."""
    probe = "if (extension_loaded('sodium')) echo PHP_VERSION;"
    return _recent("php", ["-r", probe], PHP_OLDEST)


def node_path() -> str:
    """Find Node. Raises :class:`NoTool`."""
    return _recent("node", ["-p", "process.versions.node"], NODE_OLDEST)


def npm_folder() -> Path:
    """Find the ``node_modules`` that holds the published verifier. Raises :class:`NoTool`."""
    folder = INSTALLED / "node_modules"
    if not _is_installed():
        raise NoTool(f"no standardwebhooks in {folder}; python3 start.py test installs it with npm")
    return folder


def _recent(name: str, question: list[str], oldest: tuple[int, int]) -> str:
    found = shutil.which(name)
    wanted = ".".join(map(str, oldest))
    if not found:
        raise NoTool(f"no {name} on the path; install {wanted} or newer")
    try:
        told = subprocess.run([found, *question], capture_output=True, text=True, timeout=PROBE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoTool(f"{found} does not start: {error}") from error
    numbers = told.stdout.strip().split(".")
    if told.returncode or len(numbers) < 2 or tuple(map(int, numbers[:2])) < oldest:
        raise NoTool(f"{found} is too old or lacks a part (it said {told.stdout.strip()!r}); {wanted} is needed")
    return found


def _is_installed() -> bool:
    lock = INSTALLED / "package-lock.json"
    is_same = lock.exists() and lock.read_bytes() == (LOCKED / "package-lock.json").read_bytes()
    return is_same and (INSTALLED / "node_modules/standardwebhooks").is_dir()


def install_verifier() -> None:
    """Install the npm package as its lock says, running nothing of what it brings."""
    npm = shutil.which("npm")
    if not npm:
        return
    print("installing standardwebhooks with npm", flush=True)
    shutil.rmtree(INSTALLED, ignore_errors=True)
    INSTALLED.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(LOCKED / name, INSTALLED / name)
    words = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(INSTALLED)]
    succeeds([npm, *words])


def _npm_path() -> str:
    found = shutil.which("npm")
    # Nothing asks for npm once the package is there.
    if not found and not _is_installed():
        raise NoTool("no npm on the path")
    return found or "not needed"


FINDERS: tuple[Finder, ...] = (
    ("php", php_path, lambda: install_debian(["php-cli"])),
    ("node", node_path, lambda: install_debian(["nodejs"])),
    ("npm", _npm_path, lambda: install_debian(["npm"])),
    ("standardwebhooks", npm_folder, install_verifier),
    ("strace", strace_path, lambda: install_debian(["strace"])),
    ("nginx", nginx_path, unpack_nginx),
    ("pgbouncer", pgbouncer_path, unpack_pgbouncer),
)


if __name__ == "__main__":
    sys.exit(provide(FINDERS))
