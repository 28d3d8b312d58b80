"""Proof that the fused graph computes what its parts compute, and decides what they decide."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.decision import decide
from research.graphs.export import PROBABILITIES
from research.graphs.fusion import VOTES, Float32, Float64, Meta, impute
from research.graphs.hull import Hull
from research.graphs.runtime import answers, outputs
from research.models.base import FittedBase

SPLITS = 1_000


@dataclass(frozen=True, slots=True)
class Parity:
    """Largest differences over `rows` rows.

    `max_abs_votes` is graph against the bases' own libraries, `max_abs_dp` the final probabilities
    against numpy meta and curves on the graph's votes; `flipped_decisions` counts rows whose trade
    would change, by what decides or by the reason to abstain. Of the rows, `split_rows` stand
    exactly on a tree's threshold or a float32 step beside it, and `infinite_rows` hold an infinite
    value; certificates of before they were made count none.
    """

    max_abs_dp: float
    max_abs_votes: float
    flipped_decisions: int
    rows: int
    split_rows: int = 0
    infinite_rows: int = 0


@dataclass(frozen=True, slots=True)
class Parts:
    """What a fused graph was made of."""

    medians: Float32
    bases: Sequence[FittedBase]
    meta: Meta
    hull: Hull | None = None


def check(
    graph: bytes, parts: Parts, x: Float32, min_confidence: float, min_prob_diff: float
) -> Parity:
    """Return how far `graph` is from `parts` on rows `x`, float32[n,F], NaN allowed, and on rows
    at the thresholds of its trees and with infinite values, made from these.

    No library takes an infinite value; a tree decides it as the largest finite one.
    """
    splits = at_splits(graph, x)
    infinite = with_infinities(x)
    x = np.concatenate([x, splits, infinite])
    fused, by_base = outputs(graph, [PROBABILITIES, VOTES], x)
    _, reasons = answers(graph, x)
    votes = by_base.reshape(len(x), -1)
    filled = impute(x, parts.medians)
    finite = np.clip(filled, -_LARGEST, _LARGEST).astype(np.float32)
    with np.errstate(invalid="ignore"):  # scikit-learn sums the extreme rows to look for NaN
        native = np.concatenate([base.native(finite) for base in parts.bases], axis=1)
    expected = parts.meta.predict(votes)
    stays_out = parts.hull.abstains(filled) if parts.hull else np.zeros(len(x), np.int64)
    mine = decisions(fused.astype(np.float64), min_confidence, min_prob_diff)
    theirs = decisions(expected, min_confidence, min_prob_diff)
    return Parity(
        max_abs_dp=float(np.abs(fused - expected).max()),
        max_abs_votes=float(np.abs(votes - native).max()),
        flipped_decisions=int(((mine != theirs) | (reasons != stays_out)).sum()),
        rows=len(x),
        split_rows=len(splits),
        infinite_rows=len(infinite),
    )


def at_splits(graph: bytes, x: Float32) -> Float32:
    """Return rows of `x` float32[n,F] in which one value is a threshold of the graph's trees, and
    the two float32 steps beside it: up to `SPLITS` thresholds, spread over all of them.
    """
    columns, values = split_points(graph)
    if len(columns) == 0:
        return x[:0]
    at = np.unique(np.linspace(0, len(columns) - 1, SPLITS).astype(np.int64))
    rows = x[np.linspace(0, len(x) - 1, len(at)).astype(np.int64)]
    found: list[Float32] = []
    for side in (0.0, np.inf, -np.inf):
        beside = rows.copy()
        exact = values[at]
        moved = np.nextafter(exact, np.float32(side)) if side else exact
        beside[np.arange(len(at)), columns[at]] = moved
        found.append(beside)
    return np.concatenate(found)


def split_points(graph: bytes) -> tuple[NDArray[np.int64], Float32]:
    """Return column int64[k] and threshold float32[k] of every branch of the graph's trees."""
    from onnx import helper, load_model_from_string

    columns: list[int] = []
    values: list[float] = []
    for node in load_model_from_string(graph).graph.node:
        if node.op_type not in ("TreeEnsembleClassifier", "TreeEnsembleRegressor"):
            continue
        told: dict[str, Any] = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        branches = zip(
            told["nodes_modes"], told["nodes_featureids"], told["nodes_values"], strict=True
        )
        for mode, column, value in branches:
            if mode != b"LEAF":
                columns.append(column)
                values.append(value)
    return np.array(columns, np.int64), np.array(values, np.float32)


def with_infinities(x: Float32) -> Float32:
    """Return a row per column and sign that is infinite there, and two that are wholly."""
    width = x.shape[1]
    rows = np.tile(x[-1], (2 * width + 2, 1))
    rows[np.arange(width), np.arange(width)] = np.inf
    rows[width + np.arange(width), np.arange(width)] = -np.inf
    rows[-2] = np.inf
    rows[-1] = -np.inf
    return rows


def decisions(p: Float64, min_confidence: float, min_prob_diff: float) -> Float64:
    """Return the kernel's decision (+1, 0, -1) for each row of float64[n,3]."""
    rows: list[list[float]] = p.tolist()
    return np.array(
        [decide(sell, hold, buy, min_confidence, min_prob_diff) for sell, hold, buy in rows]
    )


def with_edge_rows(x: Float32, rng: np.random.Generator, rows: int) -> Float32:
    """Return at least `rows` rows: `x` resampled where it is short, then every kind of awkward row.

    Edge rows hold NaN in random places and everywhere, zeros, the largest and smallest finite
    values, single extreme columns, and values one float32 step beside seen ones, where a split may
    fall on either side.
    """
    body = x if len(x) >= rows else np.concatenate([x, x[rng.integers(0, len(x), rows - len(x))]])
    sample = x[rng.integers(0, len(x), 400)]
    holes = np.where(rng.random(sample.shape) < 0.3, np.float32(np.nan), sample)
    spikes = sample.copy()
    column = rng.integers(0, x.shape[1], len(sample))
    spikes[np.arange(len(sample)), column] = rng.choice(_EXTREMES, len(sample))
    constant = np.stack([np.full(x.shape[1], value, np.float32) for value in (*_EXTREMES, np.nan)])
    up, down = (np.nextafter(sample, np.float32(side)) for side in (np.inf, -np.inf))
    return np.concatenate([body, holes, spikes, constant, up, down]).astype(np.float32)


_LARGEST = float(np.finfo(np.float32).max)
_EXTREMES: NDArray[np.float32] = np.array(
    [0.0, -0.0, 1e-38, -1e-38, 1e6, -1e6, _LARGEST, -_LARGEST], np.float32
)
