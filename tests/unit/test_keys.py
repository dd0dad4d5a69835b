"""One partitioner everywhere: the vectors are those of Kafka's own UtilsTest.testMurmur2."""

from __future__ import annotations

import zlib

import pytest

from topics.keys import EmptyKey, partition_for

VECTORS = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("key", "hashed"), VECTORS.items())
@pytest.mark.parametrize("partitions", [1, 4, 12, 1000])
def test_f9_partitions_are_those_of_the_java_client(key: bytes, hashed: int, partitions: int) -> None:
    assert partition_for(key, partitions) == (hashed & 0x7FFFFFFF) % partitions


def test_f9_crc32_would_send_the_account_elsewhere() -> None:
    assert zlib.crc32(b"acct-1001") % 12 != partition_for(b"acct-1001", 12)


def test_f10_an_empty_key_is_rejected() -> None:
    with pytest.raises(EmptyKey, match="account id"):
        partition_for(b"", 12)
