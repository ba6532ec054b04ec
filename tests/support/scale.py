"""How far a test goes: a sample with every change, the whole at night (``TEST_NIGHTLY=1``)."""

import os
from typing import TypeVar

Figure = TypeVar("Figure")

IS_NIGHT = os.environ.get("TEST_NIGHTLY") == "1"


def scaled(sample: Figure, whole: Figure) -> Figure:
    """Give the figure a test is to reach in this run."""
    return whole if IS_NIGHT else sample
