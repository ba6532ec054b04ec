"""What every view of the portal works with, kept by the application under one name."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flask import current_app
from guichet_client import Guichet
from ledger import Ledger
from portals import Portal
from speaking import Speaker


@dataclass(frozen=True, slots=True)
class Settings:
    """Where things are.

    :ivar address: how browsers and Guichet reach this portal; never taken from a request's Host header
    """

    guichet: str
    keys: Path
    database: Path
    address: str


@dataclass(frozen=True, slots=True)
class Desk:
    """What the views work with."""

    settings: Settings
    guichet: Guichet
    ledger: Ledger
    speakers: Mapping[str, Speaker]

    def speaker(self, portal: Portal) -> Speaker:
        """Give the speaker of a portal's protocol."""
        return self.speakers[portal.protocol]


def the_desk() -> Desk:
    """Give the desk of the running application."""
    desk = current_app.extensions["desk"]
    assert isinstance(desk, Desk)  # noqa: S101 - tells the type checker what create_app put there
    return desk
