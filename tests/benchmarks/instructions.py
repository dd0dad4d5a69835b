"""Instructions of every work, counted by valgrind: the same on a busy machine as on a quiet one.

    measure(root)                                     starts the program below under callgrind and reads its dumps
    python -m tests.benchmarks.instructions           the program: does every work between two dumps

Scoring is left out: the model's runtime picks other code on valgrind's processor than on a real one.
"""

from __future__ import annotations

import gc
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tests.benchmarks.baseline import Cost
from tests.benchmarks.works import Scene, works

REPEATS: Final = 2
_TOTALS: Final = re.compile(r"^(?:totals|summary): (\d+)", re.MULTILINE)
_HINT: Final = re.compile(r"^desc: Trigger: .*?\bwork (\d+)", re.MULTILINE)


class NoValgrind(RuntimeError):
    """valgrind is not installed."""


def measure(root: Path) -> dict[str, Cost]:
    """{work: cost}; takes minutes. Raises NoValgrind, and CalledProcessError when the program fails."""
    if shutil.which("valgrind") is None or shutil.which("callgrind_control") is None:
        raise NoValgrind("instructions are counted by valgrind, which is not installed")
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out", sys.executable]
        listed = subprocess.run(
            [*command, "-m", "tests.benchmarks.instructions"],
            cwd=root, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=os.environ | {"PYTHONHASHSEED": "0"},
        )  # fmt: skip
        counted = counts(file.read_text(errors="replace") for file in Path(folder).iterdir())
    costs = {}
    for number, line in enumerate(listed.stdout.splitlines(), start=1):
        name, operations = line.rsplit("\t", 1)
        costs[name] = Cost(instructions=round((counted[number] - counted[0]) / int(operations) / REPEATS))
    return costs


def counts(dumps: Iterable[str]) -> dict[int, int]:
    """{number of the work: instructions since the dump before}, from callgrind's dumps; others are passed over."""
    found = {}
    for text in dumps:
        hint, totals = _HINT.search(text), _TOTALS.search(text)
        if hint and totals:
            found[int(hint[1])] = int(totals[1])
    return found


def main() -> None:
    """Do every work between two dumps; print what was done, in order. The first does nothing: the dump's own cost."""
    every = [work for work in works(Scene()) if not work.name.startswith("score")]
    for work in every:
        work.run()
    gc.collect()
    gc.disable()
    _dump("start")
    _dump("work 0")
    for number, work in enumerate(every, start=1):
        for _ in range(REPEATS):
            work.run()
        _dump(f"work {number}")
        print(f"{work.name}\t{work.operations}", flush=True)


def _dump(hint: str) -> None:
    subprocess.run(["callgrind_control", f"--dump={hint}", str(os.getpid())], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
