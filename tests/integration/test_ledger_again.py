"""The ledger made again: from the journal, and from a backup that was taken while the sink ran."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.admin.records_to_delete import RecordsToDelete

from deploy.embedded.kafka import SHORT_LIVED, Broker, running_broker
from deploy.embedded.postgres import Postgres
from loadtest import clients
from sinks.ledger import reports
from tests.conftest import running_postgres
from tests.ledger_records import journal
from tests.support.ledger_stage import PARTITIONS, Stage
from topics.admin import RetentionMismatch, ensure_topics
from topics.cluster import Cluster

ROOT = Path(__file__).parents[2]

# Everything but when the sink happened to write it.
EVERY_ROW = {
    "entries": "SELECT account_id, sequence, effective_at, source_offset, source_partition, posting_count, currency, "
    "entry_type, cause, digest FROM journal_entries ORDER BY 1, 2",
    "postings": "SELECT * FROM postings ORDER BY account_id, sequence, line",
    "ledger accounts": "SELECT * FROM ledger_accounts ORDER BY 1",
    "offsets": "SELECT topic, partition, next_offset FROM sink_offsets ORDER BY 1, 2",
}


async def contents(dsn: str) -> dict[str, Any]:
    connection = await asyncpg.connect(dsn)
    try:
        found: dict[str, Any] = {name: await connection.fetch(query) for name, query in EVERY_ROW.items()}
        return found | {"balances": await reports.balances_by_account(connection)}
    finally:
        await connection.close()


async def otb(command: str, kafka: str, dsn: str, home: Path) -> tuple[int, str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTB_")}
    settings = {"OTB_KAFKA": kafka, "OTB_POSTGRES_DSN": dsn, "OTB_HOME": str(home), "OTB_PARTITIONS": str(PARTITIONS)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deploy.cli", *command.split(), cwd=ROOT, env=environment | settings,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    out, said = await process.communicate()
    return process.returncode or 0, out.decode(), said.decode()


async def a_journal_with_everything(stage: Stage) -> None:
    """Transactions, aborted ones, records that came twice, one that came again with other content, and poison."""
    async with stage.producer(transactional_id="writer") as producer:
        for _ in range(4):
            entries = stage.entries(60)
            async with producer.transaction():
                await stage.send(producer, entries)
            async with producer.transaction():
                await stage.send(producer, [*entries[:5], b"no json", journal("acct-0", 1, 999)])
            await producer.begin_transaction()
            await stage.send(producer, [journal("acct-9", 999)])
            await producer.abort_transaction()


async def test_the_ledger_is_made_again_from_the_journal(empty_kafka: str, tmp_path: Path, database: str) -> None:
    stage = Stage(empty_kafka, database, "")
    await ensure_topics(Cluster(stage.kafka), "opentobuy", PARTITIONS, 1)
    await a_journal_with_everything(stage)
    async with stage.running():
        await stage.caught_up()
    await stage.check_posted()
    with running_postgres(tmp_path / "fresh") as fresh:
        code, out, said = await otb("rebuild-ledger --json", stage.kafka, fresh.dsn, tmp_path)
        assert code == 0, said
        built = orjson.loads(out)
        assert (built["entries"], built["postings"], built["accounts"], built["sound"]) == (240, 480, 10, True)
        assert built["dead_letters"] == 8
        assert built["records"] == sum((await stage.ends(stage.topic)).values())
        assert await contents(fresh.dsn) == await contents(database)

        code, out, said = await otb("rebuild-ledger", stage.kafka, fresh.dsn, tmp_path)
        assert (code, out) == (1, "")
        assert said == (
            f"otb: the database 127.0.0.1:{fresh.port}/postgres has a ledger of 240 entries already: "
            "name an empty one in OTB_POSTGRES_DSN, or run `otb sink` to go on with this one\n"
        )

        stage.dsn = fresh.dsn
        await stage.produce(stage.entries(20))
        async with stage.running() as sink:
            await stage.caught_up()
            assert sink.metrics.registry.get_sample_value("otb_sink_duplicates_skipped_total") == 0
        await stage.check_posted()


async def test_a_journal_that_lost_its_beginning_is_refused(empty_kafka: str, tmp_path: Path, database: str) -> None:
    stage = Stage(empty_kafka, database, "")
    await ensure_topics(Cluster(stage.kafka), "opentobuy", PARTITIONS, 1)
    await stage.produce(stage.entries(40))
    admin = AIOKafkaAdminClient(bootstrap_servers=stage.kafka)
    await admin.start()
    await admin.delete_records({TopicPartition(stage.topic, 1): RecordsToDelete(before_offset=7)})
    await admin.close()
    code, out, said = await otb("rebuild-ledger", stage.kafka, database, tmp_path)
    assert (code, out) == (1, "")
    assert said.startswith("otb: journal-entries/1 begins at offset 7: what was before it is gone, ")
    assert said.count("\n") == 1


@pytest.fixture
def forgetful_broker(tmp_path: Path, kafka_jars: list[Path]) -> Iterator[Broker]:
    """Deletes what is older than a second, in segments of a hundred, unless a topic says otherwise."""
    overrides = {
        "log.retention.ms": "1000", "log.retention.bytes": "1000", "log.retention.check.interval.ms": "500",
        "log.initial.task.delay.ms": "500", "log.segment.delete.delay.ms": "0",
    }  # fmt: skip
    with running_broker(tmp_path / "kafka", kafka_jars, overrides=overrides, jvm_options=SHORT_LIVED) as broker:
        yield broker


async def test_the_journal_stays_whatever_the_cluster_forgets(forgetful_broker: Broker) -> None:
    kafka = forgetful_broker.bootstrap
    await ensure_topics(Cluster(kafka), "opentobuy", PARTITIONS, 1)
    kept, forgotten = Stage(kafka, "", ""), Stage(kafka, "", "other-")
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic(forgotten.topic, PARTITIONS, 1)])
    await kept.produce(kept.entries(40))
    await forgotten.produce(forgotten.entries(40))
    while sum((await first_offsets(kafka, forgotten.topic)).values()) < 40:  # noqa: ASYNC110  # asks another server
        await asyncio.sleep(0.5)
    assert set((await first_offsets(kafka, kept.topic)).values()) == {0}

    # Somebody changes it: nothing starts on such a topic.
    config = {"retention.ms": "604800000", "retention.bytes": "-1", "cleanup.policy": "delete"}
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, kept.topic, config)])
    with pytest.raises(RetentionMismatch, match=r"journal-entries has retention\.ms=604800000, must be -1"):
        await ensure_topics(Cluster(kafka), "opentobuy", PARTITIONS, 1)
    await admin.close()


async def first_offsets(kafka: str, topic: str) -> dict[int, int]:
    def ask() -> dict[int, int]:
        client = clients.reader(Cluster(kafka))
        try:
            return clients.first_offsets(client, topic, PARTITIONS)
        finally:
            client.close()

    return await asyncio.to_thread(ask)


async def run(server: Postgres, program: str, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(str(server.programs / program), *arguments, stderr=subprocess.PIPE)
    _out, said = await process.communicate()
    assert process.returncode == 0, said.decode()


async def test_a_backup_taken_while_the_sink_runs_is_restored_and_catches_up(
    empty_kafka: str, own_postgres: Postgres, tmp_path: Path
) -> None:
    """The dump is one moment of the database, so its entries and its offsets fit; the journal has the rest."""
    dump = str(tmp_path / "ledger.dump")
    stage = Stage(empty_kafka, own_postgres.dsn, "")
    await ensure_topics(Cluster(stage.kafka), "opentobuy", PARTITIONS, 1)
    async with stage.running(max_batch=20) as sink, stage.producer() as producer:

        async def load() -> None:
            for _ in range(80):
                await stage.send(producer, stage.entries(20))
                await asyncio.sleep(0.02)

        await sink.ready.wait()
        loading = asyncio.create_task(load())
        while not sink.metrics.registry.get_sample_value("otb_sink_entries_written_total"):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await run(own_postgres, "pg_dump", "--format=custom", f"--file={dump}", stage.dsn)
        assert not loading.done(), "the backup is to be taken under load"
        await loading
        await stage.caught_up()
    with running_postgres(tmp_path / "restored") as restored:
        await run(restored, "pg_restore", "--exit-on-error", f"--dbname={restored.dsn}", dump)
        backed_up = len((await contents(restored.dsn))["entries"])
        assert 0 < backed_up < sum(stage.sequences.values())
        old = await contents(own_postgres.dsn)
        stage.dsn = restored.dsn
        async with stage.running() as sink:
            await stage.caught_up()
            await asyncio.sleep(0.3)
            written = sink.metrics.registry.get_sample_value("otb_sink_entries_written_total")
            assert written == sum(stage.sequences.values()) - backed_up
            assert sink.metrics.registry.get_sample_value("otb_sink_duplicates_skipped_total") == 0
        assert await contents(restored.dsn) == old
        await stage.check_posted()
        connection = await asyncpg.connect(restored.dsn)
        with pytest.raises(asyncpg.RestrictViolationError):  # its guards came along
            await connection.execute("DELETE FROM journal_entries")
        await connection.close()
