"""What each work cost when the baseline was taken: as a multiple of the calibration, and in instructions.

A time in seconds says more about the machine than about the code. A multiple of a fixed amount of Python, measured in
the same minute, carries over to other machines roughly, and to the same machine well; instructions carry over exactly,
as long as Python and the libraries are the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).with_name("baseline.json")


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one operation of a work."""

    calibrations: float | None = None
    instructions: int | None = None


def read(file: Path = FILE) -> dict[str, Cost]:
    """The baseline by name of work."""
    return {name: Cost(**cost) for name, cost in json.loads(file.read_text()).items()}


def write(costs: Mapping[str, Cost], file: Path = FILE) -> None:
    """Make `costs` the baseline; a figure that was not measured now stays as it was."""
    before = read(file) if file.exists() else {}
    merged = {name: _merged(before.get(name, Cost()), cost) for name, cost in costs.items()}
    file.write_text(json.dumps({name: asdict(cost) for name, cost in merged.items()}, indent=2) + "\n")


def _merged(before: Cost, now: Cost) -> Cost:
    return Cost(
        before.calibrations if now.calibrations is None else now.calibrations,
        before.instructions if now.instructions is None else now.instructions,
    )
