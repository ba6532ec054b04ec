"""How far a test goes: a sample with every change, the whole at night (``TEST_NIGHTLY=1``)."""

import os

IS_NIGHT = os.environ.get("TEST_NIGHTLY") == "1"


def scaled(sample: int, whole: int) -> int:
    """Give the figure a test is to reach in this run."""
    return whole if IS_NIGHT else sample
