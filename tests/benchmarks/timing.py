"""Wall time of every work, by pytest-benchmark in a process of its own, as multiples of the calibration."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.benchmarks.baseline import Cost

_PYTEST: Final = (
    "-m", "pytest", "-q", "--benchmark-enable", "--benchmark-disable-gc", "--benchmark-quiet", "--benchmark-warmup=on",
    "--benchmark-min-rounds=20", "-k", "test_work", "tests/benchmarks",
)  # fmt: skip


def measure(root: Path, operations: dict[str, int]) -> tuple[dict[str, Cost], dict[str, float]]:
    """({work: cost}, {work: microseconds an operation}). The quickest round of each work is taken: noise only adds.

    Raises subprocess.CalledProcessError when a work fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "times.json"
        subprocess.run(
            [sys.executable, *_PYTEST, f"--benchmark-json={file}"],
            cwd=root, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        found = json.loads(file.read_text())["benchmarks"]
    seconds = {one["params"]["name"]: one["stats"]["min"] / operations[one["params"]["name"]] for one in found}
    unit = seconds["calibration"]
    costs = {name: Cost(calibrations=round(each / unit, 5)) for name, each in seconds.items()}
    return costs, {name: each * 1e6 for name, each in seconds.items()}
