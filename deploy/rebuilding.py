"""Makes the ledger again from the journal in Kafka: the sink itself, on an empty database, up to the journal's end.

The journal is complete from offset 0 or not at all: an entry that has expired would be missing for good, and the
offsets would say that it had been read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from prometheus_client import CollectorRegistry

from agents.settings import Settings
from deploy import accounting
from loadtest import clients
from sinks.ledger import reports
from sinks.ledger.database import Connection, Database, place
from sinks.ledger.errors import LedgerError
from sinks.ledger.service import LedgerSink
from topics.cluster import Cluster
from topics.declarations import JOURNAL_ENTRIES

_LOOK_S: Final = 0.3

Progress = Callable[[str, int, int], None]
"""(what is counted, done, of how many)"""


class LedgerNotEmpty(LedgerError):
    """The database has a ledger with something in it."""


class JournalIncomplete(LedgerError):
    """The journal does not begin at its beginning any more."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What the journal's `records` (offsets, markers included) came to."""

    records: int
    entries: int
    postings: int
    accounts: int
    dead_letters: int
    imbalance: dict[str, int]
    gaps: int
    seconds: float

    @property
    def sound(self) -> bool:
        """Debits equal credits, and no account misses an entry."""
        return not any(self.imbalance.values()) and self.gaps == 0


def rebuild(settings: Settings, cluster: Cluster, dsn: str, on_progress: Progress) -> Rebuilt:
    """Fill the ledger at `dsn`; raises LedgerNotEmpty, JournalIncomplete, another LedgerError, Unreachable."""
    accounting.ask(dsn, _require_empty(dsn))
    ends = _ends_of_the_journal(cluster)
    return asyncio.run(_rebuild(settings, cluster, dsn, ends, on_progress))


def _require_empty(dsn: str) -> Callable[[Connection], Awaitable[None]]:
    async def look(connection: Connection) -> None:
        if await connection.fetchval("SELECT to_regclass('public.sink_offsets')") is None:
            return
        counts = await reports.counts(connection)
        if counts.entries or any((await reports.applied_offsets(connection)).values()):
            raise LedgerNotEmpty(
                f"the database {place(dsn)} has a ledger of {counts.entries:,} entries already: name an empty one in "
                "OTB_POSTGRES_DSN, or run `otb sink` to go on with this one"
            )

    return look


def _ends_of_the_journal(cluster: Cluster) -> dict[int, int]:
    topic = JOURNAL_ENTRIES.name
    client = clients.reader(cluster)
    try:
        partitions = clients.partitions_of(client, topic, cluster)
        for partition, first in clients.first_offsets(client, topic, partitions).items():
            if first:
                raise JournalIncomplete(
                    f"{topic}/{partition} begins at offset {first:,}: what was before it is gone, and the ledger "
                    "cannot be made again from it; restore a backup of the database (docs/runbook.md, Ledger)"
                )
        return clients.end_offsets(client, topic, partitions)
    finally:
        client.close()


async def _rebuild(
    settings: Settings, cluster: Cluster, dsn: str, ends: dict[int, int], on_progress: Progress
) -> Rebuilt:
    begun = time.monotonic()
    registry = CollectorRegistry()
    sink = LedgerSink(
        bootstrap=cluster.bootstrap,
        security=cluster.aiokafka(),
        dsn=dsn,
        group_id=f"{settings.app_id}-ledger-rebuild-{uuid4().hex[:8]}",  # a sink that runs keeps its partitions
        registry=registry,
        max_batch=settings.sink_max_batch,
    )
    database = Database(dsn, patience_s=accounting.PATIENCE_SECONDS)
    running = asyncio.create_task(sink.run())
    try:
        await _ready(sink, running)
        while (left := await _left(database, ends)) > 0:
            on_progress("journal records read", sum(ends.values()) - left, sum(ends.values()))
            await asyncio.wait({running}, timeout=_LOOK_S)
            if running.done():
                running.result()
        await sink.stop()
        await running
        counts, balance, gaps = await database.run(_summary)
    finally:
        await sink.stop()
        await database.close()
    letters = sum(
        sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "otb_sink_dead_letters_total"
    )
    return Rebuilt(
        sum(ends.values()), counts.entries, counts.postings, counts.accounts, int(letters), balance.imbalance,
        len(gaps), round(time.monotonic() - begun, 3),
    )  # fmt: skip


async def _ready(sink: LedgerSink, running: asyncio.Task[None]) -> None:
    """Its schema is up to date; raises what ended it before that."""
    ready = asyncio.ensure_future(sink.ready.wait())
    await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    if running.done():
        running.result()


async def _left(database: Database, ends: dict[int, int]) -> int:
    read = await database.run(reports.applied_offsets)
    return sum(max(0, end - read.get(partition, 0)) for partition, end in ends.items())


async def _summary(
    connection: Connection,
) -> tuple[reports.Counts, reports.TrialBalance, list[reports.SequenceGap]]:
    """All of the same moment."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return (
            await reports.counts(connection),
            await reports.trial_balance(connection),
            await reports.sequence_gaps(connection),
        )
