"""The one partitioner: Kafka's murmur2 over the account id, for every producer in every language.

librdkafka's default (crc32) disagrees with the Java client's for most keys, so producers here never leave the choice
to a client library: they compute the partition and pass it on.
"""

from __future__ import annotations

from functools import lru_cache

from aiokafka.partitioner import murmur2


class EmptyKey(ValueError):
    """A record about no account has no partition."""


@lru_cache(maxsize=1_000_000)
def partition_for(key: bytes, partitions: int) -> int:
    """The partition of an account id among `partitions`; raises EmptyKey."""
    if not key:
        raise EmptyKey("the key (account id) is empty")
    hashed: int = murmur2(key)
    return (hashed & 0x7FFFFFFF) % partitions
