"""Volatility models against arch, DuckDB and prices of known volatility."""

import duckdb
import numpy as np
import pandas as pd
import pytest
from arch import arch_model
from numpy.typing import NDArray

from kernel.features import volatility_models
from kernel.features.recursions import CLOSE, HIGH, LOW, OPEN
from kernel.features.volatility_models import GARCH_FIT_BARS, GARCH_SLOTS
from orchestration.reference.recorded_markets import DATA
from tests.kernel.features import alone
from tests.kernel.features.worlds import differing_bytes, market

GROUP = volatility_models.GROUP
FITTED = (2e-7, 0.08, 0.9)
REAL = DATA / "ohlcv_BTCUSDT_15m_okx-swap.parquet"
TOLERANCE = {  # relative, and whom it is compared with
    "garch_volatility": 1e-12,  # arch, given the same parameters
    "parkinson_volatility": 1e-13,  # DuckDB
    "garman_klass_volatility": 1e-13,  # DuckDB
    "yang_zhang_volatility": 1e-13,  # DuckDB
    "realized_vol_ratio": 1e-13,  # DuckDB
    "vol_of_vol": 1e-12,  # DuckDB
}


def _fitted() -> NDArray[np.float64]:
    state = np.zeros(GROUP.state_size)
    state[GARCH_SLOTS : GARCH_SLOTS + 3] = FITTED
    return state


def test_volatility_models_are_the_same_in_batch_stream_and_chunks() -> None:
    """Compiled, plain and cut anywhere: the same bytes."""
    alone.check_parity(GROUP, state=_fitted())


def test_garch_is_the_same_in_batch_and_stream_where_it_speaks() -> None:
    """Beyond the bars that parameters are fitted on: the same bytes."""
    obs = market(GARCH_FIT_BARS + 300, seed=8)
    values, after = alone.batch(GROUP, obs, _fitted())
    live, state = alone.stream(GROUP, obs, _fitted())
    assert np.isfinite(alone.column(GROUP, values, "garch_volatility")).sum() == 301
    assert differing_bytes(values, live) == differing_bytes(after, state) == 0


def test_volatility_models_stay_in_range_in_extreme_worlds() -> None:
    """Values stay within their range or are NaN by policy."""
    alone.check_extremes(GROUP, GARCH_FIT_BARS + 1_000, _fitted())


def test_volatility_models_warm_up_as_stated() -> None:
    """Each feature is NaN before its warm-up bar and has a value from it on."""
    alone.check_warm_up(GROUP, _fitted())


def test_volatility_models_read_their_inputs_only() -> None:
    """Inputs that are not named change no byte."""
    alone.check_inputs(GROUP, _fitted())


def test_volatility_models_never_see_the_future() -> None:
    """Cutting off or scrambling the future changes no value of the past."""
    alone.check_certificates(GROUP, _fitted())


def test_garch_says_nothing_where_nothing_was_fitted() -> None:
    """Without parameters it is NaN for ever, and all other features are as with them."""
    obs = market(GARCH_FIT_BARS + 100, seed=9)
    plain, _ = alone.batch(GROUP, obs)
    fitted, _ = alone.batch(GROUP, obs, _fitted())
    assert np.isnan(alone.column(GROUP, plain, "garch_volatility")).all()
    assert differing_bytes(plain[:, 1:], fitted[:, 1:]) == 0


def _against_arch(close: NDArray[np.float64]) -> None:
    obs = market(len(close), seed=1)
    obs[:, 1:5] = close[:, None]
    values, _ = alone.batch(GROUP, obs, _fitted())
    found = alone.column(GROUP, values, "garch_volatility")
    model = arch_model(np.diff(np.log(close)), mean="Zero", vol="GARCH", p=1, q=1, rescale=False)
    fixed = model.fix(np.array(FITTED))
    ahead = np.sqrt(fixed.forecast(horizon=1).variance.to_numpy()[-1, 0])
    expected = np.concatenate([fixed.conditional_volatility, [ahead]])
    last = slice(GARCH_FIT_BARS - 1, None)
    difference = np.abs(found[last] / expected[last] - 1.0).max()
    print(f"GARCH against arch: {difference:.1e}")
    assert difference <= TOLERANCE["garch_volatility"]


def test_garch_agrees_with_arch_given_the_same_parameters() -> None:
    """Each bar's value is arch's conditional volatility of the next bar, the last its forecast."""
    rng = np.random.default_rng(10)
    bursts = 1.0 + 3.0 * (rng.random(12_000) < 0.02)
    _against_arch(30_000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.003, 12_000) * bursts)))


@pytest.mark.skipif(not REAL.exists(), reason=f"no recorded market at {REAL}")
def test_garch_agrees_with_arch_on_recorded_candles() -> None:
    """The same over a year of BTC."""
    _against_arch(pd.read_parquet(REAL)["close"].to_numpy(dtype=np.float64)[:35_000])


