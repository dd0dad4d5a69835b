"""Batches into a real PostgreSQL, with everything that can go wrong between the two."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
import pytest

from models.journal import EntryType, LedgerAccount
from sinks.ledger import reports
from sinks.ledger.database import Database
from sinks.ledger.errors import LedgerRefused, StaleOffsets, Unavailable
from sinks.ledger.migrations import load, migrate
from sinks.ledger.reconciliation import AccountBalance
from sinks.ledger.writer import _POST, LedgerWriter, Move, create_staging
from tests.ledger_records import TOPIC, Letterbox, Record, batch, journal, record
from tests.tcp_proxy import Cut, cutting_proxy

COMMIT = b"COMMIT;\x00"  # as the simple query protocol sends it
DAY_MS = 86_400_000


class Ledger:
    """A migrated database with one writer, and a connection of its own to look at what was written."""

    def __init__(self, dsn: str, connection: Any) -> None:
        self.dsn = dsn
        self.connection = connection
        self.letters = Letterbox()
        self.retries = 0
        self.databases: list[Database] = []
        self.writer = self.another_writer()

    def another_writer(self, dsn: str | None = None, patience_s: float = 60) -> LedgerWriter:
        database = Database(dsn or self.dsn, patience_s=patience_s, prepare=create_staging, on_retry=self._retried)
        self.databases.append(database)
        return LedgerWriter(database, self.letters)

    def _retried(self) -> None:
        self.retries += 1

    async def adopt(self, *partitions: int) -> None:
        await self.writer.offsets(TOPIC, dict.fromkeys(partitions or (0,), 0))

    async def counts(self) -> tuple[int, int]:
        counted = await reports.counts(self.connection)
        return counted.entries, counted.postings

    async def offsets(self) -> dict[int, int]:
        return await reports.applied_offsets(self.connection)

    async def is_balanced(self) -> bool:
        return (await reports.trial_balance(self.connection)).balanced


@pytest.fixture
async def ledger(database: str) -> AsyncIterator[Ledger]:
    connection = await asyncpg.connect(database)
    await migrate(connection, load())
    ledger = Ledger(database, connection)
    await ledger.adopt()
    yield ledger
    for opened in ledger.databases:
        await opened.close()
    await connection.close()


def some_records(count: int, *, accounts: int = 7, partition: int = 0, first_offset: int = 0) -> list[Record]:
    """Entries 1, 2, 3 ... of several accounts in turn."""
    return [
        record(journal(f"acct-{i % accounts}", i // accounts + 1, i + 1), first_offset + i, partition)
        for i in range(count)
    ]


async def fail_first(ledger: Ledger, times: int, sqlstate: str, table: str, when: str = "BEFORE INSERT") -> None:
    """The first statements on `table` fail with `sqlstate`; the counter is a sequence, which no rollback resets."""
    await ledger.connection.execute(f"""
        CREATE SEQUENCE attempts;
        CREATE FUNCTION fail_first() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF nextval('attempts') <= {times} THEN
                RAISE EXCEPTION 'made to fail' USING ERRCODE = '{sqlstate}';
            END IF;
            RETURN NULL;
        END $$;
        CREATE TRIGGER fail_first {when} ON {table} FOR EACH STATEMENT EXECUTE FUNCTION fail_first()""")


async def test_a_batch_moves_entries_postings_and_offset(ledger: Ledger) -> None:
    outcome = await ledger.writer.write(batch(some_records(100)))
    assert (outcome.written, outcome.duplicates, outcome.rejections) == (100, 0, [])
    assert await ledger.counts() == (100, 200)
    assert await ledger.offsets() == {0: 100}
    assert await ledger.is_balanced()
    row = await ledger.connection.fetchrow("SELECT * FROM journal_entries WHERE account_id = 'acct-3' AND sequence = 2")
    assert (row["source_partition"], row["source_offset"], row["posting_count"]) == (0, 10, 2)
    assert int(row["effective_at"].timestamp() * 1000) == journal().effective_at


async def test_redelivery_is_skipped(ledger: Ledger) -> None:
    """Offsets set back by an operator: everything is delivered again and nothing is posted again."""
    await ledger.writer.write(batch(some_records(50)))
    await ledger.connection.execute("UPDATE sink_offsets SET next_offset = 0")
    outcome = await ledger.writer.write(batch(some_records(60)))
    assert (outcome.written, outcome.duplicates) == (10, 50)
    assert await ledger.counts() == (60, 120)
    assert not ledger.letters.rejections


async def test_repeats_and_conflicts_inside_one_batch(ledger: Ledger) -> None:
    """A3, A4 at the ledger: the same twice is one; other content under the same key is named, and the first stands."""
    records = [record(journal(amount=50), 0), record(journal(amount=50), 1), record(journal(amount=70), 2)]
    outcome = await ledger.writer.write(batch(records))
    assert (outcome.written, outcome.duplicates) == (1, 1)
    assert ledger.letters.reasons == {2: "conflicting-duplicate"}
    assert "acct-1/1 was posted with other content from 0/0" in ledger.letters.rejections[0].cause.detail
    assert (await reports.balances_by_account(ledger.connection))["acct-1"].posted_balance == 50


async def test_a_conflict_with_an_earlier_batch(ledger: Ledger) -> None:
    await ledger.writer.write(batch([record(journal(amount=50), 0)]))
    records = [record(journal(amount=70), 1), record(journal(amount=50), 2), record(journal(sequence=2), 3)]
    outcome = await ledger.writer.write(batch(records))
    assert outcome.written == 1
    assert outcome.duplicates == 1  # the repeat of what the ledger has, though it follows the conflict
    assert ledger.letters.reasons == {1: "conflicting-duplicate"}
    assert (await reports.balances_by_account(ledger.connection))["acct-1"].posted_balance == 150
    assert await ledger.offsets() == {0: 4}


async def test_poison_is_set_aside_and_the_rest_posts(ledger: Ledger) -> None:
    """E12 and its kind: a NUL byte, no JSON, no balance, an unknown ledger account, more than 64 bits."""
    unknown = [{"ledger_account": "slush-fund", "amount": 1}, {"ledger_account": "open-holds", "amount": -1}]
    lopsided = [{"ledger_account": "open-holds", "amount": 2}, {"ledger_account": "hold-commitments", "amount": -1}]
    huge = [{"ledger_account": "open-holds", "amount": 2**63}, {"ledger_account": "hold-commitments", "amount": -1}]
    records = [
        record(journal(sequence=1), 0),
        record(journal(sequence=2), 1, cause="Caf\x00e"),
        Record(0, 2, 0, b"acct-1", b"no json"),
        Record(0, 3, 0, b"acct-1", None),
        record(journal(sequence=3), 4, postings=unknown),
        record(journal(sequence=4), 5, postings=lopsided),
        record(journal(sequence=5), 6, postings=huge),
        record(journal(sequence=6), 7),
    ]
    outcome = await ledger.writer.write(batch(records))
    assert outcome.written == 2
    assert ledger.letters.reasons == {
        1: "invalid-field", 2: "not-json", 3: "empty", 4: "unknown-ledger-account", 5: "unbalanced", 6: "invalid-field",
    }  # fmt: skip
    assert await ledger.offsets() == {0: 8}
    gaps = await reports.sequence_gaps(ledger.connection)
    assert gaps == [reports.SequenceGap("acct-1", 2, 5)]


async def test_the_culprit_is_found_when_the_database_refuses(ledger: Ledger) -> None:
    """A rule that only the database knows: every other entry of the batch posts."""
    await ledger.connection.execute("ALTER TABLE postings ADD CHECK (abs(amount) NOT IN (13, 77))")
    outcome = await ledger.writer.write(batch(some_records(100)))
    assert outcome.written == 98
    assert ledger.letters.reasons == {12: "refused-by-ledger", 76: "refused-by-ledger"}
    assert await ledger.counts() == (98, 196)
    assert await ledger.offsets() == {0: 100}


async def test_a_schema_that_refuses_everything_stops_the_sink(ledger: Ledger) -> None:
    """Dead-lettering the whole ledger one by one would be no answer to a wrong schema."""
    await ledger.connection.execute("ALTER TABLE journal_entries ADD COLUMN auditor text NOT NULL")
    with pytest.raises(LedgerRefused, match=r"entry after entry.*auditor"):
        await ledger.writer.write(batch(some_records(100)))
    assert not ledger.letters.rejections
    assert await ledger.counts() == (0, 0)
    assert await ledger.offsets() == {0: 0}


@pytest.mark.parametrize("table", ["journal_entries", "postings", "sink_offsets"])
async def test_any_part_fails_and_nothing_moves(ledger: Ledger, table: str) -> None:
    """E3."""
    when = "BEFORE UPDATE" if table == "sink_offsets" else "BEFORE INSERT"
    await fail_first(ledger, 1, "P0001", table, when)
    with pytest.raises(LedgerRefused, match="made to fail"):
        await ledger.writer.write(batch(some_records(10)))
    assert await ledger.counts() == (0, 0)
    assert await ledger.offsets() == {0: 0}
    assert (await ledger.writer.write(batch(some_records(10)))).written == 10


async def test_dead_letters_fail_and_nothing_moves(ledger: Ledger) -> None:
    """E3: the offset may not pass a record that is neither posted nor safe among the dead letters."""
    ledger.letters.failures = [RuntimeError("the broker is gone")]
    records = [record(journal(), 0), Record(0, 1, 0, b"acct-1", b"no json")]
    with pytest.raises(RuntimeError, match="the broker is gone"):
        await ledger.writer.write(batch(records))
    assert await ledger.counts() == (0, 0)
    assert await ledger.offsets() == {0: 0}
    await ledger.writer.write(batch(records))
    assert ledger.letters.reasons == {1: "not-json"}
    assert await ledger.offsets() == {0: 2}


@pytest.mark.parametrize("sqlstate", ["40001", "40P01", "55P03", "57P01", "53300", "08006"])
@pytest.mark.parametrize("table", ["journal_entries", "sink_offsets"])
async def test_passing_failures_are_tried_again(ledger: Ledger, sqlstate: str, table: str) -> None:
    """E1: a serialisation failure is nobody's business but the sink's."""
    await fail_first(ledger, 2, sqlstate, table, "BEFORE INSERT OR UPDATE")
    records = [*some_records(10), Record(0, 10, 0, b"acct-1", b"no json")]
    outcome = await ledger.writer.write(batch(records))
    assert (outcome.written, outcome.duplicates) == (10, 0)
    assert ledger.retries == 2
    assert await ledger.counts() == (10, 20)
    assert len(ledger.letters.rejections) == 1  # sent once, although the batch was written three times


@pytest.mark.parametrize(("cut", "retries"), [("before", 1), ("after", 1)])
async def test_the_socket_is_cut_at_commit(ledger: Ledger, cut: Any, retries: int) -> None:
    """E9: after COMMIT was sent nobody knows whether it happened; both ways there is one journal in the end."""
    async with cutting_proxy(ledger.dsn, COMMIT, [cut]) as (proxy, through):
        outcome = await ledger.another_writer(through).write(batch(some_records(10)))
        assert proxy.cuts_made == 1
    assert (outcome.written, outcome.duplicates) == (10, 0)
    assert ledger.retries == retries
    assert await ledger.counts() == (10, 20)
    assert await ledger.offsets() == {0: 10}


async def test_the_socket_is_cut_again_and_again(ledger: Ledger) -> None:
    """E9: most commits of twenty batches are cut, on one side of it or the other, some twice."""
    chance = random.Random(9)
    records = some_records(200)
    cuts: list[Cut] = chance.choices(["before", "after", "never"], k=30)
    planned = 30 - cuts.count("never")
    async with cutting_proxy(ledger.dsn, COMMIT, cuts) as (proxy, through):
        writer = ledger.another_writer(through)
        written = [(await writer.write(batch(records[i : i + 10]))).written for i in range(0, 200, 10)]
        assert 10 <= proxy.cuts_made <= planned
    assert written == [10] * 20
    assert await ledger.counts() == (200, 400)
    assert await ledger.is_balanced()


async def test_sessions_killed_under_load(ledger: Ledger) -> None:
    """E7's kind: an administrator ends the session again and again."""
    victims = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'opentobuy-ledger'"

    async def kill_eight() -> None:
        killed = 0
        while killed < 8:
            killed += await ledger.connection.fetchval(f"SELECT count(pg_terminate_backend(pid)) {victims}")
            await asyncio.sleep(0.03)

    killer = asyncio.create_task(kill_eight())
    written = 0
    while not killer.done() or written < 200:
        records = some_records(written + 50)[written:]
        written += (await ledger.writer.write(batch(records))).written
    await killer
    assert ledger.retries > 0
    assert await ledger.counts() == (written, 2 * written)


