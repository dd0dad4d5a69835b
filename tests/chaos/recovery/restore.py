"""Cold restore: a changelog of a million rows, and a worker that has none of them."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
from confluent_kafka import Producer

from tables import rows
from tables.source_offsets import is_account
from tables.store import RowStore, open_database
from tests.support import messages as say
from tests.support.engine import Bench
from tests.support.story import ACCOUNTS, just_now, story
from tests.support.traffic import PARTITIONS
from tests.support.workers import worker
from topics.admin import changelog, ensure_topics
from topics.cluster import Cluster
from topics.keys import partition_for

APP_ID: Final = "opentobuy"
ALLOWED_S: Final = 60.0
"""For a million rows."""
HISTORY: Final = 1050
"""Messages behind the sample's rows: some five an account, which makes rows of the usual size, about 740 bytes."""
PATIENCE_S: Final = 300.0
"""As long as a worker itself waits (OTB_RECOVERY_DEADLINE_S); slower than allowed is a figure, not an error."""
ROWS_A_TRANSACTION: Final = 5000


@dataclass(frozen=True, slots=True)
class Restore:
    """`seconds`: from the start of the process until `ready`; `start_s`: of them, what it takes without any rows.
    `processor_s`: seconds of processor time for the rows alone, which do not depend on who else uses the machine."""

    rows: int
    bytes_a_row: float
    seconds: float
    start_s: float
    processor_s: float

    @property
    def rows_a_second(self) -> float:
        return self.rows / (self.seconds - self.start_s)


def restore(kafka: str, folder: Path, count: int) -> Restore:
    """Once, on an empty broker; raises AssertionError unless every row has arrived."""
    asyncio.run(ensure_topics(Cluster(kafka), APP_ID, PARTITIONS, 1))
    start_s, start_processor_s = _ready_after(kafka, folder / "without")
    size = fill(kafka, count)
    seconds, processor_s = _ready_after(kafka, folder / "with")
    found = rows_under(folder / "with")
    assert found == count, f"{found} of {count} rows are in the store"
    return Restore(count, size, seconds, start_s, processor_s - start_processor_s)


def fill(kafka: str, count: int) -> float:
    """Write `count` rows to the changelog, in transactions as a worker does; bytes of a row on average."""
    sample = sample_rows()
    topic = changelog(APP_ID).name
    sender = Producer({"bootstrap.servers": kafka, "transactional.id": "filler", "linger.ms": 5, "log_level": 0})
    sender.init_transactions(30)
    size = 0
    for number, (key, row) in enumerate(_many(sample, count)):
        if number % ROWS_A_TRANSACTION == 0:
            if number:
                sender.commit_transaction(60)
            sender.begin_transaction()
        while True:
            try:
                sender.produce(topic, row, key, partition_for(key, PARTITIONS))
                break
            except BufferError:
                sender.poll(0.1)
        sender.poll(0)
        size += len(row)
    sender.commit_transaction(60)
    return size / count


def sample_rows() -> list[bytes]:
    """What the engine makes of a story: rows with holds, answers, digests and a spending profile."""
    bench, at = Bench(), just_now()
    bench.run(*[say.opened(f"acct-{number}", transmitted_at=at) for number in range(ACCOUNTS)])
    bench.run(*story(HISTORY, seed=5))
    return list(bench.rows.values())


def _many(sample: list[bytes], count: int) -> Iterator[tuple[bytes, bytes]]:
    accounts = [rows.decode(row) for row in sample]
    numbers = list(range(count))
    random.Random(count).shuffle(numbers)  # cardholders do not spend in the order of their ids
    for number in numbers:
        account = accounts[number % len(accounts)]
        account.account_id = f"acct-{number:08}"
        yield account.account_id.encode(), rows.encode(account)


def _ready_after(kafka: str, folder: Path) -> tuple[float, float]:
    """Seconds until a new worker is ready, and of processor time that it takes until then."""
    begun = time.monotonic()
    with worker(kafka, folder) as process:
        process.wait_ready(PATIENCE_S)
        seconds = time.monotonic() - begun
        used = psutil.Process(process.pid).cpu_times()
        return seconds, used.user + used.system


def rows_under(folder: Path) -> int:
    """Rows in the stores of a worker that has ended."""
    found = sorted(path for path in (folder / "tables").rglob("*.db") if path.is_dir())
    assert len(found) == PARTITIONS, found
    return sum(map(_rows_in, found))


def _rows_in(path: Path) -> int:
    database = open_database(path)
    try:
        return sum(is_account(key) and key != RowStore.offset_key for key in database.keys())  # noqa: SIM118 - no dictionary
    finally:
        database.close()
