"""What requests and answers that are bytes here have in common (wire.py, fetch_wire.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from struct import Struct
from typing import ClassVar, Final, Self, TypeVar

from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.api import RequestStruct, Response
from aiokafka.protocol.types import Schema

INT16: Final = Struct(">h")
INT32: Final = Struct(">i")

_T = TypeVar("_T")


class Ready(RequestStruct):  # type: ignore[misc]
    """A request whose bytes are made; stands for both of aiokafka's classes, the request and the one of a version."""

    API_KEY = -1
    API_VERSION = -1
    RESPONSE_TYPE: ClassVar[type[Response]] = Response
    SCHEMA = Schema()

    def __init__(self, body: bytes) -> None:
        self._body = body

    def prepare(self, versions: Mapping[int, tuple[int, int]]) -> Self:
        """`versions`: {API key: (lowest, highest)} of the broker; raises IncompatibleBrokerVersion."""
        lowest, highest = versions.get(self.API_KEY, (0, -1))
        if not lowest <= self.API_VERSION <= highest:
            raise IncompatibleBrokerVersion(f"{type(self).__name__} v{self.API_VERSION} is unknown to the broker")
        return self

    def encode(self) -> bytes:
        return self._body


@lru_cache(maxsize=256)
def string(text: str) -> bytes:
    """Its length in 2 bytes, and itself."""
    encoded = text.encode()
    return INT16.pack(len(encoded)) + encoded


def _string_at(body: bytes, at: int) -> tuple[str, int]:
    """The string that begins at `at`, and where it ends."""
    start = at + INT16.size
    end = start + int(INT16.unpack_from(body, at)[0])
    return body[start:end].decode(), end


def topics_at(body: bytes, at: int, read: Callable[[bytes, int], tuple[_T, int]]) -> Iterator[tuple[str, list[_T]]]:
    """The array of topics that begins at `at`: (topic, what is said of each of its partitions). `read` tells what is
    said of the partition that begins at a place, and where that ends."""
    (topics,) = INT32.unpack_from(body, at)
    at += INT32.size
    for _ in range(topics):
        topic, at = _string_at(body, at)
        (partitions,) = INT32.unpack_from(body, at)
        at += INT32.size
        found = []
        for _ in range(partitions):
            each, at = read(body, at)
            found.append(each)
        yield topic, found
