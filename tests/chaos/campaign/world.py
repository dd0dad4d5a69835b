"""The stack under test, as processes: one broker or several, a database, workers and a sink; and those around it: the
clock of who sends the load, and a reader of what comes out. Enter and leave it from the main thread: servers end with
the thread that started them, so nothing outlives the campaign, however it ends.

The campaign is the operator as well: `supervise` starts again whatever has ended by itself, as systemd would.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final

import psutil

from deploy.embedded.kafka import Broker, Node
from deploy.embedded.ports import LOOPBACK, ReservedPort
from deploy.embedded.postgres import Postgres
from deploy.embedded.process import Command, spawn
from tests.chaos.campaign.clock import ProducerClock
from tests.chaos.campaign.disk import Disk
from tests.chaos.campaign.history import MAX_FUTURE_MS, SHED_AFTER_MS
from tests.chaos.campaign.link import Link
from tests.chaos.campaign.reader import Reader
from tests.support.workers import WorkerProcess

ENV: Final = shutil.which("env") or "/usr/bin/env"
ROOT: Final = Path(__file__).parents[3]
SESSION_TIMEOUT_S: Final = 6
FIRST_WORKER: Final = "worker-0"
POLL_S: Final = 0.05
CAUSES: Final = ("Corruption", "Crashed reason", "worker ends", "Error:")
"""What a line with the cause of an end has in it, the most telling first."""
LAST_RESORT_S: Final = 600.0
"""Whoever helps waits for as long as it takes: what took too long is known already."""
RESTART_S: Final = 1.0
"""Between the end of a process and its next start, so that one that cannot start does not take the whole machine."""


@dataclass
class World:
    """`folder` must be empty; `jars` come from `install_kafka`. `size`: how many brokers; only one that is alone has a
    link. `own_disks`: the local store and PostgreSQL get a small disk each, which takes root."""

    folder: Path
    jars: Sequence[Path]
    size: int = 1
    own_disks: bool = False
    jvm_options: Sequence[str] = ()  # of the brokers
    ends: list[str] = field(default_factory=list)  # what ended by itself since this was last emptied
    workers: dict[str, WorkerProcess] = field(default_factory=dict)
    clock: ProducerClock = field(default_factory=ProducerClock)
    _stack: ExitStack = field(default_factory=ExitStack)
    _starts: int = 0
    _linked: set[str] = field(default_factory=set)  # workers that come through the link
    _due: dict[int, float] = field(default_factory=dict)  # pid of what has ended -> when to start it again

    def __enter__(self) -> World:
        try:
            self._start_servers()
            self.start_worker().wait_ready()
            self.start_sink().wait_ready()
            self.reader = Reader(self.kafka)
            self.reader.start()
            self._stack.callback(self.reader.close)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    # -- servers

    def _start_servers(self) -> None:
        ports = [self._stack.enter_context(ReservedPort()).number for _ in range(2 * self.size + 2)]
        behind_link, postgres_port, *rest = ports
        self.link = self._stack.enter_context(Link(behind_link))
        nodes = [Node(n + 1, rest[2 * n], rest[2 * n + 1]) for n in range(self.size)]
        self.brokers = [
            Broker(
                node,
                nodes,
                self.folder / f"kafka-{node.number}",
                self.jars,
                overrides=self._listeners(node),
                jvm_options=self.jvm_options,
            )
            for node in nodes
        ]
        self.store_disk, self.ledger_disk = (Disk(self.folder / f"{name}-disk") for name in ("store", "ledger"))
        if self.own_disks:
            self._stack.enter_context(self.store_disk)
            self._stack.enter_context(self.ledger_disk)
        same_cluster = self.brokers[0].cluster_id
        self.postgres = Postgres(self.folder / "postgres", postgres_port, data=self.ledger_disk.folder / "data")
        for server in self.servers:
            if isinstance(server, Broker):
                server.cluster_id = same_cluster
            server.prepare()
            self._stack.callback(server.stop)
            server.start()
        self._stack.callback(self._end_all)
        for server in self.servers:
            server.wait_ready()

    def _listeners(self, node: Node) -> dict[str, str]:
        """A second listener that is advertised at the link's address: a worker that comes through the link is told to
        come back through it."""
        if self.size > 1:
            return {}
        behind = f"LINKED://{LOOPBACK}:{self.link.behind}"
        return {
            "listeners": f"PLAINTEXT://{node.bootstrap},{behind},CONTROLLER://{LOOPBACK}:{node.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{node.bootstrap},LINKED://{self.link.address}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,LINKED:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
        }

    @property
    def servers(self) -> list[Broker | Postgres]:
        return [*self.brokers, self.postgres]

    @property
    def broker(self) -> Broker:
        """The one broker, or the first."""
        return self.brokers[0]

    @property
    def kafka(self) -> str:
        return ",".join(broker.bootstrap for broker in self.brokers)

    @property
    def dsn(self) -> str:
        return self.postgres.dsn

    # -- workers and the sink

    @property
    def home(self) -> Path:
        return self.folder / "store-disk" / "home"

    def start_worker(
        self, name: str = FIRST_WORKER, *, fault: str | None = None, through_link: bool = False
    ) -> WorkerProcess:
        """A worker process, not yet ready; `fault` as in `tests.support.faulty_worker`."""
        kafka = self.link.address if through_link else self.kafka
        environment = {
            "OTB_KAFKA": kafka, "OTB_WORKER": name, "OTB_SESSION_TIMEOUT_S": str(SESSION_TIMEOUT_S),
            "OTB_SHED_AFTER_MS": str(SHED_AFTER_MS), "OTB_REPLICATION": str(self.size),
            "OTB_MAX_FUTURE_S": str(MAX_FUTURE_MS // 1000),
        }  # fmt: skip
        self._linked.discard(name)
        if through_link:
            self._linked.add(name)
        if fault is not None:
            environment["OTB_FAULT"] = fault
        self.workers[name] = self._start(name, "tests.support.faulty_worker", [], environment)
        return self.workers[name]

    def start_sink(self) -> WorkerProcess:
        environment = {"OTB_KAFKA": self.kafka, "OTB_POSTGRES_DSN": self.dsn}
        self.sink = self._start("sink", "deploy.cli", ["sink"], environment)
        return self.sink

    def _start(self, name: str, module: str, arguments: list[str], environment: dict[str, str]) -> WorkerProcess:
        self._starts += 1
        log = self.folder / f"{self._starts:03}-{name}.log"
        settings = {"OTB_HOME": str(self.home), "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)} | environment
        theirs = [key for key in os.environ if key.startswith("OTB_") and key not in settings]
        without = [ENV, *(word for key in theirs for word in ("-u", key))]  # the caller's settings are not ours
        command = Command([*without, sys.executable, "-m", module, *arguments], log, environment=settings)
        return WorkerProcess(spawn(command), log)

    def kill(self, process: WorkerProcess) -> float:
        """SIGKILL; returns when it is gone: the time, in seconds since the epoch."""
        process.signal(signal.SIGKILL)
        process.wait_ended()
        return time.time()

    def stop_worker(self, name: str = FIRST_WORKER) -> float:
        """SIGTERM, as an operator stops it; the time at which it had ended. It is forgotten."""
        process = self.workers.pop(name)
        if process.process.poll() is None:
            process.signal(signal.SIGTERM)
            process.wait_ended()
        return time.time()

    def supervise(self) -> None:
        """Start again what has ended by itself, a second later; `ends` says what it was."""
        for name, process in [*self.workers.items(), ("sink", self.sink)]:
            status = process.process.poll()
            if status is None:
                continue
            due = self._due.setdefault(process.pid, time.monotonic() + RESTART_S)
            if time.monotonic() < due:
                continue
            self.ends.append(f"{name} ended with {status}: {_last_words(process)}")
            if name == "sink":
                self.start_sink()
            else:
                self.start_worker(name, through_link=name in self._linked)

    def wait(self, seconds: float) -> None:
        """Let time go by, supervising."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.supervise()
            time.sleep(POLL_S)

    def one_worker(self) -> None:
        """Back to where every fault starts: one worker and the sink, running."""
        for name in [name for name in self.workers if name != FIRST_WORKER]:
            self.stop_worker(name)
        if FIRST_WORKER not in self.workers:
            self.start_worker()
        self.supervise()

    def rebuild(self) -> None:
        """The operator's last resort: all processes of ours are killed, local stores deleted, and started anew."""
        self.resume_servers()
        self.link.mend()
        self.link.flow()
        self.clock.set_right()
        self.reader.go()
        self._kill_all()
        self.workers.clear()
        shutil.rmtree(self.home, ignore_errors=True)
        self.start_worker().wait_ready(LAST_RESORT_S)
        self.start_sink().wait_ready(LAST_RESORT_S)

    def state(self) -> str:
        """Which processes run, for people."""
        running = {name: each.process.poll() for name, each in [*self.workers.items(), ("sink", self.sink)]}
        return ", ".join(f"{name} {'runs' if s is None else f'has ended with {s}'}" for name, s in running.items())

    def _end_all(self) -> None:
        self._kill_all()
        self.resume_servers()

    def _kill_all(self) -> None:
        for process in [*self.workers.values(), *([self.sink] if hasattr(self, "sink") else [])]:
            if process.process.poll() is None:
                process.signal(signal.SIGCONT)
            process.end()

    # -- what faults do to servers

    def signal_server(self, server: Broker | Postgres, number: int) -> None:
        """To the server's process and its children (PostgreSQL has one for every session), which may end meanwhile."""
        assert server.process is not None
        parent = psutil.Process(server.process.pid)
        for process in [parent, *parent.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def resume_servers(self) -> None:
        """Whatever happened to a fault that paused them, they can be stopped."""
        for server in self.servers:
            if server.process is not None and server.process.poll() is None:
                self.signal_server(server, signal.SIGCONT)


def _last_words(process: WorkerProcess) -> str:
    """The line of its log that says why it ended, as far as one can be found."""
    lines = [line.strip() for line in process.output().splitlines() if line.strip()]
    for word in CAUSES:
        named = [line for line in lines if word in line]
        if named:
            return named[0][:300]
    return (lines or ["it said nothing"])[-1][:300]