SQL = """
WITH bars AS (
  SELECT i, ln(high / low) AS hl, ln(close / open) AS c, ln(high / open) AS u,
    ln(low / open) AS d, ln(open / lag(close) OVER (ORDER BY i)) AS o,
    ln(close / lag(close) OVER (ORDER BY i)) AS r
  FROM candles
), vols AS (
  SELECT *, CASE WHEN i >= 16 THEN sqrt(avg(r * r) OVER hours) END AS v,
    sqrt(avg(hl * hl) OVER day / (4 * ln(2))) AS parkinson_volatility,
    sqrt(avg(0.5 * hl * hl - (2 * ln(2) - 1) * c * c) OVER day) AS garman_klass_volatility,
    sqrt(var_samp(o) OVER day + 0.34 / (1.34 + 97.0 / 95.0) * var_samp(c) OVER day
      + (1 - 0.34 / (1.34 + 97.0 / 95.0)) * avg(u * (u - c) + d * (d - c)) OVER day
    ) AS yang_zhang_volatility,
    sqrt(avg(r * r) OVER hours / avg(r * r) OVER week) AS realized_vol_ratio
  FROM bars
  WINDOW hours AS (ORDER BY i ROWS 15 PRECEDING), day AS (ORDER BY i ROWS 95 PRECEDING),
    week AS (ORDER BY i ROWS 671 PRECEDING)
)
SELECT *, stddev_pop(v) OVER day / avg(v) OVER day AS vol_of_vol
FROM vols WINDOW day AS (ORDER BY i ROWS 95 PRECEDING) ORDER BY i
"""


def _in_sql(obs: NDArray[np.float64]) -> pd.DataFrame:
    columns = {"open": OPEN, "high": HIGH, "low": LOW, "close": CLOSE}
    candles = pd.DataFrame({name: obs[:, column] for name, column in columns.items()})
    candles["i"] = np.arange(len(obs))
    with duckdb.connect() as connection:
        connection.register("candles", candles)
        return connection.execute(SQL).df()


@pytest.mark.parametrize("seed", [11, 12])
def test_range_and_realised_volatility_agree_with_duckdb(seed: int) -> None:
    """Five features equal what SQL windows say, at every warm bar."""
    obs = market(2_000, seed)
    obs[1:, OPEN] *= np.random.default_rng(seed).normal(1.0, 1e-4, len(obs) - 1)
    obs[:, HIGH] = obs[:, 1:5].max(axis=1)
    obs[:, LOW] = obs[:, 1:5].min(axis=1)
    values, _ = alone.batch(GROUP, obs)
    expected = _in_sql(obs)
    for row in GROUP.features[1:]:
        warm = slice(row.warmup_bars - 1, None)
        found = alone.column(GROUP, values, row.name)[warm]
        difference = np.abs(found / expected[row.name].to_numpy()[warm] - 1.0).max()
        print(f"{row.name} against DuckDB: {difference:.1e}")
        assert difference <= TOLERANCE[row.name], row.name


def _continuous(bars: int, seed: int, deviation: float) -> NDArray[np.float64]:
    """Return observations of a price that moves 2,000 times in a bar, `deviation` per bar."""
    rng = np.random.default_rng(seed)
    moves = rng.normal(0.0, deviation / np.sqrt(2_000.0), (bars, 2_000))
    path = (
        np.cumsum(moves, axis=1) + np.concatenate([[0.0], moves.sum(axis=1)[:-1].cumsum()])[:, None]
    )
    close = path[:, -1]
    opened = np.concatenate([[0.0], close[:-1]])
    obs = market(bars, seed)
    obs[:, OPEN], obs[:, CLOSE] = 100.0 * np.exp(opened), 100.0 * np.exp(close)
    obs[:, HIGH] = 100.0 * np.exp(np.maximum(path.max(axis=1), opened))
    obs[:, LOW] = 100.0 * np.exp(np.minimum(path.min(axis=1), opened))
    return obs


@pytest.mark.parametrize(
    "name", ["parkinson_volatility", "garman_klass_volatility", "yang_zhang_volatility"]
)
def test_range_volatility_finds_the_volatility_of_a_random_walk(name: str) -> None:
    """For a nearly continuous walk of 0.4 % a bar each finds 0.4 %, within 4 %."""
    values, _ = alone.batch(GROUP, _continuous(97 + 96 * 20, seed=13, deviation=0.004))
    found = alone.column(GROUP, values, name)[96::96]
    print(f"{name}: {found.mean() / 0.004:.4f} of the truth")
    assert found.mean() == pytest.approx(0.004, rel=0.04)


def test_volatility_ratio_is_largest_where_all_movement_is_recent() -> None:
    """After a flat week one leap gives sqrt(672 / 16), and volatility varies by sqrt(95)."""
    obs = market(800, seed=14)
    obs[:, 1:5] = np.where(np.arange(800) < 799, 100.0, 110.0)[:, None]
    values, _ = alone.batch(GROUP, obs)
    assert np.isnan(values[-2, 4:]).all()
    assert alone.column(GROUP, values, "realized_vol_ratio")[-1] == pytest.approx(np.sqrt(42.0))
    assert alone.column(GROUP, values, "vol_of_vol")[-1] == pytest.approx(np.sqrt(95.0))
    assert alone.column(GROUP, values, "parkinson_volatility")[-1] == 0.0
