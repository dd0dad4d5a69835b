"""The engine's processes on given servers: one worker and one ledger sink."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from agents import cores
from agents.settings import Settings
from deploy import accounting
from deploy.embedded import Run
from deploy.embedded.process import BACKGROUND
from deploy.supervisor import Child, child
from loadtest import clients
from topics.admin import ensure_topics
from topics.cluster import Cluster

READY_SECONDS: Final = 90.0


@dataclass(frozen=True, slots=True)
class Engine:
    """A worker that decides and a sink that posts."""

    worker: Child
    sink: Child

    @property
    def children(self) -> tuple[Child, Child]:
        return self.worker, self.sink


def engine_home(settings: Settings, run: Run) -> Path:
    """Where a worker keeps its tables. They belong to one cluster: an embedded one keeps them in its run's folder."""
    return settings.home if settings.kafka else run.folder


def engine_settings(settings: Settings, run: Run) -> Settings:
    """The settings of the run's own processes: the addresses of its servers, and a home that fits them."""
    home = engine_home(settings, run)
    return settings.model_copy(update={"kafka": run.kafka, "postgres_dsn": run.postgres_dsn, "home": home})


def environment(settings: Settings) -> dict[str, str]:
    """The settings as environment variables of a child process."""
    return {
        f"OTB_{name.upper()}": value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in settings.model_dump().items()
        if value is not None
    }


def require_given_servers(settings: Settings) -> None:
    """Raise Unreachable or LedgerError when a server named in the settings does not answer, before anything starts."""
    if settings.kafka:
        clients.require(settings.cluster(settings.kafka))
    if settings.postgres_dsn:
        accounting.require(settings.ledger_dsn(settings.postgres_dsn))


def create_topics(settings: Settings, cluster: Cluster, on_wait: Callable[[str], object]) -> None:
    """Create what is missing on the cluster; raises TopicMismatch."""
    created = ensure_topics(
        cluster, settings.app_id, settings.partitions, settings.replication,
        patience_s=settings.recovery_deadline_s, on_wait=on_wait,
    )  # fmt: skip
    asyncio.run(created)


def command(name: str) -> list[str]:
    """The command line of `otb NAME` as a child process, so that its failures are one line; settings: environment."""
    return [sys.executable, "-m", "deploy.cli", name]


@contextmanager
def engine(settings: Settings, run: Run, on_progress: Callable[[str], None]) -> Iterator[Engine]:
    """Worker and sink for the time of the block, both ready; the worker stops first. Raises ChildDied."""
    variables = environment(engine_settings(settings, run)) | {"PYTHONUNBUFFERED": "1"}
    on_progress("starting worker and sink")
    with (
        child("sink", command("sink"), run.folder, variables, BACKGROUND) as sink,
        child("worker", command("worker"), run.folder, variables | _its_core(settings)) as worker,
    ):
        sink.wait_ready(READY_SECONDS)
        worker.wait_ready(READY_SECONDS, on_progress)
        _publish_metrics(run, {"worker": worker, "sink": sink})
        on_progress(f"worker {worker.pid} and sink {sink.pid} are ready")
        yield Engine(worker, sink)


def _its_core(settings: Settings) -> dict[str, str]:
    """The worker's, out of the way of the servers unless the settings say where."""
    core = cores.beside_servers(settings.worker_core)
    return {} if core is None else {"OTB_WORKER_CORE": str(core)}


def _publish_metrics(run: Run, children: dict[str, Child]) -> None:
    for name, each in children.items():
        address = each.announced("metrics")
        if address:
            run.ports[name] = int(address.rpartition(":")[2])
    run.publish()
