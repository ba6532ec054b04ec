"""The harness finds faults that are planted on purpose, at the one call where they show.

What it cannot find is said where it looks: a database that does not flush (``synchronous=OFF``) loses nothing to a kill.
"""

from pathlib import Path

import pytest

from tests.crash.rig import on_stage
from tests.crash.test_kill_points import USUAL, break_at, points_of, traced

# A driver prepares a statement after some uses, and the same place is some calls further on: it is sought in steps
# shorter than the gap that a fault opens.
STEPS = range(3, 21, 3)

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize(
    ("database_url", "fault", "thread", "landmarks", "finding"),
    [
        # The message to the bank is two writes, its head and its body; then nothing is durable yet.
        pytest.param(
            "sqlite", "call_first", "request", ("POST /authorise", "cents"), "the bank debited what we never asked for",
            id="the bank is asked before the intent is durable",
        ),
        # The approval is committed; the promise to tell the portal of it is not.
        pytest.param(
            "postgresql", "promise_later", "asking", ("POST /authorise", "vCOMMIT"), "never told",
            id="the promise is written after the fact",
        ),
    ],
    indirect=["database_url"],
)  # fmt: skip
def test_a_planted_fault_is_found(
    home: Path, database_url: str, tmp_path: Path, fault: str, thread: str, landmarks: tuple[str, ...], finding: str
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    with on_stage(home, database_url, place, plant=fault) as rig:
        calls = traced(rig, USUAL)["web", thread]
        places = iter(range(len(calls)))
        for landmark in landmarks:
            place_of = next(place for place in places if landmark in calls[place])
        points = points_of("web", thread, USUAL, calls)
        found = (text for step in STEPS for text in break_at(rig, points[place_of + step])[1])
        assert any(text.startswith(finding) for text in found)
