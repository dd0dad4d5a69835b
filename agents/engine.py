"""Decides a slice: records in, rows and records out, nothing sent and nothing stored yet.

    batches      of a few dozen messages, so that what is decoded is decided and encoded while it is in the cache
    decode       each record, bad ones to the dead letters
    waves        the first message of every account, then the second of each, ...: an account's later message sees
                 its earlier one, and each wave's authorisation requests are scored in ONE model run
    collect      rows to write and records to send, in the order the messages came

A record that makes the domain raise is a bug, but must not stop everyone's cards: the slice is decided again without
it and it goes to the dead letters as `processing-error`.
"""

from __future__ import annotations

import base64
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from aiokafka import ConsumerRecord
from faust.types import TP

from models import authorization, update
from models.authorization import FraudScore, Policy, Screened
from models.messages import (
    AccountOpened,
    AccountUpdate,
    AuthorizationDecision,
    AuthorizationRequest,
    ClockTick,
    DeadLetter,
    Inbound,
    JournalEntry,
    Presentment,
    Reversal,
    ReversalAcknowledgement,
)
from models.outcomes import DeclineReason
from models.result import Result
from models.scoring.features import features
from tables.unit_of_work import ReadRow, UnitOfWork
from topics import codec
from topics.codec import Unreadable
from topics.declarations import (
    ACCOUNT_EVENTS,
    ACCOUNT_UPDATES,
    AUTHORIZATION_DECISIONS,
    AUTHORIZATIONS,
    CLEARINGS,
    CLOCK,
    DEAD_LETTERS,
    JOURNAL_ENTRIES,
    PAYMENTS,
)

log = logging.getLogger(__name__)

TOPIC_ORDER: Final = (ACCOUNT_EVENTS.name, PAYMENTS.name, CLEARINGS.name, AUTHORIZATIONS.name)
"""Within a slice, money that moved comes before money that is asked for."""

BATCH: Final = 64
"""Messages worked on at a time. In one run on 2 cores, us a request: 74 at 4,000, 75 at 250, 59 at 125, 56 at 50."""


class Model(Protocol):
    """What the engine needs of a fraud model: scores for a matrix of features, one row a request."""

    @property
    def version(self) -> str: ...

    def score(self, matrix: npt.NDArray[np.float32]) -> Sequence[Scored]: ...


class Scored(Protocol):
    @property
    def ppm(self) -> int: ...

    @property
    def reasons(self) -> list[str]: ...


class Sweeper(Protocol):
    """Hands out, tick by tick, the rows to look for ended holds in."""

    def next_rows(self, partition: int) -> list[str]: ...


@dataclass(slots=True)
class Decided:
    """What committing this slice would write."""

    rows: Mapping[int, list[tuple[bytes, bytes]]]  # by partition: changelog records, in order
    records: Mapping[tuple[str, int], list[tuple[bytes | None, bytes]]]  # by (topic, partition)
    outcomes: Counter[tuple[str, str]]  # (message type, outcome or decline reason)
    dead_letters: Counter[str]  # by reason
    model_seconds: float


class _Item(NamedTuple):
    """A decoded message and where it came from."""

    partition: int
    message: Inbound
    record: ConsumerRecord


class Poisoned(Exception):
    """The domain raised on this record."""

    def __init__(self, where: tuple[str, int, int], error: Exception) -> None:
        super().__init__(f"{where}: {error!r}")
        self.where = where
        self.error = error


class Engine:
    """Pure apart from reading committed rows and running the model; the same records give the same decisions."""

    def __init__(
        self, read_row: ReadRow, model: Model | None, policy: Policy, max_future_ms: int, sweeper: Sweeper
    ) -> None:
        self._read_row = read_row
        self._model = model
        self._policy = policy
        self._max_future_ms = max_future_ms
        self._sweeper = sweeper

    def decide(self, records: Mapping[TP, list[ConsumerRecord]]) -> Decided:
        """Decide all records of a slice, as often as poisoned ones have to be left out."""
        poisoned: dict[tuple[str, int, int], Exception] = {}
        while True:
            try:
                return _Attempt(self, records, poisoned).run()
            except Poisoned as found:
                log.exception("a record made the domain raise; it goes to the dead letters: %s", found)
                poisoned[found.where] = found.error


