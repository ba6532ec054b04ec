"""When a notice that failed goes out again: a list of pauses, the same for every dialect that has one."""

from collections.abc import Sequence
from datetime import datetime, timedelta


def after(pauses: Sequence[int], tries: int, now: datetime) -> datetime | None:
    """Say when the next try is due after ``tries`` failed ones (first is 1); ``None`` when the list is used up.

    :param pauses: seconds after each failed try before the next one
    """
    return now + timedelta(seconds=pauses[tries - 1]) if tries <= len(pauses) else None
