import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from research.graphs.export import PROBABILITIES
from research.graphs.fusion import VOTES, Isotonic, Logistic, Meta, fuse, impute, votes_graph
from research.graphs.runtime import outputs
from research.models.base import FittedBase, TrainingRows
from tests.research.worlds import light_settings

NAMES = ("rsi_14", "session_hour_sin", "session_hour_cos", "weekday_sin", "weekday_cos")
WIDTH = len(NAMES)


def fitted(seed: int = 1) -> tuple[FittedBase, ...]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3_000, WIDTH)).astype(np.float32)
    y = np.digitize(x[:, 0] + rng.normal(0, 1, 3_000), [-0.3, 0.3]).astype(np.int8)
    rows = TrainingRows(x, y, np.ones(3_000), NAMES)
    return tuple(base.fit(rows, 1, 1) for base in light_settings().models.bases)


BASES = fitted()
MEDIANS = np.linspace(-1, 1, WIDTH).astype(np.float32)


def identity() -> tuple[Isotonic, ...]:
    return tuple(Isotonic(np.array([0.0, 1.0]), np.array([0.0, 1.0])) for _ in range(3))


@st.composite
def metas(draw: st.DrawFn) -> Meta:
    """Return any regression with any three non-decreasing curves, flat and one-knot ones
    included.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    curves: list[Isotonic] = []
    for _ in range(3):
        knots = draw(st.integers(1, 12))
        x = np.sort(rng.choice(np.arange(1, 100), knots, replace=False)) / 100
        y = np.sort(np.round(rng.random(knots), 1)) * draw(st.sampled_from([0.0, 1.0]))
        curves.append(Isotonic(x, y))
    return Meta(Logistic(rng.normal(0, 1, (3 * len(BASES), 3)), rng.normal(0, 1, 3)), tuple(curves))


@given(meta=metas(), seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_fused_graph_computes_the_numpy_meta_and_curves(meta: Meta, seed: int):
    """On the graph's own votes numpy gives the graph's probabilities, which sum to 1 in every
    row.
    """
    x = np.random.default_rng(seed).normal(size=(300, WIDTH)).astype(np.float32)
    graph = fuse(MEDIANS, [base.graph for base in BASES], meta)
    p, by_base = outputs(graph, [PROBABILITIES, VOTES], x)
    votes = by_base.reshape(len(x), -1)
    assert by_base.shape == (len(x), len(BASES), 3)
    assert np.abs(p - meta.predict(votes)).max() <= 1e-7
    assert np.abs(p.astype(np.float64).sum(axis=1) - 1).max() <= 2e-7


def test_graph_imputes_missing_values_with_the_medians():
    """A row of NaN is answered as the row of medians, anything else as the bases answer it."""
    graphs = [base.graph for base in BASES]
    x = np.random.default_rng(2).normal(size=(200, WIDTH)).astype(np.float32)
    x[::3, 2] = np.nan
    x[0] = np.nan
    votes = outputs(votes_graph(MEDIANS, graphs), [VOTES], x)[0]
    filled = impute(x, MEDIANS)
    assert np.array_equal(filled[0], MEDIANS)
    direct = [outputs(graph, [PROBABILITIES], filled)[0] for graph in graphs]
    assert np.array_equal(votes, np.stack(direct, axis=1))


def test_graph_gives_the_same_bytes_alone_as_in_a_batch():
    """A row's answer does not depend on its neighbours."""
    meta = Meta(Logistic(np.tile(np.eye(3), (len(BASES), 1)) / len(BASES), np.zeros(3)), identity())
    graph = fuse(MEDIANS, [base.graph for base in BASES], meta)
    x = np.random.default_rng(3).normal(size=(64, WIDTH)).astype(np.float32)
    together = outputs(graph, [PROBABILITIES], x)[0]
    alone = np.concatenate([outputs(graph, [PROBABILITIES], x[i : i + 1])[0] for i in range(64)])
    assert together.tobytes() == alone.tobytes()


def test_curves_of_zero_give_even_probabilities():
    """Where every curve says 0 the answer is a third each, not a division by zero."""
    nothing = tuple(Isotonic(np.array([0.0, 1.0]), np.zeros(2)) for _ in range(3))
    meta = Meta(Logistic(np.zeros((3 * len(BASES), 3)), np.zeros(3)), nothing)
    graph = fuse(MEDIANS, [base.graph for base in BASES], meta)
    p = outputs(graph, [PROBABILITIES], np.zeros((4, WIDTH), np.float32))[0]
    assert np.abs(p - 1 / 3).max() < 1e-7
