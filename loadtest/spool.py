"""Messages made before the run and kept in a file, so that making them takes no time from sending them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple

import msgspec
import orjson

from loadtest.traffic import Labelled
from loadtest.traffic.labels import Message
from models.messages import AccountOpened, AuthorizationRequest
from topics.codec import TOPIC_OF_TYPE
from topics.keys import partition_for

CHUNK: Final = 1000
"""Groups held in memory at a time: about half a megabyte."""


class Record(NamedTuple):
    """A message as it goes to the broker; `reference` is set on the first request with that network reference."""

    topic: str
    partition: int
    key: bytes
    value: bytes
    reference: str | None


Group = tuple[Record, ...]
"""An authorisation request and whatever follows it before the next one; increments and advices are no requests."""


def encode(message: Message | AccountOpened, partitions: int, reference: str | None = None) -> Record:
    """The record of `message` on a cluster whose topics have `partitions` partitions."""
    key = message.account_id.encode()
    return Record(TOPIC_OF_TYPE[message.type], partition_for(key, partitions), key, orjson.dumps(message), reference)


def grouped(stream: Iterable[Labelled], partitions: int) -> Iterator[Group]:
    """Cut a stream behind its requests. A retry of a request already sent is a follow-up, not a request of its own."""
    group: list[Record] = []
    for labelled in stream:
        message = labelled.message
        if isinstance(message, AuthorizationRequest) and not labelled.retry:
            if group:
                yield tuple(group)
            group = [encode(message, partitions, message.network_reference)]
        elif group:  # what precedes the first request belongs to no load
            group.append(encode(message, partitions))
    if group:
        yield tuple(group)


class Spool:
    """Groups in an unnamed temporary file: any length of run in the same few megabytes of memory."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="otb-spool-")  # noqa: SIM115  (closed by close())
        self._decoder = msgspec.msgpack.Decoder(list[Group])
        self.groups = 0

    def clear(self) -> None:
        """Forget everything."""
        self._file.seek(0)
        self._file.truncate()
        self.groups = 0

    def extend(self, groups: Iterable[Group], on_progress: Callable[[int], None] = lambda _groups: None) -> None:
        """Append all `groups`; `on_progress` is told the number of groups from time to time."""
        iterator = iter(groups)
        while chunk := list(islice(iterator, CHUNK)):
            frame = msgspec.msgpack.encode(chunk)
            self._file.write(len(frame).to_bytes(4, "big"))
            self._file.write(frame)
            self.groups += len(chunk)
            on_progress(self.groups)

    def __iter__(self) -> Iterator[Group]:
        """All groups in order, from the first one. One iteration at a time."""
        self._file.seek(0)
        while length := self._file.read(4):
            yield from self._decoder.decode(self._file.read(int.from_bytes(length, "big")))

    def close(self) -> None:
        """Give the disk space back."""
        self._file.close()
