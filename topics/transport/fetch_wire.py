"""Fetch v11, as bytes: what a worker asks its brokers for, some hundred times a second.

aiokafka's schemas walk each field of each partition in Python, and few of the partitions that a worker asks for have
something new: to make fetches and read their answers so took a tenth of what the thread of its consumer does. Layouts
follow the message definitions of the Kafka protocol guide.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from struct import Struct
from typing import Final, NamedTuple, Self

from aiokafka.protocol.api import Response
from aiokafka.protocol.types import Schema

from topics.transport.layout import INT32, Ready, string, topics_at

_HEAD: Final = Struct(">iiiibii")  # replica, wait, least and most bytes, isolation level, session id and epoch
_WANTED: Final = Struct(">iiqqi")  # partition, leader epoch, offset, start of the log, most bytes
_FOUND: Final = Struct(">ihqqqi")  # partition, error code, high watermark, stable offset, log start, aborted ones
_ABORTED: Final = Struct(">qq")  # producer id, offset of its first record
_REST: Final = Struct(">ii")  # preferred replica, bytes of records
_CONSUMER: Final = -1
_NO_SESSION: Final = (0, -1)
_UNKNOWN: Final = -1
_NO_RACK: Final = ""
_NOTHING_FORGOTTEN: Final = INT32.pack(0)
_TOPICS_AT: Final = 10
"""In an answer, behind throttle time, error code and session id."""

Asked = Sequence[tuple[str, Sequence[tuple[int, int, int]]]]
"""(topic, (partition, offset, most bytes) of each)"""


class Limits(NamedTuple):
    """What an answer may be, and when the broker gives it."""

    wait_ms: int  # at most, for `least_bytes`
    least_bytes: int
    most_bytes: int
    isolation_level: int  # 1: read committed


Found = tuple[int, int, int, int, int, Sequence[tuple[int, int]], int, bytes]
"""Of a partition, as aiokafka's fetcher takes it: number, error code, high watermark, last stable offset, start of the
log, aborted transactions (producer id, offset of its first record), preferred replica, records"""


class Fetched(Response):  # type: ignore[misc]
    """`topics`: (topic, what was found of each of its partitions)."""

    API_KEY = 1
    API_VERSION = 11
    SCHEMA = Schema()

    def __init__(self, topics: list[tuple[str, list[Found]]]) -> None:
        self.topics = topics

    @classmethod
    def decode(cls, data: BytesIO) -> Self:
        return cls(list(topics_at(data.read(), _TOPICS_AT, _found_at)))


class Fetch(Ready):
    """Records of some partitions."""

    API_KEY = 1
    API_VERSION = 11
    RESPONSE_TYPE = Fetched

    def __init__(self, body: bytes, topics: Asked) -> None:
        super().__init__(body)
        self.topics = topics


def fetch(limits: Limits, topics: Asked) -> Fetch:
    """To be sent by a consumer that has no session with the broker."""
    parts = [_HEAD.pack(_CONSUMER, *limits, *_NO_SESSION), INT32.pack(len(topics))]
    for topic, partitions in topics:
        parts += [string(topic), INT32.pack(len(partitions))]
        parts += [_WANTED.pack(number, _UNKNOWN, offset, _UNKNOWN, most) for number, offset, most in partitions]
    parts += [_NOTHING_FORGOTTEN, string(_NO_RACK)]
    return Fetch(b"".join(parts), topics)


def _found_at(body: bytes, at: int) -> tuple[Found, int]:
    """What begins at `at`, and where it ends."""
    number, code, high, stable, first, transactions = _FOUND.unpack_from(body, at)
    at += _FOUND.size
    aborted: Sequence[tuple[int, int]] = ()
    if transactions > 0:  # -1: none, as is 0
        end = at + transactions * _ABORTED.size
        aborted, at = tuple(_ABORTED.iter_unpack(body[at:end])), end
    replica, size = _REST.unpack_from(body, at)
    at += _REST.size
    end = at + max(size, 0)  # -1: none, as is 0
    return (number, code, high, stable, first, aborted, replica, body[at:end]), end
