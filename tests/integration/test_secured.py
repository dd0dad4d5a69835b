"""Servers that take only TLS, passwords and rights: everything works on them, and whoever should not, does not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import KafkaError, Message, Producer
from confluent_kafka.admin import (
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from deploy import acls, reading
from loadtest import clients
from tests.support.certificates import Authority
from tests.support.secured import APP_ID, NOBODY, OPERATOR, Secured, secured, without_settings
from tests.support.workers import WorkerProcess
from tests.support.workers import otb as process
from topics.permissions import Role

pytestmark = pytest.mark.timeout(900)
ROOT = Path(__file__).parents[2]
PATIENCE_S = 120
WORKER, SINK, GATEWAY, NETWORK, ANALYST = (f"{APP_ID}-{role}" for role in Role)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, kafka_jars: list[Path]) -> Iterator[Secured]:
    """Both servers; the operator has granted every role its rights, by command."""
    folder = tmp_path_factory.mktemp("secured")
    for each in (folder, *folder.parents[:2]):
        each.chmod(0o755)  # PostgreSQL may run as another user
    with secured(folder, kafka_jars) as running:
        granted = otb(running.environment(OPERATOR), "acls", "--apply")
        assert granted.returncode == 0, granted.stderr
        with engine(running):  # makes the topics
            yield running


def otb(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command, to its end: nothing may hang."""
    return subprocess.run(
        [sys.executable, "-m", "deploy.cli", *arguments],
        env=without_settings() | environment, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip


@contextmanager
def running(servers: Secured, command: str, user: str, **settings: object) -> Iterator[WorkerProcess]:
    with process(command, servers.folder, servers.environment(user, **settings)) as started:
        yield started
    for password in (*servers.passwords.values(), servers.postgres.password):
        assert password not in started.output()


@contextmanager
def engine(servers: Secured) -> Iterator[None]:
    with running(servers, "worker", WORKER), running(servers, "sink", SINK):
        yield


def refusal(servers: Secured, environment: dict[str, str], *arguments: str) -> str:
    """The one line that a command ends with, non-zero and without a trace."""
    ended = otb(environment, *arguments)
    lines = [line for line in ended.stderr.splitlines() if line.startswith("otb: ")]
    assert (ended.returncode, len(lines)) == (1, 1), ended
    assert "Traceback" not in ended.stderr + ended.stdout
    for password in (*servers.passwords.values(), servers.postgres.password, "not-the-password"):
        assert password not in ended.stderr + ended.stdout
    return lines[0]


def test_accounts_are_opened_decided_journalled_and_posted_over_tls(servers: Secured) -> None:
    played = otb(servers.environment(NETWORK), "simulate", "--rate=50", "--seconds=3", "--accounts=20", "--json")
    report = orjson.loads(played.stdout)
    assert (report["sent"] > 100, report["unsent"], report["missing"]) == (True, 0, 0), played
    compared = otb(servers.environment(ANALYST), "reconcile", "--json")
    assert compared.returncode == 0, compared
    result = orjson.loads(compared.stdout)
    assert (result["accounts"], result["differences"]) == (20, [])
    assert otb(servers.environment(ANALYST), "trial-balance", "--json").returncode == 0
    shown = otb(servers.environment(ANALYST), "tail", "authorization-decisions", "--no-follow", "--limit=1", "--json")
    account = orjson.loads(shown.stdout)["value"]["account_id"]
    assert otb(servers.environment(ANALYST), "account", account, "--json").returncode == 0


def test_the_gateway_starts_with_its_rights(servers: Secured) -> None:
    cards = servers.folder / "cards.csv"
    cards.write_text("pan,account_id,card_token\n9999990000000016,acct-1,card-acct-1\n")
    with running(servers, "gateway", GATEWAY, gateway_cards=cards) as gateway:
        assert "listening 127.0.0.1:" in gateway.output()


@pytest.mark.parametrize(
    ("command", "user", "wrong", "words"),
    [
        ("worker", WORKER, "authority", ["certificate verify failed"]),
        ("sink", SINK, "authority", ["certificate verify failed"]),
        ("worker", WORKER, "password", ["SASL", "invalid credentials"]),
        ("simulate", NETWORK, "password", ["SASL", "invalid credentials"]),
        ("tail journal-entries", ANALYST, "protocol", ["127.0.0.1"]),
        ("worker", NOBODY, "rights", ["authoriz"]),
        ("sink", NOBODY, "rights", ["nobody", "topic", "authoriz"]),
        ("gateway", NOBODY, "rights", ["nobody", "topic", "authoriz"]),
        ("simulate", NOBODY, "rights", ["no topic"]),
        ("worker", SINK, "rights", ["authoriz"]),
        ("acls --apply", WORKER, "rights", ["authoriz"]),
    ],
)
def test_kafka_refuses_in_one_line(servers: Secured, command: str, user: str, wrong: str, words: list[str]) -> None:
    cards = servers.folder / "other-cards.csv"
    cards.write_text("pan,account_id,card_token\n9999990000000016,acct-1,card-acct-1\n")
    found = servers.environment(user, gateway_cards=cards) | wrong_settings(servers, "KAFKA", wrong)
    if wrong == "protocol":
        found = {name: value for name, value in found.items() if not name.startswith("OTB_KAFKA_")}
    line = refusal(servers, found, *command.split())
    assert all(word.lower() in line.lower() for word in words), line


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("authority", ["certificate verify failed"]),
        ("password", ["password authentication failed"]),
        ("protocol", ["no encryption"]),
    ],
)
@pytest.mark.parametrize("command", ["trial-balance", "sink"])
def test_postgres_refuses_in_one_line(servers: Secured, command: str, wrong: str, words: list[str]) -> None:
    found = servers.environment(SINK) | wrong_settings(servers, "POSTGRES", wrong)
    line = refusal(servers, found, command)
    assert all(word in line for word in words), line


