"""The fraud model: one ONNX run scores a whole matrix of requests. The only module that runs models.

The graph (written by `loadtest/fraud_model/export.py`) has these outputs, picked by name:

    fraud_logit    [n]     log-odds of fraud, anchored so that the operating point stands at 900,000 ppm
    reason_values  [n, 3]  the three largest contributions of a feature to it, falling
    reason_index   [n, 3]  int64, the features (by position in FEATURES) that made them

The log-odds are a constant plus the contributions, so the reasons account for the score and come from the same run.
Every contribution is a multiple of one small power of two, and float32 adds such numbers without rounding: the score of
a row depends neither on its neighbours nor on threads nor on the order of the sum. The logistic function is taken here,
in double precision, because a vectorised one may differ in the last bit between lanes.

Missing values: `features.fill` never makes one. Should a NaN reach the model, the graph replaces it with the feature's
median over honest training traffic; an infinite value counts as larger (smaller) than any other. A score is therefore
always a number.
"""

from __future__ import annotations

from importlib.resources import files
from math import exp
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import onnxruntime

from models.scoring.features import FEATURES, WIDTH

INPUT: Final = "features"
OUTPUTS: Final = ("fraud_logit", "reason_values", "reason_index")
REASONS: Final = 3
ARTEFACT: Final = "fraud-1.1.onnx"
PPM: Final = 1_000_000

_NAMES: Final = np.array(FEATURES, dtype=object)
_FEWEST_LOGIT: Final = -700.0  # exp(700) is still finite


class UnusableModel(ValueError):
    """The file is missing, is no ONNX model, or was made for other features; says which."""


class Score(NamedTuple):
    """A fraud score in parts per million, and up to three features that raised it most, strongest first."""

    ppm: int
    reasons: list[str]


class FraudModel:
    """A loaded model. Scoring is deterministic, on one thread."""

    def __init__(self, session: onnxruntime.InferenceSession, version: str) -> None:
        self._session = session
        self.version = version

    @classmethod
    def load(cls, path: Path | None = None) -> FraudModel:
        """Read the packaged model, or the one at `path`; raises UnusableModel."""
        where = str(path) if path is not None else ARTEFACT
        try:
            blob = (path or files("models.scoring") / "artefacts" / ARTEFACT).read_bytes()
        except OSError as error:
            raise UnusableModel(f"fraud model {where}: {error.strerror}") from None
        try:
            session = onnxruntime.InferenceSession(blob, _options(), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises classes of its own for a bad file
            raise UnusableModel(f"fraud model {where}: not a usable ONNX file: {str(error)[:200]}") from None
        return cls(session, _checked_version(session, where))

    def score(self, matrix: npt.NDArray[np.float32]) -> list[Score]:
        """Scores of the rows of a float32 matrix [n, WIDTH], in order, from one run; ValueError for another shape."""
        if matrix.ndim != 2 or matrix.shape[1] != WIDTH:
            raise ValueError(f"features must have the shape [n, {WIDTH}], not {list(matrix.shape)}")
        if not len(matrix):
            return []
        logits, values, index = self._session.run(OUTPUTS, {INPUT: matrix})
        raising = np.count_nonzero(values > 0.0, axis=1).tolist()  # the values of a row fall
        names = _NAMES[index].tolist()
        return [
            Score(ppm(logit), top[:count]) for logit, top, count in zip(logits.tolist(), names, raising, strict=True)
        ]


def ppm(logit: float) -> int:
    """Log-odds to integer parts per million, rounded half up; the one place where a score stops being a float."""
    return int(PPM / (1.0 + exp(-logit if logit > _FEWEST_LOGIT else -_FEWEST_LOGIT)) + 0.5)


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    return options


def _checked_version(session: onnxruntime.InferenceSession, where: str) -> str:
    missing = set(OUTPUTS) - {output.name for output in session.get_outputs()}
    if missing or [node.name for node in session.get_inputs()] != [INPUT]:
        raise UnusableModel(f"fraud model {where}: needs the input {INPUT} and the outputs {', '.join(OUTPUTS)}")
    metadata = session.get_modelmeta().custom_metadata_map
    made_for = tuple(metadata.get("features", "").split(","))
    if made_for != FEATURES:
        differing = next((a, b) for a, b in zip((*made_for, None), (*FEATURES, None), strict=False) if a != b)
        raise UnusableModel(
            f"fraud model {where}: made for other features ({len(made_for)}, this program has {WIDTH}; "
            f"first difference: {differing[0]!r} instead of {differing[1]!r}); train it again"
        )
    version: str = metadata.get("version", "")
    if not 1 <= len(version) <= 32:
        raise UnusableModel(f"fraud model {where}: its metadata has no version")
    return version
