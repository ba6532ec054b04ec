"""The one judge of a run: given its evidence, which promises about money and news were broken.

Promises have numbers, so that a violation can be named:

1. a debt is never debited twice, at any instant, and nothing is asked of the bank without a durable intent;
2. an approved authorisation is never lost;
3. no debit after a refusal or a reversal;
4. an ambiguous answer is never guessed;
5. the ledger balances and explains;
6. captured once, and refunded never more than was paid;
7. states move along their tables only;
8. what somebody was told stays true;
9. each event is delivered at least once, with one id and one body, or ends dead with an alarm;
10. each payment's events arrive in order;
18. at most five codes are compared per card, whatever is sent again.
"""

from dataclasses import dataclass

from tests.support.checker import money, news
from tests.support.checker.case import Case
from tests.support.evidence import Evidence

_PROMISES = {
    1: money.debited_twice,
    2: money.approval_lost,
    3: money.debited_late,
    4: money.guessed,
    5: money.unexplained,
    6: money.paid_out_twice,
    7: news.astray,
    8: news.unsaid,
    9: news.untold,
    10: news.out_of_order,
    18: news.guessing,
}


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken promise, and what shows it."""

    promise: int
    what: str


def check(evidence: Evidence) -> list[Violation]:
    """Judge a run; an empty list is a good one."""
    case = Case(evidence)
    return [Violation(promise, what) for promise, look in _PROMISES.items() for what in look(case)]
