"""`python -m tests.integration.echo_engine KAFKA [PER_SECOND] [SKIP]`: answers like the engine, without deciding.

Stands in for the engine in tests of the load generator only. PER_SECOND limits how many requests it answers (0: no
limit); about one in SKIP requests is never answered (0: none). Every tenth answer is given twice, as a replay would be.
"""

from __future__ import annotations

import sys
import time
import zlib

import orjson
from confluent_kafka import Producer

from loadtest import clients
from topics.cluster import Cluster
from topics.declarations import ACCOUNT_EVENTS, ACCOUNT_UPDATES, AUTHORIZATION_DECISIONS, AUTHORIZATIONS


class Echo:
    """One echoing engine on one cluster."""

    def __init__(self, kafka: str, per_second: float, skip: int) -> None:
        self._producer = Producer({"bootstrap.servers": kafka, "linger.ms": 0, "acks": "1"})
        self._consumer = clients.low_latency_reader(Cluster(kafka))
        partitions = clients.partitions_of(self._consumer, AUTHORIZATIONS.name, Cluster(kafka))
        ends = [
            position
            for topic in (AUTHORIZATIONS.name, ACCOUNT_EVENTS.name)
            for position in clients.positions(topic, clients.end_offsets(self._consumer, topic, partitions))
        ]
        self._consumer.assign(ends)
        self._per_second = per_second
        self._skip = skip
        self._requests = 0

    def run(self) -> None:
        """Until killed."""
        print("ready", flush=True)
        while True:
            for message in clients.arrived(self._consumer, 100, 0.005):
                self._answer(message.partition() or 0, orjson.loads(clients.value_of(message)))
            self._producer.poll(0)

    def _answer(self, partition: int, content: dict[str, object]) -> None:
        account_id = content["account_id"]
        if content["type"] == "account-opened":
            answer = {"message_id": content["message_id"], "account_id": account_id, "outcome": "applied"}
            self._send(ACCOUNT_UPDATES.name, partition, content, answer)
        elif content["type"] == "authorization-request":
            self._decide(partition, content)

    def _decide(self, partition: int, request: dict[str, object]) -> None:
        self._requests += 1
        if is_skipped(str(request["network_reference"]), self._skip):
            return
        if self._per_second:
            time.sleep(1 / self._per_second)
        declined = int(str(request["amount"])) % 2
        decision = {
            "type": "authorization-decision",
            "network_reference": request["network_reference"],
            "outcome": "declined" if declined else "approved",
            "reason": "insufficient-open-to-buy" if declined else None,
        }
        for _ in range(2 if self._requests % 10 == 0 else 1):
            self._send(AUTHORIZATION_DECISIONS.name, partition, request, decision)

    def _send(self, topic: str, partition: int, asked: dict[str, object], answer: dict[str, object]) -> None:
        self._producer.produce(topic, orjson.dumps(answer), str(asked["account_id"]), partition)


def is_skipped(reference: str, skip: int) -> bool:
    """Whether a request is never answered, however often it is repeated."""
    return bool(skip) and zlib.crc32(reference.encode()) % skip == 0


if __name__ == "__main__":
    arguments = [*sys.argv[1:], "0", "0"][:3]
    Echo(arguments[0], float(arguments[1]), int(arguments[2])).run()
