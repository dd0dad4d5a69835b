"""Wires the worker: settings in, a running Faust app out. Start reading here.

    topics      authorizations, clearings, payments, account-events, clock      topics/declarations.py
    transport   one slice per poll, decisions at once, transactions for the rest  topics/transport/
    table       one row per account, restored from its changelog                tables/
    decider     slice -> decisions                                              agents/decider.py
    committer   what follows from them -> transaction -> store                  agents/committer.py
    engine      decode, score, decide (no Kafka in it)                          agents/engine.py, attempt.py
    domain      what is true                                                    models/

Faust's own side is in agents/faust_app.py, the ways to end in agents/ending.py.

Run it with `otb worker`, or `python -m agents.app`; it prints `ready` when it decides.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import faust
from aiokafka.errors import ProducerFenced
from faust.types import TP
from prometheus_client import start_http_server

from agents import cores, faust_app
from agents.clock import ClockTicker
from agents.committer import Committer, Step
from agents.decider import Decider
from agents.ending import abandon, give_up, refuse, stand_still
from agents.engine import Engine
from agents.faust_app import SliceSchema
from agents.metrics import WorkerMetrics
from agents.restoring import RestoreProgress
from agents.settings import Settings
from agents.watchdog import Watchdog
from models.account import DAY_MS
from models.authorization import Policy
from models.scoring.onnx import FraudModel
from tables import accounts, rows
from tables.source_offsets import SourceOffsets
from tables.store import begin_merging
from tables.sweep import RoundRobin
from tables.uncommitted import Uncommitted
from topics import admin
from topics.admin import CHECK_INTERVAL_S, Ground, PartitionCheck, PartitionMismatch, TopicMismatch
from topics.cluster import Cluster
from topics.declarations import AUTHORIZATION_DECISIONS, AUTHORIZATIONS, CLOCK, INPUTS
from topics.transport.consumer import Slice
from topics.transport.redo import UnreadableRedo
from topics.transport.release import Releases
from topics.transport.transaction import Transactions

STOPPING_S: Final = 5.0
"""What a worker that is told to end gives its slice in work; one lasts some milliseconds."""


@dataclass(slots=True)
class Worker:
    """Everything one worker is made of."""

    app: faust.App
    settings: Settings
    decider: Decider
    committer: Committer
    releases: Releases
    transactions: Transactions
    ticker: ClockTicker
    metrics: WorkerMetrics
    partitions: PartitionCheck
    watchdog: Watchdog = field(init=False)
    committing: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.watchdog = Watchdog(
            self.settings.stall_deadline_s, partial(_input_waits, self), partial(_done_with, self), stand_still
        )
        self.metrics.stalled.set_function(lambda: self.watchdog.stalled_s)


def build(settings: Settings, ground: Ground, step: Step = lambda _name: None) -> Worker:
    """A worker, not yet started, on what `prepare` found.

    `step` is called at each numbered step of a slice and of a commit (agents/decider.py, agents/committer.py).
    """
    cluster = _cluster(settings)
    metrics = WorkerMetrics()
    app = faust_app.make(settings, cluster, ground.cluster_id)
    table = accounts.declare(app, settings.partitions)
    table.on_failure = give_up
    table.on_newer = refuse
    transactions = Transactions(
        cluster, f"{settings.app_id}-{settings.worker}", settings.app_id, settings.transaction_timeout_ms
    )
    policy = Policy(
        settings.fraud_cut_ppm, settings.hold_days * DAY_MS, settings.stand_in_limit, settings.shed_after_ms or None
    )
    uncommitted = Uncommitted(table.row)
    engine = Engine(
        uncommitted.row,
        _fraud_model(settings),
        policy,
        settings.max_future_s * 1000,
        RoundRobin(table.scan),
        settings.partitions,
        encode_row=rows.encoder(settings.row_version),
    )
    changelog = admin.changelog(settings.app_id).name
    check = PartitionCheck(cluster, settings.app_id, settings.partitions)
    sources = SourceOffsets(ground.topic_ids, table.row)
    committer = Committer(
        transactions, changelog, AUTHORIZATION_DECISIONS.name, sources, uncommitted, write_rows=table.write,
        metrics=metrics, every_s=settings.commit_every_ms / 1000, step=step,
    )  # fmt: skip
    releases = Releases(cluster, AUTHORIZATION_DECISIONS.name, settings.app_id)
    decider = Decider(engine, releases, committer, metrics, step=step, check_partitions=check.now)
    worker = Worker(app, settings, decider, committer, releases, transactions, ClockTicker(cluster), metrics, check)
    _listen(worker)
    _watch_partitions(worker)
    return worker


def _fraud_model(settings: Settings) -> FraudModel | None:
    if settings.fraud_model == "none":
        return None
    return FraudModel.load() if settings.fraud_model == "packaged" else FraudModel.load(Path(settings.fraud_model))


def _listen(worker: Worker) -> None:
    """Register the agent and the moments of a worker's life with Faust."""
    app = worker.app
    progress = RestoreProgress(partial(print, flush=True))
    # acks=False: offsets travel in our transactions, Faust's own commit must find nothing to do.
    inputs = app.topic(
        *[spec.name for spec in INPUTS], partitions=worker.settings.partitions, acks=False, schema=SliceSchema()
    )

    @app.agent(inputs, name="decider")
    async def decide(stream: faust.StreamT[Any]) -> None:
        async for event in stream.events():
            await _handle(worker, cast(Slice, event.message.value))

    async def revoked(_app: Any, _partitions: Any, **_kwargs: Any) -> None:
        worker.metrics.ready.set(0)
        await _leave(worker)
        worker.watchdog.armed = False  # not before: the slice in work may be the one that stands still
        worker.ticker.taken.clear()

    async def restored(_app: Any, **_kwargs: Any) -> None:
        worker.metrics.ready.set(1)
        worker.watchdog.armed = True
        print("ready", flush=True)

    async def tick() -> None:
        owned = {tp.partition for tp in app.consumer.assignment() if tp.topic == INPUTS[0].name}
        await worker.ticker.tick(owned)
        worker.metrics.observe_lag(worker.decider.lags(app.consumer.highwater))
        worker.metrics.observe_standby_lag(await faust_app.tables(app).recovery.standby_lags())

    app.on_partitions_revoked.connect(cast(Any, revoked), weak=False)
    app.on_rebalance_complete.connect(cast(Any, restored), weak=False)

    def restoring(left: int) -> None:
        worker.metrics.restore_left.set(left)
        progress.look(left)

    app.timer(worker.settings.clock_tick_ms / 1000)(tick)
    faust_app.tables(app).on_progress = restoring
    faust_app.tables(app).before_recovery = partial(_before_recovery, worker)
    faust_app.tables(app).before_stop = partial(_finish_slice, worker)


