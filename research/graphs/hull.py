"""Whether a row is like those that a model was trained on, as numbers and as nodes of its graph."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.decision import Abstain
from kernel.manifest import HullBound
from research.graphs.nodes import tensor

ABSTAIN = "abstain"
# A column that is mostly imputed has next to no spread: any value that it does have looks far away.
COVERED_SHARE = 0.95
# Columns that nearly tell each other have directions with next to no spread; this much of the
# identity in their correlation keeps such a direction from deciding alone.
RIDGE = 0.01
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Hull:
    """Mahalanobis' distance from the training rows, over the columns `columns` int64[C].

    A row's distance is the length of (x - `centre` float64[C]) @ `whitening` float64[C,C]; beyond
    `distance` the model abstains. `target_rate` is the share of training rows that lay beyond.
    """

    columns: NDArray[np.int64]
    centre: Float64
    whitening: Float64
    distance: float
    target_rate: float

    def distances(self, filled: Float32) -> Float64:
        """Return the distance of each row float32[n,F] without NaN; NaN where a row is infinite."""
        with np.errstate(invalid="ignore", over="ignore"):
            away = filled[:, self.columns].astype(np.float64) - self.centre
            return np.sqrt(((away @ self.whitening) ** 2).sum(axis=1))

    def abstains(self, filled: Float32) -> NDArray[np.int64]:
        """Return why to abstain, int64[n], from rows float32[n,F] without NaN; 0 for no reason."""
        inside = self.distances(filled) <= self.distance
        return np.where(inside, Abstain.NONE.value, Abstain.OUT_OF_HULL.value).astype(np.int64)

    def bound(self, names: Sequence[str]) -> HullBound:
        """Return what the manifest says of it; `names` are those of the model's columns."""
        columns: list[int] = self.columns.tolist()
        return HullBound(
            features=tuple(names[column] for column in columns),
            distance=self.distance,
            target_rate=self.target_rate,
        )


def fit(x: Float32, filled: Float32, target_rate: float) -> Hull | None:
    """Return the hull of training rows `x` float32[n,F], `filled` being them without NaN.

    Of the rows a share of `target_rate` lies outside. Columns with hardly any values, or only one,
    do not count; None where none is left.
    """
    covered = np.isfinite(x).mean(axis=0) >= COVERED_SHARE
    values = filled.astype(np.float64)
    spread = values.std(axis=0)
    columns = np.flatnonzero(covered & np.isfinite(spread) & (spread > 0.0))
    if len(columns) == 0:
        return None
    chosen = values[:, columns]
    centre = chosen.mean(axis=0)
    scaled = (chosen - centre) / spread[columns]
    correlation = (1.0 - RIDGE) * (scaled.T @ scaled) / len(scaled) + RIDGE * np.eye(len(columns))
    # |L⁻¹ z|² is zᵀ R⁻¹ z for R = L Lᵀ.
    algebra: Any = np.linalg  # whose stubs leave the element type open
    inverse: Float64 = algebra.inv(algebra.cholesky(correlation))
    whitening: Float64 = inverse.T / spread[columns][:, None]
    whole = Hull(columns, centre, np.ascontiguousarray(whitening), np.inf, target_rate)
    far = np.sort(whole.distances(filled))
    return Hull(columns, centre, whole.whitening, _between(far, target_rate), target_rate)


def _between(ascending: Float64, rate: float) -> float:
    """Return what lies midway between the last distance inside and the first one outside.

    No training row is on the bound, so that none changes sides by the rounding of a sum.
    """
    outside = int(rate * len(ascending))
    if outside == 0:
        return float(np.nextafter(2.0 * ascending[-1], np.inf))
    return float(ascending[-outside - 1] + ascending[-outside]) / 2.0


def nodes_of(hull: Hull, source: str) -> tuple[list[Any], list[Any]]:
    """Return the nodes and tensors that give `abstain` int64[N] for the rows of the tensor
    `source`.
    """
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Gather", [source, "hull/columns"], ["hull/chosen"], axis=1),
        helper.make_node("Cast", ["hull/chosen"], ["hull/values"], to=TensorProto.DOUBLE),
        helper.make_node("Sub", ["hull/values", "hull/centre"], ["hull/away"]),
        helper.make_node("MatMul", ["hull/away", "hull/whitening"], ["hull/white"]),
        helper.make_node("Mul", ["hull/white", "hull/white"], ["hull/squares"]),
        helper.make_node("ReduceSum", ["hull/squares", "hull/axis"], ["hull/square"], keepdims=0),
        # Not "beyond": what is no number lies within nothing.
        helper.make_node("LessOrEqual", ["hull/square", "hull/bound"], ["hull/inside"]),
        helper.make_node("Where", ["hull/inside", "hull/none", "hull/reason"], [ABSTAIN]),
    ]
    return nodes, [
        tensor("hull/columns", hull.columns),
        tensor("hull/centre", hull.centre[None, :]),
        tensor("hull/whitening", hull.whitening),
        tensor("hull/axis", np.array([1])),
        tensor("hull/bound", np.array(hull.distance**2)),
        tensor("hull/none", np.array(Abstain.NONE.value, np.int64)),
        tensor("hull/reason", np.array(Abstain.OUT_OF_HULL.value, np.int64)),
    ]
