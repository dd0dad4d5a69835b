"""Profiles: when every request is due, and how generators share them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.runs import profile as profiles
from loadtest.runs.profile import BadProfile, Profile, Share
from loadtest.schedule import SECOND_NS, Schedule

EVERY = [
    profiles.steady(100, 3, 1),
    profiles.ramp(10, 200, 10, 0.5),
    profiles.ramp(200, 10, 10, 0),
    profiles.step([50, 200, 100], 2, 1),
    profiles.soak(40, 20, 2),
]
by_name = pytest.mark.parametrize("profile", EVERY, ids=lambda profile: f"{profile.name}-{profile.stretches[0].first}")


def due_times(profile: Profile) -> list[int]:
    return [profile.due_ns(k) for k in range(profile.total)]


def test_steady_is_due_exactly_when_the_simple_schedule_says() -> None:
    profile, schedule = profiles.steady(300, 4, 1), Schedule.lasting(300, 4, 1)
    assert (profile.total, profile.warmup_requests) == (schedule.total, schedule.warmup)
    assert due_times(profile) == [schedule.due_ns(k) for k in range(schedule.total)]
    assert (profile.measured_from_ns, profile.length_ns) == (schedule.measured_from_ns, schedule.length_ns)


@by_name
def test_due_by_and_due_ns_agree_to_the_nanosecond(profile: Profile) -> None:
    times = due_times(profile)
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] < profile.length_ns
    for k, due_ns in enumerate(times):
        assert profile.due_by(due_ns) == k + 1
        assert profile.due_by(due_ns - 1) == k
    assert profile.due_by(10**15) == profile.total


def test_a_ramp_gets_denser_evenly() -> None:
    """From 10 to 200 per second over 10 s: 1,050 requests, those of each second as many as the line has under it."""
    profile = profiles.ramp(10, 200, 10, 0)
    assert profile.total == 1050
    due_in_second = [profile.due_before((s + 1) * SECOND_NS) - profile.due_before(s * SECOND_NS) for s in range(10)]
    expected = [10 + 19 * (second + 0.5) for second in range(10)]
    assert due_in_second == pytest.approx(expected, abs=1)


def test_steps_have_their_own_rates_after_a_warm_up_at_the_first() -> None:
    profile = profiles.step([50, 200, 100], 2, 1)
    edges_s = [0, 1, 3, 5, 7]
    due = [profile.due_before(round(edge * SECOND_NS)) for edge in edges_s]
    assert [later - earlier for earlier, later in pairwise(due)] == [50, 100, 400, 200]
    assert profile.warmup_requests == 50
    assert [(stage.label, stage.start, stage.end) for stage in profile.stages] == [
        ("50/s", 0, 2), ("200/s", 2, 4), ("100/s", 4, 6),
    ]  # fmt: skip


@by_name
@pytest.mark.parametrize("generators", [1, 2, 3, 7])
def test_shares_together_are_the_whole_profile(profile: Profile, generators: int) -> None:
    shares = [Share(profile, number, generators) for number in range(generators)]
    together = sorted(share.due_ns(k) for share in shares for k in range(share.total))
    assert together == due_times(profile)
    assert sum(share.warmup for share in shares) == profile.warmup_requests
    for at_ns in range(0, profile.length_ns, profile.length_ns // 37):
        assert sum(share.due_by(at_ns) for share in shares) == profile.due_by(at_ns)


@by_name
def test_stages_are_whole_intervals_and_cover_the_measured_time(profile: Profile) -> None:
    assert profile.stages[0].start == 0
    assert profile.stages[-1].end == pytest.approx(profile.seconds)
    for stage in profile.stages:
        assert (stage.end - stage.start) / profile.interval == pytest.approx(
            round((stage.end - stage.start) / profile.interval)
        )
    assert profile.intervals * profile.interval == pytest.approx(profile.seconds)


def test_a_long_soak_has_no_more_rows_than_can_be_read() -> None:
    profile = profiles.soak(100, 8 * 3600, 10)
    assert profile.intervals == 600
    assert profile.interval == pytest.approx(48)
    assert len(profile.stages) == 10


def test_intervals_are_counted_from_the_end_of_the_warm_up() -> None:
    profile = profiles.steady(10, 3, 2)
    at = [0, 1.999, 2, 2.999, 3, 4.999, 5, 9]
    assert [profile.interval_of(round(second * SECOND_NS)) for second in at] == [-2, -1, 0, 0, 1, 2, 3, 3]
    assert [profile.interval_start_ns(row) / SECOND_NS for row in range(4)] == [2, 3, 4, 5]


@given(rate=st.floats(0.1, 5000), seconds=st.floats(0.1, 20), warmup=st.floats(0, 5), generators=st.integers(1, 9))
def test_no_request_is_lost_or_doubled_at_any_rate(rate: float, seconds: float, warmup: float, generators: int) -> None:
    profile = profiles.steady(rate, seconds, warmup)
    shares = [Share(profile, number, generators) for number in range(generators)]
    assert sum(share.total for share in shares) == profile.total
    assert 0 <= profile.warmup_requests < profile.total
    last = profile.due_ns(profile.total - 1)
    assert profile.due_by(last) == profile.total
    assert profile.due_by(last - 1) == profile.total - 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: profiles.steady(0, 1, 0), "rate must be above 0, not 0"),
        (lambda: profiles.steady(1, float("nan"), 0), "seconds must be above 0, not nan"),
        (lambda: profiles.ramp(0, 5, 1, 0), "from must be above 0, not 0"),
        (lambda: profiles.ramp(5, -1, 1, 0), "to must be above 0, not -1"),
        (lambda: profiles.step([], 1, 0), "at least one rate"),
        (lambda: profiles.step([5, 0], 1, 0), "rate must be above 0"),
        (lambda: profiles.soak(5, 10, -1), "warmup cannot be negative: -1"),
    ],
)
def test_what_makes_no_load_is_refused_by_name(make, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BadProfile, match=words):
        make()
