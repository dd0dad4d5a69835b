"""What every command starts from: the settings, and the servers they lead to."""

from __future__ import annotations

from agents.settings import Settings
from deploy.embedded import Run
from deploy.embedded.discovery import current_run
from deploy.engine import engine_settings
from loadtest import clients
from topics import admin
from topics.cluster import Cluster


def settings() -> Settings:
    """The settings from the environment; a bad one is reported with its variable (pydantic.ValidationError)."""
    return Settings()


def connected(base: Settings) -> tuple[Settings, Run]:
    """The settings completed with the addresses of a running `otb up`, and that run; raises NoRunError."""
    run = current_run(base)
    return engine_settings(base, run), run


def cluster(base: Settings) -> Cluster:
    """The cluster to use when PostgreSQL is not needed; raises NoRunError."""
    return base.cluster(base.kafka or current_run(base).kafka)


def postgres_address(base: Settings) -> str:
    """DSN to use when Kafka is not needed; raises NoRunError."""
    return base.ledger_dsn(base.postgres_dsn or current_run(base).postgres_dsn)


def require_partitions(base: Settings, cluster: Cluster) -> None:
    """Raise PartitionMismatch when the cluster's topics are not what OTB_PARTITIONS says, Unreachable or Refused when
    no broker lets us in. Topics that do not exist, or that we may not see, are left to whoever needs them."""
    client = clients.reader(cluster)
    try:
        admin.require_partitions(clients.reach(client, cluster), base.app_id, base.partitions)
    finally:
        client.close()
