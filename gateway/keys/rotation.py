"""Old keys: what is there, and how one leaves. A retired file is kept in ``retired/``, where nothing reads it."""

from dataclasses import dataclass
from pathlib import Path

from gateway.core.errors import SettingsError
from gateway.keys.files import KeyFile, opened_for_change, scan
from gateway.keys.jose import private_ed25519, request_key
from gateway.keys.ring import hmac_kid

# Kinds that stand in for each other: a merchant with an HS256 secret can lose its last key pair.
_ALIKE = {"pub.pem": "request", "hs256": "request", "whsec": "confirmation", "whsk.pem": "confirmation"}

# Halves that leave together.
_BESIDE = {"pub.pem": "pem", "api": "api.txt"}


@dataclass(frozen=True, slots=True)
class ListedKey:
    """One row of ``guichet keys list``."""

    path: Path
    owner: str
    what: str
    kid: str
    month: str


def list_keys(directory: Path) -> list[ListedKey]:
    """List every key in use, oldest first within its kind; private halves kept for demo merchants are left out.

    Raises :class:`SettingsError` for a file that cannot be read as what its name says.
    """
    files = [file for file in scan(directory)[0] if not (file.is_merchant and file.extension in _BESIDE.values())]
    rows = [ListedKey(file.path, file.owner, file.extension, _kid(file), file.month) for file in files]
    return sorted(rows, key=lambda row: (row.path.parent.name == "merchants", row.owner, row.what))


def retire(directory: Path, name: str) -> list[Path]:
    """Take a key out of use, by its key id or its file name.

    Raises :class:`SettingsError` when there is no such key, or when nothing would be left to do its work.
    """
    with opened_for_change(directory):
        files = scan(directory)[0]
        leaving = [file for file in files if name in (file.path.name, _kid(file)) and name]
        if not leaving:
            raise SettingsError((f"{directory}: no key {name!r}; guichet keys list shows them",))
        for file in leaving:
            # Tickets may go unsealed.
            if file.owner != "stamp":
                _check_not_last(file, files, leaving)
        moved = [file.path for file in leaving]
        moved += [path for file in leaving if (path := _other_half(file)) and path.exists() and path not in moved]
        return [path.rename(directory / "retired" / path.name) for path in moved]


def _check_not_last(file: KeyFile, files: list[KeyFile], leaving: list[KeyFile]) -> None:
    others = [other for other in files if other not in leaving and _work(other) == _work(file)]
    if not others:
        raise SettingsError((f"{file.path}: the last {_work(file)[1]} key of {file.owner}; make a new one first",))


def _work(file: KeyFile) -> tuple[str, str]:
    return file.owner, _ALIKE.get(file.extension, file.extension)


def _other_half(file: KeyFile) -> Path | None:
    extension = _BESIDE.get(file.extension)
    return file.path.with_name(f"{file.stem}.{extension}") if extension else None


def _kid(file: KeyFile) -> str:
    """Give the key id, or an empty text for a key that travels without one."""
    try:
        if file.extension == "pub.pem":
            return request_key(file.path.read_bytes()).kid
        if file.extension == "hs256":
            return hmac_kid(file)
        if file.owner == "signing" and not file.is_merchant:
            return private_ed25519(file.path.read_bytes()).thumbprint()
    except ValueError as error:
        raise SettingsError((f"{file.path}: {error}",)) from error
    return ""