async def _handle(worker: Worker, slice_: Slice) -> None:
    with _whatever_goes_wrong_ends(worker):
        await worker.decider.handle(slice_, faust_app.consumer(worker.app))


async def _leave(worker: Worker) -> None:
    """Partitions leave; being told to hurry is nothing that goes wrong."""
    with _whatever_goes_wrong_ends(worker):
        await worker.decider.revoked(faust_app.consumer(worker.app))


async def _commit(worker: Worker) -> None:
    with _whatever_goes_wrong_ends(worker):
        await worker.committer.run()


@contextmanager
def _whatever_goes_wrong_ends(worker: Worker, why: str = "the outcome of a transaction is unknown") -> Iterator[None]:
    """The worker, each in its way."""
    try:
        yield
    except asyncio.CancelledError:
        raise
    except (PartitionMismatch, rows.NewerRow, UnreadableRedo) as refusal:
        refuse(refusal)
    except ProducerFenced:
        give_up(_fenced(worker.settings))
    except BaseException:
        abandon(why)


async def _finish_slice(worker: Worker) -> None:
    """A slice that is left open keeps its requests waiting until the next owner has ended its transaction. Without a
    broker it is left all the same, or the worker could not be told to end."""
    with suppress(TimeoutError):
        await asyncio.wait_for(_leave(worker), STOPPING_S)


