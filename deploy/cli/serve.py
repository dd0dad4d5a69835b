"""`otb up`, `otb worker` and `otb sink`: the commands that run until they are told to stop."""

from __future__ import annotations

import asyncio
import signal
from functools import partial
from typing import Annotated, Any

import typer
from prometheus_client import CollectorRegistry, start_http_server

from agents.logs import log_to_stderr
from agents.settings import Settings
from deploy import embedded
from deploy.cli import environment
from deploy.cli.failures import EXIT_INTERRUPTED, UserError
from deploy.cli.output import Reporter, print_json, results
from deploy.embedded import Run
from deploy.engine import Engine, create_topics, engine, require_given_servers
from deploy.supervisor import watch
from loadtest import clients
from sinks.ledger.database import place
from sinks.ledger.service import LedgerSink
from topics.admin import PartitionCheck
from topics.cluster import Cluster
from topics.permissions import Role, permissions
from topics.transport.transaction import Transactions


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command()(worker)
    app.command()(sink)


def up(
    keep: Annotated[bool, typer.Option("--keep", help="Keep the run's folder: logs and data.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the addresses as JSON.")] = False,
) -> None:
    """Run everything until Ctrl-C: servers, topics, schema, a worker and the ledger sink.

    Servers named by OTB_KAFKA and OTB_POSTGRES_DSN are used instead of embedded ones.
    """
    settings = environment.settings()
    reporter = Reporter()
    require_given_servers(settings)
    with embedded.servers(settings, reporter.say, keep=keep) as run:
        create_topics(settings, settings.cluster(run.kafka), reporter.say)
        with engine(settings, run, reporter.say) as processes:
            try:
                _tell(_addresses(settings, run, processes), as_json)
                reporter.say("running; Ctrl-C stops everything")
                watch(processes.children)
            finally:
                reporter.say("stopping worker and sink")


def _tell(addresses: dict[str, str | int], as_json: bool) -> None:
    if as_json:
        print_json(addresses)
    else:
        for name, address in addresses.items():
            results().print(f"  {name:<15} {address}", soft_wrap=True)


def worker() -> None:
    """Run one worker until Ctrl-C, on the servers of `otb up` or those in the settings.

    Give further workers names of their own: OTB_WORKER=worker-1 otb worker.
    """
    from agents.app import run as run_worker  # noqa: PLC0415  (the engine takes a second to import)
    from agents.cores import UnusableCore  # noqa: PLC0415
    from models.scoring.onnx import UnusableModel  # noqa: PLC0415
    from tables.rows import UnwritableVersion  # noqa: PLC0415

    settings, _run = environment.connected(environment.settings())
    cluster = settings.cluster(str(settings.kafka))
    clients.require(cluster)
    if cluster.protocol != "PLAINTEXT":  # a missing right would be a trace out of Faust
        create_topics(settings, cluster, partial(typer.echo, err=True))
        clients.require_permissions(cluster, permissions(Role.WORKER, settings.app_id))
        asyncio.run(_try_transactions(settings, cluster))
    log_to_stderr()
    try:
        run_worker(settings)
    except UnusableModel as error:
        raise UserError(f"OTB_FRAUD_MODEL={settings.fraud_model}: {error}") from error
    except UnusableCore as error:
        raise UserError(f"OTB_WORKER_CORE={settings.worker_core}: {error}") from error
    except UnwritableVersion as error:
        raise UserError(f"OTB_ROW_VERSION={settings.row_version}: {error}") from error


async def _try_transactions(settings: Settings, cluster: Cluster) -> None:
    """Become the producer that the worker is about to be, and leave; raises KafkaError without the right to it."""
    transactions = Transactions(
        cluster, f"{settings.app_id}-{settings.worker}", settings.app_id, settings.transaction_timeout_ms
    )
    try:
        await transactions.start()
    finally:
        await transactions.stop()


def sink() -> None:
    """Run one ledger sink until Ctrl-C, on the servers of `otb up` or those in the settings."""
    settings, _run = environment.connected(environment.settings())
    cluster = settings.cluster(str(settings.kafka))
    clients.require(cluster)
    if cluster.protocol != "PLAINTEXT":
        clients.require_permissions(cluster, permissions(Role.SINK, settings.app_id))
    environment.require_partitions(settings, cluster)
    log_to_stderr()
    interrupted = asyncio.run(_run_sink(settings))
    if interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)


async def _run_sink(settings: Settings) -> bool:
    """Until SIGTERM or Ctrl-C; True when it was Ctrl-C."""
    registry = CollectorRegistry()
    ledger = LedgerSink(
        bootstrap=str(settings.kafka),
        security=settings.cluster(str(settings.kafka)).aiokafka(),
        dsn=settings.ledger_dsn(str(settings.postgres_dsn)),
        group_id=f"{settings.app_id}-ledger",
        registry=registry,
        max_batch=settings.sink_max_batch,
    )
    signals: list[signal.Signals] = []
    told = asyncio.Event()

    def tell(number: signal.Signals) -> None:
        signals.append(number)
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, tell, number)
    check = PartitionCheck(settings.cluster(str(settings.kafka)), settings.app_id, settings.partitions)
    running, checking = asyncio.create_task(ledger.run()), asyncio.create_task(check.forever())
    server, _thread = start_http_server(settings.sink_metrics_port, settings.metrics_host, registry=registry)
    print(f"metrics {settings.metrics_host}:{server.server_port}", flush=True)
    try:
        await _first((running, checking), ledger.ready.wait(), told.wait())
        if ledger.ready.is_set():
            print("ready", flush=True)
        await _first((running, checking), told.wait())
    finally:
        checking.cancel()
        await ledger.stop()
        await asyncio.gather(checking, check.stop(), return_exceptions=True)
    await running
    return signal.SIGINT in signals


async def _first(running: tuple[asyncio.Task[Any], ...], *waits: object) -> None:
    """Return when one of them has happened; raises what ended one that runs."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]  # type: ignore[call-overload]
    try:
        await asyncio.wait([*running, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in running:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()


def _addresses(settings: Settings, run: Run, processes: Engine) -> dict[str, str | int]:
    given = place(settings.postgres_dsn) if settings.postgres_dsn else None  # without its password
    addresses: dict[str, str | int] = {"kafka": run.kafka, "postgres_dsn": given or run.postgres_dsn}
    for child in processes.children:
        addresses[f"{child.name}_metrics"] = child.announced("metrics") or ""
        addresses[f"{child.name}_pid"] = child.pid
    return addresses | {"logs": str(run.folder)}
