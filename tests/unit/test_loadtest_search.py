"""The search for the highest rate, on engines made of a rule."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from loadtest.runs.search import Bounds, Found, Trial, find_max

BOUNDS = Bounds(p99_ms=40, start=500, lowest=10, highest=100_000, precision=0.1, most_runs=12)


def measured(passes: Callable[[float, int], bool]) -> Callable[[float, bool], Trial]:
    """`passes` is told the rate and how often that rate was tried before."""
    tried: dict[float, int] = {}

    def measure(rate: float, repeat: bool) -> Trial:
        before = tried.get(rate, 0)
        tried[rate] = before + 1
        within = passes(rate, before)
        return Trial(rate, 10 if within else 90, rate, (), repeat, within)

    return measure


def searched(passes: Callable[[float, int], bool], **changes: float) -> Found:
    return find_max(measured(passes), Bounds(**{**{name: getattr(BOUNDS, name) for name in _NAMES}, **changes}))


_NAMES = ("p99_ms", "start", "lowest", "highest", "precision", "most_runs")


@pytest.mark.parametrize("limit", [25, 90, 499, 500, 733, 2500, 9000])
def test_the_answer_is_within_the_precision_below_the_true_limit_and_proved(limit: float) -> None:
    found = searched(lambda rate, _before: rate <= limit, most_runs=20)
    assert found.rate is not None
    assert limit / 1.1 <= found.rate <= limit
    assert [trial.rate for trial in found.trials if trial.repeat] == [found.rate]
    assert len(found.trials) <= 20


def test_runs_are_bounded_and_the_answer_says_what_was_left_open() -> None:
    found = searched(lambda rate, _before: rate <= 3000, most_runs=7)
    assert [round(trial.rate) for trial in found.trials] == [500, 1000, 2000, 4000, 2828, 2828]
    assert found.rate is not None
    assert found.note == "the bracket up to 4,000.0/s could not be narrowed further"
    barely = searched(lambda rate, _before: rate <= 9000, most_runs=5)
    assert (barely.rate, len(barely.trials)) == (2000, 4)
    assert barely.note == "the runs were used up before any rate failed: there may be higher ones"


@pytest.mark.parametrize("most_runs", range(3, 12))
@pytest.mark.parametrize("limit", [5, 30, 700, 10**9])
def test_the_number_of_runs_is_never_exceeded(limit: float, most_runs: int) -> None:
    assert len(searched(lambda rate, _before: rate <= limit, most_runs=most_runs).trials) <= most_runs


def test_a_lucky_run_is_found_out_by_the_repeat() -> None:
    """Rates up to 500 always pass, 1,000 passes once by luck."""
    found = searched(lambda rate, before: rate <= 500 or (rate <= 1000 and not before), precision=1)
    assert [(trial.rate, trial.within) for trial in found.trials] == [
        (500, True), (1000, True), (2000, False), (1000, False), (500, True),
    ]  # fmt: skip
    assert found.rate == 500
    assert found.note == "rates up to 1,000.0/s passed once and not again"


def test_no_rate_passes_twice() -> None:
    found = searched(lambda _rate, before: not before, highest=1000)
    assert found.rate is None
    assert found.note == "no rate that passed once passed again"


def test_not_even_the_lowest_rate_passes() -> None:
    found = searched(lambda _rate, _before: False)
    assert found.rate is None
    assert found.note == "not even 10.0/s stays within the bound"
    assert [trial.rate for trial in found.trials][-1] == 10


def test_everything_passes_up_to_the_highest_rate_allowed() -> None:
    found = searched(lambda _rate, _before: True, highest=3000)
    assert found.rate == 3000
    assert [trial.rate for trial in found.trials] == [500, 1000, 2000, 3000, 3000]
    assert "there may be higher ones" in found.note


def test_a_rate_that_fails_below_one_that_passed_lowers_the_bracket() -> None:
    """Noise: 1,000 passes first; on the way up to 1,414 nothing does; the answer is a rate that passed twice."""
    found = searched(lambda rate, before: rate < 900 or (rate == 1000 and before == 0), most_runs=16)
    assert found.rate is not None
    assert found.rate < 900
