"""What may be asked for is what aiokafka's own fetcher finds, whatever state its partitions are in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import Fetcher
from hypothesis import given
from hypothesis import strategies as st

from topics.transport.survey import survey

TIMEOUT_S = 0.2
NOBODY = 0
nodes = st.sampled_from([NOBODY, 1, 2, 3])
states = st.builds(
    SimpleNamespace, position=st.none() | st.integers(0, 99), paused=st.booleans(), resume_fut=st.integers()
)
waits = st.sampled_from([None, None, None, 0, 0.1, 0.3])
"""Seconds for which records that nobody has taken hold their node up; None: there are none."""
partitions = st.lists(st.tuples(nodes, states, waits), max_size=8)


@given(partitions, st.sets(st.sampled_from([1, 2, 3])), st.sampled_from([None, -1]))
def test_it_is_what_aiokafka_finds(
    given_states: list[tuple[Any, Any, Any]], in_flight: set[int], nobody: int | None
) -> None:
    tps = {TopicPartition("t", number): each for number, each in enumerate(given_states)}
    leader = {tp: node or nobody for tp, (node, _state, _wait) in tps.items()}.get
    records = {tp: _waiting(wait) for tp, (_node, _state, wait) in tps.items() if wait is not None}
    found = survey(_assignment(tps), records, in_flight, leader)
    fetches, lost, seconds, leaderless, paused = _by_aiokafka(_assignment(tps), records, in_flight, leader)
    assert found.wanted == {node: sorted(_asked(request)) for node, request in fetches}
    assert (found.lost, found.leaderless, found.paused) == (lost, leaderless, paused)
    assert found.seconds(TIMEOUT_S) == seconds


def _waiting(seconds: float) -> Any:
    return SimpleNamespace(calculate_backoff=lambda: seconds)


def _assignment(tps: dict[TopicPartition, Any]) -> Any:
    """As aiokafka has it: states answer to two names each."""
    found = {}
    for tp, (_node, state, _wait) in tps.items():
        found[tp] = SimpleNamespace(
            **vars(state),
            has_valid_position=state.position is not None,
            _position=state.position,
            _paused=state.paused,
            _resume_fut=state.resume_fut,
        )
    return SimpleNamespace(tps=list(found), state_value=found.get, _tp_state=found)


def _by_aiokafka(assignment: Any, records: Any, in_flight: set[int], leader: Any) -> Any:
    fetcher = Fetcher.__new__(Fetcher)
    fetcher._client = SimpleNamespace(cluster=SimpleNamespace(leader_for_partition=leader))
    fetcher._records, fetcher._in_flight, fetcher._preferred_read_replica = records, in_flight, {}
    fetcher._fetcher_timeout, fetcher._client_rack, fetcher._max_partition_fetch_bytes = TIMEOUT_S, None, 1
    fetcher._fetch_max_wait_ms = fetcher._fetch_min_bytes = fetcher._fetch_max_bytes = fetcher._isolation_level = 1
    return fetcher._get_actions_per_node(assignment)


def _asked(request: Any) -> list[tuple[TopicPartition, int]]:
    return [(TopicPartition(topic, number), offset) for topic, each in request.topics for number, offset, _most in each]
