# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# The model libraries ship no types; what leaves this file is typed.
"""What a base of the stack is: it learns from float32 rows without NaN and hands back its ONNX
graph.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kernel.decision import CLASSES

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """Rows to fit on: `x` float32[n,F] without NaN, `y` int8[n] class indices, `weight`
    float64[n] above 0; `names` are those of the F columns, where they are features.
    """

    x: Float32
    y: NDArray[np.int8]
    weight: Float64
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FittedBase:
    """A fitted base.

    `graph` is ONNX, float32[N,F] `input` → float32[N,3] `probabilities` in class order. `native`
    computes the same through the library that trained it (float64[N,3]). `importance` float64[F]
    sums to 1. `contributions` gives the mean absolute SHAP value per feature (float64[F]), or None
    where the library has no fast one.
    """

    name: str
    graph: bytes
    native: Callable[[Float32], Float64]
    importance: Float64
    contributions: Callable[[Float32], Float64] | None


class Base(Protocol):
    """A learner of class probabilities: a file of this folder, which ends in `BASE = <its class>`.

    The class is made from its settings, a dataclass that is read from `<name>.yaml`.
    """

    @property
    def name(self) -> str:
        """Return the name of the base's two files, under which it is tracked."""
        ...

    @property
    def settings(self) -> Any:
        """Return what its file of settings says, a frozen dataclass."""
        ...

    def fit(self, rows: TrainingRows, seed: int, n_jobs: int) -> FittedBase:
        """Return the base fitted on `rows`; equal arguments give equal graph bytes."""
        ...


def with_every_class(rows: TrainingRows) -> TrainingRows:
    """Return `rows` with a nearly weightless row for each absent class, so that every base has
    three columns.
    """
    absent = np.setdiff1d(np.arange(len(CLASSES)), rows.y)
    if len(absent) == 0:
        return rows
    middle = np.median(rows.x, axis=0).astype(np.float32)
    weight = 1e-6 * float(rows.weight.mean())  # enough for a column, too little for a split
    return replace(
        rows,
        x=np.concatenate([rows.x, np.tile(middle, (len(absent), 1))]),
        y=np.concatenate([rows.y, absent.astype(np.int8)]),
        weight=np.concatenate([rows.weight, np.full(len(absent), weight)]),
    )


def shares(importance: Any) -> Float64:
    """Return importances float64[F] as shares of their sum, equal ones where nothing was split."""
    values = np.asarray(importance, np.float64)
    total = float(values.sum())
    return values / total if total > 0 else np.full(len(values), 1.0 / len(values))


def mean_contribution(contributions: Float64, features: int) -> Float64:
    """Return |SHAP| per feature, float64[F], averaged over rows and classes.

    The last column of each class is its expected value, not a feature.
    """
    by_class = contributions.reshape(len(contributions), len(CLASSES), features + 1)
    return np.abs(by_class[:, :, :features]).mean(axis=(0, 1))
