"""The group coordinator: members with names of their own, generations, and offsets that transactions may still move."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from faust.types import TP

from topics.transport.fencing import Membership

Deal = Callable[[list[str]], dict[str, list[int]]]
"""Member ids, sorted -> the partitions of each"""


class Place(NamedTuple):
    """What a member gets from joining."""

    generation: int
    partitions: list[int]


class InstanceFenced(Exception):
    """A newer process has taken this instance id."""


class Group:
    """`members`: instance id -> member id. While `rebalancing`, members of the last generation may still commit."""

    def __init__(self) -> None:
        self.generation = 0
        self.members: dict[str, str] = {}
        self.rebalancing = False
        self.places: dict[str, Place] = {}
        self.committed: dict[TP, int] = {}
        self.forgets = 0.0  # how often it tells offsets from before, or none, when it is asked
        self.deal: Deal = lambda _members: {}
        self._joined: set[str] = set()
        self._pending: dict[TP, list[Any]] = defaultdict(list)  # transactions
        self._ids = self._assignments = 0

    # -- membership

    def join(self, instance: str, member: str | None) -> str:
        """The member id. A new process (no member id) takes over the place of its name without a rebalance; anything
        else begins or goes on with one. Raises InstanceFenced."""
        current = self.members.get(instance)
        if member is not None and current is not None and current != member:
            raise InstanceFenced(instance)
        if member is None or current is None:
            self._ids += 1
            member = f"{instance}#{self._ids}"
            self.members[instance] = member
            if current is not None and not self.rebalancing and current in self.places:
                self.places[member] = self.places.pop(current)
                return member
            self._joined.discard(current or "")
        self.places.pop(member, None)
        self.rebalancing = True
        self._joined.add(member)
        self._complete()
        return member

    def place(self, instance: str, member: str) -> Place | None:
        """Where the member is, once the rebalance it joined is complete."""
        return self.places.get(member) if self.members.get(instance) == member else None

    def next_assignment(self) -> int:
        """Partitions come to a member: later ones have larger numbers."""
        self._assignments += 1
        return self._assignments

    def expire(self, instance: str) -> None:
        """The session of a member ended: it is out, and the others share its partitions."""
        member = self.members.pop(instance)
        self.places.pop(member, None)
        self._joined.discard(member)
        self.begin_rebalance()
        self._complete()

    def begin_rebalance(self) -> None:
        """Members learn of it from their heartbeats."""
        self.rebalancing = bool(self.members)

    def must_rejoin(self, membership: Membership) -> bool:
        """What a heartbeat tells a member."""
        return self.rebalancing or self.refuses(membership) is not None

    def _complete(self) -> None:
        if not self.rebalancing or not self._joined.issuperset(self.members.values()):
            return
        self.generation += 1
        dealt = self.deal(sorted(self.members.values()))
        self.places = {member: Place(self.generation, partitions) for member, partitions in dealt.items()}
        self.rebalancing = False
        self._joined.clear()

    # -- offsets

    def refuses(self, member: Membership) -> str | None:
        """Why offsets of this member are not taken, or None."""
        current = self.members.get(member.instance_id or "")
        if current is None:
            return "unknown member id"
        if current != member.member_id:
            return "fenced instance id"
        return None if member.generation == self.generation else "illegal generation"

    def hold(self, transaction: Any, offsets: Iterable[TP]) -> None:
        """Offsets that this transaction will move if it commits."""
        for tp in offsets:
            if transaction not in self._pending[tp]:
                self._pending[tp].append(transaction)

    def settle(self, transaction: Any, offsets: Mapping[TP, int], committed: bool) -> None:
        for tp, offset in offsets.items():
            self._pending[tp].remove(transaction)
            if committed:
                self.committed[tp] = offset

    def stable(self, tps: Iterable[TP]) -> bool:
        """Whether no open transaction may still move the offsets of these partitions."""
        return not any(self._pending[tp] for tp in tps)