async def test_the_schema_changes_under_load(ledger: Ledger) -> None:
    """E7: columns come and go while the sink writes; prepared statements go stale, entries are posted once."""
    other = await asyncpg.connect(ledger.dsn)
    records = some_records(2000)
    done = asyncio.Event()

    async def alter() -> int:
        changes = 0
        while not done.is_set():
            await other.execute("ALTER TABLE journal_entries ADD COLUMN note text")
            await other.execute("ALTER TABLE sink_offsets ALTER COLUMN next_offset TYPE numeric")
            await other.execute("ALTER TABLE sink_offsets ALTER COLUMN next_offset TYPE bigint")
            await other.execute("ALTER TABLE journal_entries DROP COLUMN note")
            changes += 1
            await asyncio.sleep(0.01)
        return changes

    altering = asyncio.create_task(alter())
    for i in range(0, 2000, 50):
        await ledger.writer.write(batch(records[i : i + 50]))
    done.set()
    assert await altering > 0
    await other.close()
    assert await ledger.counts() == (2000, 4000)
    assert await ledger.offsets() == {0: 2000}


def nested_loops_over_the_batch(plan: dict[str, Any]) -> int:
    """Nested loops in a plan that read one of the statement's own row sets once per row."""
    children = plan.get("Plans", [])
    over_batch = plan["Node Type"] == "Nested Loop" and children[1]["Node Type"] in ("CTE Scan", "Materialize")
    return over_batch + sum(map(nested_loops_over_the_batch, children))


