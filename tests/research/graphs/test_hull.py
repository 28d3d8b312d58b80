import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.decision import Abstain
from research.graphs import hull
from research.graphs.fusion import Logistic, Meta, fuse, impute
from research.graphs.runtime import answers
from research.graphs.signature import spec_of
from tests.research.graphs.test_fusion import BASES, MEDIANS, WIDTH, identity

META = Meta(Logistic(np.tile(np.eye(3), (len(BASES), 1)) / len(BASES), np.zeros(3)), identity())
RATE = 0.01
OUT = Abstain.OUT_OF_HULL.value


def rows(seed: int, n: int = 4_000) -> np.ndarray:
    """Return rows whose columns hang together, one of them mostly missing."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, WIDTH)) @ rng.normal(size=(WIDTH, WIDTH))
    x[:, 4] = np.where(rng.random(n) < 0.2, x[:, 4], np.nan)
    return x.astype(np.float32)


def guarded(x: np.ndarray) -> tuple[hull.Hull, bytes]:
    found = hull.fit(x, impute(x, MEDIANS), RATE)
    assert found is not None
    return found, fuse(MEDIANS, [base.graph for base in BASES], META, found)


X = rows(1)
HULL, GRAPH = guarded(X)


def test_the_share_of_training_rows_outside_is_the_target():
    """Of 4,000 rows 40 lie beyond the bound, and none of them on it."""
    far = HULL.distances(impute(X, MEDIANS))
    assert (far > HULL.distance).sum() == RATE * len(X)
    assert np.abs(far - HULL.distance).min() > 1e-9
    assert answers(GRAPH, X)[1].tolist().count(OUT) == RATE * len(X)


def test_the_distance_is_that_of_mahalanobis():
    """SciPy, given the same centre and the covariance that the ridge makes, measures the same."""
    from scipy.spatial.distance import mahalanobis

    chosen = impute(X, MEDIANS)[:, HULL.columns].astype(np.float64)
    spread = chosen.std(axis=0)
    correlation = (1 - hull.RIDGE) * np.corrcoef(chosen.T) + hull.RIDGE * np.eye(len(spread))
    inverse = np.linalg.inv(correlation * np.outer(spread, spread))
    expected = [mahalanobis(one, chosen.mean(axis=0), inverse) for one in chosen[:50]]
    assert HULL.distances(impute(X[:50], MEDIANS)) == pytest.approx(expected, rel=1e-9)


def test_a_column_without_values_does_not_count():
    """What is imputed in most rows says nothing of where a row lies; nor does a constant."""
    assert 4 not in HULL.columns
    constant = np.ones((100, 2), np.float32)
    assert hull.fit(constant, constant, RATE) is None


@given(seed=st.integers(0, 10_000), scale=st.sampled_from([0.5, 1.0, 3.0]))
@settings(max_examples=20, deadline=None)
def test_the_graph_abstains_as_numpy_does(seed: int, scale: float):
    """Row by row as live, or all at once as in a backtest, it is the same reason for every row."""
    x = rows(seed, 200) * np.float32(scale)
    together = answers(GRAPH, x)[1]
    alone = np.concatenate([answers(GRAPH, x[i : i + 1])[1] for i in range(0, 200, 10)])
    assert np.array_equal(together, HULL.abstains(impute(x, MEDIANS)))
    assert np.array_equal(together[::10], alone)


@pytest.mark.parametrize("value", [np.inf, -np.inf, 3.4e38, -3.4e38, 1e6])
def test_an_extreme_value_lies_outside(value: float):
    """Nothing infinite or huge is taken for something that was trained on; NaN is imputed."""
    x = np.tile(MEDIANS, (2, 1))
    x[0, int(HULL.columns[0])] = value
    x[1] = np.nan
    assert answers(GRAPH, x)[1].tolist() == [OUT, 0]


def test_the_guard_changes_no_probability_and_is_told_in_the_manifest():
    """What decides is to the byte that of the graph without it; the output is an int64 by row."""
    plain = fuse(MEDIANS, [base.graph for base in BASES], META)
    assert answers(GRAPH, X)[0].tobytes() == answers(plain, X)[0].tobytes()
    spec = spec_of("signal", GRAPH, {"cpu_ms": 1.0, "max_bytes": 1})
    told = {one.name: (one.shape, one.dtype) for one in spec.outputs}
    assert told == {
        "probabilities": ((None, 3), "float32"),
        "votes": ((None, len(BASES), 3), "float32"),
        "abstain": ((None,), "int64"),
    }
    names = [f"column_{k}" for k in range(WIDTH)]
    assert HULL.bound(names).features == tuple(names[:4])
