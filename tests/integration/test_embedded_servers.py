"""The embedded servers answer, are reached from this machine only, and take other ports when theirs are taken."""

from __future__ import annotations

import json
import os
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import psutil
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from agents import cores
from agents.settings import Settings
from deploy import embedded
from deploy.embedded import PortTaken, Run, StartError, servers
from deploy.embedded.housekeeping import CLEANER, HOUSEKEEPERS, LAST
from deploy.embedded.kafka import INDEX_BYTES, SHORT_LIVED, Broker, Node, formatted, learned, running_broker
from deploy.embedded.ports import LOOPBACK, ReservedPort
from deploy.embedded.postgres import Postgres
from tests.integration.held import ELSEWHERE, holder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, kafka_jars: list[Path]) -> Iterator[Run]:
    """Both servers, with the session's jars; whatever OTB_KAFKA says."""
    home = tmp_path_factory.mktemp("home")
    (home / "cache").mkdir()
    (home / "cache" / kafka_jars[0].parent.name).symlink_to(kafka_jars[0].parent)
    with servers(Settings(kafka=None, postgres_dsn=None, home=home), print) as started:
        yield started


def test_kafka_keeps_a_committed_transaction(run: Run) -> None:
    admin = AdminClient({"bootstrap.servers": run.kafka})
    admin.create_topics([NewTopic("answers", 2, 1)])["answers"].result(30)
    producer = Producer({"bootstrap.servers": run.kafka, "transactional.id": "probe"})
    producer.init_transactions(30)
    for value, commit in ((b"dropped", False), (b"kept", True)):
        producer.begin_transaction()
        producer.produce("answers", value, b"acct-1001", partition=0)
        producer.flush(30)
        (producer.commit_transaction if commit else producer.abort_transaction)(30)
    consumer = Consumer({"bootstrap.servers": run.kafka, "group.id": "probe", "auto.offset.reset": "earliest"})
    consumer.subscribe(["answers"])
    message = consumer.poll(30)
    consumer.close()
    assert message is not None
    assert message.error() is None
    assert message.value() == b"kept"


def test_no_index_file_is_larger_than_what_a_first_write_may_read_ahead(run: Run) -> None:
    admin = AdminClient({"bootstrap.servers": run.kafka})
    admin.create_topics([NewTopic("indexed", 1, 1)])["indexed"].result(30)
    producer = Producer({"bootstrap.servers": run.kafka})
    producer.produce("indexed", b"1")
    assert producer.flush(30) == 0
    [partition] = run.folder.glob("**/indexed-0")
    sizes = {file.suffix: file.stat().st_size for file in partition.glob("*index")}
    assert sizes == {".index": INDEX_BYTES, ".timeindex": INDEX_BYTES - INDEX_BYTES % 12}  # whole entries


@pytest.mark.skipif(cores.spare() is None, reason="there is one core")
def test_housekeeping_of_kafka_leaves_the_workers_core_alone_and_nothing_else_does(run: Run) -> None:
    tasks = Path(f"/proc/{_kafka(run)}/task").iterdir()
    threads = [(int(each.name), (each / "comm").read_text().strip()) for each in tasks]
    off = {name for thread, name in threads if cores.spare() not in os.sched_getaffinity(thread)}
    assert off == HOUSEKEEPERS & {name for _, name in threads} >= {CLEANER, "C1 CompilerThre"}
    last = {name for thread, name in threads if os.getpriority(os.PRIO_PROCESS, thread) == LAST}
    assert last == {CLEANER}


def _kafka(run: Run) -> int:
    """The broker's process id."""
    [pid] = [server.pid for server in run.servers if "kafka.Kafka" in psutil.Process(server.pid).cmdline()]
    return pid


def test_kafka_creates_no_undeclared_topic(run: Run) -> None:
    delivered: list[bool] = []
    producer = Producer({"bootstrap.servers": run.kafka, "message.timeout.ms": 3000})
    producer.produce("undeclared", b"x", on_delivery=lambda error, _: delivered.append(error is None))
    producer.flush(30)
    assert delivered == [False]
    assert "undeclared" not in AdminClient({"bootstrap.servers": run.kafka}).list_topics(timeout=30).topics


