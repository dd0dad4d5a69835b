"""A fraud model that says what the story says, and fails when the story says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

UNSUSPICIOUS: Final = 10_000
"""Parts per million that the scripted model gives when a step says nothing."""


class ModelDown(Exception):
    """The scripted model's failure."""


@dataclass
class ScriptedScore:
    ppm: int
    reasons: list[str] = field(default_factory=list)


@dataclass
class ScriptedModel:
    """Gives every request of a slice the same score."""

    version: str = "scripted"
    ppm: int = UNSUSPICIOUS
    down: bool = False

    def score(self, matrix: npt.NDArray[np.float32]) -> Sequence[ScriptedScore]:
        if self.down:
            raise ModelDown
        return [ScriptedScore(self.ppm) for _ in matrix]
