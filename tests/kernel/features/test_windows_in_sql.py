"""Windows over bars, answered a second time by DuckDB's window functions."""

import duckdb
import numpy as np
import pandas as pd
import pytest

from kernel.features.engine import compute
from kernel.features.registry import FEATURES, feature
from tests.kernel.features.worlds import damaged, market

# Each feature as SQL over (i, open, high, low, close, volume, atr).
SQL = {
    "return_1": "close / lag(close, 1) OVER w - 1",
    "hourly_return": "close / lag(close, 4) OVER w - 1",
    "return_16": "close / lag(close, 16) OVER w - 1",
    "lagged_return_2": "ln(close / lag(close, 2) OVER w)",
    "lagged_return_96": "ln(close / lag(close, 96) OVER w)",
    "lagged_return_672": "ln(close / lag(close, 672) OVER w)",
    "volume_ratio": "volume / avg(volume) OVER last20",
    "bb_width": "4 * stddev_pop(close) OVER last20 / avg(close) OVER last20",
    "bb_position": "0.5 + (close - avg(close) OVER last20) / (4 * stddev_pop(close) OVER last20)",
    "market_quality": "abs(close - lag(close, 10) OVER w) / sum(moved) OVER last10",
    "stoch_k": "avg(fast_k) OVER last3",
}
TOLERANCE = 1e-9  # relative to 1 + |value|; DuckDB's moments are taken in another order
QUERY = """
WITH moves AS (SELECT *, abs(close - lag(close) OVER (ORDER BY i)) AS moved,
    100 * (close - min(low) OVER last14) / (max(high) OVER last14 - min(low) OVER last14) AS fast_k
    FROM bars WINDOW last14 AS (ORDER BY i ROWS 13 PRECEDING))
SELECT {formula} AS value FROM moves
WINDOW w AS (ORDER BY i), last3 AS (ORDER BY i ROWS 2 PRECEDING),
    last10 AS (ORDER BY i ROWS 9 PRECEDING), last20 AS (ORDER BY i ROWS 19 PRECEDING)
ORDER BY i
"""
RANK = """
SELECT a.i, (0.5 * (count_if(b.atr < a.atr) + count_if(b.atr <= a.atr) + 1)) / {bars} AS value
FROM bars a JOIN bars b ON b.i BETWEEN a.i - {bars} + 1 AND a.i WHERE a.i >= 14 + {bars} - 1
GROUP BY a.i ORDER BY a.i
"""


@pytest.fixture(scope="module", params=["whole", "with gaps"])
def world(request: pytest.FixtureRequest) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the usable bars as a table, and their features."""
    obs = market(2_000, seed=61)
    if request.param == "with gaps":
        obs = damaged(obs, np.random.default_rng(61))
    features, _ = compute(obs)
    kept = np.isfinite(features[:, FEATURES.index("is_asian_session")])
    obs = obs[kept]
    features = features[kept]
    bars = pd.DataFrame(obs[:, 1:6], columns=["open", "high", "low", "close", "volume"])
    bars["i"] = np.arange(len(bars))
    bars["atr"] = features[:, FEATURES.index("atr_14")] * bars["close"]
    return bars, features


def answer(bars: pd.DataFrame, query: str) -> np.ndarray:
    with duckdb.connect() as connection:
        connection.register("bars", bars)
        return connection.sql(query).fetchnumpy()["value"].astype(np.float64)


@pytest.mark.parametrize("name", SQL)
def test_a_window_equals_sql(name: str, world: tuple[pd.DataFrame, np.ndarray]) -> None:
    """From its warm-up bar on, the feature is what SQL says of the same bars."""
    bars, features = world
    found = answer(bars, QUERY.format(formula=SQL[name]))
    warm = slice(feature(name).warmup_bars - 1, None)
    ours = features[warm, FEATURES.index(name)]
    np.testing.assert_allclose(ours, found[warm], rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize(("name", "bars"), [("atr_percentile", 96), ("volatility_regime", 500)])
def test_a_rank_equals_sql(name: str, bars: int, world: tuple[pd.DataFrame, np.ndarray]) -> None:
    """The rank of ATR counts those below and half of its equals, as SQL's self-join does."""
    table, features = world
    found = answer(table, RANK.format(bars=bars))
    ours = features[feature(name).warmup_bars - 1 :, FEATURES.index(name)]
    np.testing.assert_allclose(ours, found, rtol=0, atol=1e-12)
