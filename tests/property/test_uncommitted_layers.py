"""Uncommitted rows against layers: each slice's over those before it, and the committed ones at the bottom."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tables.uncommitted import Uncommitted

PARTITIONS = range(2)
KEYS = [b"account-%d" % number for number in range(3)]

Layer = dict[tuple[int, bytes], bytes]

CHANGES = st.dictionaries(
    st.tuples(st.sampled_from(PARTITIONS), st.sampled_from(KEYS)), st.sampled_from([0, 1]), min_size=1
)


class Worker(RuleBasedStateMachine):
    """Decides slices while a transaction with those before travels, as agents/committer.py does."""

    def __init__(self) -> None:
        super().__init__()
        self.committed: Layer = {}
        self.waiting: list[Layer] = []
        self.travelling: list[Layer] = []
        self.rows = Uncommitted(lambda partition, key: self.committed.get((partition, key)))

    @rule(changes=CHANGES)
    def decide(self, changes: dict[tuple[int, bytes], int]) -> None:
        layer = {where: b"row-%d" % number for where, number in changes.items()}  # alike, and never the same object
        for partition in PARTITIONS:
            self.rows.add(partition, _of(partition, layer))
        self.waiting.append(layer)

    @precondition(lambda self: self.waiting and not self.travelling)
    @rule()
    def begin(self) -> None:
        self.travelling, self.waiting = self.waiting, []

    @precondition(lambda self: self.travelling)
    @rule()
    def commit(self) -> None:
        latest = {where: row for layer in self.travelling for where, row in layer.items()}
        self.committed |= latest
        for partition in PARTITIONS:
            self.rows.settle(partition, [*_of(partition, latest), (b"\0topic", b"offset")])
        self.travelling = []

    @rule()
    def forget(self) -> None:
        self.travelling, self.waiting = [], []
        self.rows.forget()

    @invariant()
    def the_uppermost_is_read(self) -> None:
        table = dict(self.committed)
        for layer in (*self.travelling, *self.waiting):
            table |= layer
        found = {(partition, key): self.rows.row(partition, key) for partition in PARTITIONS for key in KEYS}
        assert found == {where: table.get(where) for where in found}

    @invariant()
    def what_is_committed_is_not_kept(self) -> None:
        kept = {(partition, key) for partition, rows in self.rows._rows.items() for key in rows}
        assert kept == {where for layer in (*self.travelling, *self.waiting) for where in layer}


def _of(partition: int, layer: Layer) -> list[tuple[bytes, bytes]]:
    return [(key, row) for (number, key), row in layer.items() if number == partition]


TestWorker = Worker.TestCase
TestWorker.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