@pytest.mark.parametrize("rows", [0, 3])
async def test_a_plan_made_for_a_small_batch_suits_a_large_one(ledger: Ledger, rows: int) -> None:
    """The session keeps its first plans; joined row by row, 5,000 entries took seconds."""
    await ledger.writer.write(batch(some_records(rows)) if rows else batch([], {0: Move(0, 1)}))

    async def plan(connection: Any) -> str:
        return str(await connection.fetchval(f"EXPLAIN (FORMAT JSON) {_POST}", 0, rows))

    found = json.loads(await ledger.databases[0].run(plan))[0]["Plan"]
    assert "CTE batch" in json.dumps(found)
    assert nested_loops_over_the_batch(found) == 0


async def test_many_writers_on_the_same_entries(ledger: Ledger) -> None:
    """E2: a thousand entries each way between two accounts, eight writers at once, each in an order of its own."""
    entries = [journal(account, sequence, sequence, cause=f"{account}-{sequence}")
               for account in ("acct-a", "acct-b") for sequence in range(1, 1001)]  # fmt: skip
    await ledger.adopt(*range(8))

    async def write(partition: int) -> int:
        shuffled = random.Random(partition).sample(entries, len(entries))
        records = [record(entry, offset, partition) for offset, entry in enumerate(shuffled)]
        writer = ledger.another_writer()
        outcomes = [await writer.write(batch(records[i : i + 100])) for i in range(0, len(records), 100)]
        return sum(outcome.written for outcome in outcomes)

    written = await asyncio.gather(*map(write, range(8)))
    assert sum(written) == 2000
    assert await ledger.counts() == (2000, 4000)
    assert await ledger.is_balanced()
    assert not ledger.letters.rejections
    assert await ledger.offsets() == dict.fromkeys(range(8), 2000)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    assert await ledger.connection.fetchval(waiting) == 0
    assert await reports.sequence_gaps(ledger.connection) == []


