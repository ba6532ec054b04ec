"""What a page says of its time, to the payer and to the page's script."""

from dataclasses import dataclass
from datetime import timedelta

from gateway.checkout import TimeLimit
from gateway.steps.phrases import gettext as _
from gateway.web import formats
from gateway.web.rendering import page_language

# An end further away than this may be another day's: the day is said too.
_TODAY = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Clock:
    """A time limit in words.

    :ivar until: the sentence that says when the page ends
    :ivar note: why no more time can be asked for; empty while it can
    """

    seconds_left: int
    until: str
    note: str

    @classmethod
    def of(cls, limit: TimeLimit | None) -> "Clock | None":
        """Word a time limit, if there is one."""
        if limit is None:
            return None
        # Two sentences: most languages say "until" of a day in other words than of a time.
        if limit.seconds_left > _TODAY.total_seconds():
            until = _("You have until %(moment)s to pay.", moment=formats.moment(limit.until, page_language()))
        else:
            until = _("You have until %(time)s to pay.", time=formats.time_of_day(limit.until, page_language()))
        note = ""
        if limit.is_bounded:
            note = _("The service you are paying set this end: it cannot be moved.")
        elif not limit.extensions_left:
            note = _("This is the last extension: no more time can be given.")
        return cls(limit.seconds_left, until, note)