async def test_postgres_answers_to_its_password_only(run: Run) -> None:
    connection = await asyncpg.connect(run.postgres_dsn)
    assert (await connection.fetchval("SHOW server_version")).startswith("18")
    assert await connection.fetchval("SHOW server_encoding") == "UTF8"
    assert await connection.fetchval("SHOW fsync") == "on"
    await connection.close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(run.postgres_dsn, password="wrong")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_servers_listen_on_loopback_only(run: Run) -> None:
    listening = {address for server in run.servers for address in _listening(server.pid)}
    expected = {f"{LOOPBACK}:{port}" for port in (run.kafka.split(":")[1], urlsplit(run.postgres_dsn).port)}
    assert expected <= listening
    assert {address.rsplit(":", 1)[0] for address in listening} == {LOOPBACK}


def _listening(pid: int) -> list[str]:
    """Addresses that a process and its children listen on, from the kernel's own tables."""
    pids = [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    sockets = {os.readlink(link) for each in pids for link in Path(f"/proc/{each}/fd").iterdir() if link.is_symlink()}
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in sockets:  # 0A: LISTEN
                found.append(_readable(words[1]))
    return found


def _readable(address: str) -> str:
    host, port = address.split(":")
    if len(host) == 8:
        host = socket.inet_ntop(socket.AF_INET, bytes.fromhex(host)[::-1])
    return f"{host}:{int(port, 16)}"


def test_addresses_are_published_to_the_owner_only(run: Run) -> None:
    published = run.folder / "run.json"
    assert stat.S_IMODE(published.stat().st_mode) == 0o600
    assert stat.S_IMODE(run.folder.stat().st_mode) == 0o700
    assert json.loads(published.read_text())["kafka"] == run.kafka


def test_given_addresses_are_used_and_nothing_is_started(tmp_path: Path) -> None:
    given = Settings(kafka="broker.example:9092", postgres_dsn="postgresql://ledger.example/otb", home=tmp_path)
    with servers(given, print) as run:
        assert (run.kafka, run.postgres_dsn, run.servers) == (given.kafka, given.postgres_dsn, [])
        assert list(run.folder.glob("*/")) == []


def test_the_jvm_uses_what_it_learned_and_does_without_what_does_not_fit(
    run: Run, tmp_path: Path, kafka_jars: list[Path]
) -> None:
    assert learned(kafka_jars).stat().st_size > 10_000_000
    assert _maps(_kafka(run), learned(kafka_jars))
    jars = [tmp_path / jar.name for jar in kafka_jars]
    for jar, original in zip(jars, kafka_jars, strict=True):
        jar.symlink_to(original)
    learned(jars).write_bytes(b"of another JVM")
    with running_broker(tmp_path / "kafka", jars, jvm_options=SHORT_LIVED) as broker:
        assert broker.process is not None
        assert not _maps(broker.process.pid, learned(kafka_jars))
        assert not _maps(broker.process.pid, learned(jars))
        assert "[error" in broker.log.read_text()  # or nobody would see why it is slow


def test_a_storage_is_formatted_as_by_kafkas_own_tool_and_has_an_identity_of_its_own(
    tmp_path: Path, kafka_jars: list[Path]
) -> None:
    jars = [tmp_path / jar.name for jar in kafka_jars]
    for jar, original in zip(jars, kafka_jars, strict=True):
        jar.symlink_to(original)
    nodes = [Node(number, 19092 + number, 19192 + number) for number in (1, 2)]
    brokers = [
        Broker(node, nodes, tmp_path / name, jars, cluster_id="ABsHK4UdSiSwQwEgRWiSlw")
        for name, node in (("tool", nodes[0]), ("like-it", nodes[0]), ("other", nodes[1]))
    ]
    for broker in brokers:
        assert formatted(jars).exists() == (broker is not brokers[0])
        broker.prepare()
    tool, like_it, other = map(_identity, brokers)
    directories = [each.pop("directory.id") for each in (tool, like_it, other)]
    assert len(set(directories)) == 3
    assert len({len(each) for each in directories}) == 1
    assert (like_it, other) == (tool, tool | {"node.id": "2"})
    contents = [
        {file.name: file.read_bytes() for file in (broker.folder / "data").iterdir() if file.name != "meta.properties"}
        for broker in brokers
    ]
    assert contents[1] == contents[2] == contents[0] != {}


def _identity(broker: Broker) -> dict[str, str]:
    lines = (broker.folder / "data" / "meta.properties").read_text().splitlines()
    return dict(line.split("=") for line in lines if not line.startswith("#"))


def _maps(pid: int, file: Path) -> bool:
    return str(file.resolve()) in Path(f"/proc/{pid}/maps").read_text()


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind((LOOPBACK, 0))
        listening.listen()
        yield listening.getsockname()[1]


def test_a_taken_port_is_named_as_such_by_kafka(tmp_path: Path, kafka_jars: list[Path], busy_port: int) -> None:
    with ReservedPort() as controller:
        node = Node(1, busy_port, controller.number)
        broker = Broker(node, [node], tmp_path / "kafka", kafka_jars)
        broker.prepare()
        broker.start()
        try:
            with pytest.raises(PortTaken):
                broker.wait_ready()
        finally:
            broker.stop()


def test_a_port_taken_meanwhile_is_answered_by_another_try(
    tmp_path: Path, busy_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class UnluckyOnce(ReservedPort):
        draws = 0

        def __init__(self) -> None:
            super().__init__()
            UnluckyOnce.draws += 1
            if UnluckyOnce.draws == 1:
                self.number = busy_port

    monkeypatch.setattr(embedded, "ReservedPort", UnluckyOnce)
    with servers(Settings(kafka=ELSEWHERE, postgres_dsn=None, home=tmp_path), print) as run:
        assert UnluckyOnce.draws == 2
        assert urlsplit(run.postgres_dsn).port != busy_port


def test_a_start_that_fails_says_why_in_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.embedded.postgres.SETTINGS", {"max_connections": "none"})
    settings = Settings(kafka=ELSEWHERE, postgres_dsn=None, home=tmp_path)
    with pytest.raises(StartError, match="max_connections") as caught, servers(settings, print):
        pytest.fail("started with a setting that PostgreSQL refuses")
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "runs").glob("*/")) == []


