"""One pass over a slice.

    batches      of a few dozen messages, so that what is decoded is decided and encoded while it is in the cache
    decode       each record, bad ones to the dead letters
    waves        the first message of every account, then the second of each, ...: an account's later message sees
                 its earlier one, and each wave's authorisation requests are scored in ONE model run; a request that
                 has waited too long is declined without a score
    collect      rows to write and records to send, in the order the messages came (output.py)

A message of an account without a row is refused unless this partition is where its producer should have sent it: a
producer with another partitioner, or with another number of partitions, would get a wrong answer in silence.

A damaged row is nobody's message: those of its account go to the dead letters as `unreadable-row`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import inf
from typing import Final, NamedTuple, Protocol

from aiokafka import ConsumerRecord
from faust.types import TP

from agents.decided import PROCESSING_ERROR, UNREADABLE_ROW, WRONG_PARTITION, Decided
from agents.output import Output
from agents.scoring import Scorer, Sight
from agents.sweeping import Sweep
from models import authorization, lifecycle
from models.account import Account
from models.authorization import Opinion, Policy, ScoreMissing, Screened, TooLate
from models.messages import AuthorizationRequest, Inbound
from models.result import Result
from tables.rows import Encode, NewerRow, UnreadableRow
from tables.store import StoreDamaged
from tables.unit_of_work import ReadRow, UnitOfWork, UnwritableRow
from topics import codec
from topics.codec import Unreadable
from topics.declarations import ACCOUNT_EVENTS, AUTHORIZATIONS, CLEARINGS, CLOCK, PAYMENTS
from topics.keys import partition_for

TOPIC_ORDER: Final = (ACCOUNT_EVENTS.name, PAYMENTS.name, CLEARINGS.name, AUTHORIZATIONS.name)
"""Within a slice, money that moved comes before money that is asked for."""

BATCH: Final = 64
"""Messages worked on at a time. In one run on 2 cores, us a request: 74 at 4,000, 75 at 250, 59 at 125, 56 at 50."""

Where = tuple[str, int, int]
"""(topic, partition, offset) of a record"""


class Sweeper(Protocol):
    """Hands out, tick by tick, the keys of the rows where something has ended."""

    def next_rows(self, partition: int, now: int) -> list[bytes]: ...


@dataclass(slots=True)
class Means:
    """What every pass works with. `read_row` knows what is committed; `partitions`: how many every topic has."""

    read_row: ReadRow
    scorer: Scorer
    policy: Policy
    max_future_ms: int
    sweeper: Sweeper
    partitions: int
    encode_row: Encode


class _Item(NamedTuple):
    """A decoded message and where it came from."""

    partition: int
    message: Inbound
    record: ConsumerRecord


class _Refused(NamedTuple):
    """A record that is no message. It waits for those before it: what is sent is in the order of what came."""

    record: ConsumerRecord
    error: Unreadable


class Poisoned(Exception):
    """The domain raised on this record."""

    def __init__(self, record: ConsumerRecord, error: Exception) -> None:
        self.where: Where = (record.topic, record.partition, record.offset)
        self.error = error
        super().__init__(f"{self.where}: {error!r}")


class Attempt:
    """`poisoned`: records to leave out, and what the domain raised on them."""

    def __init__(
        self, means: Means, records: Mapping[TP, list[ConsumerRecord]], now: int, poisoned: Mapping[Where, Exception]
    ) -> None:
        self._means = means
        self._slice = records
        self._now = now
        self._patience_ms = inf if means.policy.shed_after_ms is None else means.policy.shed_after_ms
        self._poisoned = poisoned
        self._unit = UnitOfWork(means.read_row, means.encode_row)
        self._output = Output()
        self._stood_in = 0
        self._sweep = Sweep(means.scorer, self._unit, self._output)

    def run(self) -> Decided:
        scorer = self._means.scorer
        model_seconds = scorer.seconds
        items = self._decode()
        while batch := list(islice(items, BATCH)):
            self._decide_batch(batch)
            self._put_away(batch)
        self._sweep_rows()
        return Decided(
            self._unit.changed_rows(),
            self._output.records,
            self._output.outcomes,
            self._output.dead_letters,
            scorer.seconds - model_seconds,
            self._stood_in,
            self._sweep.unswept,
        )

    # -- decode

    def _decode(self) -> Iterator[_Item | _Refused]:
        for topic in TOPIC_ORDER:
            for tp, records in self._slice.items():
                if tp.topic == topic:
                    for record in records:
                        yield self._read(tp, record)

    def _read(self, tp: TP, record: ConsumerRecord) -> _Item | _Refused:
        try:
            bug = self._poisoned.get((tp.topic, tp.partition, record.offset)) if self._poisoned else None
            if bug is not None:
                raise Unreadable(PROCESSING_ERROR, repr(bug))
            message = codec.decode(tp.topic, record.key, record.value)
            if message.transmitted_at > record.timestamp + self._means.max_future_ms:
                raise Unreadable(
                    "from-the-future", f"{message.transmitted_at} is ahead of {record.timestamp}", "transmitted_at"
                )
        except Unreadable as error:
            return _Refused(record, error)
        return _Item(tp.partition, message, record)

    # -- decide

    def _decide_batch(self, batch: list[_Item | _Refused]) -> None:
        items: dict[int, _Item] = {}
        results: dict[int, Result | Unreadable] = {}
        for index, each in enumerate(batch):
            if isinstance(each, _Item):
                items[index] = each
            else:
                results[index] = each.error
        for wave in _waves(items):
            self._decide_wave(items, wave, results)
        for index, each in enumerate(batch):
            result = results[index]
            if isinstance(result, Unreadable):
                self._output.refuse(each.record, result)
            else:
                self._answer(items[index], result)

    def _answer(self, item: _Item, result: Result) -> None:
        try:
            self._output.answer(item.record, item.message.type, result)
        except Exception as error:
            raise Poisoned(item.record, error) from error

    def _put_away(self, batch: Iterable[_Item | _Refused]) -> None:
        try:
            self._unit.put_away()
        except UnwritableRow as error:
            mine = [each for each in batch if isinstance(each, _Item) and _account(each) == error.where]
            raise Poisoned(mine[-1].record, error) from error

    def _decide_wave(
        self, items: Mapping[int, _Item], wave: list[int], results: dict[int, Result | Unreadable]
    ) -> None:
        """Every account occurs once in a wave, so the order within it does not matter."""
        to_score: list[tuple[int, Screened, Sight]] = []
        for index in wave:
            item = items[index]
            try:
                result = self._decide_unscored(item)
            except (StoreDamaged, NewerRow):
                raise
            except UnreadableRow as error:
                results[index] = Unreadable(UNREADABLE_ROW, str(error))
                continue
            except Unreadable as error:
                results[index] = error
                continue
            except Exception as error:
                raise Poisoned(item.record, error) from error
            if not isinstance(result, Screened):
                results[index] = result
            elif (waited := self._now - item.record.timestamp) > self._patience_ms:
                results[index] = self._decide_screened(item, result, TooLate(waited))
            else:
                to_score.append((index, result, self._sight(item, result)))
        opinions = self._means.scorer.opinions([sight for _index, _screened, sight in to_score])
        self._stood_in += sum(isinstance(opinion, ScoreMissing) for opinion in opinions)
        for (index, screened, _sight), opinion in zip(to_score, opinions, strict=True):
            results[index] = self._decide_screened(items[index], screened, opinion)

    def _sight(self, item: _Item, screened: Screened) -> Sight:
        try:
            return self._means.scorer.sight(screened)
        except Exception as error:
            raise Poisoned(item.record, error) from error

    def _decide_screened(self, item: _Item, screened: Screened, opinion: Opinion) -> Result:
        try:
            result = authorization.decide(screened, opinion, self._means.policy)
        except Exception as error:
            raise Poisoned(item.record, error) from error
        self._unit.put(item.partition, screened.account)
        return result

    def _decide_unscored(self, item: _Item) -> Result | Screened:
        """The result, or what to score first."""
        partition, message = item.partition, item.message
        account = self._unit.get(partition, message.account_id)  # type: ignore[union-attr]
        if account is None:
            self._require_home(item)
        if type(message) is AuthorizationRequest:
            screened = _screen(account, message)
            if isinstance(screened, Screened):
                return screened
            result = screened
        else:
            result = lifecycle.handle(account, message, self._means.policy)
        account = result.opened or account
        if result.changed and account is not None:
            self._unit.put(partition, account)
        return result

    def _require_home(self, item: _Item) -> None:
        """Only an account without a row needs the look: rows are made at home."""
        home = partition_for(item.record.key or b"", self._means.partitions)
        if home != item.partition:
            raise Unreadable(WRONG_PARTITION, f"came to partition {item.partition}, the account's is {home}")

    # -- sweep

    def _sweep_rows(self) -> None:
        """Write down ended holds and score what had to wait, a bounded number of rows per tick."""
        for tp, records in self._slice.items():
            if tp.topic != CLOCK.name:
                continue
            now = self._latest_tick(tp, records)
            if now is not None:
                for key in self._means.sweeper.next_rows(tp.partition, now):
                    self._sweep.row(tp.partition, key, now)

    def _latest_tick(self, tp: TP, records: Sequence[ConsumerRecord]) -> int | None:
        ticks = []
        for record in records:
            match self._read(tp, record):
                case _Item(message=tick):
                    ticks.append(tick.transmitted_at)
                case _Refused(error=error):
                    self._output.refuse(record, error)
        return max(ticks, default=None)


def _account(item: _Item) -> tuple[int, str]:
    return item.partition, item.message.account_id  # type: ignore[union-attr]


def _screen(account: Account | None, request: AuthorizationRequest) -> Result | Screened:
    if account is None:
        return authorization.decline_unknown_account(request)
    return authorization.screen(account, request)


def _waves(items: Mapping[int, _Item]) -> list[list[int]]:
    """Indices by wave: wave k holds the k-th message of every account that has one."""
    waves: list[list[int]] = []
    seen: dict[tuple[int, str], int] = {}
    for index, item in items.items():
        account = _account(item)
        number = seen.get(account, 0)
        seen[account] = number + 1
        if number == len(waves):
            waves.append([])
        waves[number].append(index)
    return waves