def wrong_settings(servers: Secured, server: str, wrong: str) -> dict[str, str]:
    other = servers.folder / "wrong"
    match wrong:
        case "authority":
            return {f"OTB_{server}_CA_FILE": str(Authority(other).file)}
        case "password":
            other.mkdir(exist_ok=True)
            (other / "password").write_text("not-the-password")
            return {f"OTB_{server}_PASSWORD_FILE": str(other / "password")}
        case "protocol" if server == "POSTGRES":
            return {"OTB_POSTGRES_SSLMODE": "disable"}
    return {}


@pytest.mark.parametrize(
    ("user", "topic", "allowed"),
    [
        (ANALYST, "authorizations", False),
        (ANALYST, "authorization-decisions", False),
        (SINK, "authorizations", False),
        (SINK, "journal-entries", False),
        (SINK, "dead-letters", True),
        (GATEWAY, "authorizations", True),
        (GATEWAY, "account-events", False),
        (GATEWAY, "authorization-decisions", False),
        (NETWORK, "payments", True),
        (NETWORK, "clock", False),
        (NETWORK, f"{APP_ID}-accounts-changelog", False),
        (WORKER, "authorizations", False),
    ],
)
def test_who_may_write(servers: Secured, user: str, topic: str, allowed: bool) -> None:
    delivered: list[KafkaError | None] = []

    def note(error: KafkaError | None, _message: Message) -> None:
        delivered.append(error)

    config: dict[str, Any] = {**servers.cluster(user).librdkafka(), "log_level": 0, "message.timeout.ms": 60_000}
    producer = Producer(config)
    producer.produce(topic, b"{}", b"nobody", on_delivery=note)
    producer.flush(90)
    [error] = delivered
    assert (error is None) == allowed
    if error is not None:
        assert error.code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.UNKNOWN_TOPIC_OR_PART), error.str()


@pytest.mark.parametrize(
    ("user", "topic", "allowed"),
    [
        (ANALYST, "authorization-decisions", True),
        (ANALYST, "authorizations", False),
        (SINK, "authorizations", False),
        (SINK, f"{APP_ID}-accounts-changelog", False),
        (GATEWAY, "journal-entries", False),
        (NETWORK, "journal-entries", False),
    ],
)
def test_who_may_read(servers: Secured, user: str, topic: str, allowed: bool) -> None:
    try:
        for _message in reading.committed(servers.cluster(user), topic):
            pass
    except (clients.Unreachable, clients.NoSuchTopic):
        assert not allowed
    else:
        assert allowed


def test_a_worker_names_the_right_that_it_lacks(servers: Secured) -> None:
    admin = AdminClient({**servers.cluster(OPERATOR).librdkafka(), "log_level": 0})
    without = AclBindingFilter(
        ResourceType.TOPIC, "journal-entries", ResourcePatternType.LITERAL, f"User:{WORKER}", None,
        AclOperation.WRITE, AclPermissionType.ALLOW,
    )  # fmt: skip
    try:
        assert admin.delete_acls([without])[without].result(30)
        line = refusal(servers, servers.environment(WORKER, worker="worker-9", app_id=APP_ID), "worker")
        assert "journal-entries" in line, line
        assert "authoriz" in line.lower(), line
    finally:
        acls.apply(servers.cluster(OPERATOR), acls.bindings({Role.WORKER: WORKER}, APP_ID))


def test_a_certificate_for_another_host_is_refused(servers: Secured) -> None:
    """The name is checked, not only the authority."""
    elsewhere = servers.environment(WORKER) | {"OTB_KAFKA": servers.broker.bootstrap.replace("127.0.0.1", "localhost")}
    assert "certificate verify failed" in refusal(servers, elsewhere, "worker").lower()
