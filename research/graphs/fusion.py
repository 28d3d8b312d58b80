"""One graph that decides: imputer → bases → meta-learner → isotonic calibration, and the same
meta part in numpy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.decision import CLASSES
from research.graphs.export import INPUT, PROBABILITIES, model_bytes
from research.graphs.hull import ABSTAIN, Hull, nodes_of
from research.graphs.nodes import tensor
from research.graphs.runtime import outputs

VOTES = "votes"
FLAT_VOTES = "votes/flat"
VOTE_FLOOR = 1e-3  # a forest can say 0; its logarithm must stay finite, and small errors small
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Logistic:
    """Multinomial logistic regression on log-votes: softmax(log(votes) @ weights + bias), weights
    float64[V,3].
    """

    weights: Float64
    bias: Float64

    def predict(self, votes: Float32) -> Float64:
        """Return float64[n,3] class probabilities of float32[n,V] votes."""
        return softmax(log_votes(votes) @ self.weights + self.bias)


def log_votes(votes: Float32) -> Float64:
    """Return the logarithm of the votes, none below `VOTE_FLOOR`."""
    return np.log(np.maximum(votes.astype(np.float64), VOTE_FLOOR))


def softmax(logits: Float64) -> Float64:
    """Return rows of probabilities."""
    exponent = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponent / exponent.sum(axis=1, keepdims=True)


@dataclass(frozen=True, slots=True)
class Isotonic:
    """A non-decreasing piecewise-linear curve through (x, y), constant outside; x strictly
    ascending.
    """

    x: Float64
    y: Float64

    def predict(self, p: Float64) -> Float64:
        """Return the calibrated values of p, float64[n]."""
        return np.interp(p, self.x, self.y)


@dataclass(frozen=True, slots=True)
class Meta:
    """What turns votes into the probabilities that decide: regression, a curve per class,
    normalisation.
    """

    logistic: Logistic
    curves: tuple[Isotonic, ...]

    def predict(self, votes: Float32) -> Float64:
        """Return float64[n,3] calibrated probabilities; rows sum to 1, uniform where every curve
        gives 0.
        """
        raw = self.logistic.predict(votes)
        columns = [curve.predict(raw[:, k]) for k, curve in enumerate(self.curves)]
        return _normalised(np.column_stack(columns))


def _normalised(p: Float64) -> Float64:
    total = p.sum(axis=1, keepdims=True)
    return np.where(total > 0, p / np.where(total > 0, total, 1.0), 1.0 / p.shape[1])


def impute(x: Float32, medians: Float32) -> Float32:
    """Return `x` with each NaN replaced by its column's median, as the graph does."""
    return np.where(np.isnan(x), medians, x)


def votes_graph(medians: Float32, base_graphs: Sequence[bytes]) -> bytes:
    """Return the graph float32[N,F] `input` → float32[N,bases,3] `votes`; NaN in the input is
    imputed inside.
    """
    nodes, tensors = _voting(medians, base_graphs)
    return _model(nodes, tensors, len(medians), [(VOTES, (len(base_graphs), len(CLASSES)))])


def votes_of(graph: bytes, x: Float32) -> Float32:
    """Return what each base says to rows float32[n,F], side by side: float32[n,3·bases]."""
    return outputs(graph, [VOTES], x)[0].reshape(len(x), -1)


def fuse(
    medians: Float32, base_graphs: Sequence[bytes], meta: Meta, hull: Hull | None = None
) -> bytes:
    """Return the whole graph, outputs `probabilities` float32[N,3] and `votes` float32[N,bases,3],
    and with a hull `abstain` int64[N].

    Everything after the votes runs in float64, so that the cast of the result is its only rounding.
    """
    nodes, tensors = _voting(medians, base_graphs)
    for part_nodes, part_tensors in (_logistic(meta.logistic), _calibration(meta.curves)):
        nodes += part_nodes
        tensors += part_tensors
    given = [(PROBABILITIES, (len(CLASSES),)), (VOTES, (len(base_graphs), len(CLASSES)))]
    if hull is not None:
        part_nodes, part_tensors = nodes_of(hull, "imputed")
        nodes += part_nodes
        tensors += part_tensors
    return _model(nodes, tensors, len(medians), given, abstains=hull is not None)


def _model(
    nodes: list[Any],
    tensors: list[Any],
    width: int,
    given: list[tuple[str, tuple[int, ...]]],
    *,
    abstains: bool = False,
) -> bytes:
    from onnx import TensorProto, helper

    reason = [helper.make_tensor_value_info(ABSTAIN, TensorProto.INT64, [None])] if abstains else []
    graph = helper.make_graph(
        nodes,
        "signal",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, width])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, *shape])
            for name, shape in given
        ]
        + reason,
        tensors,
    )
    return model_bytes(graph)


