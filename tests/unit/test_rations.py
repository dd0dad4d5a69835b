"""How much of a slice what comes by the file may be, and what becomes of an error beside it."""

from __future__ import annotations

from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import FetchError
from hypothesis import given
from hypothesis import strategies as st

from topics.declarations import CLEARINGS
from topics.transport.rationing import ALONE, BESIDE_REQUESTS, RationingFetcher, ration

_COUNTS = st.integers(0, 50_000)
_PARTITIONS = st.integers(1, 100)


def test_a_file_alone_is_decided_in_larger_steps_than_beside_requests() -> None:
    assert ration(0, 0) == ALONE > BESIDE_REQUESTS == ration(1, 1)


@given(requests=_COUNTS, partitions=_PARTITIONS)
def test_a_file_is_never_starved_and_never_most_of_a_busy_slice(requests: int, partitions: int) -> None:
    each = ration(requests, partitions)
    assert each >= BESIDE_REQUESTS
    assert each * partitions <= max(BESIDE_REQUESTS * partitions, requests // 4) or not requests


@given(requests=_COUNTS, more=_COUNTS, partitions=_PARTITIONS)
def test_a_backlog_of_requests_takes_more_of_a_file_with_it(requests: int, more: int, partitions: int) -> None:
    assert requests == 0 or ration(requests + more, partitions) >= ration(requests, partitions)


class NoRequests(RationingFetcher):
    """A fetcher to which only an error of a rationed partition came."""

    def __init__(self, error: Exception) -> None:
        self.partition = TopicPartition(CLEARINGS.name, 0)
        self._records = cast(Any, {self.partition: FetchError(error=error, backoff=0)})
        self._wait_consume_future = None


def test_an_error_is_raised_once_and_only_when_nothing_was_taken() -> None:
    fetcher = NoRequests(ValueError("not authorised"))
    assert fetcher._rations([fetcher.partition], 8, may_raise=False) == {}
    with pytest.raises(ValueError, match="not authorised"):
        fetcher._rations([fetcher.partition], 8, may_raise=True)
    assert not fetcher._records
