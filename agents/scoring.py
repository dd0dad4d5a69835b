"""Asks the fraud model, and keeps the cards working when it fails: a missing score is an opinion of its own, on which
the domain decides by a conservative rule."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.account import Unscored
from models.authorization import FraudScore, Opinion, ScoreMissing, Screened
from models.scoring.features import features

log = logging.getLogger(__name__)


Sight = Sequence[float]
"""What the model sees of a request: its features, or nothing when there is no model"""


class Model(Protocol):
    """What is needed of a fraud model: scores for a matrix of features, one row a request."""

    @property
    def version(self) -> str: ...

    def score(self, matrix: npt.NDArray[np.float32]) -> Sequence[Scored]: ...


class Scored(Protocol):
    @property
    def ppm(self) -> int: ...

    @property
    def reasons(self) -> list[str]: ...


class Scorer:
    """One model, or none; knows whether it worked last time, so that an outage is logged once and not per slice."""

    def __init__(self, model: Model | None) -> None:
        self._model = model
        self._failing = False
        self.seconds = 0.0  # spent in the model since the start

    def sight(self, screened: Screened) -> Sight:
        """What there is to see of one request; raises what a damaged profile leads to."""
        account, request, _fingerprint, now = screened
        return () if self._model is None else features(account.profile, request, account.home_country, now)

    def opinions(self, sights: Sequence[Sight]) -> Sequence[Opinion]:
        """One for each request, from ONE model run."""
        if self._model is None or not sights:
            return [None] * len(sights)
        scores = self._run(sights)
        return [ScoreMissing(list(sight)) for sight in sights] if scores is None else scores

    def late(self, requests: Sequence[Unscored]) -> list[FraudScore] | None:
        """Scores of requests that were decided without one; None while the model still fails."""
        return self._run([request.features for request in requests])

    def _run(self, rows: Sequence[Sequence[float]]) -> list[FraudScore] | None:
        if self._model is None:
            return None
        started = time.perf_counter()
        try:
            scores = self._model.score(np.array(rows, np.float32))
        except Exception:
            # Whatever went wrong in there, refusing every card because of it would be worse.
            if not self._failing:
                log.exception("the fraud model failed; the stand-in rule decides until it works again")
            self._failing = True
            return None
        finally:
            self.seconds += time.perf_counter() - started
        if self._failing:
            log.warning("the fraud model works again")
        self._failing = False
        version = self._model.version
        return [FraudScore(score.ppm, score.reasons, version) for score in scores]