def _fenced(settings: Settings) -> str:
    return (
        f"the broker has ended the transaction of {settings.worker}: it was open for longer than "
        f"OTB_TRANSACTION_TIMEOUT_MS={settings.transaction_timeout_ms}, or another worker took over; start it again"
    )


def _input_waits(worker: Worker) -> bool:
    """A slice is in work, or what was decided is not committed, or the broker has a tick of ours that is not
    decided."""
    ticks = list(worker.ticker.taken.items())
    in_work = faust_app.consumer(worker.app).in_work or worker.committer.pending
    return in_work or any(
        offset >= worker.decider.next_offset(TP(CLOCK.name, partition)) for partition, offset in ticks
    )


def _done_with(worker: Worker) -> int:
    """Transactions, while something is to be committed: slices may go on without them for a while. Else both."""
    committed = worker.committer.finished
    return committed if worker.committer.pending else committed + worker.decider.finished


def _watch_partitions(worker: Worker) -> None:
    """Topics that get more partitions end the worker: now and then, and before input comes to a new assignment."""

    async def check_partitions() -> None:
        try:
            await worker.partitions.if_it_answers()
        except PartitionMismatch as refusal:
            refuse(refusal)

    async def before_input(term: int) -> None:
        """Topics that are uneven are assigned unevenly: input could come to a worker that has not its rows."""
        try:
            await worker.partitions.patiently(worker.settings.recovery_deadline_s)
        except PartitionMismatch as refusal:
            refuse(refusal)
        except Exception:
            abandon("the cluster does not tell how many partitions the topics have")

        with _whatever_goes_wrong_ends(worker, "what follows from released decisions is not known"):
            await _take_over(worker, term)

    worker.app.timer(CHECK_INTERVAL_S)(check_partitions)
    faust_app.tables(worker.app).before_input = before_input


async def _take_over(worker: Worker, term: int) -> None:
    """Rows are restored, input does not flow yet."""
    consumer = faust_app.consumer(worker.app)
    owned = {tp.partition for tp in consumer.assignment() if tp.topic == AUTHORIZATIONS.name}
    await worker.decider.take_over(owned, consumer, lambda: consumer.term == term)


async def _before_recovery(worker: Worker) -> None:
    """The consumer learns where to look up how far an input is decided; all producers start."""
    consumer = faust_app.consumer(worker.app)
    consumer.decided_to, consumer.input_flows = worker.committer.decided_to, worker.committer.input_flows
    await asyncio.gather(worker.transactions.start(), worker.releases.start(), worker.ticker.start())
    worker.committing = asyncio.create_task(_commit(worker))


def _cluster(settings: Settings) -> Cluster:
    if settings.kafka is None:
        raise ValueError("OTB_KAFKA is not set: a worker needs a broker")
    return settings.cluster(settings.kafka)


async def prepare(settings: Settings) -> Ground:
    """Create the topics this worker needs; which they are. Waits for brokers that lead them."""
    return await admin.ensure_topics(
        _cluster(settings), settings.app_id, settings.partitions, settings.replication,
        patience_s=settings.recovery_deadline_s,
    )  # fmt: skip


def run(settings: Settings, step: Step = lambda _name: None) -> None:
    """Run a worker until it is told to stop; never returns."""
    cores.stay_on(settings.worker_core, begin_beside=begin_merging)
    faust_app.prepare_process()
    worker = build(settings, asyncio.run(prepare(settings)), step)
    server, _thread = start_http_server(
        settings.worker_metrics_port, settings.metrics_host, registry=worker.metrics.registry
    )
    print(f"metrics {settings.metrics_host}:{server.server_port}", flush=True)
    worker.watchdog.start()
    faust_app.run(worker.app)


if __name__ == "__main__":
    try:
        run(Settings())
    except TopicMismatch as mismatch:
        sys.exit(f"worker: {mismatch}")
