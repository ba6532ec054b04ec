"""What a start was told: merchants and keys as they are in the files, against what the log last said of them.

Files are changed by editors, not by commands; a start is where the server learns of it, and so where it is written down.
"""

import json
from collections.abc import Mapping

from gateway.store import Store

# Facts are shown to whoever reads the log, so they hold no secret: a key is told by its name and id.
Facts = Mapping[str, object]


def take_note(store: Store, told: Mapping[str, Facts]) -> int:
    """Write down each thing that is new, was changed, or is gone since the last start; returns how many.

    :param told: by name (``merchant mairie-demo``, ``key page-2026-11.key``), everything that may be said of it
    """
    changes = 0
    with store.transaction() as tx:
        before = {name: facts for name, facts in tx.audit.book().items() if facts is not None}
        for name in sorted({*told, *before}):
            old, new = before.get(name), _plain(told[name]) if name in told else None
            if old == new:
                continue
            changes += 1
            result = "added" if old is None else "removed" if new is None else "changed"
            facts = {"before": _only(old, new), "after": _only(new, old), "whole": new}
            tx.audit.add("book.read", name, result=result, facts=facts)
    return changes


def _plain(facts: Facts) -> dict[str, object]:
    plain: dict[str, object] = json.loads(json.dumps(facts, ensure_ascii=False, default=str))
    return plain


def _only(these: Mapping[str, object] | None, others: Mapping[str, object] | None) -> dict[str, object] | None:
    """Give the facts that are not the same on the other side."""
    if these is None or others is None:
        return None
    return {name: value for name, value in these.items() if others.get(name) != value}
