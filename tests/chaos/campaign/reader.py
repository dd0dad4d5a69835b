"""An analyst who reads decisions and updates, committed records only, and must get every one once and in order.

He belongs to a consumer group and keeps his place himself, with what he has made of what he read: a digest here. So it
does not matter how often the group takes partitions from him.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from tests.chaos.campaign.history import DECISIONS, REPLIES, Record

LONGEST_PAUSE_S: Final = 6
"""A reader that does not ask for more for so long is thrown out of its group."""
POLL_S: Final = 0.05
MOST, FEW = 1000, 10
FEW_EVERY_S: Final = 0.5


@dataclass
class Place:
    """How far one partition has been read. `made`: when the last record read was made, in milliseconds."""

    read: int = 0
    next: int = OFFSET_BEGINNING
    made: int = 0
    _digest: Any = field(default_factory=hashlib.sha256)

    def note(self, record: Record) -> None:
        self.read += 1
        self.next, self.made = record.offset + 1, record.at
        self._digest.update(b"%d %d %b %b" % (record.offset, record.at, record.key or b"", record.value or b""))

    @property
    def digest(self) -> tuple[int, str]:
        """Equal for two readers who have read the same records in the same order."""
        return self.read, self._digest.hexdigest()


def digest(records: Iterable[Record]) -> tuple[int, str]:
    """What a reader must have who has read these."""
    place = Place()
    for record in records:
        place.note(record)
    return place.digest


class Reader(threading.Thread):
    """Reads from the beginning on; `stop`, `slow_down` and `go` set its pace, `close` ends it. `assigned`: how often
    its group has given it partitions."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__(daemon=True, name="reader")
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap, "group.id": "analyst", "isolation.level": "read_committed",
                "enable.auto.commit": False, "auto.offset.reset": "earliest", "log_level": 0,
                "session.timeout.ms": 1000 * LONGEST_PAUSE_S, "max.poll.interval.ms": 1000 * LONGEST_PAUSE_S,
                "reconnect.backoff.max.ms": 500, "queued.max.messages.kbytes": 4096,
            }
        )  # fmt: skip
        self._closing = threading.Event()
        self._most, self._pause_s = MOST, 0.0
        self.places: dict[tuple[str, int], Place] = {}
        self.assigned = 0
        self.error: BaseException | None = None

    def stop(self) -> None:
        self._most = 0

    def slow_down(self) -> None:
        self._most, self._pause_s = FEW, FEW_EVERY_S

    def go(self) -> None:
        self._most, self._pause_s = MOST, 0.0

    def run(self) -> None:
        try:
            self._consumer.subscribe(list(REPLIES), on_assign=self._take)
            while not self._closing.wait(self._pause_s):
                if self._most == 0:
                    time.sleep(POLL_S)
                    continue
                for record in self._consumer.consume(self._most, POLL_S):
                    if record.error() is None:
                        self._note(record)
        except BaseException as error:
            self.error = error
        finally:
            self._consumer.close()

    def close(self) -> None:
        self._closing.set()
        self.join(30)

    def read_again(self, since: float) -> float | None:
        """When every partition of the decisions had been read up to something made after `since`, in seconds since the
        epoch; None: not yet."""
        places = [place for (topic, _partition), place in list(self.places.items()) if topic == DECISIONS]
        return time.time() if places and all(place.made > since * 1000 for place in places) else None

    def read(self) -> int:
        """How many records in all."""
        return sum(place.read for place in list(self.places.values()))

    def _take(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.assigned += 1
        for partition in partitions:
            partition.offset = self._place(partition.topic, partition.partition).next
        consumer.assign(partitions)

    def _note(self, record: Any) -> None:
        place = self._place(record.topic(), record.partition())
        place.note(Record(record.offset(), record.timestamp()[1], record.key(), record.value()))

    def _place(self, topic: str, partition: int) -> Place:
        return self.places.setdefault((topic, partition), Place())
