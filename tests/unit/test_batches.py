"""Batches on their way to the leaders: what is sent again, under which number, and how much goes into one. The broker
is a script; the real one is in tests/integration/test_transactions.py and test_release.py."""

from __future__ import annotations

from typing import Any

import aiokafka.errors as kafka_errors
import pytest
from aiokafka import TopicPartition

from tests.unit.scripted import HERE, THERE, Client, parsed, taken, without_waiting
from topics.transport import batches as module
from topics.transport.batches import Batch, BatchSender
from topics.transport.wire import Identity, Produce, Produced

ME = Identity("worker", 12, 3)
HEADER = ("redo", b"what follows")


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
async def sender(client: Client, monkeypatch: pytest.MonkeyPatch) -> BatchSender:
    without_waiting(monkeypatch)
    return BatchSender(client, "worker")


@pytest.fixture
async def alone(client: Client, monkeypatch: pytest.MonkeyPatch) -> BatchSender:
    """Of batches that are part of no transaction."""
    without_waiting(monkeypatch)
    return BatchSender(client, None)


def seen(client: Client) -> list[list[tuple[int, list[bytes]]]]:
    """(first sequence number, values) of each batch of each request."""
    return [[(each.base_sequence, [record.value for record in each]) for each in sent] for sent in client.batches()]


async def send(sender: BatchSender, **values: list[bytes]) -> dict[TopicPartition, int]:
    places = {"here": HERE, "there": THERE}
    packed = {
        places[name]: sender.pack([(None, value) for value in each], places[name], ME) for name, each in values.items()
    }
    return await sender.send(packed)


async def send_one(sender: BatchSender, *values: bytes) -> dict[TopicPartition, int]:
    batch = sender.pack_one([(b"key", value) for value in values], HERE, ME, [HEADER], 10_000)
    assert batch is not None
    return await sender.send({HERE: [batch]})


async def test_a_batch_that_was_not_taken_comes_again_with_its_number_and_the_others_do_not(
    sender: BatchSender, client: Client
) -> None:
    client.script[Produce] = [Produced({HERE: (0, 40), THERE: (6, -1)}), taken(there=50)]
    assert await send(sender, here=[b"a", b"b"], there=[b"c"]) == {HERE: 41, THERE: 50}
    first, second = seen(client)
    assert first == [(0, [b"a", b"b"]), (0, [b"c"])]
    assert second == [(0, [b"c"])]
    assert client.metadata_updates == 1, "the leader has moved"


async def test_sequence_numbers_go_on_where_the_broker_is(sender: BatchSender, client: Client) -> None:
    """Also behind a request of which a part was refused: what it took has used up its numbers, the rest has not. A
    number used twice is taken for the first batch sent again, and the second is lost without an error."""
    client.script[Produce] = [Produced({HERE: (0, 40), THERE: (10, -1)}), taken(here=45, there=50)]
    with pytest.raises(kafka_errors.MessageSizeTooLargeError):
        await send(sender, here=[b"a", b"b"], there=[b"c"])
    await send(sender, here=[b"d"], there=[b"e"])
    assert seen(client)[-1] == [(2, [b"d"]), (0, [b"e"])]


async def test_sequence_numbers_begin_again_after_the_largest(sender: BatchSender, client: Client) -> None:
    sender._next_sequence[HERE] = 2**31 - 1
    client.script[Produce] = [taken(here=0)]
    await send(sender, here=[b"a", b"b"])
    await send(sender, here=[b"c"])
    assert [sent[0][0] for sent in seen(client)] == [2**31 - 1, 1]


async def test_each_leader_gets_its_own_and_one_that_is_away_gets_them_again(
    sender: BatchSender, client: Client
) -> None:
    client.leaders = {HERE: 1, THERE: 2}
    client.script[Produce] = [kafka_errors.KafkaConnectionError(), taken(there=50), taken(here=40)]
    assert await send(sender, here=[b"a"], there=[b"b"]) == {HERE: 40, THERE: 50}
    assert [node for node, _request in client.sent] == [1, 2, 1]


