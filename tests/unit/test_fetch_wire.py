"""Fetches made as bytes are those that aiokafka makes, and answers are read as it reads them."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v11, FetchResponse_v11
from hypothesis import given
from hypothesis import strategies as st

from topics.transport.fetch_wire import Fetched, Limits, fetch

names = st.text(min_size=1, max_size=20) | st.just("n" * 200)
int32 = st.integers(0, 2**31 - 1)
int64 = st.integers(-1, 2**63 - 1)
wanted = st.lists(st.tuples(names, st.lists(st.tuples(int32, int64, int32), max_size=5)), max_size=4)
limits = st.builds(Limits, int32, int32, int32, st.integers(0, 1))
aborted = st.none() | st.lists(st.tuples(int64, int64), max_size=3)
found = st.tuples(int32, st.integers(-1, 120), int64, int64, int64, aborted, st.integers(-1, 9), st.binary(max_size=40))
answers = st.lists(st.tuples(names, st.lists(found, max_size=5)), max_size=4)


@given(limits, wanted)
def test_a_fetch_is_what_aiokafka_makes_of_it(limits: Limits, topics: list[Any]) -> None:
    ready = fetch(limits, topics).prepare({1: (4, 18)})
    assert ready.encode() == FetchRequest(*limits, topics).build(FetchRequest_v11).encode()
    assert ready.topics == topics


@given(int32, st.integers(-1, 120), int32, answers)
def test_an_answer_is_read_as_aiokafka_reads_it(throttle: int, code: int, session: int, topics: list[Any]) -> None:
    content = FetchResponse_v11(throttle, code, session, topics).encode()
    expected = FetchResponse_v11.decode(content).topics
    assert Fetched.decode(BytesIO(content)).topics == [
        (topic, [(*rest, tuple(aborted or ()), replica, records) for *rest, aborted, replica, records in partitions])
        for topic, partitions in expected
    ]


def test_no_records_and_no_aborted_transactions_may_be_null() -> None:
    content = FetchResponse_v11(0, 0, 0, [("t", [(0, 3, -1, -1, -1, None, -1, None)])]).encode()
    (found,) = Fetched.decode(BytesIO(content)).topics[0][1]
    assert found == (0, 3, -1, -1, -1, (), -1, b"")


def test_a_broker_must_know_the_version() -> None:
    with pytest.raises(IncompatibleBrokerVersion, match="Fetch v11"):
        fetch(Limits(0, 0, 0, 0), []).prepare({1: (0, 10)})
