"""How a partition is taken over, and what is packed and sent as its owner. The broker is a script; the real one, which
does the fencing, is in tests/integration/test_release.py."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import count
from types import SimpleNamespace
from typing import Any

import aiokafka.errors as kafka_errors
import pytest
from aiokafka import TopicPartition
from aiokafka.protocol.transaction import InitProducerIdRequest

from tests.unit.scripted import HERE, THERE, Client, become, parsed, taken, without_waiting
from topics.cluster import Cluster
from topics.transport import redo, wire
from topics.transport import release as module
from topics.transport.redo import UnreadableRedo, Work
from topics.transport.release import MOST_BYTES, RENEW_S, Releases
from topics.transport.wire import AddPartitions, EndTransaction, Identity, PartitionsAdded, Produce, Produced

DECISION = (b"acct-1", b"decision")
WORK = Work({"in": 7}, [(b"acct-1", b"row")], {"entries": [(None, b"entry")]})
FIRST_ID = 100


class Broker(Client):
    """Gives each transactional id a producer id of its own, and a new epoch whenever it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.epochs: dict[str, int] = {}
        self.ids: dict[str, int] = {}
        self.markers = 0  # so often the epoch that follows an abort has to be asked for in vain
        self._new_ids = count(FIRST_ID)
        self._busy: dict[str, int] = {}

    async def send(self, node: int, request: Any, **group: Any) -> Any:
        if not isinstance(request, InitProducerIdRequest):
            answer = await super().send(node, request, **group)
            if isinstance(request, EndTransaction):
                self._busy[_transactional_id(request)] = self.markers
            return answer
        await asyncio.sleep(0)
        self.sent.append((node, request))
        name = request._transactional_id
        if self._busy.get(name):
            self._busy[name] -= 1
            return become(-1, -1, code=51)
        self.ids.setdefault(name, next(self._new_ids))
        self.epochs[name] = self.epochs.get(name, -1) + 1
        return become(self.ids[name], self.epochs[name])

    def of(self, name: str) -> list[Any]:
        """The coordinator's requests for one transactional id, in order."""
        return [
            request
            for _node, request in self.sent
            if not isinstance(request, Produce) and _transactional_id(request) == name
        ]


