"""Kafka's two group protocols: the worker takes the classic one where both are to be had, and says so if asked for the
other (docs/decisions/0016-classic-group-protocol.md)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError
from confluent_kafka.admin import AdminClient

from tests.support.checker import Run
from tests.support.story import open_accounts, story
from tests.support.traffic import Load, wait_for
from tests.support.workers import worker

PATIENCE_S = 30


def new_consumer(kafka: str, group: str) -> Consumer:
    """One that speaks KIP-848."""
    return Consumer(
        {
            "bootstrap.servers": kafka, "group.id": group, "group.protocol": "consumer",
            "auto.offset.reset": "earliest", "enable.auto.commit": False, "log_level": 0,
        }
    )  # fmt: skip


def types(kafka: str) -> dict[str, str]:
    client = AdminClient({"bootstrap.servers": kafka, "log_level": 0})
    return {group.group_id: group.type.name for group in client.list_consumer_groups().result(PATIENCE_S).valid}


def test_a_worker_is_classic_where_both_protocols_are_enabled_and_no_newer_member_gets_in(
    empty_kafka: str, tmp_path: Path
) -> None:
    kafka, told = empty_kafka, story(1500, seed=12)
    with worker(kafka, tmp_path) as only:
        only.wait_ready()
        open_accounts(kafka)
        other, intruder = new_consumer(kafka, "other"), new_consumer(kafka, "opentobuy")
        try:
            other.subscribe(["authorization-decisions"])
            intruder.subscribe(["authorizations"])
            load = Load(kafka, told, rate=300)
            load.start()
            record: Any = _until(lambda: other.poll(0.2))
            assert record.error() is None
            assert types(kafka) == {"opentobuy": "CLASSIC", "other": "CONSUMER"}
            refused: Any = _until(lambda: intruder.poll(0.2))
            assert refused.error().code() == KafkaError._FATAL, refused.error()
            assert "The group id does not exist" in refused.error().str(), "no group of its kind"
            load.join(60)
        finally:
            other.close()
            intruder.close()
        wait_for(kafka, "authorization-decisions", len(told))
        Run(kafka).check()
        assert types(kafka)["opentobuy"] == "CLASSIC"


def test_a_wish_for_the_newer_protocol_is_refused_in_one_line(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OTB_")}
    environment |= {"OTB_KAFKA": "127.0.0.1:1", "OTB_HOME": str(tmp_path), "OTB_GROUP_PROTOCOL": "consumer"}
    command = [sys.executable, "-m", "deploy.cli", "worker"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90, check=False)
    assert ended.returncode != 0
    assert len(ended.stderr.strip().splitlines()) == 1
    assert "OTB_GROUP_PROTOCOL=consumer" in ended.stderr
    assert "KIP-848 is not supported, the classic one is" in ended.stderr


def _until(known: Any) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while (found := known()) is None:
        assert time.monotonic() < deadline, "nothing came"
    return found
