"""The model card: written by the training itself, so that its figures are those of the shipped file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loadtest.fraud_model.fit import CUT, HONEST_SHARE, PRECISION, Parts
from loadtest.fraud_model.measure import Quality
from loadtest.fraud_model.parity import ROWS, TOLERANCE_PPM
from models.scoring.features import FEATURES


@dataclass(frozen=True)
class Facts:
    """What the card tells."""

    version: str
    command: str
    parts: Parts
    test: Quality
    fresh: Quality
    fresh_seed: int
    importance: npt.NDArray[np.float64]
    trees: int
    size: int  # bytes of the artefact
    deviation_ppm: int


def render(facts: Facts) -> str:
    """Markdown."""
    return f"""# Fraud model card: {facts.version}

Written by `{facts.command}`; do not edit by hand.

**Use.** Scores each authorisation request of a consumer credit card, in the path of the decision. The score is an
integer from 0 to 1,000,000; the engine declines at or above `OTB_FRAUD_CUT_PPM` (default {CUT:,}). Up to three reasons
stand in the decision: the features that raised the score most.

**Kind.** Gradient boosting, {facts.trees} trees of depth 4 (scikit-learn), converted by skl2onnx and rewritten with one
target per feature ({facts.size:,} bytes). The log-odds are a constant plus the contributions of the features, so the
reasons account for the score and come from the same run.

## Data

Simulated card traffic of `loadtest/traffic` with five fraud patterns (docstring of `loadtest/traffic/fraud.py`),
replayed through the account profiles that the engine keeps. No real cardholder's data, and no figure below says how the
model would do on real traffic. Requests with an unknown card, a wrong or passed expiry are not scored. What the profile
would have seen is approximated without labels: approved unless the limit is exceeded.

| part | accounts | time | requests | fraudulent |
|---|---|---|---|---|
| train (all fraud, one in {HONEST_SHARE} of the honest) | three fifths | first two thirds | {_count(facts, "train")} |
| calibrate | one fifth | last third | {_count(facts, "calibrate")} |
| test | one fifth | last third | {_count(facts, "test")} |
| fresh | all of seed {facts.fresh_seed} | from its first day | {facts.fresh.rows:,} | {facts.fresh.fraud:,} |

The fresh part has other cardholders, merchants and campaigns; its accounts start without history.

The score is anchored: the log-odds are shifted until the lowest score that kept a precision of {PRECISION:.2f} on the
calibration part is {CUT:,}. It is not a probability.

## Results at the default cut

| | test | fresh |
|---|---|---|
{_results(facts)}

## Features

The windows hold what came before the present request. Importance: mean absolute contribution to the log-odds of the
fraudulent test requests. Exact definitions: `models/scoring/features.py`.

| feature | importance |
|---|---|
{_features(facts)}

Missing values: the features never miss. A NaN is replaced in the graph by the feature's median over honest training
requests; an infinite value counts as larger (smaller) than any other.

## Parity

Before the files are written, {ROWS:,} test rows, the quarter of them nearest to the cut, are scored by the exported
model and by its source in double precision, complete and with 15 % of the values missing. A deviation above
{TOLERANCE_PPM} ppm or one differing decision stops the release. This one: {facts.deviation_ppm} ppm, no difference.
The rows are kept in `models/scoring/artefacts/{facts.version}.parity.npz`, and `make test` checks them again.

## Limits

- Trained on a simulator: the patterns are ours, and thieves adapt. Train on your own labels before you decline people.
- It sees one account at a time. A merchant bust-out shows only as an unusual amount at a new merchant, so its recall is
  the lowest beside that of subtle takeovers; features of the merchant across accounts would be needed.
- Amounts enter in minor units of one currency. A portfolio in another currency (above all one without decimals)
  needs a model of its own.
- In production, fraud that is declined does not become habit; in training it did. That makes training the harder case.
- `abroad` weighs heavily: travellers are declined more often than others. No attribute of the person is used,
  but country patterns can stand in for one; watch the false declines by home country.
- There is no drift monitor yet.

## Train again

    {facts.command}

The same arguments give the same bytes with the same library versions. Raise `VERSION` in
`loadtest/fraud_model/release.py` and `ARTEFACT` in `models/scoring/onnx.py` for a new model; an old file stays readable
as long as the features are the same.
"""


def _count(facts: Facts, part: str) -> str:
    table = getattr(facts.parts, part)
    return f"{len(table.amount):,} | {int(table.fraud.sum()):,}"


def _results(facts: Facts) -> str:
    both = (facts.test, facts.fresh)
    lines = [
        ("area under the ROC curve", [f"{q.auc:.4f}" for q in both]),
        ("average precision", [f"{q.average_precision:.3f}" for q in both]),
        ("precision", [f"{q.precision:.3f}" for q in both]),
        ("recall, requests", [f"{q.recall:.3f}" for q in both]),
        ("recall, money", [f"{q.amount_recall:.3f}" for q in both]),
    ]
    for pattern in facts.test.recall_by_pattern:
        cells = ["{1:.3f} of {0:,}".format(*q.recall_by_pattern[pattern]) for q in both]
        lines.append((f"recall, {pattern}", cells))
    lines += [
        ("honest requests declined, per 10,000", [f"{q.false_declines_per_10k:.1f}" for q in both]),
        (
            "the same, accounts with fewer than 10 approvals",
            [f"{q.new_account_false_declines_per_10k:.1f}" if q.new_account_requests else "none in it" for q in both],
        ),
    ]
    return "\n".join(f"| {name} | {' | '.join(cells)} |" for name, cells in lines)


def _features(facts: Facts) -> str:
    order = np.argsort(-facts.importance, kind="stable")
    return "\n".join(f"| `{FEATURES[i]}` | {facts.importance[i]:.2f} |" for i in order)
