"""Load tests on a clock made of a number: the whole path from profile to report, and no second passes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from math import inf

from loadtest.latency import Samples
from loadtest.result import SHED
from loadtest.runs.assembly import assemble
from loadtest.runs.gauges import Reading
from loadtest.runs.generator import Finished
from loadtest.runs.plan import LoadTest
from loadtest.runs.profile import Profile, Share
from loadtest.runs.report import LoadReport
from loadtest.runs.series import PackedLatencies, Series
from loadtest.schedule import SECOND_NS, drive
from loadtest.usage import Usage

MS = 1_000_000
BEGAN = datetime(2026, 11, 25, 12, tzinfo=UTC)
MACHINE = {"cores": "2"}

Service = Callable[[int], int | None]
"""Moment at which a request is sent, in nanoseconds -> moment at which its decision is seen; None: never."""


class NumberClock:
    """Time that passes only when someone sleeps or works."""

    def __init__(self) -> None:
        self.ns = 0

    def elapsed_ns(self) -> int:
        return self.ns

    def sleep_ns(self, duration_ns: int) -> None:
        self.ns += duration_ns


def after_ms(milliseconds: float) -> Service:
    """Every request is decided that long after it was sent."""
    return lambda at_ns: at_ns + round(milliseconds * MS)


def generated(
    share: Share,
    service: Service,
    *,
    room: Callable[[int], bool] = lambda _at_ns: True,
    grace_ns: int = 0,
    patience_ms: float = inf,
) -> Finished:
    """One generator's run: `room` says whether the client takes a request at a moment; what is decided later than
    `patience_ms` after it was due is shed."""
    clock, series, lag, seen = NumberClock(), Series(share), Samples(), []

    def send(k: int) -> bool:
        if not room(clock.ns):
            return False
        series.sent(clock.ns)
        if k >= share.warmup:
            lag.append((clock.ns - share.due_ns(k)) // 1000)
        decided_ns = service(clock.ns)
        if decided_ns is not None:
            seen.append((decided_ns, k))
        return True

    handed_over = drive(share, send, clock, grace_ns=grace_ns, pause_ns=MS // 2)
    late = {k for decided_ns, k in seen if decided_ns - share.due_ns(k) > patience_ms * MS}
    for decided_ns, k in sorted(seen):
        series.decided(k, decided_ns, shed=k in late)
    measured = [(decided_ns, k) for decided_ns, k in seen if k >= share.warmup]
    decided_while_sending = sum(
        share.measured_from_ns <= decided_ns < share.length_ns for decided_ns, k in seen if k not in late
    )
    shed = sum(k in late for _, k in measured)
    sent = max(0, handed_over - share.warmup)
    return Finished(
        counts=series.counts(),
        requests=share.total - share.warmup,
        sent=sent,
        decided_while_sending=decided_while_sending,
        missing=sent - len(measured),
        warmup_missing=min(handed_over, share.warmup) - (len(seen) - len(measured)),
        send_lag=PackedLatencies.of(lag.histogram()),
        outcomes={name: count for name, count in (("approved", len(measured) - shed), (SHED, shed)) if count},
    )


def played(
    profile: Profile,
    service: Service,
    *,
    processes: int = 2,
    room: Callable[[int], bool] = lambda _at_ns: True,
    patience_ms: float = inf,
) -> LoadReport:
    """A whole load test; its worker uses half a core and grows by a megabyte a second, its lag is always 7."""
    test = LoadTest(profile, accounts=100, processes=processes)
    finished = [
        generated(Share(profile, number, processes), service, room=room, patience_ms=patience_ms)
        for number in range(processes)
    ]
    letters = Counter({"posted-ambiguous": 2})
    return assemble(test, BEGAN, 0, finished, readings=readings(profile), dead_letters=letters, machine=MACHINE)


def readings(profile: Profile) -> list[Reading]:
    """One for each second of the run."""
    found = []
    for second in range(round(profile.length_ns / SECOND_NS) + 1):
        at_ns = second * SECOND_NS
        worker = Usage(at_ns, second / 2, 100_000_000 + second * 1_000_000)
        generator = Usage(at_ns, second / 10, 50_000_000)
        found.append(Reading(at_ns, 7, worker, (generator, generator)))
    return found
