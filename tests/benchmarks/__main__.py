"""`make bench`: what each piece of the decision path costs, against the stored baseline.

python -m tests.benchmarks [--instructions] [--save] [--json]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks import instructions, timing
from tests.benchmarks.baseline import Cost, read, write
from tests.benchmarks.works import Scene, works

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Measure, show, and keep when asked to; 1 when it cannot be measured."""
    options = _options()
    operations = {work.name: work.operations for work in works(Scene())}
    say = Console(stderr=True)
    try:
        with say.status("timing"):
            costs, micros = timing.measure(ROOT, operations)
        if options.instructions:
            with say.status("counting instructions (minutes)"):
                counted = instructions.measure(ROOT)
            costs = {
                name: Cost(cost.calibrations, counted.get(name, Cost()).instructions) for name, cost in costs.items()
            }
    except (instructions.NoValgrind, subprocess.CalledProcessError) as error:
        say.print(f"not measured: {error}", style="red", markup=False)
        return 1
    if options.json:
        print(
            json.dumps({name: asdict(cost) | {"microseconds": micros[name]} for name, cost in costs.items()}, indent=2)
        )
    else:
        Console().print(_table(costs, micros))
    if options.save:
        write(costs)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--instructions", action="store_true", help="count instructions as well (valgrind, minutes)")
    parser.add_argument("--save", action="store_true", help="make this the baseline")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse_args()


def _table(costs: dict[str, Cost], micros: dict[str, float]) -> Table:
    before = read()
    table = Table("operation", title="cost of one operation; ratios are to the baseline")
    for column in ("µs here", "calibrations", "ratio", "instructions", "ratio"):
        table.add_column(column, justify="right")
    for name, cost in costs.items():
        old = before.get(name, Cost())
        table.add_row(
            name, f"{micros[name]:.2f}", f"{cost.calibrations:.5f}", _ratio(cost.calibrations, old.calibrations),
            "" if cost.instructions is None else f"{cost.instructions:,}", _ratio(cost.instructions, old.instructions),
        )  # fmt: skip
    return table


def _ratio(now: float | None, before: float | None) -> str:
    return f"{now / before:.3f}" if now is not None and before else ""


if __name__ == "__main__":
    sys.exit(main())
