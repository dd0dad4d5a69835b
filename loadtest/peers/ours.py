"""The job on this engine: `python -m loadtest.peers.ours STAGE...`.

Everything is the worker's own (Faust app, slice transport, decider, released decisions, fenced transactions, RocksDB
store, metrics),
except that `MinimalEngine` decides in place of the card engine, and that the topics are the stage's.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter, defaultdict
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import faust
import msgspec
from aiokafka import ConsumerRecord
from faust.types import TP

from agents import cores, faust_app
from agents.committer import Committer
from agents.decided import Decided
from agents.decider import Decider
from agents.ending import abandon
from agents.engine import Engine
from agents.metrics import WorkerMetrics
from agents.settings import Settings
from loadtest.peers import job
from loadtest.peers.stage import Stage, end_with_parent
from tables import accounts
from tables.source_offsets import Rows, SourceOffsets
from tables.uncommitted import Uncommitted
from tables.unit_of_work import ReadRow
from topics.transport.consumer import Slice
from topics.transport.release import Releases
from topics.transport.transaction import Transactions

WORKER: Final = "worker-0"


class MinimalEngine:
    """`agents.engine.Engine` for the minimal job: records in, rows and decisions out, nothing sent or stored yet."""

    def __init__(self, read_row: ReadRow, decisions: str) -> None:
        self._read_row = read_row
        self._decisions = decisions
        self._decode = msgspec.json.Decoder(job.Request).decode
        self._decode_row = msgspec.json.Decoder(job.Row).decode
        self._encode = msgspec.json.Encoder().encode

    def decide(self, records: Mapping[TP, list[ConsumerRecord]], now: int) -> Decided:  # noqa: ARG002 - Engine's
        """Decide all records of a slice."""
        rows: dict[int, Rows] = {}
        sent: dict[tuple[str, int], list[tuple[bytes | None, bytes]]] = defaultdict(list)
        for tp, fetched in records.items():
            changed, decisions = self._decide_partition(tp.partition, fetched)
            sent[self._decisions, tp.partition] = decisions
            if changed:
                rows[tp.partition] = changed
        outcomes = Counter({("request", "decided"): sum(map(len, sent.values()))})
        return Decided(rows, sent, outcomes, Counter(), model_seconds=0.0)

    def _decide_partition(
        self, partition: int, records: Iterable[ConsumerRecord]
    ) -> tuple[Rows, list[tuple[bytes | None, bytes]]]:
        changed: dict[bytes, bytes] = {}
        decisions: list[tuple[bytes | None, bytes]] = []
        decode, decode_row, encode = self._decode, self._decode_row, self._encode
        for record in records:
            request, key = decode(record.value), record.key
            stored = changed.get(key) or self._read_row(partition, key)
            row = job.Row() if stored is None else decode_row(stored)
            given, is_new = job.answer(row, request)
            if is_new:
                changed[key] = encode(row)  # while it is in the processor's cache, as `UnitOfWork.put_away` does
            decisions.append((key, encode(job.addressed(request, given))))
        return list(changed.items()), decisions


@dataclass(frozen=True, slots=True)
class Parts:
    """Of the worker, as `agents.app.Worker` has them."""

    app: faust.App
    decider: Decider
    committer: Committer
    releases: Releases
    transactions: Transactions


def build(stage: Stage) -> faust.App:
    """The worker's app around the minimal engine (compare `agents.app.build`)."""
    settings = Settings(
        kafka=stage.bootstrap, app_id=stage.app_id, worker=WORKER, home=stage.folder, partitions=stage.partitions
    )
    app = faust_app.make(settings, stage.cluster, "peers")
    table = accounts.declare(app, stage.partitions)
    transactions = Transactions(
        stage.cluster, f"{stage.app_id}-{WORKER}", stage.app_id, settings.transaction_timeout_ms
    )
    metrics, uncommitted, sources = WorkerMetrics(), Uncommitted(table.row), SourceOffsets({}, table.row)
    committer = Committer(
        transactions, stage.changelog, stage.decisions, sources, uncommitted, write_rows=table.write, metrics=metrics,
        every_s=settings.commit_every_ms / 1000,
    )  # fmt: skip
    releases = Releases(stage.cluster, stage.decisions, stage.app_id)
    engine = cast(Engine, MinimalEngine(uncommitted.row, stage.decisions))
    parts = Parts(app, Decider(engine, releases, committer, metrics), committer, releases, transactions)
    _listen(parts, stage)
    return app


def _listen(parts: Parts, stage: Stage) -> None:
    """The agent and the moments of `agents.app._listen`, without clock ticks."""
    app, decider = parts.app, parts.decider
    requests = app.topic(stage.requests, partitions=stage.partitions, acks=False, schema=faust_app.SliceSchema())

    @app.agent(requests, name="decider")
    async def decide(stream: faust.StreamT[Any]) -> None:
        async for event in stream.events():
            await _or_end(decider.handle(cast(Slice, event.message.value), faust_app.consumer(app)))

    async def revoked(_app: Any, _partitions: Any, **_kwargs: Any) -> None:
        await _or_end(decider.revoked(faust_app.consumer(app)))

    async def before_recovery() -> None:
        consumer = faust_app.consumer(app)
        consumer.decided_to, consumer.input_flows = parts.committer.decided_to, parts.committer.input_flows
        await asyncio.gather(parts.transactions.start(), parts.releases.start())
        committing.append(asyncio.create_task(_or_end(parts.committer.run())))

    async def before_input(term: int) -> None:
        consumer = faust_app.consumer(app)
        owned = {tp.partition for tp in consumer.assignment() if tp.topic == stage.requests}
        await _or_end(decider.take_over(owned, consumer, lambda: consumer.term == term))

    committing: list[asyncio.Task[None]] = []  # kept, or it could be collected
    app.on_partitions_revoked.connect(cast(Any, revoked), weak=False)
    faust_app.tables(app).before_recovery = before_recovery
    faust_app.tables(app).before_input = before_input


async def _or_end(work: Coroutine[Any, Any, Any]) -> None:
    """The process, if that raises."""
    try:
        await work
    except asyncio.CancelledError:
        raise
    except BaseException:
        abandon("the outcome of a transaction is unknown")


def main() -> None:
    """Run until told to stop (compare `agents.app.run`)."""
    end_with_parent()
    cores.stay_on(cores.spare())
    faust_app.prepare_process()
    app = build(Stage.from_arguments(sys.argv[1:]))
    del sys.argv[1:]
    faust_app.run(app)


if __name__ == "__main__":
    main()
