"""What a working engine gives away: no card number in anything that it keeps, and no address but loopback's."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg
import orjson
import pytest
from rocksdict import Rdict

from deploy.embedded.kafka import Broker
from models import card_numbers
from models.messages import AuthorizationRequest, Inbound
from tables.store import open_database
from tests.support import exposure
from tests.support import messages as say
from tests.support.story import just_now
from tests.support.traffic import producer, read, send, wait_for
from tests.support.workers import WorkerProcess, otb
from topics.cluster import Cluster
from topics.iso8583 import Origin, encode_request
from topics.iso8583.packager import Elements, pack, unpack

pytestmark = pytest.mark.timeout(600)
CARD, STRANGER = "4111111111111111", "5555555555554444"  # numbers that the networks publish for tests
ROOT = Path(__file__).parents[2]
PATIENCE_S = 120


@dataclass(frozen=True)
class Stage:
    """Worker, sink and gateway on a broker and a database of their own."""

    kafka: str
    dsn: str
    folder: Path
    worker: WorkerProcess
    sink: WorkerProcess
    gateway: WorkerProcess

    @property
    def cluster(self) -> Cluster:
        return Cluster(self.kafka)


@pytest.fixture
def stage(own_broker: Broker, database: str, tmp_path: Path) -> Iterator[Stage]:
    cards = tmp_path / "cards.csv"
    cards.write_text(f"pan,account_id,card_token\n{CARD},acct-1,card-acct-1\n")
    settings = {
        "OTB_KAFKA": own_broker.bootstrap, "OTB_POSTGRES_DSN": database, "OTB_HOME": str(tmp_path),
        "OTB_GATEWAY_CARDS": str(cards), "OTB_GATEWAY_DEADLINE_MS": "30000",
    }  # fmt: skip
    with ExitStack() as stack:
        worker, sink, gateway = (
            stack.enter_context(otb(name, tmp_path, settings)) for name in ("worker", "sink", "gateway")
        )
        yield Stage(own_broker.bootstrap, database, tmp_path, worker, sink, gateway)


def play(stage: Stage) -> None:
    """Card traffic of the simulator, what a network sends to the gateway, and messages that nobody should send."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OTB_")}
    simulated = [sys.executable, "-m", "deploy.cli", "simulate", "--rate=50", "--seconds=3", "--accounts=30", "--json"]
    environment |= {"OTB_KAFKA": stage.kafka, "OTB_HOME": str(stage.folder)}
    played = subprocess.run(simulated, env=environment, cwd=ROOT, check=False, capture_output=True, timeout=PATIENCE_S)
    report = orjson.loads(played.stdout)  # a slow machine is no failure here
    assert (report["sent"] > 100, report["missing"]) == (True, 0), played
    updates = sum(map(len, read(stage.kafka, "account-updates")))
    send(producer(stage.kafka), [say.opened(transmitted_at=just_now())])
    wait_for(stage.kafka, "account-updates", updates + 1)

    approved, unknown = ask(stage, CARD, "iso-1"), ask(stage, STRANGER, "iso-2")
    assert (approved[2], approved[39], unknown[39]) == (CARD, "00", "14")
    incomplete = unpack(iso(CARD, "iso-3"))
    assert isinstance(incomplete, dict)
    assert exchange(stage, pack({key: value for key, value in incomplete.items() if key != 14}))[39] == "30"

    letters = sum(map(len, read(stage.kafka, "dead-letters")))
    wrong = ("card_token", "account_id", "network_reference", "merchant_id")
    send(producer(stage.kafka), [*map(mistaken, wrong), talkative("merchant_name"), talkative("merchant_city")])
    wait_for(stage.kafka, "dead-letters", letters + len(wrong))
    updates = sum(map(len, read(stage.kafka, "account-updates")))
    told = replace(say.presentment("talks", 100, "clr", transmitted_at=just_now()), merchant_name=f"Shop {CARD}")
    send(producer(stage.kafka), [told])
    wait_for(stage.kafka, "account-updates", updates + 1)


def mistaken(field: str) -> Inbound:
    """A request from a network that does not tokenise."""
    return replace(say.request("clear-1", 100, transmitted_at=just_now()), **{field: CARD})


def talkative(field: str) -> Inbound:
    """A merchant that writes the number into its own name: no reason to refuse the card."""
    return replace(say.request(f"talks-{field}", 100, transmitted_at=just_now()), **{field: f"Paid {CARD}"})


