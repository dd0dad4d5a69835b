"""A worker process on a real broker."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from deploy.embedded.kafka import SHORT_LIVED, running_broker
from tables.source_offsets import is_account
from tests.support import messages as say
from tests.support.checker import Run
from tests.support.story import just_now, open_accounts, story
from tests.support.traffic import Load, bodies, producer, read, send, wait_for
from tests.support.workers import WorkerProcess, worker
from topics import codec
from topics.admin import changelog, ensure_topics
from topics.cluster import Cluster
from topics.keys import partition_for


def listening(pid: int) -> set[str]:
    """Local addresses of the process's listening sockets, as in /proc/net/tcp (hexadecimal)."""
    sockets = {link.readlink().name for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    inodes = {name[8:-1] for name in sockets if name.startswith("socket:[")}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                found.add(fields[1].split(":")[0])
    return found


def test_one_worker_from_end_to_end(empty_kafka: str, tmp_path: Path) -> None:
    kafka = empty_kafka
    with worker(kafka, tmp_path) as only:
        only.wait_ready()
        assert listening(only.pid) == {"0100007F"}, "no port open beyond 127.0.0.1"
        at = just_now()
        sender = producer(kafka)
        send(sender, [say.opened(transmitted_at=at)])
        wait_for(kafka, "account-updates", 1)

        # F5, F6, F12: bad records between good ones
        good = [say.request(f"ref-{number}", transmitted_at=at) for number in range(3)]
        bad_amount = codec.encode(say.request("ref-bad", transmitted_at=at)).replace(b":1000,", b':"a string",')
        send(sender, good[:1])
        for value in (bad_amount, None, b"\xff", b"x" * 200_000):
            sender.produce("authorizations", value, b"acct-1", partition_for(b"acct-1", 4))
        sender.flush(10)
        send(sender, good[1:])
        decisions = bodies(wait_for(kafka, "authorization-decisions", 4))
        assert [(d["network_reference"], d["reason"]) for d in decisions] == [
            ("ref-0", None), ("ref-bad", "malformed"), ("ref-1", None), ("ref-2", None),
        ]  # fmt: skip
        letters = bodies(read(kafka, "dead-letters"))
        assert sorted(letter["reason"] for letter in letters) == ["empty", "invalid-field", "not-json", "too-large"]

        # A1: the same request again gets the very same bytes
        send(sender, good[:1])
        again = [record.value() for p in wait_for(kafka, "authorization-decisions", 5) for record in p]
        assert again[-1] == again[0]

        wait_for_metrics(
            only,
            'otb_outcomes_total{outcome="approved",type="authorization-request"} 4.0',
            'otb_dead_letters_total{reason="not-json"} 1.0',
            "otb_decision_latency_seconds_bucket",
            "otb_consumer_lag_records{partition=",  # counted with every tick of the clock
        )


def wait_for_metrics(process: WorkerProcess, *wanted: str) -> None:
    """Until the worker's page of metrics has all of these."""
    deadline = time.monotonic() + 30
    while not all(each in (page := process.metrics()) for each in wanted):
        assert time.monotonic() < deadline, page
        time.sleep(0.1)


def test_what_a_producer_aborted_is_never_decided(empty_kafka: str, tmp_path: Path) -> None:
    """Faust reads uncommitted unless told otherwise."""
    kafka, at = empty_kafka, just_now()
    with worker(kafka, tmp_path) as only:
        only.wait_ready()
        send(producer(kafka), [say.opened(transmitted_at=at)])
        wait_for(kafka, "account-updates", 1)
        gateway = Producer({"bootstrap.servers": kafka, "transactional.id": "a-gateway"})
        gateway.init_transactions(10)
        for reference, finish in (("ref-aborted", gateway.abort_transaction), ("ref-kept", gateway.commit_transaction)):
            gateway.begin_transaction()
            request = say.request(reference, transmitted_at=at)
            gateway.produce("authorizations", codec.encode(request), b"acct-1", partition_for(b"acct-1", 4))
            gateway.flush(10)
            time.sleep(1)  # in sight of the worker, and not yet decided either way
            finish(10)
        decisions = bodies(wait_for(kafka, "authorization-decisions", 1))
        assert [decision["network_reference"] for decision in decisions] == ["ref-kept"]


def test_f6_f7_f12_empty_records_gaps_and_giants_stop_no_commit(empty_kafka: str, tmp_path: Path) -> None:
    """Offsets without a record (an aborted transaction, its markers), records without a value, and a record of 10 MB,
    which the broker does not take: the group still commits the end of its input, and what comes next is decided."""
    kafka, at, partition = empty_kafka, just_now(), partition_for(b"acct-1", 4)
    requests = [say.request(f"ref-{number}", transmitted_at=at) for number in range(3)]
    with worker(kafka, tmp_path) as only:
        only.wait_ready()
        sender = producer(kafka)
        send(sender, [say.opened(transmitted_at=at), requests[0]])
        gap = Producer({"bootstrap.servers": kafka, "transactional.id": "a-gap"})
        gap.init_transactions(10)
        gap.begin_transaction()
        for _ in range(50):
            gap.produce("authorizations", codec.encode(requests[1]), b"acct-1", partition)
        gap.flush(10)
        gap.abort_transaction(10)
        read(kafka, "authorizations")  # returns when the marker is there: it is written after the producer is answered
        sender.produce("authorizations", None, b"acct-1", partition)
        assert _refused(kafka, partition) == KafkaError.MSG_SIZE_TOO_LARGE
        send(sender, requests[2:])
        decisions = bodies(wait_for(kafka, "authorization-decisions", 2))
        assert [decision["network_reference"] for decision in decisions] == ["ref-0", "ref-2"]
        assert [letter["reason"] for letter in bodies(read(kafka, "dead-letters"))] == ["empty"]
        reader = Consumer({"bootstrap.servers": kafka, "group.id": "opentobuy", "enable.auto.commit": False})
        input_ = TopicPartition("authorizations", partition)
        end, deadline = reader.get_watermark_offsets(input_, 10)[1], time.monotonic() + 60
        assert end > 50, "there was a gap"
        while reader.committed([input_], 10)[0].offset != end:
            assert time.monotonic() < deadline, "the group did not commit the end"
        reader.close()


def _refused(kafka: str, partition: int) -> int:
    """What the broker says to a record of 10 MB from a producer that would send it."""
    answers: list[int] = []
    giant = Producer({"bootstrap.servers": kafka, "message.max.bytes": 20_000_000})
    giant.produce(
        "authorizations", b"x" * 10_000_000, b"acct-1", partition,
        on_delivery=lambda error, _record: answers.append(error.code() if error else 0),
    )  # fmt: skip
    giant.flush(30)
    return answers[0]


def test_f7_a_changelog_with_compacted_gaps_is_restored(tmp_path: Path, kafka_jars: list[Path]) -> None:
    with small_segments(tmp_path / "kafka", kafka_jars) as kafka:
        told = story(2000, seed=14)
        asyncio.run(ensure_topics(Cluster(kafka), "opentobuy", 4, 1))
        _compact_at_once(kafka, changelog("opentobuy").name)
        with worker(kafka, tmp_path / "a") as first:
            first.wait_ready()
            open_accounts(kafka)
            waves = [told[start : start + 100] for start in range(0, 1500, 100)]
            for number, wave in enumerate(waves, 1):  # each writes a row of every account it names, at least
                send(producer(kafka), wave)
                wait_for(kafka, "authorization-decisions", 100 * number)
            written, deadline = (
                sum(len({message.account_id for message in wave}) for wave in waves),
                time.monotonic() + 90,
            )
            while _rows(kafka) >= written:
                assert time.monotonic() < deadline, "nothing was compacted"
                time.sleep(0.5)
            first.signal(signal.SIGKILL)
        with worker(kafka, tmp_path / "b") as second:  # no local store
            second.wait_ready()
            assert "otb_restore_offsets_left 0.0" in second.metrics()
            send(producer(kafka), told[1500:])
            wait_for(kafka, "authorization-decisions", len(told))
            Run(kafka).check()


def test_the_changelog_closes_its_segments_soon_so_that_they_are_compacted(
    empty_kafka: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A cold restore reads the open segment whole: in an hour of soak, four partitions had a gigabyte each in theirs
    for 45 MB of rows, and the worker was not back after 90 s."""
    topic = changelog("opentobuy").name
    asyncio.run(ensure_topics(Cluster(empty_kafka), "opentobuy", 4, 1))
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    client = AdminClient({"bootstrap.servers": empty_kafka})
    told = client.describe_configs([resource])[resource].result(30)
    assert not caplog.records
    assert told["cleanup.policy"].value == "compact"
    assert int(told["segment.bytes"].value) == 8 * 1024 * 1024
    entries = int(told["segment.bytes"].value) / int(told["index.interval.bytes"].value)
    assert int(told["segment.index.bytes"].value) > 12 * entries  # or segments would end where their index is full
    assert float(told["min.cleanable.dirty.ratio"].value) <= 0.3
    # One that an older release has made:
    larger = [ConfigEntry("segment.bytes", str(2**30), incremental_operation=AlterConfigOpType.SET)]
    altered = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=larger)
    client.incremental_alter_configs([altered])[altered].result(30)
    deadline = time.monotonic() + 30
    while client.describe_configs([resource])[resource].result(30)["segment.bytes"].value != str(2**30):
        assert time.monotonic() < deadline, "the broker does not take it"
        time.sleep(0.05)
    asyncio.run(ensure_topics(Cluster(empty_kafka), "opentobuy", 4, 1))
    assert [f"{topic} has segment.bytes=1073741824" in each.getMessage() for each in caplog.records] == [True]


def _rows(kafka: str) -> int:
    partitions = read(kafka, changelog("opentobuy").name)
    return sum(is_account(record.key()) for partition in partitions for record in partition)


def _compact_at_once(kafka: str, topic: str) -> None:
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in (("segment.ms", "200"), ("min.cleanable.dirty.ratio", "0.01"))
    ]
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=entries)
    client = AdminClient({"bootstrap.servers": kafka})
    client.incremental_alter_configs([resource])[resource].result(30)


@contextmanager
def small_segments(folder: Path, jars: list[Path]) -> Iterator[str]:
    """A broker that compacts as soon as there is anything to compact."""
    quick_cleaner = {"log.cleaner.backoff.ms": "100"}
    with running_broker(folder, jars, overrides=quick_cleaner, jvm_options=SHORT_LIVED) as broker:
        yield broker.bootstrap


def test_f1_a_second_worker_joins_and_one_leaves_under_load(empty_kafka: str, tmp_path: Path, database: str) -> None:
    kafka, told = empty_kafka, story(6000, seed=10)
    with worker(kafka, tmp_path / "a", "worker-a") as first:
        first.wait_ready()
        open_accounts(kafka)
        load = Load(kafka, told, rate=400)
        load.start()
        time.sleep(2)
        with worker(kafka, tmp_path / "b", "worker-b") as second:
            second.wait_ready()
            time.sleep(3)
            first.process.terminate()
            assert first.wait_ended() in (0, -15)
            load.join(60)
            wait_for(kafka, "authorization-decisions", len(told))
            Run(kafka).check()
    asyncio.run(Run(kafka).post(database))


BACKLOG = 20_000
SHED_AFTER_MS = 1500
MOST_MB = 600
"""What a worker may take, whatever waits for it."""


def test_what_waited_through_an_overload_is_declined_and_what_comes_after_it_is_decided_in_time(
    empty_kafka: str, tmp_path: Path
) -> None:
    """The ledger's sink does not even run: decisions do not wait for it."""
    kafka, told = empty_kafka, story(BACKLOG, seed=11)
    with worker(kafka, tmp_path, shed_after_ms=SHED_AFTER_MS) as only:
        only.wait_ready()
        open_accounts(kafka)
        only.process.terminate()
        only.wait_ended()
    sender = producer(kafka)
    send(sender, told)
    time.sleep(SHED_AFTER_MS / 1000)
    with worker(kafka, tmp_path, shed_after_ms=SHED_AFTER_MS) as only:
        only.wait_ready()
        wait_for(kafka, "authorization-decisions", BACKLOG)
        assert psutil.Process(only.pid).memory_info().rss < MOST_MB * 1024 * 1024
        late = [say.request(f"late-{number}", 1, f"acct-{number}", transmitted_at=just_now()) for number in range(20)]
        send(sender, late)
        decisions = bodies(wait_for(kafka, "authorization-decisions", BACKLOG + len(late)))
    Run(kafka, shed_after=SHED_AFTER_MS).check()
    reasons = {d["network_reference"]: d["reason"] for d in decisions if d["type"] == "authorization-decision"}
    after = {reference: reason for reference, reason in reasons.items() if reference.startswith("late-")}
    assert len(after) == len(late)
    assert "timed-out" not in after.values()
    waited = [reason for reference, reason in reasons.items() if reference not in after]
    assert waited.count("timed-out") > 0.9 * len(waited), "the rest were overtaken by their reversals"


def test_topics_with_another_partition_count_are_refused_in_one_line(empty_kafka: str, tmp_path: Path) -> None:
    kafka = empty_kafka
    with worker(kafka, tmp_path) as first:
        first.wait_ready()
    refusal = pytest.raises(AssertionError, match="have 4 partitions, OTB_PARTITIONS says 6")
    with worker(kafka, tmp_path, partitions=6) as second, refusal:
        second.wait_ready()
