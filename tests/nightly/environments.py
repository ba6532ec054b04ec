"""Environments that one stage of the night needs and no other test: the tests' own lock, and the pins of one more tool."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PINS = Path(__file__).parent / "pins"


def environment(folder: Path, tool: str) -> Path:
    """Make an environment in ``folder`` that has ``tool`` besides; gives where its commands are."""
    uv = str(Path(sys.prefix, "bin/uv"))
    subprocess.run([uv, "venv", "-q", "--no-python-downloads", "--python", sys.executable, folder], check=True)
    for pins in (ROOT / "requirements-test.lock", PINS / f"{tool}.txt"):
        subprocess.run(
            [uv, "pip", "install", "-q", "--python", folder / "bin/python", "--require-hashes", "-r", pins], check=True
        )
    return folder / "bin"
