"""The requests of a run: made before anything is timed, the same ones for every peer and round."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import count as counting
from typing import Final, NamedTuple

from topics.keys import partition_for

REPEAT_EVERY: Final = 100
"""One record in so many is a request that was sent before."""

REPEAT_DISTANCE: Final = 20
"""How many records before."""

LARGEST: Final = 20_000
"""Largest amount, in minor units: the limit of an account holds at least fifty."""


class Prepared(NamedTuple):
    """A record to send; `request_id` is None for a repeat, which is not timed."""

    partition: int
    key: bytes
    value: bytes
    request_id: str | None


def requests(name: str, count: int, accounts: int, partitions: int) -> list[Prepared]:
    """`count` records for `accounts` accounts; their ids start with `name`. The same arguments give the same records.

    About 250 bytes of memory each.
    """
    random_source = random.Random(f"{name} {count} {accounts}")  # noqa: S311 (traffic, no secret)
    keys = [f"account-{number:07}".encode() for number in range(accounts)]
    prepared: list[Prepared] = []
    for number in range(count):
        if number % REPEAT_EVERY == REPEAT_EVERY - 1:
            prepared.append(prepared[number - REPEAT_DISTANCE]._replace(request_id=None))
            continue
        key = random_source.choice(keys)
        request_id = f"{name}-{number}"
        amount = random_source.randint(1, LARGEST)
        value = b'{"request_id":"%b","account_id":"%b","amount":%d}' % (request_id.encode(), key, amount)
        prepared.append(Prepared(partition_for(key, partitions), key, value, request_id))
    return prepared


def endless(name: str, prepared: Sequence[Prepared]) -> Iterator[tuple[int, bytes, bytes]]:
    """(partition, key, value) of what `requests(name, ...)` made, again and again with other request ids each time."""
    plain = b'"%b-' % name.encode()
    for lap in counting():
        renamed = b'"%b%d-' % (name.encode(), lap)
        for partition, key, value, _request_id in prepared:
            yield partition, key, value.replace(plain, renamed, 1)


def greetings(partitions: int) -> list[Prepared]:
    """One request for every partition: who has answered them all is ready."""
    found: dict[int, Prepared] = {}
    number = 0
    while len(found) < partitions:
        key = f"greeting-{number}".encode()
        value = b'{"request_id":"%b","account_id":"%b","amount":1}' % (key, key)
        found.setdefault(partition_for(key, partitions), Prepared(partition_for(key, partitions), key, value, None))
        number += 1
    return list(found.values())
