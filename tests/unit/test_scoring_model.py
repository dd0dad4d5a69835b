"""The shipped fraud model: deterministic, whatever stands beside a row, and checked before it is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import helper

import models.scoring.onnx
from loadtest.fraud_model import parity
from loadtest.fraud_model.fit import CUT
from loadtest.fraud_model.measure import Quality, quality_of
from loadtest.fraud_model.replay import replay
from loadtest.traffic import Traffic
from loadtest.traffic.fraud import CARD_TESTING
from models.scoring.features import FEATURES, WIDTH
from models.scoring.onnx import INPUT, OUTPUTS, FraudModel, UnusableModel, ppm

ARTEFACTS = Path(models.scoring.onnx.__file__).parent / "artefacts"
ARTEFACT = ARTEFACTS / models.scoring.onnx.ARTEFACT

Matrix = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def model() -> FraudModel:
    return FraudModel.load()


@pytest.fixture(scope="module")
def vectors() -> parity.Vectors:
    return parity.read(ARTEFACT.with_suffix(".parity.npz"))


@pytest.fixture(scope="module")
def matrix(vectors: parity.Vectors) -> Matrix:
    """Real rows; the first stand nearest to the cut."""
    return vectors["matrix"].astype(np.float32)


def altered(path: Path, change: str) -> Path:
    """A copy of the shipped model with one thing wrong."""
    proto = onnx.load(ARTEFACT)
    facts = {prop.key: prop.value for prop in proto.metadata_props}
    if change == "features":
        facts["features"] = facts["features"].replace("count_1m", "count_2m")
    elif change == "fewer features":
        facts["features"] = ",".join(FEATURES[:-1])
    elif change == "no version":
        del facts["version"]
    elif change == "output":
        proto.graph.output.pop(0)
    elif change == "order":
        outputs = list(proto.graph.output)[::-1]
        del proto.graph.output[:]
        proto.graph.output.extend(outputs)
    helper.set_model_props(proto, facts)
    path.write_bytes(proto.SerializeToString())
    return path


def test_g1_the_shipped_model_says_what_its_source_said(model: FraudModel, vectors: parity.Vectors) -> None:
    """G1, G4, G7: 1,000 rows with the source's scores, among them the nearest to the cut on both sides; G5 beside."""
    assert len(vectors["matrix"]) == parity.ROWS
    near = np.abs(vectors["source_ppm"] - CUT) < 50_000
    assert (vectors["source_ppm"][near] >= CUT).sum() >= 10
    assert (vectors["source_ppm"][near] < CUT).sum() >= 10
    assert parity.check(model, vectors) <= parity.TOLERANCE_PPM


def test_g1_a_deviation_is_found(model: FraudModel, vectors: parity.Vectors) -> None:
    off = {**vectors, "source_ppm": vectors["source_ppm"] + np.eye(1, parity.ROWS, 700, dtype=np.int64)[0] * 60}
    with pytest.raises(parity.Deviation, match="off by up to"):
        parity.check(model, off)
    flipped = {**vectors, "source_ppm": np.where(vectors["source_ppm"] >= CUT, CUT - 1, vectors["source_ppm"])}
    with pytest.raises(parity.Deviation, match="decisions differ"):
        parity.check(model, flipped)


def test_g3_a_borderline_row_gives_one_decision_a_thousand_times(model: FraudModel, matrix: Matrix) -> None:
    assert len({(score.ppm, tuple(score.reasons)) for _ in range(1000) for score in model.score(matrix[:1])}) == 1


def test_g9_a_row_scores_alike_alone_among_38_and_anywhere(model: FraudModel, matrix: Matrix) -> None:
    rows = matrix[:38]
    together = model.score(rows)
    assert together == [model.score(rows[n : n + 1])[0] for n in range(38)]
    assert together[::-1] == model.score(np.ascontiguousarray(rows[::-1]))
    assert together == model.score(np.concatenate((matrix, rows)))[len(matrix) :]


def test_g5_missing_values_have_a_rule(model: FraudModel, matrix: Matrix) -> None:
    """A NaN scores as the median of honest traffic, which stands in the file; a score is always a number."""
    (neutral,) = (t for t in onnx.load(ARTEFACT).graph.initializer if t.name == "neutral")
    medians = onnx.numpy_helper.to_array(neutral)
    rng = np.random.default_rng(5)
    missing = np.where(rng.random(matrix.shape) < 0.15, np.float32(np.nan), matrix)
    assert model.score(missing) == model.score(np.where(np.isnan(missing), medians, matrix))
    for value in (np.nan, np.inf, -np.inf, 3e38):
        assert all(0 <= score.ppm <= 1_000_000 for score in model.score(np.full((3, WIDTH), value, np.float32)))


