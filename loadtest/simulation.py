"""Plays the card network against a running engine: opens fresh accounts, prepares traffic, sends it open loop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol

from loadtest import clients
from loadtest.errors import LoadtestError
from loadtest.opening import open_accounts
from loadtest.openloop import Progress, Run, run
from loadtest.result import LoadResult
from loadtest.schedule import Schedule
from loadtest.spool import Spool, grouped
from loadtest.traffic import Labelled, Traffic
from models.messages import AuthorizationRequest
from topics.cluster import Cluster
from topics.declarations import AUTHORIZATIONS

DAY_MS: Final = 86_400_000
USUAL_PER_DAY: Final = 3.0  # requests per account and day
LONGEST_SPAN_DAYS: Final = 5.0  # most holds live seven days or more: they do not end before the run does
MOST_PER_DAY: Final = 1000.0
_CURRENCY: Final = "USD"
_MARGIN: Final = 1.1
_MINUTE_MS: Final = 60_000
_ATTEMPTS: Final = 10


class TooFewAccounts(LoadtestError):
    """So many requests on so few accounts is not card traffic."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """What to play: `rate` authorisation requests per second for `seconds`, after `warmup` seconds of the same."""

    rate: float
    seconds: float
    accounts: int
    seed: int = 1
    warmup: float = 2.0
    follow_ups: bool = True  # everything else that networks send as well, not only authorisation requests

    @property
    def schedule(self) -> Schedule:
        return Schedule.lasting(self.rate, self.seconds, self.warmup)

    @property
    def total(self) -> int:
        """Requests to send, warm-up included."""
        return self.schedule.total


class Playlist(Protocol):
    """What messages to make, however they are spread over the run."""

    @property
    def total(self) -> int:
        """Requests, warm-up included."""

    @property
    def accounts(self) -> int:
        """Accounts that make them."""

    @property
    def seed(self) -> int:
        """Equal seeds make equal traffic."""

    @property
    def follow_ups(self) -> bool:
        """Whether to make everything else that networks send as well."""


@dataclass(frozen=True, slots=True)
class Span:
    """How much simulated time a run covers, and how busy an account is in it."""

    days: float
    per_account_day: float


def span_of(requests: int, accounts: int) -> Span:
    """At the usual activity if that stays within the longest span, else busier; raises TooFewAccounts."""
    usual_days = requests / (accounts * USUAL_PER_DAY)
    if usual_days <= LONGEST_SPAN_DAYS:
        return Span(usual_days, USUAL_PER_DAY)
    per_day = requests / (accounts * LONGEST_SPAN_DAYS)
    if per_day > MOST_PER_DAY:
        enough = -(-requests // int(LONGEST_SPAN_DAYS * MOST_PER_DAY))
        raise TooFewAccounts(f"{requests:,} requests need at least {enough:,} accounts, not {accounts:,}")
    return Span(LONGEST_SPAN_DAYS, per_day)


def simulate(cluster: Cluster, plan: Simulation, on_progress: Progress, *, worker_pid: int | None = None) -> LoadResult:
    """Open the accounts, play the traffic and report; every run has accounts of its own.

    Raises TooFewAccounts, Unreachable, NoSuchTopic, or NotOpened when no engine answers.
    """
    schedule = plan.schedule
    partitions = partitions_at(cluster)
    spool = Spool()
    try:
        openings = prepare(plan, fresh_run(), partitions, time.time_ns() // 1_000_000, spool, on_progress)
        open_accounts(
            cluster,
            openings.openings(),
            patience=30,
            on_progress=lambda opened: on_progress("accounts opened", opened, plan.accounts),
        )
        del openings
        return run(Run(cluster, schedule, plan.accounts, worker_pid=worker_pid), spool, on_progress)
    finally:
        spool.close()


def fresh_run() -> str:
    """A prefix for every identifier of one run."""
    return f"s{time.time_ns() // 1000:x}"


def prepare(plan: Playlist, run_id: str, partitions: int, now_ms: int, spool: Spool, on_progress: Progress) -> Traffic:
    """Fill `spool` with the run's messages, dated so that they end shortly before `now_ms` and never after it."""
    total = plan.total
    span = span_of(total, plan.accounts)
    start_ms = now_ms - round(span.days * DAY_MS * _MARGIN) - _MINUTE_MS
    too_late = 0
    for attempt in range(_ATTEMPTS):
        traffic = Traffic(plan.seed, plan.accounts, run_id, _CURRENCY, start_ms, span.per_account_day)
        clock = _LastTime(start_ms)
        stream = clock.watch(traffic.stream())
        groups = islice(grouped(stream if plan.follow_ups else _requests(stream), partitions), total)
        spool.clear()
        spool.extend(groups, lambda done: on_progress("messages prepared", done, total))
        spare_ms = now_ms - clock.last_ms
        if spare_ms >= 0 and (spare_ms < DAY_MS or attempt >= _ATTEMPTS // 2):
            return traffic
        # Another start is other traffic: a few accounts may then need a day more or less. And nights are slow, so a
        # short span may not fit: start earlier by what was too late, and each time by more.
        if spare_ms >= 0:
            start_ms += spare_ms // 2
        else:
            start_ms -= (_MINUTE_MS - spare_ms) * 2**too_late
            too_late += 1
    raise AssertionError(f"{total} requests of {plan.accounts} accounts do not fit before {now_ms}")


def _requests(stream: Iterator[Labelled]) -> Iterator[Labelled]:
    return (labelled for labelled in stream if isinstance(labelled.message, AuthorizationRequest))


class _LastTime:
    """Remembers the latest date of the messages that went by."""

    def __init__(self, start_ms: int) -> None:
        self.last_ms = start_ms

    def watch(self, stream: Iterator[Labelled]) -> Iterator[Labelled]:
        for labelled in stream:
            self.last_ms = max(self.last_ms, labelled.message.transmitted_at)  # what is late or repeated is older
            yield labelled


def partitions_at(cluster: Cluster) -> int:
    """Partitions of every topic of the engine's cluster; raises Unreachable or NoSuchTopic."""
    client = clients.reader(cluster)
    try:
        return clients.partitions_of(client, AUTHORIZATIONS.name, cluster)
    finally:
        client.close()
