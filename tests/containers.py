"""The same servers in containers, for a machine with a Docker engine; ports are published on loopback only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from deploy.embedded.kafka import VERSION, Node, node_config
from deploy.embedded.ports import LOOPBACK, ReservedPort

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

_CONTROLLER_PORT = 9093


def docker_answers() -> bool:
    """Whether a Docker engine is there to be used."""
    import docker  # noqa: PLC0415 (slow, and not needed when addresses are given)

    try:
        with_engine = docker.from_env(timeout=5)
    except docker.errors.DockerException:
        return False
    try:
        return bool(with_engine.ping())
    except (docker.errors.DockerException, OSError):
        return False
    finally:
        with_engine.close()


@contextmanager
def kafka_container() -> Iterator[str]:
    """A broker with the embedded one's settings; yields its bootstrap address."""
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy  # noqa: PLC0415

    with ReservedPort() as reserved:
        node = Node(1, broker_port=reserved.number, controller_port=_CONTROLLER_PORT)
    config = node_config(node, [node], Path("/tmp/kraft-logs"))  # noqa: S108 (inside the container)
    config["listeners"] = f"PLAINTEXT://:{node.broker_port},CONTROLLER://{LOOPBACK}:{_CONTROLLER_PORT}"
    container = DockerContainer(f"apache/kafka:{VERSION}").waiting_for(LogMessageWaitStrategy("Kafka Server started"))
    for key, value in config.items():
        container.with_env(f"KAFKA_{key.upper().replace('.', '_')}", value)
    _publish(container, node.broker_port, (LOOPBACK, node.broker_port))
    with container:
        yield node.bootstrap


@contextmanager
def postgres_container() -> Iterator[str]:
    """A PostgreSQL of the embedded one's major version; yields its DSN."""
    from testcontainers.community.postgres import PostgresContainer  # noqa: PLC0415

    container = PostgresContainer("postgres:18", username="otb", password="otb", dbname="postgres", driver=None)
    _publish(container, 5432, (LOOPBACK,))
    with container:
        yield container.get_connection_url()


def _publish(container: DockerContainer, inner: int, outer: tuple[Any, ...]) -> None:
    """Publish a port on one address: the engine's client takes a tuple that the library's types don't know."""
    cast("dict[str, Any]", container.ports)[str(inner)] = outer