@dataclass(slots=True)
class _Output:
    records: dict[tuple[str, int], list[tuple[bytes | None, bytes]]] = field(default_factory=lambda: defaultdict(list))
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    dead_letters: Counter[str] = field(default_factory=Counter)


class _Attempt:
    """One pass over a slice."""

    def __init__(
        self,
        engine: Engine,
        records: Mapping[TP, list[ConsumerRecord]],
        poisoned: Mapping[tuple[str, int, int], Exception],
    ) -> None:
        self._engine = engine
        self._slice = records
        self._poisoned = poisoned
        self._unit = UnitOfWork(engine._read_row)
        self._output = _Output()
        self._model_seconds = 0.0

    def run(self) -> Decided:
        items = self._decode()
        while batch := list(islice(items, BATCH)):
            self._decide_batch(batch)
            self._unit.put_away()
        self._sweep()
        return Decided(
            self._unit.changed_rows(),
            self._output.records,
            self._output.outcomes,
            self._output.dead_letters,
            self._model_seconds,
        )

    # -- decode

    def _decode(self) -> Iterator[_Item]:
        for topic in TOPIC_ORDER:
            for tp, records in self._slice.items():
                if tp.topic == topic:
                    for record in records:
                        item = self._read(tp, record)
                        if item is not None:
                            yield item

    def _read(self, tp: TP, record: ConsumerRecord) -> _Item | None:
        try:
            bug = self._poisoned.get((tp.topic, tp.partition, record.offset)) if self._poisoned else None
            if bug is not None:
                raise Unreadable("processing-error", repr(bug))
            message = codec.decode(tp.topic, record.key, record.value)
            if message.transmitted_at > record.timestamp + self._engine._max_future_ms:
                raise Unreadable(
                    "from-the-future", f"{message.transmitted_at} is ahead of {record.timestamp}", "transmitted_at"
                )
        except Unreadable as error:
            self._bury(tp, record, error)
            return None
        return _Item(tp.partition, message, record)

    # -- decide

    def _decide_batch(self, items: list[_Item]) -> None:
        results: list[Result | None] = [None] * len(items)
        for wave in _waves(items):
            self._decide_wave(items, wave, results)
        for item, result in zip(items, results, strict=True):
            if result is not None:
                self._collect(item, result)

    def _decide_wave(self, items: list[_Item], wave: list[int], results: list[Result | None]) -> None:
        """Every account occurs once in a wave, so the order within it does not matter."""
        to_score: list[tuple[int, Screened]] = []
        for index in wave:
            item = items[index]
            try:
                result = self._decide_unscored(item)
            except Exception as error:
                raise _poison(item, error) from error
            if isinstance(result, Screened):
                to_score.append((index, result))
            else:
                results[index] = result
        scores = self._score([screened for _index, screened in to_score])
        for (index, screened), score in zip(to_score, scores, strict=True):
            try:
                results[index] = authorization.decide(screened, score, self._engine._policy)
            except Exception as error:
                raise _poison(items[index], error) from error
            self._unit.put(items[index].partition, screened.account)

    def _decide_unscored(self, item: _Item) -> Result | Screened:
        """The result, or what to score first."""
        partition, message = item.partition, item.message
        account = self._unit.get(partition, message.account_id)  # type: ignore[union-attr]
        if type(message) is AuthorizationRequest:
            if account is None:
                return authorization.decline_unknown_account(message)
            screened = authorization.screen(account, message)
            if isinstance(screened, Screened):
                return screened
            result = screened
        elif type(message) is Reversal:
            result = authorization.reverse(account, message)
        elif type(message) is AccountOpened:
            account, result = update.open_account(account, message)
        elif type(message) is Presentment:
            result = update.present(account, message)
        else:
            result = update.receive_payment(account, message)  # type: ignore[arg-type]
        if result.changed and account is not None:
            self._unit.put(partition, account)
        return result

    def _score(self, requests: list[Screened]) -> list[FraudScore | None]:
        model = self._engine._model
        if model is None or not requests:
            return [None] * len(requests)
        rows = [
            features(account.profile, request, account.home_country, now)
            for account, request, _fingerprint, now in requests
        ]
        started = time.perf_counter()
        scores = model.score(np.array(rows, np.float32))
        self._model_seconds += time.perf_counter() - started
        return [FraudScore(score.ppm, score.reasons, model.version) for score in scores]

    # -- collect

    def _collect(self, item: _Item, result: Result) -> None:
        key = item.record.key
        reply, records = result.reply, self._output.records
        records[_reply_topic(reply), item.partition].append((key, codec.encode(reply)))
        if result.entries:
            records[JOURNAL_ENTRIES.name, item.partition] += [(key, codec.encode(entry)) for entry in result.entries]
        if result.parked is not None:
            self._bury(
                TP(item.record.topic, item.partition), item.record, Unreadable(result.parked, "parked"), answer=False
            )
        self._output.outcomes[item.message.type, _outcome(reply)] += 1

    def _sweep(self) -> None:
        """Write down ended holds, a bounded number of rows per tick: they already stopped counting when they ended."""
        for tp, records in self._slice.items():
            if tp.topic != CLOCK.name:
                continue
            ticks = [item.message.transmitted_at for record in records if (item := self._read(tp, record)) is not None]
            if ticks:
                for account_id in self._engine._sweeper.next_rows(tp.partition):
                    self._sweep_account(tp.partition, account_id, max(ticks))

    def _sweep_account(self, partition: int, account_id: str, now: int) -> None:
        account = self._unit.get(partition, account_id)
        entries: list[JournalEntry] = [] if account is None else update.sweep(account, now)
        if account is not None and entries:
            self._unit.put(partition, account)
            records = self._output.records[JOURNAL_ENTRIES.name, partition]
            records += [(account_id.encode(), codec.encode(entry)) for entry in entries]
            self._output.outcomes[ClockTick.__name__, "hold-expired"] += len(entries)

    def _bury(self, tp: TP, record: ConsumerRecord, error: Unreadable, answer: bool = True) -> None:
        """Keep the record whole in the dead letters; a malformed request that names itself is declined as well."""
        letter = DeadLetter(
            "dead-letter", 1, tp.topic, tp.partition, record.offset, error.reason, error.field, error.detail[:500],
            _base64(record.key), _base64(record.value), record.timestamp,
        )  # fmt: skip
        self._output.records[DEAD_LETTERS.name, tp.partition].append((record.key, codec.encode(letter)))
        self._output.dead_letters[error.reason] += 1
        identity = codec.refused_request(record.value) if answer and tp.topic == AUTHORIZATIONS.name else None
        if identity is not None:
            decision = _refuse(identity, record.timestamp)
            self._output.records[AUTHORIZATION_DECISIONS.name, tp.partition].append(
                (record.key, codec.encode(decision))
            )
            self._output.outcomes["authorization-request", DeclineReason.MALFORMED] += 1


