"""One generator process: makes its share of the traffic, opens its accounts, sends on schedule, times the decisions.

It talks with the process that started it over one pipe: `Told` messages go up, one start instant comes down.
"""

from __future__ import annotations

import os
import signal
import threading
import traceback
from array import array
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Final

from loadtest.clients import NoSuchTopic, Unreachable
from loadtest.opening import NotOpened, open_accounts
from loadtest.openloop import Played, Run, play
from loadtest.runs.profile import Profile, Share
from loadtest.runs.series import Counts, PackedLatencies, Series
from loadtest.simulation import TooFewAccounts, partitions_at, prepare
from loadtest.spool import Spool
from topics.cluster import Cluster

_GLIMPSE_SECONDS: Final = 0.5
_OPENING_PATIENCE_SECONDS: Final = 30.0
_FORESEEN: Final = (NoSuchTopic, NotOpened, TooFewAccounts, Unreachable)


@dataclass(frozen=True, slots=True)
class Job:
    """What one generator does."""

    cluster: Cluster
    profile: Profile
    number: int  # from 0
    generators: int
    accounts: int  # its own
    seed: int
    run_id: str  # its own: starts every identifier and key, and no other generator's is a beginning of it
    follow_ups: bool
    now_ms: int  # Unix time before which all messages are dated
    drain_seconds: float
    grace_seconds: float
    max_outstanding: int

    @property
    def share(self) -> Share:
        return Share(self.profile, self.number, self.generators)

    @property
    def total(self) -> int:
        """Requests to send, warm-up included."""
        return self.share.total


@dataclass(frozen=True, slots=True)
class Progress:
    """Before the run: `done` of `total` of `what`."""

    what: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Ready:
    """Everything is in place; it waits for the start instant."""


@dataclass(frozen=True, slots=True)
class Glimpse:
    """During the run: counts so far, warm-up included, and the newest latencies."""

    sent: int
    refused: int
    decided: int
    recent_us: array[int]


@dataclass(frozen=True, slots=True)
class Finished:
    """The run is over. Numbers are of measured requests; those of each interval stand in `counts`."""

    counts: Counts
    requests: int  # due
    sent: int
    decided_while_sending: int
    missing: int
    warmup_missing: int
    send_lag: PackedLatencies
    outcomes: dict[str, int]


@dataclass(frozen=True, slots=True)
class Failed:
    """It could not go on: an error that a user can act on, or the trace of another one."""

    error: Exception | None
    trace: str = ""


Told = Progress | Ready | Glimpse | Finished | Failed


class _Pipe:
    """The upward pipe, shared by the threads of the process. Ends the process when nobody is left to read it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def tell(self, told: Told) -> None:
        try:
            with self._lock:
                self._connection.send(told)
        except OSError:
            os._exit(1)

    def wait_for_start(self) -> int:
        """The start instant in `time.monotonic_ns()`, which all processes of a machine share."""
        try:
            return int(self._connection.recv())
        except (EOFError, OSError):
            os._exit(1)


def generate(job: Job, connection: Connection) -> None:
    """Main function of the process. An interrupt is left to the parent, which ends its generators."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe = _Pipe(connection)
    try:
        pipe.tell(_generate(job, pipe))
    except _FORESEEN as error:
        pipe.tell(Failed(error))
    except Exception:  # another process has to report it
        pipe.tell(Failed(None, traceback.format_exc()))


def _generate(job: Job, pipe: _Pipe) -> Finished:
    spool = Spool()
    try:
        _prepare(job, spool, pipe)
        series = Series(job.share)
        run = Run(
            cluster=job.cluster,
            schedule=job.share,
            accounts=job.accounts,
            drain_seconds=job.drain_seconds,
            grace_seconds=job.grace_seconds,
            max_outstanding=job.max_outstanding,
            keys=job.run_id.encode(),
            observer=series,
        )
        stopping = threading.Event()
        glimpses = threading.Thread(target=_tell_glimpses, args=(series, pipe, stopping), daemon=True)

        def start() -> int:
            pipe.tell(Ready())
            at_ns = pipe.wait_for_start()
            glimpses.start()
            return at_ns

        played = play(replace(run, start=start), spool, lambda _what, _done, _total: None)
        stopping.set()
        glimpses.join()
        return _finished(job.share, series, played)
    finally:
        spool.close()


def _prepare(job: Job, spool: Spool, pipe: _Pipe) -> None:
    """Fill the spool and open the accounts."""
    partitions = partitions_at(job.cluster)
    traffic = prepare(
        job, job.run_id, partitions, job.now_ms, spool, lambda what, done, total: pipe.tell(Progress(what, done, total))
    )
    open_accounts(
        job.cluster,
        traffic.openings(),
        patience=_OPENING_PATIENCE_SECONDS,
        on_progress=lambda opened: pipe.tell(Progress("accounts opened", opened, job.accounts)),
    )


def _tell_glimpses(series: Series, pipe: _Pipe, stopping: threading.Event) -> None:
    while not stopping.wait(_GLIMPSE_SECONDS):
        pipe.tell(Glimpse(*series.totals(), array("q", series.recent())))


def _finished(share: Share, series: Series, played: Played) -> Finished:
    return Finished(
        counts=series.counts(),
        requests=share.total - share.warmup,
        sent=played.sent,
        decided_while_sending=played.decided_while_sending,
        missing=played.missing,
        warmup_missing=played.warmup_missing,
        send_lag=PackedLatencies.of(played.send_lag),
        outcomes=played.outcomes,
    )
