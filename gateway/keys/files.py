"""Key files by name: what each is called, who may read it, and how one is written.

``signing-2029-11.pem``, ``cookie-2029-11-2.key``, ``merchants/mairie-2029-11.pub.pem``: purpose or merchant, month, a
number from the second of that month on, and an extension that tells what is inside. Nothing here looks inside.
"""

import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

# One secret each, never shared: page tokens, session cookies, one-time codes, sealed values, ticket links, what
# recognises a card for two days, the audit log, payment links.
PURPOSES = ("page", "cookie", "code", "seal", "ticket", "card", "audit", "link")

# Merchants' files; the order is the one they are listed in.
MERCHANT_EXTENSIONS = ("pub.pem", "pem", "hs256", "whsec", "whsk.pem", "api", "api.txt")

_SERVER_NAME = re.compile(r"(?P<owner>[a-z]+)-(?P<month>\d{4}-\d{2})(?:-(?P<n>\d{1,3}))?\.(?P<ext>pem|key)", re.ASCII)
_MERCHANT_NAME = re.compile(
    r"(?P<owner>[a-z0-9][a-z0-9-]{0,62}?)-(?P<month>\d{4}-\d{2})(?:-(?P<n>\d{1,3}))?"
    r"\.(?P<ext>" + "|".join(re.escape(ext) for ext in sorted(MERCHANT_EXTENSIONS, key=len, reverse=True)) + ")",
    re.ASCII,
)

# In the folder for people and for us; never key material.
_BESIDE = frozenset({"README.md"})


@dataclass(frozen=True, slots=True)
class KeyFile:
    """One file of ``keys/``, known by its name alone.

    :ivar owner: ``signing``, a purpose, or a merchant id
    :ivar month: ``yyyy-mm``, when it was made or from when it is meant to sign
    """

    path: Path
    owner: str
    month: str
    number: int
    extension: str
    is_merchant: bool

    @property
    def stem(self) -> str:
        """The name without its extension."""
        return self.path.name.removesuffix("." + self.extension)

    @property
    def age(self) -> tuple[str, int]:
        """Sorts the files of one kind, oldest first."""
        return self.month, self.number

    @property
    def kind(self) -> tuple[str, str]:
        """Files of one kind replace each other."""
        return self.owner, self.extension


def parse(path: Path, *, is_merchant: bool) -> KeyFile | None:
    """Read a file's name; nothing when it is not a key's."""
    match = (_MERCHANT_NAME if is_merchant else _SERVER_NAME).fullmatch(path.name)
    if not match or not "01" <= match["month"][5:] <= "12":
        return None
    if not is_merchant and (match["owner"], match["ext"]) not in _SERVER_KINDS:
        return None
    return KeyFile(path, match["owner"], match["month"], int(match["n"] or 1), match["ext"], is_merchant)


_SERVER_KINDS = frozenset({("signing", "pem"), ("stamp", "pem"), *((purpose, "key") for purpose in PURPOSES)})


def scan(directory: Path) -> tuple[list[KeyFile], list[str]]:
    """List the key files, oldest first, and everything wrong with names, modes and owners."""
    files: list[KeyFile] = []
    faults = _folder_faults(directory)
    if faults and not directory.is_dir():
        return files, faults
    for folder, is_merchant in ((directory, False), (directory / "merchants", True)):
        if is_merchant and folder.is_dir():
            faults += _folder_faults(folder)
        for path in sorted(folder.glob("*")):
            if path.is_dir() or path.name.startswith(".") or path.name in _BESIDE:
                continue
            file = parse(path, is_merchant=is_merchant)
            if file is None:
                faults.append(f"{path}: not the name of a key; move it elsewhere (keys/README.md lists the names)")
                continue
            faults += _mode_faults(path, "600")
            files.append(file)
    return sorted(files, key=lambda file: file.age), faults


def _folder_faults(folder: Path) -> list[str]:
    if not folder.is_dir():
        return [f"{folder}: missing; run guichet keys new"]
    return _mode_faults(folder, "700")


def _mode_faults(path: Path, mode: str) -> list[str]:
    """Refuse what others may read, and what somebody else could have put there."""
    about = path.stat()
    faults = []
    if about.st_mode & 0o077:
        faults.append(f"{path}: others may read it (mode {about.st_mode & 0o777:04o}); run chmod {mode} {path}")
    if about.st_uid not in (os.geteuid(), 0):
        faults.append(f"{path}: belongs to user {about.st_uid}; run chown {os.geteuid()} {path} && chmod {mode} {path}")
    return faults


def next_path(directory: Path, owner: str, extension: str, now: datetime) -> Path:
    """Find the first free name of this month; retired names are never used again, since a key id may hang on them."""
    folder = directory if (owner, extension) in _SERVER_KINDS else directory / "merchants"
    month = now.astimezone(UTC).strftime("%Y-%m")
    number = 1
    while True:
        suffix = "" if number == 1 else f"-{number}"
        path = folder / f"{owner}-{month}{suffix}.{extension}"
        if not path.exists() and not (directory / "retired" / path.name).exists():
            return path
        number += 1


def write(path: Path, content: bytes) -> Path:
    """Write a key whole or not at all, readable by its owner alone from the first byte."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")  # mkstemp creates it 0600
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    Path(temporary).rename(path)
    # Its name too must outlast a power cut: what is sealed with a key that is gone can never be read again.
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return path


@contextmanager
def opened_for_change(directory: Path) -> Iterator[None]:
    """Hold the folder alone: two servers starting at once must not each make a half of one pair."""
    for folder in (directory, directory / "merchants", directory / "retired"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    with (directory / ".lock").open("a") as lock:
        (directory / ".lock").chmod(0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
