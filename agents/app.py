"""Wires the worker: settings in, a running Faust app out. Start reading here.

    topics      authorizations, clearings, payments, account-events, clock      topics/declarations.py
    transport   one slice per poll, one fenced transaction per slice            topics/transport/
    table       one row per account, restored from its changelog                tables/
    decider     slice -> transaction -> store                                   agents/decider.py
    engine      decode, score, decide (no Kafka in it)                          agents/engine.py
    domain      what is true                                                    models/

Run it with `otb worker`, or `python -m agents.app`; it prints `ready` when it decides.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import logging
import os
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import faust
import mode.loop
from faust.types import TP
from faust.types.auth import CredentialsT
from prometheus_client import start_http_server

from agents.clock import ClockTicker
from agents.decider import Decider, Step
from agents.engine import Engine
from agents.metrics import WorkerMetrics
from agents.settings import Settings
from agents.watchdog import Watchdog
from models.account import DAY_MS
from models.authorization import Policy
from models.scoring.onnx import FraudModel
from tables import accounts, rows
from tables.sweep import RoundRobin
from topics import admin
from topics.admin import CHECK_INTERVAL_S, PartitionCheck, PartitionMismatch, TopicMismatch
from topics.cluster import Cluster
from topics.declarations import CLOCK, INPUTS
from topics.transport.consumer import Slice, SliceConsumer, SliceTransport
from topics.transport.recovery import MarkerAwareTables
from topics.transport.transaction import Transactions

EXIT_UNKNOWN_OUTCOME: Final = 70
"""The worker ended because a transaction's outcome is unknown, its tables could not be restored, their disk is full, or
it stood still; restart it."""

EXIT_REFUSED: Final = 1
"""The worker must not go on with what it found, and a restart does not help."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Worker:
    """Everything one worker is made of."""

    app: faust.App
    settings: Settings
    decider: Decider
    transactions: Transactions
    ticker: ClockTicker
    metrics: WorkerMetrics
    partitions: PartitionCheck
    watchdog: Watchdog = field(init=False)

    def __post_init__(self) -> None:
        self.watchdog = Watchdog(
            self.settings.stall_deadline_s, partial(_input_waits, self), lambda: self.decider.finished, _stalled
        )
        self.metrics.stalled.set_function(lambda: self.watchdog.stalled_s)


def build(settings: Settings, cluster_id: str, step: Step = lambda _name: None) -> Worker:
    """A worker, not yet started, for the cluster that `prepare` found.

    `step` is called at each numbered step of a commit (see agents/decider.py).
    """
    cluster = _cluster(settings)
    metrics = WorkerMetrics()
    app = _faust_app(settings, cluster, cluster_id)
    table = accounts.declare(app, settings.partitions)
    table.on_full = _give_up
    table.on_newer = _refuse
    transactions = Transactions(
        cluster, f"{settings.app_id}-{settings.worker}", settings.app_id, settings.transaction_timeout_ms
    )
    policy = Policy(
        settings.fraud_cut_ppm, settings.hold_days * DAY_MS, settings.stand_in_limit, settings.shed_after_ms or None
    )
    engine = Engine(
        table.row,
        _fraud_model(settings),
        policy,
        settings.max_future_s * 1000,
        RoundRobin(table.scan),
        settings.partitions,
        encode_row=rows.encoder(settings.row_version),
    )
    changelog = admin.changelog(settings.app_id).name
    check = PartitionCheck(cluster, settings.app_id, settings.partitions)
    decider = Decider(engine, transactions, changelog, table.write, metrics, step=step, check_partitions=check.now)
    worker = Worker(app, settings, decider, transactions, ClockTicker(cluster), metrics, check)
    _listen(worker)
    _watch_partitions(worker)
    return worker


def _fraud_model(settings: Settings) -> FraudModel | None:
    if settings.fraud_model == "none":
        return None
    return FraudModel.load() if settings.fraud_model == "packaged" else FraudModel.load(Path(settings.fraud_model))


def _faust_app(settings: Settings, cluster: Cluster, cluster_id: str) -> faust.App:
    # The store belongs to one cluster: against another its offsets would mean nothing.
    data = settings.home.expanduser().absolute() / "tables" / cluster_id / settings.app_id / settings.worker
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    app = faust.App(
        settings.app_id,
        broker=f"kafka://{cluster}",
        broker_credentials=_credentials(cluster),
        store="rocksdb://",
        datadir=str(data),
        topic_partitions=settings.partitions,
        table_standby_replicas=settings.standby_replicas,
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_enabled=False,
        TableManager=MarkerAwareTables,
        broker_max_poll_records=settings.max_slice,
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=1,
        broker_commit_interval=3600,
        broker_commit_every=2**31,
        consumer_group_instance_id=settings.worker,
        consumer_auto_offset_reset="earliest",
    )
    app.transport = SliceTransport(app.conf.broker_consumer, app, settings.fetch_wait_ms)
    _tables(app).recovery_deadline_s = settings.recovery_deadline_s
    return app


def _tables(app: faust.App) -> MarkerAwareTables:
    return cast(MarkerAwareTables, app.tables)


def _consumer(app: faust.App) -> SliceConsumer:
    return cast(SliceConsumer, app.consumer)


