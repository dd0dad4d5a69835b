"""How good the exported model is on rows it has not seen, at the engine's default cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, roc_auc_score

from loadtest.fraud_model.export import Explained
from loadtest.fraud_model.fit import CUT
from loadtest.fraud_model.parity import ppm_of
from loadtest.fraud_model.replay import Table
from loadtest.traffic.fraud import PATTERNS

_NEW_ACCOUNT: Final = 10  # approvals


@dataclass(frozen=True)
class Quality:
    """Figures of one part of the traffic; shares are between 0 and 1."""

    rows: int
    fraud: int
    auc: float
    average_precision: float
    precision: float
    recall: float
    recall_by_pattern: dict[str, tuple[int, float]]  # fraudulent requests, share declined
    amount_recall: float  # share of the fraudulent money that was declined
    false_declines_per_10k: float  # of honest requests
    new_account_requests: int  # honest, with fewer than ten approvals before
    new_account_false_declines_per_10k: float


def quality(model: Explained, table: Table) -> Quality:
    """Measure an exported model; the table must hold fraudulent and honest rows."""
    return quality_of(ppm_of(model.logits(table.matrix)), table)


def quality_of(scores: npt.NDArray[np.int64], table: Table) -> Quality:
    """Measure scores (ppm, one per row of the table) at CUT."""
    declined = scores >= CUT
    fraud, honest = table.fraud, ~table.fraud
    new = honest & (table.history < _NEW_ACCOUNT)
    by_pattern = {}
    for index, name in enumerate(PATTERNS):
        rows = table.pattern == index
        by_pattern[name] = (int(rows.sum()), float(declined[rows].mean()) if rows.any() else 0.0)
    return Quality(
        rows=len(scores),
        fraud=int(fraud.sum()),
        auc=float(roc_auc_score(fraud, scores)),
        average_precision=float(average_precision_score(fraud, scores)),
        precision=float(fraud[declined].mean()) if declined.any() else 0.0,
        recall=float(declined[fraud].mean()),
        recall_by_pattern=by_pattern,
        amount_recall=float(table.amount[fraud & declined].sum() / table.amount[fraud].sum()),
        false_declines_per_10k=float(declined[honest].mean() * 10_000),
        new_account_requests=int(new.sum()),
        new_account_false_declines_per_10k=float(declined[new].mean() * 10_000) if new.any() else 0.0,
    )


def importance(model: Explained, table: Table) -> npt.NDArray[np.float64]:
    """Mean absolute contribution of each feature to the log-odds of the fraudulent rows, [features]."""
    mean: npt.NDArray[np.float64] = np.abs(model.contributions(table.matrix[table.fraud])).mean(axis=0)
    return mean
