"""The evidence of one run, indexed for those who judge it."""

from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property

from tests.support.evidence import Entry, Evidence, Row

# Attempts whose money was debited, whatever became of it later.
DEBITED = frozenset({"approved", "capture_error", "captured", "part_refunded", "refunded"})


class Case:
    """The evidence, indexed."""

    def __init__(self, evidence: Evidence) -> None:
        self.seen = evidence
        self.tables = evidence.tables
        self.payments = {row["id"]: row for row in self.tables["payment"]}
        self.attempts = {row["id"]: row for row in self.tables["attempt"]}
        self.operations = {row["op_id"]: row for row in self.tables["operation"]}
        self.entries = {entry.op_id: entry for entry in evidence.entries}
        self.debts_of: dict[int, set[int]] = defaultdict(set)
        for line in self.tables["line"]:
            self.debts_of[line["payment_id"]].add(line["debt_id"])

    def attempt_of(self, op_id: str) -> Row | None:
        """Find the attempt a message to the bank is of; ``None`` when nobody wrote that message down."""
        operation = self.operations.get(op_id)
        return None if operation is None else self.attempts[operation["attempt_id"]]

    @cached_property
    def authorised(self) -> Mapping[int, Entry]:
        """The bank's entry of each attempt that has one."""
        return {
            row["attempt_id"]: self.entries[op_id]
            for op_id, row in self.operations.items()
            if row["kind"] == "authorise" and op_id in self.entries
        }
