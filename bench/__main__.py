"""``make bench``: measures each goal beside its floor, prints a table and writes ``bench/results/latest.json``."""

import json
import os
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path

from bench.harness import Bench, Row, noise, percentile

RESULTS = Path(__file__).parent / "results/latest.json"

# Each module has one function of this name and the goal in its docstring; it is imported when its turn comes.
GOALS: Mapping[str, str] = {
    "P1": "bench.journeys:on_postgresql",
    "P2": "bench.journeys:on_sqlite",
    "P3": "bench.pages:measure",
    "P4": "bench.latency:measure",
    "P5": "bench.callbacks:measure",
    "P6": "bench.tickets:measure",
    "P7": "bench.growth:measure",
    "P8": "bench.footprint:measure",
    "P9": "bench.machines:measure",
    "P10": "bench.peers:measure",
}


def main() -> int:
    """Measure all goals, or those that ``ONLY`` names, such as ``P1,P3``."""
    asked = [name for name in os.environ.get("ONLY", "").upper().replace(",", " ").split() if name]
    if unknown := set(asked) - set(GOALS):
        print(f"ONLY: no goal {', '.join(sorted(unknown))}; known are {', '.join(GOALS)}", file=sys.stderr)
        return 2
    rows: list[Row] = []
    failed = []
    for goal in asked or GOALS:
        try:
            rows += _measured(goal)
        except Exception:  # noqa: BLE001 - what was measured before is not lost with it
            traceback.print_exc()
            failed.append(goal)
    _print(rows)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    if failed:
        print(f"could not be measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _measured(goal: str) -> list[Row]:
    module, _, name = GOALS[goal].partition(":")
    measure: Callable[[Bench], Iterable[Row]] = getattr(import_module(module), name)
    print(f"{goal}: {(measure.__doc__ or '').splitlines()[0]}", file=sys.stderr, flush=True)
    began, calm = time.monotonic(), noise()
    with tempfile.TemporaryDirectory(prefix="guichet-bench-") as folder:
        bench = Bench(Path(folder))
        try:
            rows = list(measure(bench))
        finally:
            bench.close()
    spins = calm + noise()
    varied = (percentile(spins, 0.9) - percentile(spins, 0.1)) / statistics.median(spins)
    print(f"{goal}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return [replace(row, noise=round(varied, 3)) for row in rows]


def _print(rows: Iterable[Row]) -> None:
    line = "{:4} {:44} {:>14} {:>10} {:>10} {:>8} {:>13} {:>15} {:>6}  {}"
    print(line.format("goal", "what", "unit", "floor", "ours", "ratio", "target", "spread", "noise", "met"))
    for row in rows:
        figures = f"{row.floor:.4g}", f"{row.ours:.4g}", f"{row.ratio:.3g}"
        spread = f"{row.spread[0]:.3g} .. {row.spread[1]:.3g}"
        met = "yes" if row.met else "NO"
        print(line.format(row.goal, row.what, row.unit, *figures, row.target, spread, f"{row.noise:.0%}", met))
        if row.note:
            print(f"     {row.note}")


if __name__ == "__main__":
    sys.exit(main())
