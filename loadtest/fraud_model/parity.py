"""The release gate: the exported model must say what its source says, and decide alike at the cut.

The vectors it checks are kept beside the model, so that anyone can repeat the check without training: `matrix` float32
[n, features], `source_ppm` int64 [n] from the source model in double precision, `missing` float32 (the same rows with
15 % of the values gone) and `missing_ppm` (the source's answer after the documented replacement).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from loadtest.fraud_model.fit import CUT, Fitted
from loadtest.fraud_model.replay import Table
from models.scoring.onnx import FraudModel, ppm

ROWS: Final = 1000
TOLERANCE_PPM: Final = 25
"""What rounding every contribution to float32's exact range may cost; 0.0025 percentage points."""
_MISSING: Final = 0.15


Vectors = dict[str, npt.NDArray[Any]]


class Deviation(ValueError):
    """The exported model does not match its source."""


def vectors(fitted: Fitted, test: Table, seed: int) -> Vectors:
    """ROWS test rows: the quarter nearest to the cut, a quarter of the fraud, the rest at random."""
    rng = np.random.default_rng(seed)
    distance = np.abs(ppm_of(fitted.source_logits(test.matrix)) - CUT)
    near = np.argsort(distance, kind="stable")[: ROWS // 4]
    fraud = rng.permutation(np.setdiff1d(np.flatnonzero(test.fraud), near))[: ROWS // 4]
    others = np.setdiff1d(np.arange(len(distance)), np.concatenate((near, fraud)))
    rows = np.concatenate((near, fraud, rng.permutation(others)[: ROWS - len(near) - len(fraud)]))
    matrix = test.matrix[rows]
    missing = np.where(rng.random(matrix.shape) < _MISSING, np.float32(np.nan), matrix)
    complete = np.where(np.isnan(missing), fitted.exported.neutral, missing)
    return {
        "matrix": matrix,
        "source_ppm": ppm_of(fitted.source_logits(matrix)),
        "missing": missing,
        "missing_ppm": ppm_of(fitted.source_logits(complete)),
    }


def check(model: FraudModel, kept: Vectors) -> int:
    """The largest deviation in parts per million; raises Deviation beyond TOLERANCE_PPM or at a differing decision."""
    worst = 0
    for rows, truth in (("matrix", "source_ppm"), ("missing", "missing_ppm")):
        scores = np.array([score.ppm for score in model.score(kept[rows])])
        expected = kept[truth].astype(np.int64)
        worst = max(worst, int(np.abs(scores - expected).max()))
        differing = int(((scores >= CUT) != (expected >= CUT)).sum())
        if differing or worst > TOLERANCE_PPM:
            raise Deviation(
                f"{rows}: off by up to {worst} ppm, {differing} of {len(scores)} decisions differ at the cut"
            )
    return worst


def write(path: Path, kept: Vectors) -> None:
    """Keep the vectors; equal vectors give equal bytes."""
    np.savez_compressed(path, allow_pickle=False, **kept)


def read(path: Path) -> Vectors:
    """The kept vectors."""
    with np.load(path) as kept:
        return dict(kept)


def ppm_of(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Log-odds to parts per million, [n]."""
    return np.array([ppm(float(logit)) for logit in logits], np.int64)