def test_an_unusable_home_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match=r"OTB_HOME=.*file"), servers(Settings(home=tmp_path / "file"), print):
        pytest.fail("started in a file")


async def test_postgres_restarts_on_its_data(tmp_path: Path) -> None:
    with ReservedPort() as port:
        server = Postgres(tmp_path / "postgres", port.number)
        server.prepare()
        try:
            for expected in (0, 1):
                server.start()
                server.wait_ready()
                connection = await asyncpg.connect(server.dsn)
                await connection.execute("CREATE TABLE IF NOT EXISTS kept (id int)")
                assert await connection.fetchval("SELECT count(*) FROM kept") == expected
                await connection.execute("INSERT INTO kept VALUES (1)")
                await connection.close()
                server.stop()
        finally:
            server.stop()


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="changes user: needs root")
def test_root_and_others_can_start_postgres(tmp_path: Path) -> None:
    """The rest of the suite runs as whoever calls it; under root this one runs as somebody else."""
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 65534, 65534)
    launcher = Path(embedded.__file__).with_name("launch.py")
    prefix = (sys.executable, "-I", "-S", str(launcher), str(os.getpid()), "9", "nobody", "0")
    with holder(home, {"OTB_KAFKA": ELSEWHERE}, prefix) as held:
        run = held.run()
        assert psutil.Process(held.process.pid).uids().effective == 65534
        assert psutil.Process(run.servers[0].pid).uids().effective == 65534
        held.interrupt()
    assert not run.folder.exists()
