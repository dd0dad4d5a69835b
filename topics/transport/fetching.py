"""When to fetch: about the time the commit in work is done, so that the next slice is all that has gathered until then.

aiokafka fetches again as soon as records are handed out. That fetch is answered with the first record that arrives, and
no other is sent to the same broker before that record has been taken. Slices were then a record or two, and in turn all
that had gathered behind them: a record waited for two commits before its own. Here the fetch is held back until the
slice in work is about to be committed.
"""

from __future__ import annotations

from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import Fetcher


class HeldFetcher(Fetcher):  # type: ignore[misc]
    """Sends no fetch while it is held. Positions are looked up and reset as ever."""

    held = False

    def hold(self) -> None:
        self.held = True

    def let_go(self) -> None:
        self.held = False
        self._notify(self._wait_consume_future)

    def _get_actions_per_node(self, assignment: Any) -> Any:
        fetches, *others = super()._get_actions_per_node(assignment)
        return [] if self.held else fetches, *others


def make_holdable(consumer: AIOKafkaConsumer) -> None:
    """Call once it is started."""
    consumer._fetcher.__class__ = HeldFetcher  # adds methods, and a flag with a default
