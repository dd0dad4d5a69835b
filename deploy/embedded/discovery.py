"""Finding the servers that another command of ours started."""

from __future__ import annotations

from agents.settings import Settings
from deploy.embedded.errors import NoRunError
from deploy.embedded.runs import Run, live_runs


def current_run(settings: Settings) -> Run:
    """Addresses to use: those in the settings, else those of the newest live run; raises NoRunError.

    With both addresses set and no run up, the run returned has no `ports`.
    """
    found = next(iter(live_runs(settings.home)), None)
    if found is None and not (settings.kafka and settings.postgres_dsn):
        raise NoRunError(
            "no running servers found: start `otb up` in another terminal, or set OTB_KAFKA and OTB_POSTGRES_DSN"
        )
    run = found or Run(settings.home)
    run.kafka = settings.kafka or run.kafka
    run.postgres_dsn = settings.postgres_dsn or run.postgres_dsn
    return run
