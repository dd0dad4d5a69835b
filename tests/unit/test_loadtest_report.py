"""The report: its verdict, its stages, its drift, and its way to a file and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from loadtest.runs import profile as profiles
from loadtest.runs import report as reports
from loadtest.runs.drift import slope_per_hour
from loadtest.runs.plan import LoadTest, jobs
from loadtest.runs.profile import BadProfile
from loadtest.runs.report import LoadReport, UnreadableReport
from loadtest.schedule import SECOND_NS
from tests.support.loadruns import MS, Service, after_ms, played
from topics.cluster import Cluster


def limited(per_second: int) -> Service:
    """A server that decides at most so many requests per second, one after the other."""
    free_at = [0]

    def service(at_ns: int) -> int:
        free_at[0] = max(free_at[0], at_ns) + SECOND_NS // per_second
        return free_at[0]

    return service


def test_a_run_that_did_everything_passes() -> None:
    report = played(profiles.steady(100, 5, 1), after_ms(3))
    assert (report.passed, report.failures(), report.warnings()) == (True, [], [])
    assert (report.result.rate, report.result.offered_rate) == (pytest.approx(100, abs=1), 100)
    assert report.result.outcomes == {"approved": 500}
    assert report.dead_letters == {"posted-ambiguous": 2}


def test_each_step_is_judged_by_itself() -> None:
    """Two light steps hide an overloaded one in the average: 60, 200, 60 per second on a server that does 100."""
    report = played(profiles.step([60, 200, 60], 5, 0), limited(100), processes=1)
    assert [round(stage.offered) for stage in report.stages] == [60, 200, 60]
    assert report.stages[1].decided == pytest.approx(100, abs=2)
    assert report.stages[1].outstanding == pytest.approx(500, abs=5)
    [*_, failure] = report.failures()
    assert failure.startswith("at 200/s (second 5 to 10) the engine decided 1")
    assert not any("at 60/s" in each for each in report.failures())


def test_a_ramp_says_where_the_engine_was_left_behind() -> None:
    report = played(profiles.ramp(20, 200, 20, 0), limited(100), processes=1)
    behind = [stage.label for stage in report.stages if stage.decided < 0.9 * stage.offered]
    assert behind == ["119/s", "137/s", "155/s", "173/s", "191/s"]
    assert all(any(f"at {label}" in failure for failure in report.failures()) for label in behind)


def test_samples_are_of_the_measured_time_only() -> None:
    report = played(profiles.steady(20, 4, 2), after_ms(1))
    assert [sample.at for sample in report.samples] == [0, 1, 2, 3, 4]
    assert {sample.worker_cpu for sample in report.samples} == {50}
    assert {sample.generators_cpu for sample in report.samples} == {20}
    assert [sample.worker_rss_mb for sample in report.samples] == [102, 103, 104, 105, 106]
    assert {sample.lag for sample in report.samples} == {7}


def test_a_soak_shows_the_drift_of_p99_and_memory() -> None:
    """Service time grows by 1 ms every second: the last fifth is surely slower than the first."""
    report = played(profiles.soak(60, 100, 0), lambda at_ns: at_ns + 5 * MS + at_ns // 1000)
    drift = report.drift
    assert drift is not None
    assert (drift.p99_first_ms, drift.p99_last_ms) == (pytest.approx(25, abs=1), pytest.approx(105, abs=1))
    assert drift.p99_change is not None
    percent, low, high = drift.p99_change
    assert 0 < low < percent < high
    assert drift.rss_mb_per_hour == pytest.approx(3600)
    assert played(profiles.steady(60, 100, 0), after_ms(1)).drift is None


def test_a_steady_soak_shows_no_drift() -> None:
    drift = played(profiles.soak(60, 100, 0), lambda at_ns: at_ns + (1 + at_ns // MS % 31) * MS).drift
    assert drift is not None
    assert drift.p99_change is not None
    assert drift.p99_change[1] <= 0 <= drift.p99_change[2]


def test_an_outlier_does_not_move_the_slope() -> None:
    points = [(float(second), 100 + second / 3600) for second in range(100)]
    points[50] = (50.0, 9999.0)
    assert slope_per_hour(points) == 1.0
    assert slope_per_hour(points[:1]) is None


def test_generators_that_were_late_themselves_are_mentioned() -> None:
    held_up = played(profiles.steady(50, 4, 0), after_ms(1), room=lambda at_ns: at_ns // SECOND_NS % 2 == 1)
    assert any("generators themselves were late" in warning for warning in held_up.warnings())


@pytest.fixture
def report() -> LoadReport:
    return played(profiles.step([50, 80], 3, 1), after_ms(7))


def test_a_report_is_read_back_as_it_was_written(report: LoadReport, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(orjson.dumps(report.as_json()))
    again = reports.read(path)
    assert again == report
    assert [len(row.latencies()) for row in again.intervals] == [50, 50, 50, 80, 80, 80]


def test_json_has_what_it_promises(report: LoadReport) -> None:
    document = report.as_json()
    assert list(document["result"]["latency_ms"]) == ["p50", "p90", "p99", "p99_9", "p99_99", "max"]
    assert {"setup", "machine", "curve", "stages", "intervals", "samples", "dead_letters", "failures", "passed"} <= set(
        document
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"not json", "is not a load report"),
        (b'{"version": 1}', "is not a load report: Object missing required field `began`"),
    ],
)
def test_a_file_that_is_no_report_is_named(content: bytes | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadableReport, match=words) as raised:
        reports.read(path)
    assert str(path) in str(raised.value)


def test_a_report_of_another_version_is_refused(report: LoadReport, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(orjson.dumps(replace(report, version=3).as_json()))
    with pytest.raises(UnreadableReport, match="has version 3, this program reads up to 2"):
        reports.read(path)


def test_a_report_of_version_1_which_knew_no_shed_requests_in_intervals_is_read(
    report: LoadReport, tmp_path: Path
) -> None:
    path = tmp_path / "a.json"
    document = report.as_json() | {"version": 1}
    for part in [*document["stages"], *document["intervals"]]:
        del part["shed"]
    path.write_bytes(orjson.dumps(document))
    assert reports.read(path) == replace(report, version=1)


def test_generators_share_everything_and_their_names_never_begin_with_another_ones() -> None:
    test = LoadTest(profiles.steady(1000, 10, 1), accounts=103, seed=5, processes=12)
    shared = jobs(Cluster("127.0.0.1:9"), test, "s1", 1_800_000_000_000)
    assert sum(job.accounts for job in shared) == 103
    assert max(job.accounts for job in shared) - min(job.accounts for job in shared) == 1
    assert sum(job.total for job in shared) == 11_000
    assert len({job.seed for job in shared}) == 12
    assert shared[0].seed == 5
    names = [job.run_id for job in shared]
    assert not [(a, b) for a in names for b in names if a != b and a.startswith(b)]


def test_more_processes_than_accounts_or_requests_are_refused() -> None:
    with pytest.raises(BadProfile, match="8 processes need at least as many accounts, not 3"):
        LoadTest(profiles.steady(100, 1, 0), accounts=3, processes=8)
    with pytest.raises(BadProfile, match="8 processes have less than one request each"):
        LoadTest(profiles.steady(2, 1, 0), accounts=30, processes=8)
