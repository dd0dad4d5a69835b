"""What every test may ask for: real servers, a fresh database, names of its own.

Servers, in this order: those in OTB_KAFKA and OTB_POSTGRES_DSN; containers, when a Docker engine answers; else the
embedded ones. They start when the first test asks for one and stop with the session. The header says which are used.
"""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from agents.settings import Settings
from deploy import accounting
from deploy.embedded import EmbeddedError, servers
from deploy.embedded.installation import install_kafka
from deploy.embedded.kafka import SHORT_LIVED, Broker, running_broker
from deploy.embedded.ports import ReservedPort
from deploy.embedded.postgres import Postgres
from loadtest import clients
from tests.containers import docker_answers, kafka_container, postgres_container
from tests.support.emptying import empty

_SETTINGS = pytest.StashKey[Settings]()
_DOCKER = pytest.StashKey[bool]()
_SLOW = ("chaos", "integration")
_SHARED_MACHINE = (HealthCheck.too_slow,)

hypothesis_settings.register_profile("dev", deadline=None, suppress_health_check=_SHARED_MACHINE)
hypothesis_settings.register_profile(
    "ci", deadline=None, derandomize=True, print_blob=True, suppress_health_check=_SHARED_MACHINE
)


def pytest_configure(config: pytest.Config) -> None:
    """Decide once which servers to use, and how property tests draw."""
    # A shell that starts `make test &` has it ignore Ctrl-C, and so would every process that a test interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    settings = Settings()
    both_given = bool(settings.kafka and settings.postgres_dsn)
    config.stash[_SETTINGS] = settings
    config.stash[_DOCKER] = not both_given and docker_answers()
    if not config.getoption("--hypothesis-profile", default=None):
        hypothesis_settings.load_profile("ci" if _in_ci() else "dev")


def _in_ci() -> bool:
    return os.environ.get("CI", "").lower() not in {"", "0", "false"}


def pytest_report_header(config: pytest.Config) -> str:
    """Which servers the tests will use."""
    settings = config.stash[_SETTINGS]
    own = "containers" if config.stash[_DOCKER] else "embedded (no Docker engine answers)"
    return f"servers: Kafka {settings.kafka or own}; PostgreSQL {'OTB_POSTGRES_DSN' if settings.postgres_dsn else own}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the folder they are in, and put those that take long first: what comes last is short, so that
    processes which share the files end at about the same time."""
    for item in items:
        if _folder(item) in _SLOW:
            item.add_marker(_folder(item))
    items.sort(key=lambda item: (*_SLOW, _folder(item)).index(_folder(item)))


def _folder(item: pytest.Item) -> str:
    return item.path.relative_to(Path(__file__).parent).parts[0]


@pytest.fixture(scope="session")
def shared_servers(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """Kafka's bootstrap address and PostgreSQL's DSN for the session."""
    settings: Settings = request.config.stash[_SETTINGS]
    with ExitStack() as stack:
        if request.config.stash[_DOCKER]:
            kafka = settings.kafka or stack.enter_context(kafka_container())
            postgres = settings.postgres_dsn or stack.enter_context(postgres_container())
            settings = settings.model_copy(update={"kafka": kafka, "postgres_dsn": postgres})
        try:
            run = stack.enter_context(servers(settings, print, jvm_options=SHORT_LIVED))
        except EmbeddedError as error:
            pytest.fail(f"the tests need their servers: {error}", pytrace=False)
        yield run.kafka, run.postgres_dsn


@pytest.fixture(scope="session")
def kafka(shared_servers: tuple[str, str]) -> str:
    """Bootstrap address of the session's Kafka; use `topic_prefix`, or `empty_kafka` for the real topic names."""
    return shared_servers[0]


@pytest.fixture(scope="session")
def postgres_dsn(shared_servers: tuple[str, str]) -> str:
    """DSN of the session's PostgreSQL server; use `database` for tables."""
    return shared_servers[1]


@pytest.fixture
async def database(postgres_dsn: str) -> AsyncIterator[str]:
    """DSN of an empty database of this test's own, dropped afterwards even if connections are left open."""
    name = f"test_{secrets.token_hex(6)}"
    server = await asyncpg.connect(postgres_dsn)
    try:
        await server.execute(f"CREATE DATABASE {name}")
        yield urlsplit(postgres_dsn)._replace(path=f"/{name}").geturl()
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await server.close()


@pytest.fixture
def topic_prefix() -> str:
    """A prefix for topic, group and transactional ids that no other test uses."""
    return f"t{secrets.token_hex(4)}-"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks a server that is not there gives up soon, instead of after seconds."""
    monkeypatch.setattr(clients, "REACH_SECONDS", 0.3)
    monkeypatch.setattr(accounting, "PATIENCE_SECONDS", 0.3)


@pytest.fixture(scope="session")
def kafka_jars(request: pytest.FixtureRequest) -> list[Path]:
    """The broker's jars."""
    return install_kafka(request.config.stash[_SETTINGS].home, print)


@pytest.fixture
def own_broker(tmp_path: Path, kafka_jars: list[Path]) -> Iterator[Broker]:
    """A broker of this test's own, running and empty: it may be stopped, killed and started again (some seconds)."""
    with running_broker(tmp_path / "kafka", kafka_jars, jvm_options=SHORT_LIVED) as broker:
        yield broker


@pytest.fixture(scope="session")
def broker_of_many(tmp_path_factory: pytest.TempPathFactory, kafka_jars: list[Path]) -> Iterator[str]:
    """What `empty_kafka` empties; never one that somebody has named in OTB_KAFKA."""
    with running_broker(tmp_path_factory.mktemp("broker") / "kafka", kafka_jars, jvm_options=SHORT_LIVED) as broker:
        yield broker.bootstrap


@pytest.fixture
def empty_kafka(broker_of_many: str) -> str:
    """Bootstrap address of a broker with nothing on it: for the real topic names. Other tests get it too, emptied
    again: whoever stops or alters the broker itself takes `own_broker`."""
    empty(broker_of_many)
    return broker_of_many


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[Postgres]:
    """A server of this test's own, running and empty: it may be stopped and started again."""
    with running_postgres(tmp_path / "postgres") as server:
        yield server


@contextmanager
def running_postgres(folder: Path) -> Iterator[Postgres]:
    with ReservedPort() as port:
        server = Postgres(folder, port.number)
        server.prepare()
        server.start()
        try:
            server.wait_ready()
            yield server
        finally:
            server.stop()
