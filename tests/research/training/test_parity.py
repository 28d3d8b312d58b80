import dataclasses
from collections.abc import Callable

import numpy as np

from kernel.features.registry import FEATURES
from research.graphs.fusion import Isotonic, Logistic, Meta, fuse
from research.models.base import FittedBase, TrainingRows
from research.settings import Settings
from research.training.parity import (
    Parts,
    at_splits,
    check,
    decisions,
    split_points,
    with_edge_rows,
)
from tests.research.worlds import settings

ROWS = 20_000


def fitted(chosen: Settings, x: np.ndarray, y: np.ndarray) -> tuple[FittedBase, ...]:
    rows = TrainingRows(x, y, np.ones(len(y)), FEATURES[: x.shape[1]])
    return tuple(base.fit(rows, 1, 1) for base in chosen.models.bases)


def example() -> tuple[np.ndarray, Parts]:
    """Return rows with repeated values, and parts whose curves are as steep as calibration
    allows.
    """
    rng = np.random.default_rng(11)
    x = rng.normal(size=(12_000, 12)).astype(np.float32)
    x[:, 3] = np.round(x[:, 3], 1)
    y = np.digitize(x[:, 0] + x[:, 3] + rng.normal(0, 1, 12_000), [-0.2, 0.2]).astype(np.int8)
    curve = Isotonic(np.array([0.3, 0.31, 0.6, 0.61]), np.array([0.2, 0.5, 0.55, 0.9]))
    bases = fitted(settings(), x, y)
    weights = np.tile(np.eye(3), (len(bases), 1)) * 1.5 / len(bases)
    meta = Meta(Logistic(weights, np.zeros(3)), (curve, curve, curve))
    medians = np.median(x, axis=0).astype(np.float32)
    return x, Parts(medians, bases, meta)


X, PARTS = example()
GRAPH = fuse(PARTS.medians, [base.graph for base in PARTS.bases], PARTS.meta)


def test_fused_graph_is_its_parts_on_twenty_thousand_rows_and_edges(
    record_property: Callable[[str, object], None],
):
    """Max |Δp| is at most 1e-6, of the votes and of what decides, and no decision changes."""
    rows = with_edge_rows(X, np.random.default_rng(12), ROWS)
    parity = check(GRAPH, PARTS, rows, min_confidence=0.6, min_prob_diff=0.08)
    record_property("max_abs_dp", parity.max_abs_dp)
    record_property("rows", parity.rows)
    assert parity.rows >= ROWS
    assert parity.max_abs_dp <= 1e-6
    assert parity.max_abs_votes <= 1e-6
    assert parity.flipped_decisions == 0
    traded = decisions(PARTS.meta.predict(votes_of(rows)), 0.6, 0.08)
    assert {-1.0, 0.0, 1.0} == set(traded.tolist())


def test_every_tree_is_asked_on_its_thresholds_and_beside_them():
    """The rows of a certificate stand on real thresholds of every base, and one step to each side,
    and hold infinities in every column; fewer rows than that are a certificate of before.
    """
    columns, values = split_points(GRAPH)
    known = set(zip(columns.tolist(), values.tolist(), strict=True))
    rows = at_splits(GRAPH, X)
    exact, up, down = np.split(rows, 3)
    changed = np.argmax(up != down, axis=1)
    at = np.arange(len(exact))
    picked = zip(changed.tolist(), exact[at, changed].tolist(), strict=True)
    assert set(picked) <= known
    assert (up[at, changed] == np.nextafter(exact[at, changed], np.float32(np.inf))).all()
    parity = check(GRAPH, PARTS, X[:500], min_confidence=0.6, min_prob_diff=0.08)
    assert parity.split_rows == len(at_splits(GRAPH, X[:500])) > 1_000
    assert parity.infinite_rows == 2 * X.shape[1] + 2
    assert parity.rows == 500 + parity.split_rows + parity.infinite_rows
    assert (parity.max_abs_votes <= 1e-6, parity.flipped_decisions) == (True, 0)


def votes_of(rows: np.ndarray) -> np.ndarray:
    filled = np.where(np.isnan(rows), PARTS.medians, rows)
    with np.errstate(invalid="ignore"):
        return np.concatenate([base.native(filled) for base in PARTS.bases], axis=1)


def test_parity_sees_a_graph_with_another_curve():
    """A graph calibrated otherwise than its parts claim is found out, flips included."""
    other = Isotonic(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    wrong = dataclasses.replace(PARTS, meta=dataclasses.replace(PARTS.meta, curves=(other,) * 3))
    parity = check(GRAPH, wrong, X[:2_000], min_confidence=0.6, min_prob_diff=0.08)
    assert parity.max_abs_dp > 0.05
    assert parity.flipped_decisions > 0


def test_parity_sees_a_base_that_is_not_the_one_in_the_graph():
    """A base fitted on other rows votes otherwise."""
    shuffled = np.random.default_rng(13).permutation(len(X))
    y = np.digitize(X[shuffled, 0], [-0.2, 0.2]).astype(np.int8)
    wrong = dataclasses.replace(PARTS, bases=fitted(settings(), X, y))
    assert check(GRAPH, wrong, X[:2_000], 0.6, 0.08).max_abs_votes > 0.05


def test_edge_rows_hold_what_a_feed_can_send():
    """Among the rows are missing, zero, extreme and neighbouring float32 values."""
    rows = with_edge_rows(X, np.random.default_rng(14), ROWS)
    largest = np.finfo(np.float32).max
    assert len(rows) >= ROWS
    assert rows.dtype == np.float32
    assert np.isnan(rows).all(axis=1).any()
    assert (np.isnan(rows).any(axis=1) & ~np.isnan(rows).all(axis=1)).sum() > 100
    assert {0.0, largest, -largest} <= set(rows[~np.isnan(rows)].tolist())