def iso(pan: str, reference: str) -> bytes:
    request: AuthorizationRequest = say.request(reference, 100, transmitted_at=just_now())
    return encode_request(request, Origin(pan, "12345", "000001"))


def ask(stage: Stage, pan: str, reference: str) -> Elements:
    return exchange(stage, iso(pan, reference))


def exchange(stage: Stage, raw: bytes) -> Elements:
    line = next(line for line in stage.gateway.output().splitlines() if line.startswith("listening "))
    with socket.create_connection(("127.0.0.1", int(line.rsplit(":", 1)[1])), PATIENCE_S) as link:
        link.sendall(len(raw).to_bytes(2, "big") + raw)
        with link.makefile("rb") as stream:
            answer = unpack(stream.read(int.from_bytes(stream.read(2), "big")))
    assert isinstance(answer, dict)
    return answer


async def test_no_card_number_is_kept_anywhere(stage: Stage) -> None:
    play(stage)
    given = exposure.in_topics(stage.cluster)
    assert given == {topic: {CARD.encode()} for topic in ("authorizations", "clearings")}, (
        "but for the topics that its senders have written it to"
    )
    deadline = time.monotonic() + PATIENCE_S
    while (await exposure.in_ledger(stage.dsn))[0] < 100:
        assert time.monotonic() < deadline, "nothing is posted"
        time.sleep(0.5)  # noqa: ASYNC251
    for process in (stage.worker, stage.sink, stage.gateway):
        process.end()
    assert exposure.in_files(stage.folder) == {}
    rows, in_stores = exposure.in_stores(stage.folder / "tables")
    assert (rows > 30, in_stores) == (True, set())
    assert (await exposure.in_ledger(stage.dsn))[1] == set()

    await plant(stage)
    found = exposure.in_topics(stage.cluster)
    assert found["payments"] == found["dead-letters"] == {STRANGER.encode()}
    assert list(exposure.in_files(stage.folder).values()) == [{STRANGER.encode()}]
    assert exposure.in_stores(stage.folder / "tables")[1] == {STRANGER.encode()}
    assert (await exposure.in_ledger(stage.dsn))[1] == {STRANGER.encode()}


async def plant(stage: Stage) -> None:
    """Put a card number into every kind of place, so that a scan which finds none is one that looks."""
    writer = producer(stage.kafka)
    writer.produce("payments", f'{{"note":"{STRANGER}"}}'.encode(), b"acct-1", partition=0)
    kept = b'{"value_base64":"NTU1NTU1NTU1NTU1NDQ0NA==","key_base64":null}'
    writer.produce("dead-letters", kept, b"acct-1", partition=0)
    assert writer.flush(60) == 0
    with stage.sink.log.open("a") as log:
        log.write(f"card {STRANGER} declined\n")
    store = next((stage.folder / "tables").rglob("CURRENT")).parent
    table: Rdict = open_database(store)
    table[b"acct-planted"] = b"\x00" + STRANGER.encode()
    table.close()
    connection = await asyncpg.connect(stage.dsn)
    await connection.execute("CREATE TABLE planted AS SELECT $1::text AS note", STRANGER)
    await connection.close()


async def test_the_scan_reads_bytes_of_the_ledger_as_they_are(database: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute("CREATE TABLE kept (digest bytea, amount bigint)")
    insert = "INSERT INTO kept VALUES ($1, $2)"
    await connection.execute(insert, bytes.fromhex("ab" + CARD + "cd"), 1)
    assert await exposure.in_ledger(database) == (1, set()), "a digest that looks like a card in hexadecimal digits"
    await connection.execute(insert, b"\x00" + STRANGER.encode(), 1)
    await connection.execute(insert, b"", int(CARD))
    assert await exposure.in_ledger(database) == (3, {STRANGER.encode(), CARD.encode()})
    await connection.close()


def test_processes_listen_on_loopback_only(stage: Stage) -> None:
    for process in (stage.worker, stage.sink, stage.gateway):
        assert exposure.listening(process.pid) == {"127.0.0.1"}, process.output()


def test_the_scan_sees_a_process_that_listens_on_every_address() -> None:
    with socket.create_server(("0.0.0.0", 0)):  # noqa: S104  (what must be found)
        assert "0.0.0.0" in exposure.listening(os.getpid())  # noqa: S104
    assert card_numbers.found(STRANGER.encode())