def _waves(items: Sequence[_Item]) -> list[list[int]]:
    """Indices by wave: wave k holds the k-th message of every account that has one."""
    waves: list[list[int]] = []
    seen: dict[tuple[int, str], int] = {}
    for index, item in enumerate(items):
        account = (item.partition, item.message.account_id)  # type: ignore[union-attr]
        number = seen.get(account, 0)
        seen[account] = number + 1
        if number == len(waves):
            waves.append([])
        waves[number].append(index)
    return waves


def _poison(item: _Item, error: Exception) -> Poisoned:
    return Poisoned((item.record.topic, item.partition, item.record.offset), error)


def _reply_topic(reply: AuthorizationDecision | ReversalAcknowledgement | AccountUpdate) -> str:
    return ACCOUNT_UPDATES.name if type(reply) is AccountUpdate else AUTHORIZATION_DECISIONS.name


def _outcome(reply: AuthorizationDecision | ReversalAcknowledgement | AccountUpdate) -> str:
    if type(reply) is AuthorizationDecision:
        return reply.reason or reply.outcome
    return reply.outcome


def _refuse(identity: Mapping[str, str], now: int) -> AuthorizationDecision:
    return AuthorizationDecision(
        "authorization-decision", 1, identity["network_reference"], identity["account_id"], "declined",
        DeclineReason.MALFORMED, 0, "", None, None, None, [], None, now,
    )  # fmt: skip


def _base64(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()
