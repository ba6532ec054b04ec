"""How the finders of ``tests.support`` install what they did not find; judging the result is left to them."""

import os
import shutil
import subprocess

INSTALL_SECONDS = 600  # a slow mirror needs minutes for the 100 MB of a browser; more means it is stuck


def install_debian(packages: list[str]) -> bool:
    """Install Debian packages, when there is apt and this account may; says whether it went well."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return False
    print(f"installing Debian's {' and '.join(packages)}", flush=True)
    debian = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-q", "-y", "--no-install-recommends", *packages]
    return succeeds(["apt-get", "update", "-q"], debian) and succeeds(install, debian)


def succeeds(command: list[str], environment: dict[str, str] | None = None) -> bool:
    """Run an installer quietly; show the end of what it said when it fails."""
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        print(error)
        return False
    if done.returncode:
        print("\n".join((done.stdout + done.stderr).splitlines()[-5:]))
    return done.returncode == 0