def _transactional_id(request: Any) -> str:
    if isinstance(request, InitProducerIdRequest):
        return str(request._transactional_id)
    body = request.encode()
    return str(body[2 : 2 + int.from_bytes(body[:2])].decode())


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
async def releases(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Releases:
    without_waiting(monkeypatch)
    monkeypatch.setattr(module, "AIOKafkaClient", lambda **_named: broker)
    releases = Releases(Cluster("127.0.0.1:1"), HERE.topic, "group")
    await releases.start()
    return releases


def identity(broker: Broker, partition: int, epoch: int) -> Identity:
    name = f"group-release.{partition}"
    return Identity(name, broker.ids[name], epoch)


async def test_each_partition_is_fenced_with_a_marker_of_its_own(releases: Releases, broker: Broker) -> None:
    """A new epoch alone would fence nobody: a partition hears of it from what is written to it."""
    await releases.take_over({1, 0})
    for partition, place in enumerate((HERE, THERE)):
        first = identity(broker, partition, 0)
        sent = broker.of(first.transactional_id)
        assert [type(request) for request in sent] == [
            InitProducerIdRequest, AddPartitions, EndTransaction, InitProducerIdRequest,
        ]  # fmt: skip
        assert sent[1].encode() == wire.add_partitions(first, frozenset({place})).encode()
        assert sent[2].encode() == wire.end_transaction(first, False).encode(), "nothing is committed"
    assert len(broker.sent) == 8
    assert len(set(broker.ids.values())) == 2


async def test_it_waits_until_the_marker_is_in_the_log(releases: Releases, broker: Broker) -> None:
    """Until then the old owner's batches are taken, and the end of the log is not yet what it had to say."""
    broker.markers = 3
    await releases.take_over({0})
    assert broker.kinds() == ["InitProducerIdRequest", "AddPartitions", "EndTransaction"] + 4 * [
        "InitProducerIdRequest"
    ]


async def test_batches_carry_the_epoch_that_followed_the_marker(releases: Releases, broker: Broker) -> None:
    """The one before it is the marker's, and fenced by nothing but this."""
    await releases.take_over({0, 1})
    for partition in (0, 1):
        batch = releases.pack(partition, [DECISION], [WORK])
        assert batch is not None
        read = parsed(batch.content)
        _name, producer_id, epoch = identity(broker, partition, 1)
        assert (read.producer_id, read.producer_epoch, read.base_sequence) == (producer_id, epoch, 0)
        assert not read.is_transactional, "readers of committed records would wait for an end that never comes"


async def test_what_follows_is_in_the_header_of_the_first_decision(releases: Releases) -> None:
    await releases.take_over({0})
    later = Work({"in": 9}, [], {})
    batch = releases.pack(0, [DECISION, (None, b"another")], [WORK, later])
    assert batch is not None
    first, second = parsed(batch.content)
    assert [(first.key, first.value), (second.key, second.value)] == [DECISION, (None, b"another")]
    ((name, content),) = first.headers
    assert name == "otb-redo", "the next owner looks for this name, also one of another release"
    assert redo.decode(content) == [WORK, later]
    assert list(second.headers) == []


async def test_all_partitions_are_sent_at_once_and_it_is_told_where_they_end(
    releases: Releases, broker: Broker
) -> None:
    await releases.take_over({0, 1})
    broker.script[Produce] = [taken(here=40, there=50)]
    here, there = releases.pack(0, [DECISION] * 3, [WORK]), releases.pack(1, [DECISION], [WORK])
    assert here is not None
    assert there is not None
    assert await releases.send({0: here, 1: there}) == {0: 43, 1: 51}
    assert broker.kinds().count("Produce") == 1


async def test_numbers_go_on_and_begin_anew_when_the_partition_comes_again(releases: Releases, broker: Broker) -> None:
    broker.script[Produce] = [taken(here=40)]
    await releases.take_over({0})
    await release(releases, 0)
    await release(releases, 0)
    await releases.take_over({0})
    await release(releases, 0)
    sent = [batch for request in broker.batches() for batch in request]
    assert [(batch.base_sequence, batch.producer_epoch) for batch in sent] == [(0, 1), (1, 1), (0, 3)]


async def release(releases: Releases, partition: int) -> int:
    batch = releases.pack(partition, [DECISION], [WORK])
    assert batch is not None
    return (await releases.send({partition: batch}))[partition]


async def test_of_partitions_that_have_left_nothing_is_packed(releases: Releases) -> None:
    await releases.take_over({0, 1})
    await releases.take_over({1})
    assert releases.pack(1, [DECISION], [WORK]) is not None
    with pytest.raises(KeyError):
        releases.pack(0, [DECISION], [WORK])


@pytest.mark.parametrize("code", [47, 90])
async def test_who_is_overtaken_while_it_takes_over_hears_of_it(releases: Releases, broker: Broker, code: int) -> None:
    broker.script[AddPartitions] = [PartitionsAdded({HERE: code})]
    with pytest.raises(kafka_errors.ProducerFenced):
        await releases.take_over({0})


@pytest.mark.parametrize("code", [47, 90])
async def test_who_has_lost_the_partition_hears_of_it(releases: Releases, broker: Broker, code: int) -> None:
    await releases.take_over({0})
    broker.script[Produce] = [Produced({HERE: (code, -1)})]
    with pytest.raises(kafka_errors.ProducerFenced):
        await release(releases, 0)


@pytest.mark.parametrize(
    ("decisions", "works"),
    [
        ([DECISION], [Work({}, [(b"acct-1", bytes(MOST_BYTES + 1))], {})]),
        ([DECISION], [Work({}, [], {"entries": [(None, bytes(MOST_BYTES // 2 + 1))]})] * 2),
        ([DECISION], [Work({}, [(bytes(MOST_BYTES), b"")], {})]),
        ([DECISION, (b"acct-1", bytes(MOST_BYTES))], [WORK]),
        ([DECISION] * 20, [Work({}, [(b"acct-1", bytes(MOST_BYTES - 200))], {})]),
    ],
    ids=["a row", "all entries", "a key", "the decisions", "everything together"],
)
async def test_what_would_be_too_large_is_not_packed(
    releases: Releases, decisions: list[tuple[bytes, bytes]], works: list[Work]
) -> None:
    await releases.take_over({0})
    assert releases.pack(0, decisions, works) is None
    assert releases.pack(0, decisions[:1], [WORK]) is not None


async def test_nothing_is_encoded_of_what_cannot_fit(releases: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backlog of thousands comes again and again, and encoding what follows from it takes milliseconds."""
    await releases.take_over({0})
    monkeypatch.setattr(redo, "encode", lambda _works: pytest.fail("was encoded"))
    assert releases.pack(0, [DECISION], [Work({}, [(b"acct-1", bytes(MOST_BYTES + 1))], {})]) is None


async def test_what_is_not_quite_so_large_is_packed(releases: Releases) -> None:
    await releases.take_over({0})
    assert releases.pack(0, [DECISION], [Work({}, [(b"acct-1", bytes(MOST_BYTES - 1000))], {})]) is not None


async def test_the_fence_is_renewed_before_a_broker_forgets_it(
    releases: Releases, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the epoch that it has: another would be refused what is packed, and would fence who has taken over."""
    now = [1000.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    await releases.take_over({0, 1})
    broker.script[Produce] = [taken(here=40)]
    await release(releases, 0)
    broker.sent.clear()
    now[0] += RENEW_S
    await releases.keep()
    assert broker.sent == [], "it is not yet time"
    now[0] += 1
    await releases.keep()
    await releases.keep()
    for partition, place in enumerate((HERE, THERE)):
        sender = identity(broker, partition, 1)
        marked, ended = broker.of(sender.transactional_id)
        assert marked.encode() == wire.add_partitions(sender, frozenset({place})).encode()
        assert ended.encode() == wire.end_transaction(sender, False).encode()
    await release(releases, 0)
    assert broker.batches()[-1][0].base_sequence == 1
    broker.sent.clear()
    now[0] += RENEW_S + 1
    await releases.keep()
    assert len(broker.sent) == 4


def test_it_is_renewed_several_times_before_the_first_of_them_forgets() -> None:
    assert 3 * RENEW_S < 86_400, "producer.id.expiration.ms of a broker that is told nothing else"


async def test_who_has_lost_a_partition_hears_of_it_when_it_renews_its_fence(
    releases: Releases, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    await releases.take_over({0})
    broker.script[AddPartitions] = [PartitionsAdded({HERE: 47})]
    now[0] += RENEW_S + 1
    with pytest.raises(kafka_errors.ProducerFenced):
        await releases.keep()


class Reader:
    """In place of aiokafka's consumer: a log of (offset, headers), of which each poll brings one record. Offsets of
    which it has none are markers."""

    def __init__(self, log: Mapping[int, list[tuple[int, list[tuple[str, bytes]]]]], ends: Mapping[int, int]) -> None:
        self.log, self.ends = log, ends
        self.positions: dict[TopicPartition, int] = {}
        self.polled: list[set[int]] = []
        self.stopped = False

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        self.stopped = True

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.positions = dict.fromkeys(partitions, -1)

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: self.ends[tp.partition] for tp in partitions}

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self.positions[tp] = offset

    async def position(self, tp: TopicPartition) -> int:
        return self.positions[tp]

    async def getmany(self, *partitions: TopicPartition, timeout_ms: int) -> dict[TopicPartition, list[Any]]:  # noqa: ARG002
        self.polled.append({tp.partition for tp in partitions})
        found = {}
        for tp in partitions:
            left = [(at, headers) for at, headers in self.log[tp.partition] if at >= self.positions[tp]]
            self.positions[tp] = left[0][0] + 1 if left else self.ends[tp.partition]
            if left:
                found[tp] = [SimpleNamespace(partition=tp.partition, offset=left[0][0], headers=left[0][1])]
        return found


async def test_what_follows_is_read_from_where_it_was_committed_to_the_end(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(number: int) -> list[tuple[str, bytes]]:
        return [("another", b""), ("otb-redo", redo.encode([Work({"in": number}, [], {})]))]

    log = {0: [(3, said(1)), (4, []), (5, said(2)), (6, [])], 1: [(9, said(3))], 2: [(7, said(4))], 3: []}
    reader = Reader(log, {0: 8, 1: 10, 2: 8, 3: 0})
    monkeypatch.setattr(module, "AIOKafkaConsumer", lambda **_named: reader)
    found, ends = await releases.read({0: 4, 1: None, 2: 7, 3: 0})
    assert found == {0: [(5, [Work({"in": 2}, [], {})])], 2: [(7, [Work({"in": 4}, [], {})])]}
    assert ends == {0: 8, 1: 10, 2: 8, 3: 0}
    assert not any({1, 3} & polled for polled in reader.polled), "of the one only the end, in the other is nothing"
    assert reader.stopped


async def test_what_cannot_be_read_is_not_passed_over(releases: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader({0: [(3, [("otb-redo", b"\x02")])]}, {0: 4})
    monkeypatch.setattr(module, "AIOKafkaConsumer", lambda **_named: reader)
    with pytest.raises(UnreadableRedo):
        await releases.read({0: 0})
    assert reader.stopped
