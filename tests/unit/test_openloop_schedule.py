"""The open loop, run on a clock made of a number."""

from __future__ import annotations

import pytest

from loadtest.latency import Latencies
from loadtest.schedule import SECOND_NS, Schedule, drive
from tests.support.loadruns import NumberClock

MS = 1_000_000


def test_requests_are_due_evenly_from_the_start() -> None:
    schedule = Schedule.lasting(rate=4, seconds=2, warmup_seconds=1)
    assert (schedule.warmup, schedule.requests, schedule.total) == (4, 8, 12)
    assert [schedule.due_ns(k) for k in (0, 1, 4)] == [0, SECOND_NS // 4, SECOND_NS]
    assert schedule.measured_from_ns == SECOND_NS
    assert schedule.length_ns == 3 * SECOND_NS


def test_due_by_agrees_with_due_ns_and_stops_at_the_total() -> None:
    schedule = Schedule(rate=1000, requests=50)
    assert schedule.due_by(-1) == 0
    for k in range(50):
        assert schedule.due_by(schedule.due_ns(k)) == k + 1
        assert schedule.due_by(schedule.due_ns(k) + 999_999) == k + 1
    assert schedule.due_by(3600 * SECOND_NS) == 50


@pytest.mark.parametrize(("rate", "requests", "warmup"), [(0, 1, 0), (-5, 1, 0), (1, 0, 0), (1, 1, -1)])
def test_an_impossible_schedule_is_refused(rate: float, requests: int, warmup: int) -> None:
    with pytest.raises(ValueError, match="schedule"):
        Schedule(rate, requests, warmup)


def test_h1_a_stall_is_measured_from_the_intended_start() -> None:
    """100/s for 10 s, 1 ms of service, the server frozen for 1 s: p99 is 901 ms, not 1 ms."""
    schedule = Schedule.lasting(rate=100, seconds=10)
    frozen_from, frozen_to = 3 * SECOND_NS, 4 * SECOND_NS
    from_intended, while_served = Latencies(), Latencies()

    def serve(k: int) -> bool:
        due_ns = schedule.due_ns(k)
        began_ns = frozen_to if frozen_from <= due_ns < frozen_to else due_ns
        from_intended.record((began_ns + MS - due_ns) // 1000)
        while_served.record(MS // 1000)
        return True

    assert drive(schedule, serve, NumberClock(), grace_ns=0, pause_ns=MS // 2) == 1000
    assert from_intended.percentile_ms(99) == 901
    assert while_served.percentile_ms(99) == 1, "what a closed loop would have reported"


def test_a_blocked_sender_sends_late_and_its_latency_still_counts_from_the_intended_time() -> None:
    schedule = Schedule.lasting(rate=1000, seconds=1)
    clock = NumberClock()
    latencies = Latencies()

    def send(k: int) -> bool:
        if 200 * MS <= clock.ns < 700 * MS:
            return False
        latencies.record((clock.ns - schedule.due_ns(k)) // 1000)
        return True

    assert drive(schedule, send, clock, grace_ns=0, pause_ns=MS) == 1000
    assert 499 <= latencies.max_ms <= 501


def test_h3_what_could_not_be_sent_in_time_is_not_sent_and_counted() -> None:
    """Target 30,000; room for 90 of the 100 requests due in each 10 ms: 27,000 go out, 3,000 do not."""
    schedule = Schedule.lasting(rate=10_000, seconds=3)
    clock = NumberClock()
    sent_in_tick: dict[int, int] = {}

    def send(_k: int) -> bool:
        tick = clock.ns // (10 * MS)
        if sent_in_tick.get(tick, 0) == 90:
            return False
        sent_in_tick[tick] = sent_in_tick.get(tick, 0) + 1
        return True

    sent = drive(schedule, send, clock, grace_ns=0, pause_ns=MS)
    assert sent == 27_000
    assert schedule.total - sent == 3_000


def test_grace_lets_a_late_sender_finish() -> None:
    schedule = Schedule.lasting(rate=1000, seconds=1)
    clock = NumberClock()

    def send(_k: int) -> bool:
        return clock.ns >= 1100 * MS

    assert drive(schedule, send, clock, grace_ns=200 * MS, pause_ns=MS) == 1000
    clock.ns = 0
    assert drive(schedule, lambda _k: False, clock, grace_ns=200 * MS, pause_ns=MS) == 0
