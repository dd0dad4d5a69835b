"""The whole sink: a real Kafka topic in, a real PostgreSQL ledger out."""

from __future__ import annotations

import asyncio
import base64
import random
from collections.abc import AsyncIterator

import orjson
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.embedded.ports import ReservedPort
from deploy.embedded.postgres import Postgres
from sinks.ledger import reports
from sinks.ledger.errors import OffsetsOutOfRange, Unavailable
from sinks.ledger.service import LedgerSink
from tests.ledger_records import journal
from tests.support.ledger_stage import PARTITIONS, Stage


def sample(sink: LedgerSink, name: str, **labels: str) -> float:
    return sink.metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
async def stage(kafka: str, database: str, topic_prefix: str) -> AsyncIterator[Stage]:
    stage = Stage(kafka, database, topic_prefix)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in (stage.topic, stage.dead_letters)])
    yield stage
    await admin.delete_topics([stage.topic, stage.dead_letters])
    await admin.close()


async def test_committed_entries_are_posted_and_aborted_ones_are_not(stage: Stage) -> None:
    """Offsets step over transaction markers, so that the ledger can be seen to have reached the end."""
    async with stage.producer(transactional_id=f"{stage.prefix}writer") as producer:
        for _ in range(3):
            async with producer.transaction():
                await stage.send(producer, stage.entries(40))
        await producer.begin_transaction()
        await stage.send(producer, [journal("acct-x", 1), journal("acct-y", 1)])
        await producer.abort_transaction()
    async with stage.running() as sink:
        await stage.caught_up()
        await asyncio.sleep(0.3)
        assert sample(sink, "otb_sink_entries_written_total") == 120
        assert {sample(sink, "otb_sink_lag_records", partition=str(p)) for p in range(PARTITIONS)} == {0}
        assert sample(sink, "otb_sink_batch_seconds_count") > 0
    await stage.check_posted()
    assert await stage.group_offsets() == await stage.ends(stage.topic), "for whoever looks at the group alone"


async def test_poison_goes_to_the_dead_letter_topic(stage: Stage) -> None:
    """F5, E12: the next record is processed; the letter has all it takes to look at the record or to repair it."""
    poison = orjson.dumps(journal("acct-0", 99)).replace(b"ref-1", b"Caf\\u0000e")
    first, second = stage.entries(10), stage.entries(10)
    await stage.produce([*first, poison, b"no json", *second])
    async with stage.running() as sink:
        await stage.caught_up()
        await asyncio.sleep(0.3)
        assert sample(sink, "otb_sink_dead_letters_total", reason="invalid-field") == 1
        assert sample(sink, "otb_sink_dead_letters_total", reason="not-json") == 1
    await stage.check_posted()
    letters = {letter["reason"]: letter for letter in await stage.read_dead_letters()}
    assert letters.keys() == {"invalid-field", "not-json"}
    letter = letters["invalid-field"]
    assert (letter["type"], letter["topic"], letter["field"]) == ("dead-letter", stage.topic, "cause")
    assert base64.b64decode(letter["value_base64"]) == poison
    assert base64.b64decode(letter["key_base64"]) == b"acct-0"


async def test_a_restart_goes_by_the_stored_offsets(stage: Stage) -> None:
    """The group's own offset says the end; the ledger's says the beginning: all is read again, nothing posted again."""
    await stage.produce(stage.entries(100))
    async with stage.running():
        await stage.caught_up()
    await stage.ask(lambda c: c.execute("UPDATE sink_offsets SET next_offset = 0"))
    await stage.produce(stage.entries(20))
    async with stage.running() as sink:
        await stage.caught_up()
        await asyncio.sleep(0.3)
        assert sample(sink, "otb_sink_duplicates_skipped_total") == 100
        assert sample(sink, "otb_sink_entries_written_total") == 20
    await stage.check_posted()
    assert await stage.read_dead_letters() == []


