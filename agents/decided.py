"""What a slice comes to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

WRONG_PARTITION: Final = "wrong-partition"
"""Reason of the dead letter of a message that came to another partition than its account's."""

UNREADABLE_ROW: Final = "unreadable-row"
"""Reason of the dead letter of a message whose account's row is damaged."""

PROCESSING_ERROR: Final = "processing-error"
"""Reason of the dead letter of a message on which the domain raised."""

OUR_FAULTS: Final = frozenset({WRONG_PARTITION, UNREADABLE_ROW, PROCESSING_ERROR})
"""Reasons for which a message is not to blame: it was read, and is what it should be."""


class Unswept(NamedTuple):
    """A row in which a sweep could not do its work."""

    partition: int
    key: bytes
    error: Exception


@dataclass(slots=True)
class Decided:
    """What committing this slice would write."""

    rows: Mapping[int, list[tuple[bytes, bytes]]]  # by partition: changelog records, in order
    records: Mapping[tuple[str, int], list[tuple[bytes | None, bytes]]]  # by (topic, partition)
    outcomes: Counter[tuple[str, str]]  # (message type, outcome or decline reason)
    dead_letters: Counter[str]  # by reason
    model_seconds: float
    stood_in: int = 0  # requests without a score, because the model failed
    unswept: list[Unswept] = field(default_factory=list)
