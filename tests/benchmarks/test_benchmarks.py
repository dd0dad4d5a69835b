"""Every work is done once in the tests; `make bench` times them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.benchmarks.baseline import Cost, read, write
from tests.benchmarks.instructions import counts
from tests.benchmarks.works import Scene, works

NAMES = (
    "calibration", "decode a message", "fingerprint a request", "decode a row", "encode a row",
    "features of a request", "score 64 requests", "read and write an account", "encode a decision",
    "make an event of history", "decide a message",
)  # fmt: skip


@pytest.fixture(scope="module")
def by_name() -> dict[str, Any]:
    return {work.name: work for work in works(Scene())}


@pytest.mark.parametrize("name", NAMES)
def test_work(name: str, by_name: dict[str, Any], benchmark: BenchmarkFixture) -> None:
    work = by_name[name]
    first = work.run()
    again = benchmark(work.run)
    assert work.operations >= 1
    assert _said(again) == _said(first), "a work that changes what it reads would measure something else each time"


def test_the_baseline_has_every_work() -> None:
    assert set(read()) == set(NAMES)


def test_instructions_are_read_from_the_dumps_of_works() -> None:
    begun = "version: 1\ndesc: Trigger: dump start\nevents: Ir\ntotals: 7868318357\n"
    nothing = "version: 1\ndesc: Trigger: dump work 0\nevents: Ir\nsummary: 305486\ntotals: 305486\n"
    work = "version: 1\ndesc: Trigger: dump work 12\nevents: Ir\n\nfn=(1)\n1 5\ntotals: 35726493\n"
    assert counts([begun, nothing, work, ""]) == {0: 305_486, 12: 35_726_493}


def test_a_figure_that_was_not_measured_stays_in_the_baseline(tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    write({"a": Cost(1.5, 100), "gone": Cost(1.0, 1)}, file)
    write({"a": Cost(1.25), "b": Cost(2.0)}, file)
    assert read(file) == {"a": Cost(1.25, 100), "b": Cost(2.0)}


def _said(result: Any) -> Any:
    return repr(getattr(result, "rows", result))