async def test_a_sink_that_is_cut_down_again_and_again(stage: Stage) -> None:
    """Each run is cancelled somewhere in the middle; what the next one finds is whole."""
    chance = random.Random(4)
    await stage.produce(stage.entries(3000))
    for _ in range(6):
        sink = stage.sink(max_batch=20)
        task = asyncio.create_task(sink.run())
        await sink.ready.wait()
        await asyncio.sleep(chance.uniform(0.05, 0.8))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    async with stage.running(max_batch=2000):
        await stage.caught_up()
    await stage.check_posted()


async def test_sinks_come_and_go_under_load(stage: Stage) -> None:
    """F1 for the sink: partitions move from one to two sinks and back while entries arrive."""
    enough = asyncio.Event()

    async def load() -> None:
        async with stage.producer() as producer:
            while not enough.is_set():
                await stage.send(producer, stage.entries(50))
                await asyncio.sleep(0.05)

    async def has_written(sink: LedgerSink, least: float) -> None:
        while sample(sink, "otb_sink_entries_written_total") < least:  # noqa: ASYNC110  # it counts what it has done
            await asyncio.sleep(0.05)

    async with stage.running() as first:
        loading = asyncio.create_task(load())
        await has_written(first, 1)
        async with stage.running() as second:
            await has_written(second, 200)
        alone = sample(first, "otb_sink_entries_written_total")
        await has_written(first, alone + 200)
        enough.set()
        await loading
        await stage.caught_up()
    await stage.check_posted()
    assert await stage.read_dead_letters() == []


async def test_postgres_restarts_under_load(stage: Stage, own_postgres: Postgres) -> None:
    """E7's kind: the sink sits the restart out and goes on by itself."""
    stage.dsn = own_postgres.dsn
    async with stage.running() as sink:
        await sink.ready.wait()
        await stage.produce(stage.entries(500))
        own_postgres.stop()
        await stage.produce(stage.entries(500))
        own_postgres.start()
        own_postgres.wait_ready()
        await stage.produce(stage.entries(500))
        await stage.caught_up()
        assert sample(sink, "otb_sink_postgres_retries_total") > 0
    await stage.check_posted()


async def test_postgres_comes_up_after_the_sink(stage: Stage, own_postgres: Postgres) -> None:
    stage.dsn = own_postgres.dsn
    own_postgres.stop()
    await stage.produce(stage.entries(10))
    async with stage.running():
        await asyncio.sleep(0.5)
        own_postgres.start()
        own_postgres.wait_ready()
        await stage.caught_up()
    await stage.check_posted()


async def test_stop_before_anything_came_is_prompt_and_clean(stage: Stage) -> None:
    async with stage.running() as sink:
        await sink.ready.wait()
    assert await stage.ask(reports.counts) == reports.Counts(0, 0, 0)


async def test_a_ledger_of_another_cluster_is_refused(stage: Stage) -> None:
    """A ledger that has read further than the log goes would skip the first new entries in silence."""
    await stage.produce(stage.entries(10))
    async with stage.running():
        await stage.caught_up()
    await stage.ask(lambda c: c.execute("UPDATE sink_offsets SET next_offset = next_offset + 1000"))
    with pytest.raises(OffsetsOutOfRange, match="this database belongs to another cluster"):
        await stage.sink().run()


async def test_missing_servers_and_topics_are_one_clear_error(stage: Stage) -> None:
    with ReservedPort() as port:
        nowhere = f"127.0.0.1:{port.number}"
        with pytest.raises(Unavailable, match=rf"PostgreSQL at {nowhere}/none did not answer within 0\.2 s"):
            await stage.sink(dsn=f"postgresql://me:secret@{nowhere}/none", start_patience_s=0.2).run()
        with pytest.raises(Unavailable, match=rf"Kafka at {nowhere} did not answer within 0\.2 s"):
            await stage.sink(bootstrap=nowhere, start_patience_s=0.2).run()
    with pytest.raises(Unavailable, match="has no topic missing-dead-letters"):
        await stage.sink(dead_letter_topic="missing-dead-letters", start_patience_s=0.2).run()
