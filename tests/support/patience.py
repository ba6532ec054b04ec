"""On a machine that is busy with everything else, whoever waits for a database is not sent away."""

import re

import pytest

from gateway.store import engine

SECONDS = 60


def be_patient(patch: pytest.MonkeyPatch) -> None:
    """Let this process wait a minute where the product waits for seconds: for a lock, for an answer, for its own next word.

    Who comes too late in a product is told to try again; in a test it would be the machine that is told of. What is opened
    from now on has this patience.
    """
    for place in ("gateway.store", "gateway.store.engine"):
        patch.setattr(f"{place}.BUSY_SECONDS", SECONDS)
    patch.setattr(engine, "_PG_OPTIONS", re.sub(r"(?<=timeout=)\d+", f"{SECONDS}000", engine._PG_OPTIONS))
