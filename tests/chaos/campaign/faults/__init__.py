"""Everything that can be done to the stack. A fault is a class with a name; `REGISTRY` has one of each that needs one
broker, `CLUSTER` of each that needs several.

kinds      what every fault is and gives back
workers    killed, frozen, scaled, restarted
stores     a worker's local store, damaged while it is down
servers    the broker, PostgreSQL and the sink
disks      the local store's or PostgreSQL's runs full, for which one has to be mounted
cluster    one of several brokers
reassignment  their partitions, moved from one to another
network    the connections between a worker and the broker
clocks     producers' clocks
readers    slow readers of what comes out
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from tests.chaos.campaign.disk import mountable
from tests.chaos.campaign.faults import clocks, cluster, disks, network, readers, reassignment, servers, stores, workers
from tests.chaos.campaign.faults.kinds import Damage, Fault

__all__ = ["CLUSTER", "REGISTRY", "Damage", "Fault", "chosen", "needs_disks", "possible", "registry"]


def _by_name(faults: Iterable[Fault]) -> dict[str, Fault]:
    return {fault.name: fault for fault in faults}


PARTS: Final = (workers, stores, servers, disks, network, clocks, readers)
REGISTRY: Final = _by_name(fault for part in PARTS for fault in part.FAULTS)
CLUSTER: Final = _by_name([*cluster.FAULTS, *reassignment.FAULTS])


def registry(brokers: int) -> dict[str, Fault]:
    """What can be done to a stack with so many brokers; without a choice, all of it is."""
    return REGISTRY if brokers == 1 else CLUSTER


def possible(faults: Mapping[str, Fault]) -> dict[str, Fault]:
    """Without those that need a disk of their own, where we may not mount one."""
    may = mountable()
    return {name: fault for name, fault in faults.items() if may or not needs_disks([name])}


def needs_disks(names: Iterable[str]) -> bool:
    """Whether one of them does."""
    return any(fault.name in names for fault in disks.FAULTS)


def chosen(names: str | None, brokers: int = 1) -> dict[str, Fault]:
    """The faults named, separated by commas; all for None. Raises ValueError naming one that does not exist."""
    known = registry(brokers)
    if names is None:
        return dict(known)
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in known:
            raise ValueError(f"there is no fault {name!r}; there are {', '.join(known)}")
    return {name: known[name] for name in wanted}
