"""How many accounts a second the engine opens, in messages as any issuer would send them."""

from __future__ import annotations

import time
from dataclasses import dataclass

from loadtest.opening import open_accounts
from loadtest.scaling.ground import make_topics, skip_input
from loadtest.scaling.growth import LEAVING_S, Count
from loadtest.scaling.population import Population
from loadtest.scaling.process import spent
from loadtest.scaling.worker import Servers, calmed, workers

_GROUP = "opening"
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Opening:
    """So many accounts opened by one worker, whose table was empty."""

    accounts: int
    seconds: float
    cpu_seconds: float  # of the worker

    @property
    def rate(self) -> float:
        """Accounts per second."""
        return self.accounts / self.seconds


def opening(servers: Servers, population: Population, count: Count) -> Opening:
    """Open the whole population; raises NotOpened, or what ended the worker."""
    make_topics(servers.cluster, _GROUP, servers.partitions)
    skip_input(servers.cluster, _GROUP, servers.partitions, LEAVING_S)
    with workers(servers, _GROUP, 1, "only") as (worker,):
        before = calmed(worker)
        began = time.monotonic()
        opened = open_accounts(
            servers.cluster,
            population.openings(_GROUP),
            patience=_PATIENCE_S,
            on_progress=lambda done: count("accounts opened", done, population.size),
        )
        seconds = time.monotonic() - began
        used = spent(worker.pid).cpu_seconds - before.cpu_seconds
    return Opening(opened, round(seconds, 2), round(used, 2))
