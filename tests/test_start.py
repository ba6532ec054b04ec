"""The set-up script, without its downloads: when it installs, what it refuses, which Python it takes."""

import configparser
import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import start

ROOT = Path(start.__file__).parent
LOCK = "flask==3.1.3 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n    # via guichet\nuv==0.13.8 \\\n    --hash=sha256:cc\n"


@pytest.fixture
def venv(tmp_path: Path) -> start.Environment:
    """An environment that looks installed from both locks."""
    for name in (start.RUN, start.TEST, *start.BUILD):
        (tmp_path / name).write_text(name)
    venv = start.Environment(tmp_path)
    venv.bin.mkdir(parents=True)
    (venv.bin / "python").symlink_to(sys.executable)
    (venv.path / ".origin").write_text(f"{sys.version_info[0]}.{sys.version_info[1]} {venv.path}")
    for lock in (start.RUN, start.TEST):
        (venv.path / f".{lock}.stamp").write_text(venv.digest(lock))
    return venv


@pytest.fixture
def installed(venv: start.Environment, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that an installation ran, in order, instead of running them."""
    commands: list[str] = []
    (venv.bin / "uv").touch()
    monkeypatch.setattr(start, "run", lambda *words: commands.append(" ".join(map(str, words[1:]))))
    monkeypatch.setenv("PATH", str(venv.home))
    return commands


def test_an_environment_that_is_ready_is_left_alone(venv: start.Environment, installed: list[str]) -> None:
    venv.install(start.TEST)

    assert installed == []


@pytest.mark.parametrize("changed", ["requirements.lock", "setup.cfg", "pyproject.toml"])
def test_a_changed_file_means_installing_again(venv: start.Environment, changed: str) -> None:
    (venv.home / changed).write_text("changed")

    assert not venv.is_ready(start.RUN)


def test_the_lock_is_installed_by_hash_and_the_project_without_dependencies(
    venv: start.Environment, installed: list[str]
) -> None:
    (venv.home / start.RUN).write_text("changed")

    venv.install(start.RUN)

    python = venv.bin / "python"
    assert installed == [
        f"pip install -q --python {python} --require-hashes -r requirements.lock",
        f"pip install -q --python {python} --no-deps -e .",
    ]


def test_installing_the_run_lock_forgets_the_test_lock(venv: start.Environment, installed: list[str]) -> None:
    (venv.home / start.RUN).write_text("changed")

    venv.install(start.RUN)

    assert installed
    assert venv.is_ready(start.RUN)
    assert not venv.is_ready(start.TEST)


def test_installing_the_test_lock_serves_the_run_lock_too(venv: start.Environment, installed: list[str]) -> None:
    (venv.home / start.TEST).write_text("changed")

    venv.install(start.TEST)

    assert installed
    assert venv.is_ready(start.RUN)
    assert venv.is_ready(start.TEST)


def test_a_failed_installation_is_not_taken_for_a_finished_one(
    venv: start.Environment, installed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "run", lambda *words: sys.exit(f"{len(words)} words, {installed}"))
    (venv.home / start.TEST).write_text("changed")

    with pytest.raises(SystemExit):
        venv.install(start.TEST)

    assert not venv.is_ready(start.TEST)
    assert not venv.is_ready(start.RUN)


def test_an_environment_whose_interpreter_vanished_is_not_sound(venv: start.Environment) -> None:
    (venv.bin / "python").unlink()
    (venv.bin / "python").symlink_to("/nowhere/python3")

    assert not venv.is_sound()


def test_an_environment_of_another_python_is_not_sound(venv: start.Environment) -> None:
    (venv.path / ".origin").write_text(f"3.9 {venv.path}")

    assert not venv.is_sound()


def test_an_environment_moved_elsewhere_is_not_sound(venv: start.Environment) -> None:
    moved = venv.home.rename(venv.home.with_name("moved"))

    assert not start.Environment(moved).is_sound()


def test_one_distribution_is_cut_out_of_a_lock_with_its_hashes() -> None:
    assert start.locked(LOCK, "flask") == "flask==3.1.3 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
    assert start.locked(LOCK, "uv") == "uv==0.13.8 \\\n    --hash=sha256:cc\n"


def test_the_newest_python_that_runs_is_taken(tmp_path: Path) -> None:
    for name, exit_code in (("python3.10", 0), ("python3.11", 0), ("python3.13", 0), ("python3.14", 127)):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\nexit {exit_code}\n")
        program.chmod(0o755)

    assert start.find_python(str(tmp_path)) == str(tmp_path / "python3.13")


def test_no_recent_python_is_said_plainly(tmp_path: Path) -> None:
    aged = "import runpy, sys; sys.version_info = (3, 9, 2); sys.version = '3.9.2 (default)'; sys.argv[0] = 'start.py'"
    script = f"{aged}; runpy.run_path({str(ROOT / 'start.py')!r}, run_name='__main__')"

    told = subprocess.run(
        [sys.executable, "-c", script], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )

    assert told.returncode == 1
    assert told.stderr == "Guichet needs Python 3.11 or newer, and this is 3.9.2: install python3.11.\n"


@pytest.mark.parametrize("words", [["--one"], ["--port"], ["--port", "http"], ["tests"]])
def test_a_wrong_flag_is_refused_before_anything_is_installed(words: list[str]) -> None:
    with pytest.raises(SystemExit) as refusal:
        start.refuse_bad_flags(words)

    assert refusal.value.code == 2


def test_the_flags_of_the_demonstration_pass() -> None:
    start.refuse_bad_flags(["--once", "--port", "9000", "--portal-port=9001", "--smtp-port", "0"])


def test_the_test_lock_holds_every_pin_of_the_other() -> None:
    run, test = (set(re.findall(r"^\S+==\S+", (ROOT / name).read_text(), re.M)) for name in (start.RUN, start.TEST))

    assert run
    assert run < test


def test_the_locks_name_no_host_and_no_directory() -> None:
    text = (ROOT / start.RUN).read_text() + (ROOT / start.TEST).read_text()

    assert not re.search(r"://|--index|--find-links|file:| /", text)


def test_whatever_the_gateway_imports_is_declared() -> None:
    declared = _declared()
    providers = importlib.metadata.packages_distributions()

    undeclared = {name for name in _imported(ROOT / "gateway") if not declared & {_plain(d) for d in providers[name]}}

    assert undeclared == set()


def test_a_start_that_finds_all_ready_costs_little(venv: start.Environment) -> None:
    before = os.times()

    ready = [venv.is_ready(start.RUN) for _ in range(100)]

    assert all(ready)
    assert os.times().user - before.user < 1.0  # a hundred times; seconds of CPU, so a busy machine changes nothing


def _declared() -> set[str]:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    offered = [words for extra, words in settings["options.extras_require"].items() if extra != "test"]
    words = " ".join([settings["options"]["install_requires"], *offered]).split()
    return {_plain(re.split(r"[\[<>=]", word)[0]) for word in words}


def _imported(package: Path) -> set[str]:
    sources = [path.read_text() for path in package.rglob("*.py")]
    names = {name for text in sources for name in re.findall(r"^ *(?:from|import) ([A-Za-z]\w*)[ .\n]", text, re.M)}
    return {name for name in names if name != "gateway" and name in importlib.metadata.packages_distributions()}


def _plain(name: str) -> str:
    """Spell a distribution's name the one way (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
