"""The Faust app under a worker, with what this system changes about Faust: its transport, its tables, its spinner."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any, cast

import faust
import mode.loop
from faust.types.auth import CredentialsT

from agents.ending import crashed
from agents.logs import calm
from agents.settings import Settings
from topics.cluster import Cluster
from topics.transport.connections import steady_connections
from topics.transport.consumer import SliceConsumer, SliceTransport
from topics.transport.recovery import MarkerAwareTables


def make(settings: Settings, cluster: Cluster, cluster_id: str) -> faust.App:
    """An app without agents and tables yet. Its local store is of this cluster, app id and worker name alone."""
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
    tables(app).recovery_deadline_s = settings.recovery_deadline_s
    return app


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


def tables(app: faust.App) -> MarkerAwareTables:
    return cast(MarkerAwareTables, app.tables)


def consumer(app: faust.App) -> SliceConsumer:
    return cast(SliceConsumer, app.consumer)


class SliceSchema(faust.Schema[Any, Any]):
    """Slices arrive as objects of ours; there is nothing left to decode."""

    def __init__(self) -> None:
        super().__init__(key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    def loads_key(self, *_args: Any, **_kwargs: Any) -> None:
        return None

    def loads_value(self, *args: Any, **_kwargs: Any) -> Any:
        _app, message = args
        return message.value


def run(app: faust.App) -> None:
    """Until it is told to stop; never returns. `prepare_process` comes before the app is made."""
    _calm_garbage_collector()
    Process(app).execute_from_commandline()


def prepare_process() -> None:
    """Let every event loop be uvloop's, that of Faust's consumer thread as well: p99 at 1,000/s fell from 60 to 39 ms
    (2 cores)."""
    mode.loop.use("uvloop")
    steady_connections()


class Process(faust.Worker):
    """Faust's process around the app.

    Without its progress spinner: that one sets the root logger to DEBUG, and then a sixth of the worker's time goes
    into aiokafka's log records, which no handler takes. And without its two seconds of sleep at the end: everything
    that has to end in order has done so by then, and a worker that is replaced holds its requests up that long.
    """

    def __init__(self, app: faust.App) -> None:
        super().__init__(app, loglevel="WARNING", quiet=True, redirect_stdouts=False)
        self.spinner = None

    def on_setup_root_logger(self, logger: logging.Logger, level: int) -> None:
        super().on_setup_root_logger(logger, level)
        calm(logger)

    def _crash(self, reason: BaseException) -> None:
        """Mode would stop everything in order. It has hung in that, with a part that waits for the one that failed."""
        crashed(reason)

    def _gather_all(self) -> None:
        for task in asyncio.all_tasks(self.loop):
            task.cancel()

    async def _sentinel_task(self) -> None:
        """One turn of the loop, in which they hear of it."""


def _calm_garbage_collector() -> None:
    """Rows and messages die by reference count; a collection finds nothing and costs a third of the decision time.
    What exists now lives for ever; the rest is looked at after every 100,000 new containers instead of 700."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)
