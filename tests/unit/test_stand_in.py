"""While the fraud model fails, a conservative rule decides, says so, and the scores are made up for later."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from models.account import MAX_UNSCORED
from models.authorization import Policy
from models.scoring.features import WIDTH
from models.scoring.onnx import Score
from tests.support import messages as say
from tests.support.engine import Bench

LIMIT = 5_000


class Model:
    """Scores everything alike, unless it is down."""

    version = "fraud-test"

    def __init__(self) -> None:
        self.down = True
        self.seen: list[npt.NDArray[np.float32]] = []

    def score(self, matrix: npt.NDArray[np.float32]) -> list[Score]:
        if self.down:
            raise RuntimeError("the session is gone")
        self.seen.append(matrix)
        return [Score(123, ["amount"])] * len(matrix)


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def bench(model: Model) -> Bench:
    bench = Bench(model=model, policy=Policy(stand_in_limit=LIMIT))
    bench.run(say.opened())
    return bench


def decide(bench: Bench, reference: str, amount: int) -> dict[str, Any]:
    bench.run(say.request(reference, amount))
    return bench.on("authorization-decisions")[-1]


def test_small_amounts_pass_and_the_decision_says_who_decided(bench: Bench) -> None:
    decision = decide(bench, "ref-1", LIMIT)
    assert (decision["outcome"], decision["stand_in"], decision["fraud_score"]) == ("approved", True, None)
    assert bench.account().open_holds() == LIMIT


def test_anything_larger_is_declined(bench: Bench) -> None:
    decision = decide(bench, "ref-1", LIMIT + 1)
    assert (decision["reason"], decision["stand_in"]) == ("scoring-unavailable", True)
    assert bench.account().open_holds() == 0


def test_a_repeat_gets_the_answer_of_the_outage_also_after_it(bench: Bench, model: Model) -> None:
    first = decide(bench, "ref-1", 1000)
    model.down = False
    assert decide(bench, "ref-1", 1000) == first
    assert not model.seen


def test_the_next_sweep_after_the_outage_scores_what_the_model_would_have_seen(bench: Bench, model: Model) -> None:
    decide(bench, "ref-1", 1000)
    decide(bench, "ref-2", LIMIT + 1)
    bench.run(say.tick(say.T0 + say.SECOND))
    assert bench.on("fraud-scores") == []
    model.down = False
    bench.run(say.tick(say.T0 + 2 * say.SECOND))
    scores = bench.on("fraud-scores")
    assert [(s["network_reference"], s["fraud_score"], s["model_version"]) for s in scores] == [
        ("ref-1", 123, "fraud-test"), ("ref-2", 123, "fraud-test"),
    ]  # fmt: skip
    assert {s["scored_at"] for s in scores} == {say.T0 + 2 * say.SECOND}
    [matrix] = model.seen
    assert matrix.shape == (2, WIDTH)
    assert matrix[0].tolist() != matrix[1].tolist(), "the second request already saw the first in the windows"
    bench.run(say.tick(say.T0 + 3 * say.SECOND))
    assert len(bench.on("fraud-scores")) == 2, "once each"
    assert bench.account().unscored == []


def test_what_waits_for_a_score_is_bounded_and_the_oldest_goes(bench: Bench) -> None:
    for number in range(MAX_UNSCORED + 3):
        decide(bench, f"ref-{number}", 100)
    waiting = [request.network_reference for request in bench.account().unscored]
    assert waiting == [f"ref-{number}" for number in range(3, MAX_UNSCORED + 3)]


def test_an_outage_is_logged_once_and_so_is_its_end(
    bench: Bench, model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    decide(bench, "ref-1", 1000)
    decide(bench, "ref-2", 1000)
    model.down = False
    decide(bench, "ref-3", 1000)
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert caplog.records[-1].message == "the fraud model works again"


def test_without_a_configured_model_nothing_stands_in() -> None:
    bench = Bench(policy=Policy(stand_in_limit=0))
    bench.run(say.opened())
    decision = decide(bench, "ref-1", 400_000)
    assert (decision["outcome"], decision["stand_in"]) == ("approved", False)
    assert bench.account().unscored == []