def _listen(worker: Worker) -> None:
    """Register the agent and the moments of a worker's life with Faust."""
    app = worker.app
    # acks=False: offsets travel in our transactions, Faust's own commit must find nothing to do.
    inputs = app.topic(
        *[spec.name for spec in INPUTS], partitions=worker.settings.partitions, acks=False, schema=_SliceSchema()
    )

    @app.agent(inputs, name="decider")
    async def decide(stream: faust.StreamT[Any]) -> None:
        async for event in stream.events():
            try:
                await worker.decider.handle(cast(Slice, event.message.value), _consumer(app))
            except asyncio.CancelledError:
                raise
            except (PartitionMismatch, rows.NewerRow) as refusal:
                _refuse(refusal)
            except BaseException:
                _abandon("the outcome of a transaction is unknown")

    async def revoked(_app: Any, _partitions: Any, **_kwargs: Any) -> None:
        worker.metrics.ready.set(0)
        await worker.decider.revoked(_consumer(app))
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
        worker.metrics.observe_standby_lag(await _tables(app).recovery.standby_lags())

    app.on_partitions_revoked.connect(cast(Any, revoked), weak=False)
    app.on_rebalance_complete.connect(cast(Any, restored), weak=False)

    app.timer(worker.settings.clock_tick_ms / 1000)(tick)
    _tables(app).before_recovery = partial(_start_producers, worker)


def _input_waits(worker: Worker) -> bool:
    """A slice is in work, or the broker has a tick of ours that is not decided."""
    ticks = list(worker.ticker.taken.items())
    return _consumer(worker.app).in_work or any(
        offset >= worker.decider.next_offset(TP(CLOCK.name, partition)) for partition, offset in ticks
    )


def _watch_partitions(worker: Worker) -> None:
    """Topics that get more partitions end the worker: now and then, and before input comes to a new assignment."""

    async def check_partitions() -> None:
        try:
            await worker.partitions.if_it_answers()
        except PartitionMismatch as refusal:
            _refuse(refusal)

    async def before_input() -> None:
        """Topics that are uneven are assigned unevenly: input could come to a worker that has not its rows."""
        try:
            await worker.partitions.patiently(worker.settings.recovery_deadline_s)
        except PartitionMismatch as refusal:
            _refuse(refusal)
        except Exception:
            _abandon("the cluster does not tell how many partitions the topics have")

    worker.app.timer(CHECK_INTERVAL_S)(check_partitions)
    _tables(worker.app).before_input = before_input


async def _start_producers(worker: Worker) -> None:
    await worker.transactions.start()
    await worker.ticker.start()


class _SliceSchema(faust.Schema[Any, Any]):
    """Slices arrive as objects of ours; there is nothing left to decode."""

    def __init__(self) -> None:
        super().__init__(key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    def loads_key(self, *_args: Any, **_kwargs: Any) -> None:
        return None

    def loads_value(self, *args: Any, **_kwargs: Any) -> Any:
        _app, message = args
        return message.value


def _abandon(reason: str) -> None:
    """End at once, non-zero: nothing in memory may be trusted or flushed any more."""
    log.critical("worker ends: %s", reason, exc_info=True)
    _end(EXIT_UNKNOWN_OUTCOME)


def _stalled(reason: str) -> None:
    """As `_abandon`, from the watchdog's thread. Where every thread stands is written out; not by way of the logger,
    which may be what the worker stands still in."""
    os.write(sys.stderr.fileno(), f"worker ends: {reason}\n".encode())
    faulthandler.dump_traceback(sys.stderr)
    os._exit(EXIT_UNKNOWN_OUTCOME)


def _refuse(refusal: Exception) -> None:
    """End at once: what is open is aborted, and nobody's record is to blame."""
    log.critical("worker ends: %s", refusal)
    _end(EXIT_REFUSED)


def _end(code: int) -> None:
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


def _give_up(reason: Exception) -> None:
    """As `_abandon`, where the reason is known and needs no trace."""
    log.critical("worker ends: %s", reason)
    _end(EXIT_UNKNOWN_OUTCOME)


def _cluster(settings: Settings) -> Cluster:
    if settings.kafka is None:
        raise ValueError("OTB_KAFKA is not set: a worker needs a broker")
    return settings.cluster(settings.kafka)


def _credentials(cluster: Cluster) -> CredentialsT | None:
    """For the consumer and the producer that Faust makes itself."""
    context = cluster.ssl_context() if cluster.encrypted else None
    if cluster.password is not None:
        return faust.SASLCredentials(
            username=cluster.username,
            password=cluster.password.get_secret_value(),
            ssl_context=context,
            mechanism=cluster.mechanism,
        )
    return faust.SSLCredentials(context) if context is not None else None


async def prepare(settings: Settings) -> str:
    """Create the topics this worker needs; the id of the cluster they are on."""
    return await admin.ensure_topics(_cluster(settings), settings.app_id, settings.partitions, settings.replication)


def run(settings: Settings, step: Step = lambda _name: None) -> None:
    """Run a worker until it is told to stop; never returns."""
    mode.loop.use("uvloop")  # for Faust's consumer thread as well: p99 at 1,000/s fell from 60 to 39 ms (2 cores)
    worker = build(settings, asyncio.run(prepare(settings)), step)
    _calm_garbage_collector()
    server, _thread = start_http_server(
        settings.worker_metrics_port, settings.metrics_host, registry=worker.metrics.registry
    )
    print(f"metrics {settings.metrics_host}:{server.server_port}", flush=True)
    worker.watchdog.start()
    faust_worker(worker.app).execute_from_commandline()


def faust_worker(app: faust.App) -> faust.Worker:
    """Faust's process around the app, without its progress spinner: that one sets the root logger to DEBUG, and then a
    sixth of the worker's time goes into aiokafka's log records, which no handler takes."""
    process = faust.Worker(app, loglevel="WARNING", quiet=True, redirect_stdouts=False)
    process.spinner = None
    return process


def _calm_garbage_collector() -> None:
    """Rows and messages die by reference count; a collection finds nothing and costs a third of the decision time.
    What exists now lives for ever; the rest is looked at after every 100,000 new containers instead of 700."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)


if __name__ == "__main__":
    try:
        run(Settings())
    except TopicMismatch as mismatch:
        sys.exit(f"worker: {mismatch}")
