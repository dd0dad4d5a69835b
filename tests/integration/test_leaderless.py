"""Topics whose partitions no broker leads, because the one that has them is away: a worker waits, and says so."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.cli.failures import EXIT_FAILED
from deploy.embedded.kafka import SHORT_LIVED, Broker, Node
from deploy.embedded.ports import ReservedPort
from tests.support import messages as say
from tests.support.story import just_now
from tests.support.traffic import PARTITIONS, producer, send, wait_for
from tests.support.workers import worker
from topics.declarations import CLEARINGS

ROOT = Path(__file__).parents[2]
WAITS = "no broker leads all partitions of clearings"


@pytest.fixture
def pair(tmp_path: Path, kafka_jars: list[Path]) -> Iterator[tuple[Broker, Broker]]:
    """A broker that is the controller as well, and one that has the topic of clearings and may go."""
    with ExitStack() as stack:
        ports = [stack.enter_context(ReservedPort()).number for _ in range(3)]
        keeper, leaver = Node(1, ports[0], ports[1]), Node(2, ports[2], 0)
        first = Broker(keeper, [keeper], tmp_path / "kafka-1", kafka_jars, jvm_options=SHORT_LIVED)
        only_broker = {
            "process.roles": "broker", "listeners": f"PLAINTEXT://{leaver.bootstrap}",
            "controller.quorum.voters": f"1@127.0.0.1:{keeper.controller_port}",
        }  # fmt: skip
        second = Broker(
            leaver, [keeper], tmp_path / "kafka-2", kafka_jars, first.cluster_id, only_broker, jvm_options=SHORT_LIVED
        )
        for broker in (first, second):
            broker.prepare()
            stack.callback(broker.stop)
            broker.start()
        for broker in (first, second):
            broker.wait_ready()
        admin = AdminClient({"bootstrap.servers": first.bootstrap})
        topic = NewTopic(
            CLEARINGS.name, PARTITIONS, replica_assignment=[[2]] * PARTITIONS, config=dict(CLEARINGS.config)
        )
        admin.create_topics([topic])[CLEARINGS.name].result(60)
        second.stop()
        yield first, second


def test_a_worker_waits_for_leaders_in_one_line_and_then_decides(pair: tuple[Broker, Broker], tmp_path: Path) -> None:
    there, away = pair
    with worker(there.bootstrap, tmp_path) as patient:
        patient.wait_for_line(f"{WAITS}: waiting for 300 s")
        away.start()
        patient.wait_ready()
        assert patient.output().count(WAITS) == 1
        send(producer(there.bootstrap), [say.opened(transmitted_at=just_now())])
        wait_for(there.bootstrap, "account-updates", 1)


def test_a_worker_gives_up_in_one_line(pair: tuple[Broker, Broker], tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OTB_")}
    environment |= {"OTB_KAFKA": pair[0].bootstrap, "OTB_HOME": str(tmp_path), "OTB_POSTGRES_DSN": "postgresql:///none"}
    command = [sys.executable, "-m", "deploy.cli", "worker"]
    ended = subprocess.run(
        command, env=environment | {"OTB_RECOVERY_DEADLINE_S": "5"}, cwd=ROOT, check=False, capture_output=True,
        timeout=120, text=True,
    )  # fmt: skip
    assert ended.returncode == EXIT_FAILED, ended.stderr
    assert ended.stderr.splitlines()[-1] == f"otb: {WAITS}, after 5 s: brokers are away"
    assert "Traceback" not in ended.stderr
