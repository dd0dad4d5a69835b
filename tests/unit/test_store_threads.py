"""Where RocksDB merges its files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, sys
from pathlib import Path
from agents import cores
from tables.store import begin_merging, open_database

cores.stay_on(max(cores.usable()), begin_beside=begin_merging)
database = open_database(Path(sys.argv[1]))
for number in range(20_000):
    database[b"%d" % number] = os.urandom(1000)
database.flush()
for thread in Path("/proc/self/task").iterdir():
    name = (thread / "comm").read_text().strip()
    if name.startswith("rocksdb:"):
        print(name, *os.sched_getaffinity(int(thread.name)))
"""


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="needs two cores and Linux"
)
def test_it_leaves_the_workers_core_alone(tmp_path: Path) -> None:
    """In a process of its own: RocksDB starts its threads once."""
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "rows")], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    cores = os.sched_getaffinity(0)
    others = " ".join(map(str, sorted(cores - {max(cores)})))
    assert sorted(ran.stdout.splitlines()) == [f"rocksdb:high {others}", f"rocksdb:low {others}"]
