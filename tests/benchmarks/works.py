"""What is measured: pieces of the decision path on the same seeded traffic every time.

Each work can be repeated without end, because it changes nothing that it reads again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, Final

import numpy as np
import orjson
from faust.types import TP

from agents.attempt import BATCH
from agents.decided import Decided
from agents.engine import Engine
from loadtest.history.lines import chunk
from loadtest.history.writing import merged
from loadtest.spool import Record as Sent
from loadtest.spool import encode, grouped
from loadtest.traffic import Traffic
from loadtest.traffic.cardholders import BLOCK
from models import answers
from models.account import DAY_MS, Account
from models.authorization import Policy
from models.messages import AuthorizationDecision, AuthorizationRequest
from models.scoring.features import features
from models.scoring.onnx import FraudModel
from tables import rows
from tables.sweep import RoundRobin
from tables.unit_of_work import UnitOfWork
from tests.support.engine import Record
from topics import codec

ACCOUNTS: Final = 200
WARM_UP: Final = 1200
"""Requests, with all that follows them, that give the accounts their histories."""
SLICE: Final = 256
NOW: Final = 1_790_000_000_000
PARTITIONS: Final = 4


@dataclass(frozen=True, slots=True)
class Work:
    """One thing to measure: `run` does `operations` of it, and returns something that shows it was done."""

    name: str
    operations: int
    run: Callable[[], Any]


class Scene:
    """Accounts with histories, and a slice of traffic that comes next."""

    def __init__(self) -> None:
        traffic = Traffic(1, ACCOUNTS, "bench", "USD", NOW - 40 * DAY_MS, 4.0)
        groups = islice(grouped(traffic.stream(), PARTITIONS), WARM_UP + SLICE)
        sent = [record for group in groups for record in group]
        self.rows: dict[tuple[int, bytes], bytes] = {}
        self.plain = Engine(self.row, None, Policy(), DAY_MS, RoundRobin(lambda *_: []), PARTITIONS)
        self._offset = 0
        self._settle([encode(opening, PARTITIONS) for opening in traffic.openings()])
        self._settle(sent[:-SLICE])
        self.next = sent[-SLICE:]

    def slice_of(self, sent: list[Sent]) -> dict[TP, list[Any]]:
        """As the consumer hands it out."""
        found: dict[TP, list[Any]] = {}
        for topic, partition, key, value, _reference in sent:
            self._offset += 1
            record = Record(topic, partition, self._offset, key, value, NOW)
            found.setdefault(TP(topic, partition), []).append(record)
        return found

    def _settle(self, sent: list[Sent]) -> None:
        for at in range(0, len(sent), SLICE):
            decided = self.plain.decide(self.slice_of(sent[at : at + SLICE]), NOW)
            for partition, changed in decided.rows.items():
                self.rows.update({(partition, key): row for key, row in changed})

    def row(self, partition: int, key: bytes) -> bytes | None:
        return self.rows.get((partition, key))

    @cached_property
    def requests(self) -> list[tuple[int, AuthorizationRequest]]:
        """(partition, request) of those requests in `next` whose account exists."""
        decoded = [(sent.partition, codec.decode(sent.topic, sent.key, sent.value)) for sent in self.next]
        return [
            (partition, message)
            for partition, message in decoded
            if isinstance(message, AuthorizationRequest) and (partition, message.account_id.encode()) in self.rows
        ]

    @cached_property
    def asked(self) -> list[tuple[AuthorizationRequest, Account]]:
        """Those requests, each with its account."""
        return [
            (request, rows.decode(self.rows[partition, request.account_id.encode()]))
            for partition, request in self.requests
        ]


def works(scene: Scene) -> list[Work]:
    """Everything that is measured, in the order of the path."""
    every_row = list(scene.rows.values())
    accounts = [rows.decode(row) for row in every_row]
    messages = [message for _partition, message in scene.requests]
    decisions = _decisions(scene)
    long = Traffic(1, BLOCK, "long")
    return [
        Work("calibration", 1, calibration),
        Work("decode a message", len(scene.next), lambda: [codec.decode(s.topic, s.key, s.value) for s in scene.next]),
        Work("fingerprint a request", len(messages), lambda: [answers.fingerprint_of(each) for each in messages]),
        Work("decode a row", len(every_row), lambda: [rows.decode(row) for row in every_row]),
        Work("encode a row", len(accounts), lambda: [rows.encode(account) for account in accounts]),
        Work("features of a request", len(messages), lambda: _features(scene)),
        Work(f"score {BATCH} requests", 1, _score(scene)),
        Work("read and write an account", len(messages), lambda: _unit_of_work(scene)),
        Work("encode a decision", len(decisions), lambda: [codec.encode(decision) for decision in decisions]),
        Work("make an event of history", len(_history(long)), lambda: _history(long)),
        Work("decide a message", len(scene.next), lambda: scene.plain.decide(scene.slice_of(scene.next), NOW)),
    ]  # fmt: skip


def _history(traffic: Traffic) -> list[bytes]:
    """Its first ten days as lines of a file."""
    days = islice(traffic.windows([0]), 20)
    return [line for window in days for line in merged([chunk(said, Counter()) for said in window])]


def calibration() -> int:
    """A fixed amount of what Python does all day: what every other time is divided by."""
    found: dict[str, int] = {}
    for number in range(2000):
        key = f"key-{number % 97}"
        found[key] = found.get(key, 0) + number
    return sum(orjson.loads(orjson.dumps(found)).values())


def _features(scene: Scene) -> list[tuple[float, ...]]:
    return [
        features(account.profile, request, account.home_country, request.transmitted_at)
        for request, account in scene.asked
    ]


def _score(scene: Scene) -> Callable[[], Any]:
    model = FraudModel.load()
    matrix = np.array(_features(scene)[:BATCH], dtype=np.float32)
    return lambda: model.score(matrix)


def _unit_of_work(scene: Scene) -> dict[int, list[tuple[bytes, bytes]]]:
    unit = UnitOfWork(scene.row)
    for partition, message in scene.requests:
        account = unit.get(partition, message.account_id)
        assert account is not None
        unit.put(partition, account)
    return unit.changed_rows()


def _decisions(scene: Scene) -> list[Any]:
    decided: Decided = scene.plain.decide(scene.slice_of(scene.next), NOW)
    bodies = [orjson.loads(value) for records in decided.records.values() for _key, value in records]
    return [AuthorizationDecision(**body) for body in bodies if body["type"] == "authorization-decision"]