async def test_a_sink_that_lost_its_partition_is_fenced(ledger: Ledger) -> None:
    """F14 at the ledger: two sinks have the same partition in hand; one writes, the other must read its place again."""
    records = some_records(20)
    both = [ledger.another_writer(), ledger.another_writer()]
    results = await asyncio.gather(*(w.write(batch(records)) for w in both), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["Outcome", "StaleOffsets"]
    assert await ledger.counts() == (20, 40)
    assert await ledger.offsets() == {0: 20}


async def test_offsets_never_move_backwards_or_jump(ledger: Ledger) -> None:
    await ledger.writer.write(batch(some_records(20)))
    for move in (Move(0, 10), Move(0, 30), Move(25, 30)):
        with pytest.raises(StaleOffsets):
            await ledger.writer.write(batch(some_records(5), {0: move}))
    with pytest.raises(StaleOffsets):  # a partition the ledger has no offset for
        await ledger.writer.write(batch(some_records(5), {0: Move(20, 25), 9: Move(0, 5)}))
    assert await ledger.offsets() == {0: 20}


async def test_stored_offsets_are_the_truth(ledger: Ledger) -> None:
    await ledger.writer.write(batch(some_records(20)))
    assert await ledger.writer.offsets(TOPIC, {0: 0, 1: 7}) == {0: 20, 1: 7}


async def test_a_step_over_transaction_markers_needs_no_record(ledger: Ledger) -> None:
    await ledger.writer.write(batch([], {0: Move(0, 3)}))
    assert await ledger.offsets() == {0: 3}


async def test_a_server_that_stays_away_is_one_clear_error(ledger: Ledger) -> None:
    async with cutting_proxy(ledger.dsn, COMMIT, []) as (_, through):
        pass
    with pytest.raises(Unavailable, match=r"PostgreSQL at 127\.0\.0\.1:\d+/test_\w+ did not answer within 0\.3 s"):
        await ledger.another_writer(through, patience_s=0.3).write(batch(some_records(1)))


@contextmanager
def no_secrets(password: str) -> Iterator[None]:
    with pytest.raises(LedgerRefused) as raised:
        yield
    assert password not in str(raised.value)


async def test_a_wrong_address_is_one_clear_error_without_the_password(ledger: Ledger) -> None:
    wrong = ledger.dsn.rsplit("/", 1)[0].replace("//", "//nobody-here:s3cret@", 1)
    host = wrong.rpartition("@")[2]
    for dsn in (f"postgresql://nobody-here:s3cret@{host}/missing", "host=localhost password=s3cret"):
        with no_secrets("s3cret"):
            await ledger.another_writer(dsn, patience_s=0.3).write(batch(some_records(1)))


async def test_balances_as_of_a_date(ledger: Ledger) -> None:
    """E6: posted the 20th, then one dated the 10th: at both dates the balance is the sum of the entries until then."""
    day = 1_764_547_200_000  # 2025-12-01
    tenth, twentieth = day + 9 * DAY_MS, day + 19 * DAY_MS
    await ledger.writer.write(batch([record(journal(sequence=1, amount=500, effective_at=twentieth), 0)]))
    await ledger.writer.write(batch([record(journal(sequence=2, amount=300, effective_at=tenth), 1)]))
    balances = [
        await reports.balance_as_of(ledger.connection, LedgerAccount.CARDHOLDER_RECEIVABLE, "acct-1", at)
        for at in (tenth - 1, tenth, twentieth - 1, twentieth)
    ]
    assert balances == [0, 300, 300, 800]


async def test_reports_of_a_life(ledger: Ledger) -> None:
    kinds = [
        (EntryType.HOLD_PLACED, 100), (EntryType.HOLD_CONSUMED, 60), (EntryType.PRESENTMENT_POSTED, 60),
        (EntryType.HOLD_RELEASED, 40), (EntryType.HOLD_PLACED, 25), (EntryType.PAYMENT_POSTED, 10),
    ]  # fmt: skip
    records = [
        record(journal(sequence=i + 1, amount=amount, entry_type=kind), i) for i, (kind, amount) in enumerate(kinds)
    ]
    await ledger.writer.write(batch([*records, record(journal("acct-2", 1, 7), 6)]))
    balances = await reports.balances_by_account(ledger.connection)
    assert balances["acct-1"] == AccountBalance("acct-1", ("USD",), 50, 25, 6, 6)
    assert await reports.balances_by_account(ledger.connection, ["acct-2"]) == {"acct-2": balances["acct-2"]}
    trial = await reports.trial_balance(ledger.connection)
    assert trial.imbalance == {"USD": 0}
    totals = {row.ledger_account: (row.debits, row.credits, row.balance) for row in trial.rows}
    assert totals["cardholder-receivable"] == (67, 10, 57)
    assert totals["open-holds"] == (125, 100, 25)
    assert await reports.counts(ledger.connection) == reports.Counts(7, 14, 2)
    rows = {"acct-1": (50, 25, 6), "acct-2": (7, 0, 1)}
    assert reports.reconcile(rows, balances) == []
