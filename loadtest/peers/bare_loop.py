"""The job as a bare aiokafka loop with the engine's own guarantee: `python -m loadtest.peers.bare_loop STAGE...`.

One fenced transaction per poll holds the changed rows, the decisions and the source offsets. Rows live decoded in a
dict and are restored from the changelog when a partition is assigned. No Faust, no store, no metrics: what is left is
the least that the guarantee needs, so the distance from here to `ours.py` is what those cost.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import traceback
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
import uvloop
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition

from agents import cores
from loadtest.peers import job
from loadtest.peers.stage import Stage, end_with_parent
from topics.transport.fencing import MemberFenced, Membership, membership, require_stable_offsets
from topics.transport.transaction import Transactions

MOST_PER_POLL: Final = 4000
FETCH_WAIT_MS: Final = 5
EXIT_UNKNOWN_OUTCOME: Final = 70

Accounts = dict[bytes, job.Row]
Records = list[tuple[bytes | None, bytes]]


class Loop(ConsumerRebalanceListener):  # type: ignore[misc]
    """One worker. `lock` is held for a whole transaction, so that a revocation waits for its commit."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._accounts: dict[int, Accounts] = {}
        self._lock = asyncio.Lock()
        self._transactions = Transactions(stage.cluster, stage.app_id, stage.app_id, timeout_ms=10_000)
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=stage.bootstrap,
            group_id=stage.app_id,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=FETCH_WAIT_MS,
            session_timeout_ms=6000,
            heartbeat_interval_ms=1000,
        )
        self._decode = msgspec.json.Decoder(job.Request).decode
        self._encode = msgspec.json.Encoder().encode

    async def run(self) -> None:
        """Decide until the process ends."""
        await self._transactions.start()
        await self._consumer.start()
        require_stable_offsets(self._consumer)
        self._consumer.subscribe([self._stage.requests], listener=self)
        while True:
            records = await self._consumer.getmany(timeout_ms=1000, max_records=MOST_PER_POLL)
            if records:
                fetched_under = membership(self._consumer)  # no await since the records left the fetcher
                async with self._lock:
                    if fetched_under == membership(self._consumer):  # else fetched before a rebalance: dropped
                        await self._restore({tp.partition for tp in records} - self._accounts.keys())
                        await self._commit(fetched_under, records)

    # -- a transaction

    async def _commit(
        self, fetched_under: Membership, records: Mapping[TopicPartition, list[ConsumerRecord[Any, Any]]]
    ) -> None:
        transactions = self._transactions
        partitions = {tp.partition for tp in records}
        await transactions.begin(
            {TopicPartition(topic, p) for topic in (self._stage.changelog, self._stage.decisions) for p in partitions},
            {tp: fetched[-1].offset + 1 for tp, fetched in records.items()},
            fetched_under,
        )
        try:
            decided = {tp.partition: self._decide(tp.partition, fetched) for tp, fetched in records.items()}
            packed = transactions.pack(self._records(decided))
            await transactions.write(packed)
            await transactions.commit()
        except MemberFenced:  # what the dict holds of these partitions goes with them (see on_partitions_revoked)
            await transactions.abort()

    def _records(self, decided: Mapping[int, tuple[Records, Records]]) -> dict[TopicPartition, Records]:
        rows = {TopicPartition(self._stage.changelog, partition): rows for partition, (rows, _sent) in decided.items()}
        sent = {TopicPartition(self._stage.decisions, partition): sent for partition, (_rows, sent) in decided.items()}
        return {**{tp: records for tp, records in rows.items() if records}, **sent}

    def _decide(self, partition: int, records: Iterable[ConsumerRecord[Any, Any]]) -> tuple[Records, Records]:
        """(changed rows, decisions); the dict is changed in place: a failed commit ends the process."""
        accounts, encode, decode = self._accounts[partition], self._encode, self._decode
        changed: Accounts = {}
        decisions = []
        for record in records:
            request, key = decode(record.value), record.key
            row = accounts.get(key)
            if row is None:
                row = accounts[key] = job.Row()
            given, is_new = job.answer(row, request)
            if is_new:
                changed[key] = row
            decisions.append((key, encode(job.addressed(request, given))))
        return [(key, encode(row)) for key, row in changed.items()], decisions

    # -- partitions come and go

    async def _restore(self, partitions: set[int]) -> None:
        if partitions:
            self._accounts |= await _restored(self._stage, partitions)

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Finish the transaction in work, then forget."""
        async with self._lock:
            for tp in revoked:
                self._accounts.pop(tp.partition, None)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Nothing: rows are read when the first records of a partition are there (aiokafka may hand out records while
        this still runs). Offsets are fetched stable, so a former owner's transactions are over by then."""


async def _restored(stage: Stage, partitions: Iterable[int]) -> dict[int, Accounts]:
    """partition -> rows, as the committed changelog has them."""
    accounts: dict[int, Accounts] = defaultdict(dict)
    wanted = [TopicPartition(stage.changelog, partition) for partition in partitions]
    for tp in wanted:
        accounts[tp.partition] = {}
    reader = AIOKafkaConsumer(
        bootstrap_servers=stage.bootstrap, isolation_level="read_committed", auto_offset_reset="earliest"
    )
    await reader.start()
    try:
        reader.assign(wanted)
        decode = msgspec.json.Decoder(job.Row).decode
        ends = await reader.end_offsets(wanted)
        while any([await reader.position(tp) < end for tp, end in ends.items()]):
            for tp, records in (await reader.getmany(timeout_ms=100)).items():
                accounts[tp.partition].update((record.key, decode(record.value)) for record in records)
    finally:
        await reader.stop()
    return accounts


async def _run(stage: Stage) -> None:
    try:
        await Loop(stage).run()
    except BaseException:  # the outcome of a transaction is unknown: a restart restores from the changelog
        traceback.print_exc()
        os._exit(EXIT_UNKNOWN_OUTCOME)


def main() -> None:
    """Run until ended; its core is chosen and the collector calmed as for the engine."""
    end_with_parent()
    cores.stay_on(cores.spare())
    stage = Stage.from_arguments(sys.argv[1:])
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)
    uvloop.run(_run(stage))


if __name__ == "__main__":
    main()
