"""From a fitted gradient boosting to the graph that `models/scoring/onnx.py` runs.

skl2onnx converts the scikit-learn model; it rounds each double threshold *down* to a float32, so that every float32
input falls on the same side as in the source. Its graph yields one sum, so the trees are written again with a target
per feature: a leaf adds to each feature on its path what the splits on that feature changed (the expected value below
the split minus the one above it, over honest traffic). These contributions add up to the leaf exactly, and the same
run that scores also explains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log2
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType

from models.scoring.onnx import INPUT, OUTPUTS, REASONS

_OPSET: Final = {"": 18, "ai.onnx.ml": 3}
_FLOAT32_BITS: Final = 24

Matrix = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Tree:
    """One regression tree, node 0 the root: x[feature] <= threshold goes to `below`, else to `above`."""

    feature: npt.NDArray[np.int64]
    threshold: Doubles  # float32 numbers
    below: npt.NDArray[np.int64]  # 0 at a leaf
    above: npt.NDArray[np.int64]
    value: Doubles  # of the leaves

    def leaves(self, matrix: Matrix) -> npt.NDArray[np.int64]:
        """The leaf that each row falls into, [n]."""
        rows = np.arange(len(matrix))
        at = np.zeros(len(matrix), np.int64)
        while (inner := self.below[at] > 0).any():
            lower = matrix[rows, self.feature[at]] <= self.threshold[at]
            at = np.where(inner, np.where(lower, self.below[at], self.above[at]), at)
        return at


@dataclass(frozen=True)
class Explained:
    """log-odds = intercept + sum of the contributions; shares[t][leaf] maps features to contributions of tree t.

    Every number is a multiple of one power of two, small enough that float32 adds them without rounding.
    """

    intercept: float
    trees: tuple[Tree, ...]
    shares: tuple[dict[int, dict[int, float]], ...]
    neutral: Matrix  # [features]: stands in for a missing value

    def contributions(self, matrix: Matrix) -> Doubles:
        """The same numbers as the exported graph, by plain numpy: [n, features]."""
        matrix = np.where(np.isnan(matrix), self.neutral, matrix)
        total = np.zeros(matrix.shape, np.float64)
        for tree, shares in zip(self.trees, self.shares, strict=True):
            table = np.zeros((len(tree.feature), matrix.shape[1]))
            for leaf, parts in shares.items():
                table[leaf, list(parts)] = list(parts.values())
            total += table[tree.leaves(matrix)]
        return total

    def logits(self, matrix: Matrix) -> Doubles:
        """Log-odds, [n]."""
        total: Doubles = self.contributions(matrix).sum(axis=1)
        return total + self.intercept


def read_trees(model: Any, width: int) -> tuple[float, list[Tree]]:
    """Initial log-odds and trees of a fitted two-class GradientBoostingClassifier, by way of skl2onnx."""
    graph = to_onnx(
        model,
        initial_types=[(INPUT, FloatTensorType([None, width]))],
        options={"zipmap": False, "raw_scores": True},
        target_opset=_OPSET,
    ).graph
    (node,) = (node for node in graph.node if node.op_type == "TreeEnsembleClassifier")
    got = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    tree_of, leaf_tree = np.array(got["nodes_treeids"]), np.array(got["class_treeids"])
    inner = np.array([mode == b"BRANCH_LEQ" for mode in got["nodes_modes"]])
    columns = {
        name: np.where(inner, got[f"nodes_{source}"], 0)
        for name, source in (
            ("feature", "featureids"),
            ("threshold", "values"),
            ("below", "truenodeids"),
            ("above", "falsenodeids"),
        )
    }
    trees = []
    for tree in range(int(tree_of.max()) + 1):
        mine = tree_of == tree
        value = np.zeros(int(mine.sum()))
        value[np.array(got["class_nodeids"])[leaf_tree == tree]] = np.array(got["class_weights"])[leaf_tree == tree]
        trees.append(Tree(value=value, **{name: column[mine] for name, column in columns.items()}))
    return float(got["base_values"][0]), trees


def explain(base: float, trees: Sequence[Tree], honest: Matrix) -> Explained:
    """Share each leaf out among the features on its path, relative to the average over `honest` rows."""
    expected = [_expected(tree, honest) for tree in trees]
    raw = [_shares(tree, means) for tree, means in zip(trees, expected, strict=True)]
    intercept = base + sum(float(means[0]) for means in expected)
    largest = abs(intercept) + sum(
        max((sum(map(abs, parts.values())) for parts in shares.values()), default=0.0) for shares in raw
    )
    step = 2.0 ** (ceil(log2(largest)) + 1 - _FLOAT32_BITS)
    shares = tuple({leaf: _rounded(parts, step) for leaf, parts in tree.items()} for tree in raw)
    neutral = np.median(honest, axis=0).astype(np.float32)
    return Explained(round(intercept / step) * step, tuple(trees), shares, neutral)


def _rounded(parts: dict[int, float], step: float) -> dict[int, float]:
    """Multiples of `step` whose sum is the rounded sum: the last share takes what rounding the others left."""
    rounded: dict[int, float] = {}
    exact = given = 0.0
    for feature, part in parts.items():
        exact += part
        rounded[feature] = round((exact - given) / step) * step
        given += rounded[feature]
    return rounded


def _expected(tree: Tree, honest: Matrix) -> Doubles:
    """The mean leaf value below each node; a node that no honest row reaches takes the mean of its children."""
    reached = np.bincount(tree.leaves(honest), minlength=len(tree.value)).astype(np.float64)
    means = tree.value.copy()
    for at in range(len(means) - 1, -1, -1):  # children come after their parent
        if tree.below[at]:
            low, high = int(tree.below[at]), int(tree.above[at])
            reached[at] = reached[low] + reached[high]
            weight = reached[low] / reached[at] if reached[at] else 0.5
            means[at] = weight * means[low] + (1 - weight) * means[high]
    return means


def _shares(tree: Tree, means: Doubles) -> dict[int, dict[int, float]]:
    shares: dict[int, dict[int, float]] = {}
    pending: list[tuple[int, dict[int, float]]] = [(0, {})]
    while pending:
        at, parts = pending.pop()
        if not tree.below[at]:
            shares[at] = parts
            continue
        feature = int(tree.feature[at])
        for child in (int(tree.below[at]), int(tree.above[at])):
            pending.append((child, {**parts, feature: parts.get(feature, 0.0) + float(means[child] - means[at])}))
    return shares


def build(model: Explained, metadata: dict[str, str]) -> onnx.ModelProto:
    """The ONNX graph: contributions of all features, their sum, and the largest ones, in one run."""
    width = len(model.neutral)
    nodes = [
        helper.make_node("IsNaN", [INPUT], ["missing"]),
        helper.make_node("Where", ["missing", "neutral", INPUT], ["complete"]),
        helper.make_node(
            "TreeEnsembleRegressor", ["complete"], ["contributions"], domain="ai.onnx.ml", **_forest(model)
        ),
        helper.make_node("ReduceSum", ["contributions", "axis"], ["sum"], keepdims=0),
        helper.make_node("Add", ["sum", "intercept"], [OUTPUTS[0]]),
        helper.make_node("TopK", ["contributions", "reasons"], list(OUTPUTS[1:]), axis=1, largest=1, sorted=1),
    ]
    constants = [
        helper.make_tensor("neutral", TensorProto.FLOAT, [width], model.neutral),
        helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
        helper.make_tensor("reasons", TensorProto.INT64, [1], [REASONS]),
        helper.make_tensor("intercept", TensorProto.FLOAT, [1], [model.intercept]),
    ]
    outputs = [
        helper.make_tensor_value_info(OUTPUTS[0], TensorProto.FLOAT, [None]),
        helper.make_tensor_value_info(OUTPUTS[1], TensorProto.FLOAT, [None, REASONS]),
        helper.make_tensor_value_info(OUTPUTS[2], TensorProto.INT64, [None, REASONS]),
    ]
    inputs = [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, width])]
    graph = helper.make_graph(nodes, "fraud", inputs, outputs, constants)
    opsets = [helper.make_opsetid(domain, version) for domain, version in _OPSET.items()]
    proto: onnx.ModelProto = helper.make_model(graph, producer_name="opentobuy", opset_imports=opsets, ir_version=9)
    helper.set_model_props(proto, metadata)
    onnx.checker.check_model(proto)
    return proto


def _forest(model: Explained) -> dict[str, Any]:
    """Attributes of the TreeEnsembleRegressor with one target per feature."""
    attributes: dict[str, Any] = {
        "n_targets": len(model.neutral), "aggregate_function": "SUM", "post_transform": "NONE",
        "nodes_treeids": [], "nodes_nodeids": [], "nodes_featureids": [], "nodes_modes": [], "nodes_values": [],
        "nodes_truenodeids": [], "nodes_falsenodeids": [],
        "target_treeids": [], "target_nodeids": [], "target_ids": [], "target_weights": [],
    }  # fmt: skip
    for number, (tree, shares) in enumerate(zip(model.trees, model.shares, strict=True)):
        attributes["nodes_treeids"] += [number] * len(tree.feature)
        attributes["nodes_nodeids"] += list(range(len(tree.feature)))
        attributes["nodes_featureids"] += tree.feature.tolist()
        attributes["nodes_modes"] += ["BRANCH_LEQ" if below else "LEAF" for below in tree.below]
        attributes["nodes_values"] += tree.threshold.tolist()
        attributes["nodes_truenodeids"] += tree.below.tolist()
        attributes["nodes_falsenodeids"] += tree.above.tolist()
        for leaf, parts in sorted(shares.items()):
            attributes["target_treeids"] += [number] * len(parts)
            attributes["target_nodeids"] += [leaf] * len(parts)
            attributes["target_ids"] += list(parts)
            attributes["target_weights"] += list(parts.values())
    return attributes