def _voting(medians: Float32, base_graphs: Sequence[bytes]) -> tuple[list[Any], list[Any]]:
    """Return the nodes and tensors of imputer and bases, ending in the votes, flat and by base."""
    from onnx import helper

    nodes = [
        helper.make_node("IsNaN", [INPUT], ["missing"]),
        helper.make_node("Where", ["missing", "medians", INPUT], ["imputed"]),
    ]
    tensors = [tensor("medians", medians.astype(np.float32)[None, :])]
    votes: list[str] = []
    for k, graph in enumerate(base_graphs):
        part_nodes, part_tensors, output = _inlined(graph, f"base{k}/", "imputed")
        nodes += part_nodes
        tensors += part_tensors
        votes.append(output)
    nodes += [
        helper.make_node("Concat", votes, [FLAT_VOTES], axis=1),
        helper.make_node("Reshape", [FLAT_VOTES, "by_base"], [VOTES]),
    ]
    tensors.append(tensor("by_base", np.array([-1, len(base_graphs), len(CLASSES)])))
    return nodes, tensors


def _inlined(graph: bytes, prefix: str, source: str) -> tuple[list[Any], list[Any], str]:
    """Return a base's nodes and tensors with prefixed names, reading `source`; and its output's
    name.
    """
    from onnx import compose, load_model_from_string

    model = load_model_from_string(graph)
    own_input = prefix + model.graph.input[0].name
    part = compose.add_prefix(model, prefix).graph
    for node in part.node:
        for i, name in enumerate(node.input):
            if name == own_input:
                node.input[i] = source
    return list(part.node), list(part.initializer), prefix + PROBABILITIES


def _logistic(logistic: Logistic) -> tuple[list[Any], list[Any]]:
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Cast", [FLAT_VOTES], ["votes64"], to=TensorProto.DOUBLE),
        helper.make_node("Max", ["votes64", "meta/floor"], ["meta/floored"]),
        helper.make_node("Log", ["meta/floored"], ["meta/logs"]),
        helper.make_node("MatMul", ["meta/logs", "meta/weights"], ["meta/product"]),
        helper.make_node("Add", ["meta/product", "meta/bias"], ["meta/logits"]),
        helper.make_node("Softmax", ["meta/logits"], ["raw"], axis=1),
    ]
    return nodes, [
        tensor("meta/floor", np.full(1, VOTE_FLOOR)),
        tensor("meta/weights", logistic.weights),
        tensor("meta/bias", logistic.bias[None, :]),
    ]


def _calibration(curves: Sequence[Isotonic]) -> tuple[list[Any], list[Any]]:
    """Return y0 + Σ slope·clip(p − x, 0, Δx) per class, then the rows scaled to sum to 1."""
    from onnx import TensorProto, helper

    nodes: list[Any] = []
    tensors = [
        tensor("zero", np.zeros(1)),
        tensor("one", np.ones(1)),
        tensor("axis", np.array([1])),
    ]
    columns: list[str] = []
    for k, curve in enumerate(curves):
        part_nodes, part_tensors, column = _curve(curve, k)
        nodes += part_nodes
        tensors += part_tensors
        columns.append(column)
    tensors.append(tensor("uniform", np.full(1, 1.0 / len(curves))))
    nodes += [
        helper.make_node("Concat", columns, ["calibrated"], axis=1),
        helper.make_node("ReduceSum", ["calibrated", "axis"], ["total"], keepdims=1),
        helper.make_node("Greater", ["total", "zero"], ["positive"]),
        helper.make_node("Where", ["positive", "total", "one"], ["divisor"]),
        helper.make_node("Div", ["calibrated", "divisor"], ["scaled"]),
        helper.make_node("Where", ["positive", "scaled", "uniform"], ["final"]),
        helper.make_node("Cast", ["final"], [PROBABILITIES], to=TensorProto.FLOAT),
    ]
    return nodes, tensors


def _curve(curve: Isotonic, k: int) -> tuple[list[Any], list[Any], str]:
    from onnx import helper

    name = f"curve{k}/"
    dx = np.diff(curve.x)
    slope = np.diff(curve.y) / dx if len(dx) else np.zeros(1)
    start = curve.x[:-1] if len(dx) else curve.x
    width = dx if len(dx) else np.zeros(1)
    tensors = [
        tensor(name + "column", np.array([k])),
        tensor(name + "x", start),
        tensor(name + "width", width),
        tensor(name + "slope", slope[:, None]),
        tensor(name + "y0", curve.y[:1]),
    ]
    nodes = [
        helper.make_node("Gather", ["raw", name + "column"], [name + "p"], axis=1),
        helper.make_node("Sub", [name + "p", name + "x"], [name + "from"]),
        helper.make_node("Max", [name + "from", "zero"], [name + "above"]),
        helper.make_node("Min", [name + "above", name + "width"], [name + "inside"]),
        helper.make_node("MatMul", [name + "inside", name + "slope"], [name + "rise"]),
        helper.make_node("Add", [name + "rise", name + "y0"], [name + "y"]),
    ]
    return nodes, tensors, name + "y"
