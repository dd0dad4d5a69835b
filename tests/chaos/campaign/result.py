"""What became of a campaign: of every fault, and of all messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from tests.chaos.campaign.schedule import Appointment

RATE: Final = 600
"""Records a second, if nothing else is said."""


@dataclass(slots=True)
class Trial:
    """One fault and what came of it. Times in seconds; `trouble`: what kept it from recovering by itself."""

    fault: str
    seed: int
    started: float  # since the load began
    began: float  # since the epoch
    recovery_s: float | None = None
    held_s: float = 0.0
    meanwhile: float | None = None  # decisions for each one asked for while something was away that they do not need
    note: str = ""
    ends: list[str] = field(default_factory=list)  # processes that ended by themselves
    trouble: str | None = None


@dataclass(slots=True)
class Result:
    """A finished campaign. It passed if nothing was lost, and every fault was recovered from without help."""

    seed: int
    length_s: float
    schedule: list[Appointment]
    brokers: int = 1
    rate: int = RATE  # records a second
    trials: list[Trial] = field(default_factory=list)
    left_out: list[Appointment] = field(default_factory=list)
    messages: int = 0
    poison: int = 0
    from_the_future: int = 0  # of the poison
    read: int = 0  # records that the reader of decisions and updates has read
    entries: int = 0
    load_s: float = 0.0
    lost: list[str] = field(default_factory=list)  # whatever the checker found, with its history
    lost_after: list[int] = field(default_factory=list)  # indices of the trials under which it came in

    @property
    def passed(self) -> bool:
        return not self.lost and not any(trial.trouble for trial in self.trials)
