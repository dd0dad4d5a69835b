"""Training, export and the release gate, on a small model made here and now (G1, G4, G5, G7)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import typer
from typer.testing import CliRunner

from loadtest import train_fraud
from loadtest.fraud_model import parity, release
from loadtest.fraud_model.fit import CUT, Fitted, Parts, fit, operating_point, split
from loadtest.fraud_model.measure import quality
from loadtest.fraud_model.replay import Table, replay
from loadtest.traffic import Traffic
from loadtest.traffic.cardholders import DAY_MS
from models.scoring.features import FEATURES, WIDTH
from models.scoring.onnx import FraudModel

ROUNDS = 30


@pytest.fixture(scope="module")
def table() -> Table:
    return replay(Traffic(12, 700, "t"), 30)


@pytest.fixture(scope="module")
def parts(table: Table) -> Parts:
    return split(table)


@pytest.fixture(scope="module")
def fitted(parts: Parts) -> Fitted:
    return fit(parts, seed=11, rounds=ROUNDS)


@pytest.fixture(scope="module")
def model(fitted: Fitted, tmp_path_factory: pytest.TempPathFactory) -> FraudModel:
    path = tmp_path_factory.mktemp("model") / "small.onnx"
    path.write_bytes(release.export(fitted, "small-1"))
    return FraudModel.load(path)


def source_ppm(fitted: Fitted, matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    return parity.ppm_of(fitted.source_logits(matrix))


def test_g1_a_new_export_passes_its_gate(model: FraudModel, fitted: Fitted, parts: Parts) -> None:
    vectors = parity.vectors(fitted, parts.test, seed=3)
    assert len(vectors["matrix"]) == parity.ROWS
    assert np.isnan(vectors["missing"]).mean() == pytest.approx(0.15, abs=0.01)
    assert parity.check(model, vectors) <= parity.TOLERANCE_PPM


def test_g7_rows_on_and_beside_every_threshold_fall_on_the_right_side(
    model: FraudModel, fitted: Fitted, parts: Parts
) -> None:
    """For each split: its float32 threshold and both neighbours, in a fraudulent row near the decision."""
    frauds = parts.test.matrix[parts.test.fraud]
    base = frauds[np.argsort(np.abs(source_ppm(fitted, frauds) - CUT))[0]]
    rows = []
    for tree in fitted.exported.trees:
        for feature, threshold in zip(tree.feature[tree.below > 0], tree.threshold[tree.below > 0], strict=True):
            edge = np.float32(threshold)
            for value in (edge, np.nextafter(edge, np.float32(-np.inf)), np.nextafter(edge, np.float32(np.inf))):
                row = base.copy()
                row[feature] = value
                rows.append(row)
    matrix = np.array(rows, np.float32)
    assert len(matrix) > 300
    scores = np.array([score.ppm for score in model.score(matrix)])
    assert np.abs(scores - source_ppm(fitted, matrix)).max() <= parity.TOLERANCE_PPM


def test_g1_a_threshold_rounded_up_is_caught(fitted: Fitted, parts: Parts, tmp_path: Path) -> None:
    """The gate is real: an export with every threshold one float32 too high does not pass on rows at the thresholds."""
    trees = tuple(
        replace(tree, threshold=np.nextafter(tree.threshold.astype(np.float32), np.float32(np.inf)).astype(np.float64))
        for tree in fitted.exported.trees
    )
    (tmp_path / "wrong.onnx").write_bytes(
        release.export(replace(fitted, exported=replace(fitted.exported, trees=trees)), "w")
    )
    wrong = FraudModel.load(tmp_path / "wrong.onnx")
    tree = max(fitted.exported.trees, key=lambda tree: np.ptp(tree.value))
    rows = np.repeat(parts.test.matrix[:50], int((tree.below > 0).sum()), axis=0)
    inner = np.flatnonzero(tree.below > 0)
    for n, row in enumerate(rows):
        split_at = inner[n % len(inner)]
        row[tree.feature[split_at]] = np.nextafter(np.float32(tree.threshold[split_at]), np.float32(np.inf))
    truth = source_ppm(fitted, rows)
    with pytest.raises(parity.Deviation):
        parity.check(wrong, {"matrix": rows, "source_ppm": truth, "missing": rows, "missing_ppm": truth})


def test_training_repeats_byte_for_byte(parts: Parts, fitted: Fitted) -> None:
    assert release.export(fit(parts, seed=11, rounds=ROUNDS)) == release.export(fitted)


def test_contributions_account_for_the_score(fitted: Fitted, parts: Parts) -> None:
    exported = fitted.exported
    contributions = exported.contributions(parts.test.matrix)
    assert contributions.shape == (len(parts.test.matrix), WIDTH)
    assert (contributions.sum(axis=1) + exported.intercept == exported.logits(parts.test.matrix)).all()
    in_float32 = contributions.astype(np.float32)
    assert (in_float32 == contributions).all()
    assert (in_float32[:, ::-1].sum(axis=1, dtype=np.float32) == contributions.sum(axis=1)).all()


def test_an_average_honest_request_has_no_reasons(fitted: Fitted, parts: Parts) -> None:
    honest = parts.train.matrix[~parts.train.fraud]
    means = fitted.exported.contributions(honest).mean(axis=0)
    assert np.abs(means).max() < 0.05


def test_no_account_or_time_leaks_into_the_test(table: Table, parts: Parts) -> None:
    groups = [set(part.account.tolist()) for part in (parts.train, parts.calibrate, parts.test)]
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]
    assert parts.train.age_ms.max() < min(parts.calibrate.age_ms.min(), parts.test.age_ms.min())
    assert len(parts.train.amount) < len(table.amount)


def test_the_replay_scores_what_the_engine_would_score(table: Table) -> None:
    """700 accounts, 30 days, about 3 requests a day; retries and requests without a valid card are no rows."""
    assert table.matrix.shape == (len(table.amount), WIDTH)
    assert np.isfinite(table.matrix).all()
    assert 0.94 < len(table.amount) / (700 * 30 * 3) < 1.04
    assert 0.004 < table.fraud.mean() < 0.012
    assert (np.diff(table.age_ms) >= 0).all()
    assert table.age_ms.max() < 30 * DAY_MS
    assert table.matrix[:, FEATURES.index("declines_24h")].max() >= 1


def test_the_operating_point_keeps_the_precision_at_the_highest_recall() -> None:
    logits = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    fraud = np.array([False, True, False, True, True, True])
    assert operating_point(logits, fraud, precision=0.8) == pytest.approx(0.5)  # 4 of 5
    assert operating_point(logits, fraud, precision=0.9) == pytest.approx(2.5)  # 3 of 3
    with pytest.raises(ValueError, match="no threshold reaches"):
        operating_point(logits, np.zeros(6, bool) | (logits < 1), precision=0.9)


def test_a_release_writes_model_vectors_and_card(fitted: Fitted, parts: Parts, tmp_path: Path) -> None:
    exported = fitted.exported
    vectors = parity.vectors(fitted, parts.test, seed=3)
    measured = quality(exported, parts.test)
    made = release.Release(
        "small-1", parts, fitted, release.export(fitted, "small-1"), vectors, 3, measured, measured, 12
    )
    release.write(made, tmp_path / "out", tmp_path / "docs" / "card.md", "python -m loadtest.train_fraud --seed 11")
    model = FraudModel.load(tmp_path / "out" / "small-1.onnx")
    assert model.version == "small-1"
    assert parity.check(model, parity.read(tmp_path / "out" / "small-1.parity.npz")) <= parity.TOLERANCE_PPM
    text = (tmp_path / "docs" / "card.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in FEATURES)
    assert f"| precision | {measured.precision:.3f} |" in text


def test_the_shipped_card_belongs_to_the_shipped_model() -> None:
    root = Path(train_fraud.__file__).parents[1]
    text = (root / "docs" / "fraud-model.md").read_text(encoding="utf-8")
    size = (root / "models/scoring/artefacts" / f"{release.VERSION}.onnx").stat().st_size
    assert f"# Fraud model card: {release.VERSION}\n" in text
    assert f"({size:,} bytes)" in text


def test_too_little_traffic_is_one_clear_line(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(train_fraud.train)
    arguments = ["--accounts", "100", "--days", "10", "--out", str(tmp_path), "--card", str(tmp_path / "card.md")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1
    assert [line for line in done.stderr.splitlines() if line.startswith("error:")] == [
        line for line in done.stderr.splitlines() if "more accounts or days" in line
    ]
    assert "Traceback" not in done.output
    assert not list(tmp_path.iterdir())
