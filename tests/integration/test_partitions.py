"""Topics with other partitions than they must have: nothing starts on them, and what runs ends."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from tests.support import messages as say
from tests.support.story import ACCOUNTS, just_now, open_accounts
from tests.support.traffic import bodies, producer, read, wait_for
from tests.support.workers import worker
from topics import codec
from topics.admin import ensure_topics
from topics.cluster import Cluster
from topics.keys import partition_for

ROOT = Path(__file__).parents[2]
SILENT_S = 120


def otb(command: str, kafka: str, dsn: str, home: Path, **settings: object) -> subprocess.Popen[str]:
    cards = home / "cards.csv"
    cards.write_text("pan,account_id,card_token\n4111111111111111,acct-1,card-acct-1\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTB_")}
    environment |= {"OTB_KAFKA": kafka, "OTB_POSTGRES_DSN": dsn, "OTB_HOME": str(home), "OTB_GATEWAY_CARDS": str(cards)}
    environment |= {f"OTB_{name.upper()}": str(value) for name, value in settings.items()}
    return subprocess.Popen(
        [sys.executable, "-m", "deploy.cli", *command.split()],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT,
    )  # fmt: skip


def refusal(process: subprocess.Popen[str]) -> str:
    """What it says to stderr when it ends with status 1."""
    try:
        _out, said = process.communicate(timeout=SILENT_S)
    finally:
        process.kill()
    assert process.returncode == 1, said
    return said


def alter(kafka: str, topic: str, partitions: int) -> None:
    """As `kafka-topics --alter --partitions` does."""

    async def add() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
        await admin.start()
        try:
            await admin.create_partitions({topic: NewPartitions(partitions)})
        finally:
            await admin.close()

    asyncio.run(add())


def test_every_command_refuses_other_partitions_in_one_line(empty_kafka: str, tmp_path: Path, database: str) -> None:
    kafka = empty_kafka
    asyncio.run(ensure_topics(Cluster(kafka), "opentobuy", 4, 1))
    commands = ["worker", "sink", "gateway", "simulate --accounts 1 --seconds 1"]
    for process in [otb(command, kafka, database, tmp_path, partitions=6) for command in commands]:
        assert refusal(process) == (
            "otb: the topics have 4 partitions, OTB_PARTITIONS says 6; accounts would lose their rows "
            "(docs/runbook.md, PartitionsChanged)\n"
        )
    alter(kafka, "clearings", 6)
    for process in [otb(command, kafka, database, tmp_path) for command in commands]:
        assert refusal(process) == (
            "otb: topics have other partition counts than OTB_PARTITIONS=4: clearings has 6; accounts would lose their "
            "rows (docs/runbook.md, PartitionsChanged)\n"
        )


def test_a_wrong_setting_creates_no_topic(empty_kafka: str, tmp_path: Path, database: str) -> None:
    """A topic made with the wrong count could not be made right again without deleting it."""
    kafka = empty_kafka
    asyncio.run(ensure_topics(Cluster(kafka), "opentobuy", 4, 1))
    refusal(otb("worker", kafka, database, tmp_path, partitions=6, app_id="another"))
    asyncio.run(ensure_topics(Cluster(kafka), "another", 4, 1))  # its changelog had not been made with 6


@pytest.mark.parametrize("topic", ["clearings", "journal-entries", "opentobuy-accounts-changelog"])
def test_a_worker_ends_when_a_topic_gets_more_partitions(topic: str, empty_kafka: str, tmp_path: Path) -> None:
    kafka = empty_kafka
    with worker(kafka, tmp_path) as only:
        only.wait_ready()
        alter(kafka, topic, 6)
        assert only.wait_ended() == 1
        [said] = [line for line in only.output().splitlines() if "worker ends" in line]
        assert f"OTB_PARTITIONS=4: {topic} has 6" in said
        assert "Traceback" not in only.output()


def test_no_request_is_decided_in_a_wrong_place(empty_kafka: str, tmp_path: Path) -> None:
    """A producer that counts anew sends most accounts elsewhere, at once: there they have no row."""
    kafka, at = empty_kafka, just_now()
    with worker(kafka, tmp_path) as only:
        only.wait_ready()
        open_accounts(kafka)
        alter(kafka, "authorizations", 6)
        sender = producer(kafka)
        while partitions_seen(sender) != 6:
            pass
        for number in range(ACCOUNTS):
            asked = say.request(f"ref-{number}", account=f"acct-{number}", transmitted_at=at)
            key = asked.account_id.encode()
            sender.produce("authorizations", codec.encode(asked), key, partition_for(key, 6))
        sender.flush(30)
        assert only.wait_ended() == 1
    assert {body["reason"] for body in bodies(read(kafka, "authorization-decisions"))} <= {None}
    assert bodies(read(kafka, "dead-letters")) == []


def partitions_seen(sender: object) -> int:
    return len(sender.list_topics("authorizations", 10).topics["authorizations"].partitions)  # type: ignore[attr-defined]


def test_a_producer_with_another_partitioner_stops_nobody(empty_kafka: str, tmp_path: Path) -> None:
    """F9: the topics are as they should be, so the message alone is wrong."""
    kafka, at = empty_kafka, just_now()
    with worker(kafka, tmp_path) as only:
        only.wait_ready()
        open_accounts(kafka)
        sender, key = producer(kafka), b"acct-1"
        home = partition_for(key, 4)
        for reference, partition in (("ref-astray", (home + 1) % 4), ("ref-home", home)):
            asked = codec.encode(say.request(reference, account="acct-1", transmitted_at=at))
            sender.produce("authorizations", asked, key, partition)
        sender.flush(30)
        decisions = {body["network_reference"]: body for body in bodies(wait_for(kafka, "authorization-decisions", 2))}
        assert (decisions["ref-astray"]["reason"], decisions["ref-home"]["outcome"]) == (
            "system-malfunction", "approved",
        )  # fmt: skip
        [letter] = bodies(read(kafka, "dead-letters"))
        assert (letter["reason"], letter["partition"]) == ("wrong-partition", (home + 1) % 4)
        assert only.process.poll() is None


def test_a_sink_ends_when_a_topic_gets_more_partitions(empty_kafka: str, tmp_path: Path, database: str) -> None:
    kafka = empty_kafka
    asyncio.run(ensure_topics(Cluster(kafka), "opentobuy", 4, 1))
    sink = otb("sink", kafka, database, tmp_path)
    assert sink.stdout is not None
    try:
        while sink.stdout.readline() != "ready\n":
            assert sink.poll() is None
        alter(kafka, "journal-entries", 6)
        last = refusal(sink).splitlines()[-1]
    finally:
        sink.kill()
    assert last.startswith("otb: topics have other partition counts than OTB_PARTITIONS=4: journal-entries has 6;")
