"""Everything that can be done to the stack. A fault is a class with a name; `REGISTRY` has one of each.

kinds      what every fault is and gives back
workers    killed, frozen, scaled, restarted
stores     a worker's local store, damaged while it is down
servers    the broker, PostgreSQL and the sink
network    the connections between a worker and the broker
"""

from __future__ import annotations

from typing import Final

from tests.chaos.campaign.faults import network, servers, stores, workers
from tests.chaos.campaign.faults.kinds import Damage, Fault

__all__ = ["REGISTRY", "Damage", "Fault", "chosen"]

REGISTRY: Final[dict[str, Fault]] = {
    fault.name: fault for part in (workers, stores, servers, network) for fault in part.FAULTS
}


def chosen(names: str | None) -> dict[str, Fault]:
    """The faults named, separated by commas; all for None. Raises ValueError naming one that does not exist."""
    if names is None:
        return dict(REGISTRY)
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in REGISTRY:
            raise ValueError(f"there is no fault {name!r}; there are {', '.join(REGISTRY)}")
    return {name: REGISTRY[name] for name in wanted}
