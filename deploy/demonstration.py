"""The main job of `make demo`: everything started from nothing, 30 s of card traffic, and every promise checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final

import orjson

from agents.settings import Settings
from deploy import accounting, embedded, reading
from deploy.embedded import Run
from deploy.embedded.kafka import SHORT_LIVED
from deploy.engine import Engine, create_topics, engine, engine_settings, require_given_servers
from loadtest import clients
from loadtest.openloop import Progress
from loadtest.result import LoadResult
from loadtest.simulation import Simulation, simulate
from models.outcomes import UpdateOutcome
from sinks.ledger import reports
from sinks.ledger.reconciliation import Difference
from topics.cluster import Cluster
from topics.declarations import DEAD_LETTERS

SIMULATION: Final = Simulation(rate=500, seconds=30, accounts=1000, warmup=2)
SINK_PATIENCE_SECONDS: Final = 60.0
PLAYED_ON_PURPOSE: Final = frozenset(
    {UpdateOutcome.POSTED_AMBIGUOUS, UpdateOutcome.PARTLY_SUSPENDED, UpdateOutcome.SUSPENDED}
)
"""Dead letters that card traffic brings with it: booked, and left for a person to look at."""


@dataclass(frozen=True, slots=True)
class Demonstration:
    """What was seen; `failures` is empty when every check passed."""

    load: LoadResult
    trial_balance: reports.TrialBalance
    entries: int  # journal entries written to the ledger during the demonstration
    postings: int  # and their postings
    accounts: int  # compared between table and ledger
    differences: list[Difference]
    dead_letters: dict[str, int]  # reason -> records

    def failures(self) -> list[str]:
        """One line for each check that failed."""
        found = self.load.failures()
        if not self.entries:
            found.append("nothing was posted")
        if not self.trial_balance.balanced:
            found.append(f"the trial balance is off by {self.trial_balance.imbalance}")
        if self.differences:
            found.append(f"{len(self.differences):,} differences between table and ledger")
        if self.accounts < self.load.accounts:
            found.append(f"only {self.accounts:,} of {self.load.accounts:,} accounts are in the table")
        unexpected = {name: count for name, count in self.dead_letters.items() if name not in PLAYED_ON_PURPOSE}
        if unexpected:
            found.append(f"unexpected dead letters: {unexpected}")
        return found

    def as_json(self) -> dict[str, object]:
        """All of it, ready for JSON."""
        failures = self.failures()
        return {
            "load": self.load.as_json(),
            "entries": self.entries,
            "postings": self.postings,
            "trial_balance": {
                "accounts": [asdict(row) | {"balance": row.balance} for row in self.trial_balance.rows],
                "imbalance": self.trial_balance.imbalance,
            },
            "reconciliation": {
                "accounts": self.accounts,
                "differences": [asdict(difference) for difference in self.differences],
            },
            "dead_letters": self.dead_letters,
            "failures": failures,
            "passed": not failures,
        }


def demonstrate(
    settings: Settings, say: Callable[[str], None], count: Progress, *, keep: bool = False
) -> Demonstration:
    """Start everything, play, check, stop everything. Raises what the parts raise when one of them breaks."""
    require_given_servers(settings)
    with embedded.servers(settings, say, keep=keep, jvm_options=SHORT_LIVED) as run:
        say("creating topics")
        create_topics(settings, settings.cluster(run.kafka), say)
        with engine(settings, run, say) as processes:
            seen = _play(settings, run, processes, say, count)
            say("stopping worker and sink")
    return seen


def _play(
    settings: Settings, run: Run, processes: Engine, say: Callable[[str], None], count: Progress
) -> Demonstration:
    cluster, dsn = settings.cluster(run.kafka), settings.ledger_dsn(run.postgres_dsn)
    letters_before = _ends(cluster, DEAD_LETTERS.name)
    counts_before = accounting.ask(dsn, reports.counts)
    plan = SIMULATION
    say(f"playing {plan.seconds:.0f} s of card traffic at {plan.rate:.0f}/s on {plan.accounts:,} accounts")
    load = simulate(cluster, plan, count, worker_pid=processes.worker.pid)
    for child in processes.children:
        child.check()
    say("waiting for the ledger")
    reconciliation = accounting.reconcile(
        engine_settings(settings, run),
        cluster,
        dsn,
        patience=SINK_PATIENCE_SECONDS,
        on_progress=say,
    )
    balance, counts = accounting.ask(dsn, accounting.balance_and_counts)
    return Demonstration(
        load=load,
        trial_balance=balance,
        entries=counts.entries - counts_before.entries,
        postings=counts.postings - counts_before.postings,
        accounts=reconciliation.accounts,
        differences=reconciliation.differences,
        dead_letters=_dead_letters_since(cluster, letters_before),
    )


def _ends(cluster: Cluster, topic: str) -> dict[int, int]:
    client = clients.reader(cluster)
    try:
        return clients.end_offsets(client, topic, clients.partitions_of(client, topic, cluster))
    finally:
        client.close()


def _dead_letters_since(cluster: Cluster, offsets: dict[int, int]) -> dict[str, int]:
    reasons = Counter(
        str(orjson.loads(message.value() or b"{}").get("reason"))
        for message in reading.committed(cluster, DEAD_LETTERS.name, offsets)
    )
    return dict(reasons)