async def test_many_records_are_several_batches_one_after_the_other(
    sender: BatchSender, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_BYTES", 1000)
    client.script[Produce] = [taken(here=40), taken(here=42), taken(here=43)]
    values = [b"a" * 400, b"b" * 400, b"c" * 2000, b"d"]
    assert await send(sender, here=values) == {HERE: 43}
    sent = [batches[0] for batches in seen(client)]
    assert sent == [(0, values[:2]), (2, values[2:3]), (3, values[3:])]


@pytest.mark.parametrize("code", [47, 90])
async def test_who_was_fenced_sends_nothing_again(alone: BatchSender, client: Client, code: int) -> None:
    client.script[Produce] = [Produced({HERE: (code, -1)})]
    with pytest.raises(kafka_errors.ProducerFenced):
        await send_one(alone, b"a")
    assert client.kinds() == ["Produce"]


async def test_a_batch_of_a_transaction_says_so_and_one_of_none_does_not(
    sender: BatchSender, alone: BatchSender, client: Client
) -> None:
    """A broker would hold the one back from readers until its transaction ends, and refuse the other's request."""
    client.script[Produce] = [taken(here=40)]
    await send(sender, here=[b"a"])
    await send_one(alone, b"a")
    (inside,), (outside,) = client.batches()
    assert [batch.is_transactional for batch in (inside, outside)] == [True, False]
    assert [(each.producer_id, each.producer_epoch) for each in (inside, outside)] == [(12, 3), (12, 3)]
    names = [request.encode()[:8] for _node, request in client.sent]
    assert [name.startswith(b"\x00\x06worker") for name in names] == [True, False]
    assert names[1].startswith(b"\xff\xff"), "no transactional id"


async def test_all_of_it_is_one_batch_whose_first_record_has_the_headers(alone: BatchSender) -> None:
    batch = alone.pack_one([(b"k", b"a"), (None, b"b"), (b"k", b"c")], HERE, ME, [HEADER], 1000)
    assert batch is not None
    assert batch.records == 3
    records = list(parsed(batch.content))
    assert [(record.key, record.value) for record in records] == [(b"k", b"a"), (None, b"b"), (b"k", b"c")]
    assert [list(record.headers) for record in records] == [[HEADER], [], []]
    assert [record.offset for record in records] == [0, 1, 2]


async def test_without_room_for_the_last_byte_it_is_no_batch(alone: BatchSender) -> None:
    records: list[tuple[bytes | None, bytes]] = [(b"k", b"a" * 100), (b"k", b"b" * 100)]
    whole = alone.pack_one(records, HERE, ME, [HEADER], 10_000)
    assert whole is not None
    size = len(whole.content)
    assert alone.pack_one(records, HERE, ME, [HEADER], size + 1) is not None, "aiokafka's builder leaves one unused"
    assert alone.pack_one(records, HERE, ME, [HEADER], size - 1) is None


async def test_headers_that_are_too_large_are_no_batch(alone: BatchSender) -> None:
    """A builder takes a first record of any size."""
    assert alone.pack_one([(b"k", b"a")], HERE, ME, [("redo", bytes(1001))], 1000) is None


@pytest.mark.parametrize(
    ("value", "header"), [(b"a" * 2000, b""), (b"a" * 600, b"h" * 600)], ids=["its value", "both together"]
)
async def test_a_first_record_that_is_too_large_is_no_batch(alone: BatchSender, value: bytes, header: bytes) -> None:
    assert alone.pack_one([(b"k", value)], HERE, ME, [("redo", header)], 1000) is None


async def test_what_does_not_fit_uses_up_no_number(alone: BatchSender, client: Client) -> None:
    client.script[Produce] = [taken(here=40)]
    assert alone.pack_one([(b"k", b"a" * 900)] * 3, HERE, ME, [HEADER], 1000) is None
    await send_one(alone, b"a")
    assert seen(client) == [[(0, [b"a"])]]


async def test_numbers_of_single_batches_go_on_and_a_new_sender_begins_at_the_first(
    alone: BatchSender, client: Client
) -> None:
    client.script[Produce] = [taken(here=40), taken(here=42), taken(here=43)]
    assert await send_one(alone, b"a", b"b") == {HERE: 41}
    await send_one(alone, b"c")
    alone.begin_anew(HERE)
    await send_one(alone, b"d")
    assert [sent[0] for sent in seen(client)] == [(0, [b"a", b"b"]), (2, [b"c"]), (0, [b"d"])]


async def test_a_new_sender_of_one_partition_is_none_of_another(sender: BatchSender, client: Client) -> None:
    client.script[Produce] = [taken(here=40, there=50)]
    await send(sender, here=[b"a"], there=[b"b"])
    sender.begin_anew(HERE)
    sender.begin_anew(TopicPartition("out", 9))  # which has sent nothing
    await send(sender, here=[b"c"], there=[b"d"])
    assert seen(client)[-1] == [(0, [b"c"]), (1, [b"d"])]


@pytest.mark.parametrize(
    "first", [Produced({HERE: (7, -1)}), Produced({HERE: (51, -1)}), kafka_errors.RequestTimedOutError()], ids=str
)
async def test_one_whose_fate_is_unknown_comes_again_as_it_was(alone: BatchSender, client: Client, first: Any) -> None:
    """To the byte: by its number the broker tells that it has it already."""
    client.script[Produce] = [first, taken(here=40)]
    assert await send_one(alone, b"a", b"b") == {HERE: 41}
    once, again = (request.encode() for _node, request in client.sent)
    assert once == again


async def test_a_batch_packed_before_another_was_sent_would_have_its_number(alone: BatchSender) -> None:
    """So packing uses up nothing: what is packed is sent, or packed again."""
    packed: list[Batch | None] = [alone.pack_one([(b"k", b"a")], HERE, ME, [], 1000) for _ in range(2)]
    assert [parsed(each.content).base_sequence for each in packed if each is not None] == [0, 0]
