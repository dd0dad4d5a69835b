"""Fitting: gradient boosting of small trees, then the anchor that makes the default cut the operating point.

Split, by account and by time so that nothing leaks: three fifths of the accounts in the first two thirds of the time
train; one fifth sets the anchor and one fifth tests, both in the last third only.

The anchor: honest requests are thinned out for training, so the raw log-odds assume too much fraud. They are shifted by
a constant (as a change of the base rate would) until the score that gives the asked precision on the calibration part
at the highest recall is exactly CUT. A score orders requests; it is a probability only in that adjusted sense.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import log
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import precision_recall_curve

from loadtest.fraud_model.export import Explained, explain, read_trees
from loadtest.fraud_model.replay import Table
from models.scoring.features import WIDTH

CUT: Final = 900_000
"""Parts per million; the engine's default `fraud_cut_ppm`."""
PRECISION: Final = 0.88
"""Asked on the calibration part, so that unseen traffic stays above 0.8."""
HONEST_SHARE: Final = 4
"""One in this many honest rows trains; all fraudulent ones do."""

ROUNDS: Final = 100
"""Trees."""

_CUT_LOGIT: Final = log(CUT / (1_000_000 - CUT))


@dataclass(frozen=True)
class Parts:
    """The table by use."""

    train: Table
    calibrate: Table
    test: Table


@dataclass(frozen=True)
class Fitted:
    """The source model, its shift, and the explained form of both that is exported."""

    source: Any  # GradientBoostingClassifier
    shift: float
    exported: Explained

    def source_logits(self, matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """What the source model says, shifted: the truth for parity."""
        logits: npt.NDArray[np.float64] = self.source.decision_function(matrix)
        return logits + self.shift


def split(table: Table) -> Parts:
    """Train, calibrate and test parts; no account and no time span of the last two is in the first."""
    group = table.account % 5
    early = table.age_ms < table.age_ms.max() * 2 // 3
    return Parts(
        table.where((group < 3) & early), table.where((group == 3) & ~early), table.where((group == 4) & ~early)
    )


def fit(parts: Parts, seed: int, progress: Callable[[float], None] = lambda _: None, rounds: int = ROUNDS) -> Fitted:
    """Train and anchor; the same parts and seed give the same model. ValueError when a part holds too little fraud."""
    for name, part in (("training", parts.train), ("calibration", parts.calibrate)):
        if part.fraud.sum() < 20:
            raise ValueError(f"only {part.fraud.sum()} fraudulent requests in the {name} part: more accounts or days")
    train = parts.train
    kept = train.fraud | (np.random.default_rng(seed).integers(0, HONEST_SHARE, len(train.fraud)) == 0)
    source = GradientBoostingClassifier(
        n_estimators=rounds, max_depth=4, learning_rate=0.12, min_samples_leaf=50, subsample=0.6, max_features=0.4,
        random_state=seed,
    )  # fmt: skip
    source.fit(train.matrix[kept], train.fraud[kept], monitor=lambda done, *_: progress((done + 1) / rounds))
    shift = _CUT_LOGIT - operating_point(source.decision_function(parts.calibrate.matrix), parts.calibrate.fraud)
    honest = train.matrix[kept & ~train.fraud]
    base, trees = read_trees(source, WIDTH)
    return Fitted(source, shift, explain(base + shift, trees, honest))


def operating_point(
    logits: npt.NDArray[np.float64], fraud: npt.NDArray[np.bool_], precision: float = PRECISION
) -> float:
    """The lowest threshold (score at or above it: fraud) that keeps the precision; between two scores, not on one."""
    reached, _, thresholds = precision_recall_curve(fraud, logits)
    good = np.flatnonzero(reached[:-1] >= precision)
    if not len(good):
        raise ValueError(f"no threshold reaches a precision of {precision}")
    at = int(good[0])
    below = thresholds[at - 1] if at else thresholds[at] - 1.0
    return float((thresholds[at] + below) / 2)