def test_g6_outputs_are_picked_by_name(model: FraudModel, matrix: Matrix, tmp_path: Path) -> None:
    reordered = FraudModel.load(altered(tmp_path / "m.onnx", "order"))
    assert reordered.score(matrix[:50]) == model.score(matrix[:50])


def test_g8_scoring_adds_no_threads() -> None:
    code = (
        "import psutil, numpy as np\n"
        "from models.scoring.features import WIDTH\n"
        "from models.scoring.onnx import FraudModel\n"
        "before = psutil.Process().num_threads()\n"
        "model = FraudModel.load()\n"
        "model.score(np.zeros((5000, WIDTH), np.float32))\n"
        "print(psutil.Process().num_threads() - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"


def test_g8_the_thread_count_is_explicit(model: FraudModel) -> None:
    options = model._session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)


def test_reasons_are_the_largest_contributions(model: FraudModel, matrix: Matrix) -> None:
    """Recomputed from all contributions: at most three, positive, strongest first, and they add up to the score."""
    proto = onnx.load(ARTEFACT)
    proto.graph.output.append(helper.make_tensor_value_info("contributions", onnx.TensorProto.FLOAT, [None, WIDTH]))
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    contributions, logits = session.run(["contributions", OUTPUTS[0]], {INPUT: matrix})
    (intercept,) = (onnx.numpy_helper.to_array(t)[0] for t in proto.graph.initializer if t.name == "intercept")
    for score, row, logit in zip(model.score(matrix), contributions.astype(np.float64), logits, strict=True):
        best = [at for at in np.argsort(-row, kind="stable")[:3] if row[at] > 0]
        assert score.reasons == [FEATURES[at] for at in best]
        assert row.sum() + float(intercept) == logit  # exactly: nothing was rounded on the way
        assert score.ppm == ppm(float(logit))


def test_ppm_rounds_half_up_and_stays_in_range() -> None:
    assert [ppm(logit) for logit in (0.0, -1e9, 1e9, -700.0, 60.0)] == [500_000, 0, 1_000_000, 0, 1_000_000]
    assert ppm(float(np.log(9))) == CUT
    assert ppm(-13.8155) == 1  # 1.0000 ppm
    assert ppm(-14.3) == 1  # 0.62 ppm
    assert ppm(-14.6) == 0  # 0.46 ppm


def test_no_rows_no_scores_and_a_wrong_width_is_refused(model: FraudModel) -> None:
    assert model.score(np.empty((0, WIDTH), np.float32)) == []
    with pytest.raises(ValueError, match=r"shape \[n, 30\]"):
        model.score(np.zeros((2, WIDTH - 1), np.float32))


def test_the_version_is_in_the_file(model: FraudModel) -> None:
    assert model.version == "fraud-1.1"
    assert ARTEFACT.stat().st_size < 1 << 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("features", "first difference: 'count_2m' instead of 'count_1m'"),
        ("fewer features", "first difference: None instead of 'magstripe'"),
        ("no version", "no version"),
        ("output", "needs the input features and the outputs fraud_logit"),
    ],
)
def test_a_model_for_something_else_is_refused(tmp_path: Path, change: str, message: str) -> None:
    with pytest.raises(UnusableModel, match=message):
        FraudModel.load(altered(tmp_path / "other.onnx", change))


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnusableModel, match=r"absent\.onnx: No such file"):
        FraudModel.load(tmp_path / "absent.onnx")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    with pytest.raises(UnusableModel, match=r"broken\.onnx: not a usable ONNX file"):
        FraudModel.load(broken)


@pytest.fixture(scope="module")
def fresh(model: FraudModel) -> Quality:
    """Traffic that no training has seen, through today's profile and features."""
    table = replay(Traffic(2024, 500, "fresh"), 21)
    return quality_of(np.array([score.ppm for score in model.score(table.matrix)]), table)


def test_the_shipped_model_still_fits_todays_features(fresh: Quality) -> None:
    """Fails when profile, features or traffic change their meaning without a new training."""
    assert fresh.rows > 25_000
    assert fresh.auc > 0.97
    assert fresh.precision > 0.6
    assert fresh.recall > 0.5
    assert fresh.recall_by_pattern[CARD_TESTING][1] > 0.8
    assert fresh.false_declines_per_10k < 30
