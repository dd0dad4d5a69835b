"""What running processes give away: card numbers in all that is kept, and addresses that they listen on."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import orjson
import psutil
from confluent_kafka import Message
from rocksdict import AccessType, Rdict

from deploy import reading
from loadtest import clients
from models import card_numbers
from topics.cluster import Cluster


def listening(pid: int) -> set[str]:
    """Addresses (without ports) that a process and its children accept connections on."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    found = [connection for process in family for connection in process.net_connections("inet")]
    return {connection.laddr.ip for connection in found if connection.status == psutil.CONN_LISTEN}


def in_topics(cluster: Cluster) -> dict[str, set[bytes]]:
    """What looks like a card number in the committed records of every topic: topic -> numbers."""
    client = clients.reader(cluster)
    try:
        names = [name for name in clients.reach(client, cluster) if not name.startswith("__")]
    finally:
        client.close()
    return {
        name: numbers
        for name in names
        if (numbers := {one for message in reading.committed(cluster, name) for one in _in_record(message)})
    }


def in_files(folder: Path) -> dict[str, set[bytes]]:
    """The same in every log, not in the broker's data (`in_topics` reads that): name of the file -> numbers."""
    return {
        path.name: numbers
        for path in [*folder.glob("*.log"), *folder.glob("*/kafka.log")]
        if (numbers := set(card_numbers.found(path.read_bytes())))
    }


def in_stores(home: Path) -> tuple[int, set[bytes]]:
    """How many rows the workers' RocksDB stores hold, and the numbers in them; the workers must have ended.

    Text stands in a row as it is. Its integers are binary: written out, some of its 64-bit digests look like cards.
    """
    count, numbers = 0, set()
    for store in sorted({path.parent for path in home.rglob("CURRENT")}):
        table = Rdict(str(store), access_type=AccessType.read_only())
        try:
            for key, value in table.items():
                numbers |= set(card_numbers.found(bytes(key) + b"\n" + bytes(value)))
                count += 1
        finally:
            table.close()
    return count, numbers


async def in_ledger(dsn: str) -> tuple[int, set[bytes]]:
    """How many rows the tables of the database hold, and the numbers in them.

    Bytes are searched as they are: written in hexadecimal digits, some of the digests look like cards.
    """
    connection = await asyncpg.connect(dsn)
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        rows = [
            row
            for (name,) in tables
            for row in await connection.fetch(f'SELECT * FROM public."{name}"')  # noqa: S608
        ]
    finally:
        await connection.close()
    return len(rows), {one for row in rows for value in row for one in card_numbers.found(_plain(value))}


def _plain(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _in_record(message: Message) -> Iterator[bytes]:
    value = message.value() or b""
    yield from card_numbers.found((message.key() or b"") + b"\n" + value)
    if message.topic() == "dead-letters":
        letter = orjson.loads(value)
        for name in ("key_base64", "value_base64"):
            yield from card_numbers.found(base64.b64decode(letter[name] or ""))
