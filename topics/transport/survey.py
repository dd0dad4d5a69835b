"""What a consumer may ask its brokers for now. It is looked at a thousand times a second, which aiokafka's own fetcher
does in three times the time: it notes each partition in its log, and asks for leaders by way of racks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import TopicPartition

_NOBODY: Final = -1

Positions = list[tuple[TopicPartition, int]]
"""(partition, offset of the next record)"""

Wanted = Mapping[int, Positions]
"""By the node that leads them."""


@dataclass(slots=True)
class Survey:
    """Of the partitions of an assignment."""

    wanted: defaultdict[int, Positions] = field(default_factory=lambda: defaultdict(list))
    lost: defaultdict[int, list[TopicPartition]] = field(default_factory=lambda: defaultdict(list))
    """Without a position, by the node that may be asked for one."""
    waiting: defaultdict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds that records which nobody has taken yet keep others of their node from being fetched."""
    paused: list[Any] = field(default_factory=list)
    """Futures that tell of their being resumed."""
    leaderless: bool = False

    def seconds(self, otherwise: float) -> float:
        """Until the first node that is waited for may be asked again; `otherwise` where none is."""
        return min(map(max, self.waiting.values()), default=otherwise)


def survey(
    assignment: Any,
    records: Mapping[TopicPartition, Any],
    in_flight: Collection[int],
    leader: Callable[[TopicPartition], int | None],
) -> Survey:
    """`assignment`, `records` (fetched and not taken) and `in_flight` (nodes that are asked already) are those of
    aiokafka's fetcher; partitions are read from their leaders alone."""
    found = Survey()
    for tp, state in assignment._tp_state.items():
        node = leader(tp)
        if node is None:
            node = _NOBODY
        if tp in records:
            if seconds := records[tp].calculate_backoff():
                found.waiting[node].append(seconds)
        elif node in in_flight:
            continue
        elif node == _NOBODY:
            found.leaderless = True
        elif state._position is None:
            found.lost[node].append(tp)
        elif state._paused:
            found.paused.append(state._resume_fut)
        else:
            found.wanted[node].append((tp, state._position))
    for node in found.waiting.keys() | found.lost.keys():
        found.wanted.pop(node, None)
    return found
