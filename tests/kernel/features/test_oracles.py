"""The bar features against independent ones: pandas, TA-Lib and SQL."""

import duckdb
import numpy as np
import pandas as pd
import pytest
import talib
from numpy.typing import NDArray

from kernel.features import candles, levels, momentum, returns, trend, volatility, volume
from orchestration.reference.recorded_markets import DATA
from tests.kernel.features import alone
from tests.kernel.features.indicators import PANDAS
from tests.kernel.features.worlds import damaged, market

Values = NDArray[np.float64]
Named = dict[str, Values]

BARS = 3_000
RECORDED = DATA / "ohlcv_BTCUSDT_15m_okx-swap.parquet"
WHOLE = (returns, trend, momentum, candles, volatility, volume, levels)
FROM_SQL = {"near_daily_high_low", "daily_range_position"}


def named(obs: Values) -> Named:
    """Return every bar feature, compiled, by name."""
    found: Named = {}
    for module in WHOLE:
        values, _ = alone.batch(module.GROUP, obs)
        found |= {row.name: values[:, i] for i, row in enumerate(module.GROUP.features)}
    return found


@pytest.fixture(scope="module", params=["smooth", "in ticks", "recorded"])
def obs(request: pytest.FixtureRequest) -> Values:
    """Return a market, once with prices on a coarse grid, so that equal moves and ranks occur, and
    once as it was around the cascade of 2025-10-10.
    """
    if request.param == "recorded":
        return recorded()
    world = market(BARS, seed=31)
    if request.param == "in ticks":
        world[:, 1:5] = np.round(world[:, 1:5] / 25.0) * 25.0
    return world


def recorded() -> Values:
    """Return the bars of BTCUSDT from 2025-09-20 on (OKX perpetual; read in place)."""
    if not RECORDED.is_file():
        pytest.skip(f"no recorded market at {RECORDED}")
    table = pd.read_parquet(RECORDED)
    opened = table["timestamp"].to_numpy("datetime64[ms]").astype(np.int64)
    first = int(np.searchsorted(opened, 1_758_326_400_000))
    bars = table.iloc[first : first + BARS]
    world = market(BARS, seed=31, start_ms=int(opened[first]))
    world[:, 1:6] = bars[["open", "high", "low", "close", "volume"]].to_numpy(np.float64)
    return world


@pytest.fixture(scope="module")
def features(obs: Values) -> Named:
    return named(obs)


@pytest.fixture(scope="module")
def frame(obs: Values) -> pd.DataFrame:
    return pd.DataFrame(obs[:, 1:6], columns=["open", "high", "low", "close", "volume"])


def test_every_bar_feature_has_an_oracle(features: Named) -> None:
    """What pandas does not cover, SQL does."""
    assert set(features) == set(PANDAS) | FROM_SQL


@pytest.mark.parametrize("name", PANDAS)
def test_bar_features_equal_pandas(name: str, frame: pd.DataFrame, features: Named) -> None:
    """A feature equals its formula in pandas from its first warm bar on, NaN for NaN."""
    formula, tolerance = PANDAS[name]
    expected = formula(frame).to_numpy(np.float64)
    np.testing.assert_allclose(features[name], expected, rtol=0.0, atol=tolerance)


def _library(obs: Values) -> Named:
    columns = (np.ascontiguousarray(obs[:, column]) for column in range(2, 6))
    high, low, close, traded = columns
    upper, middle, lower = talib.BBANDS(close, timeperiod=20)
    line, signal, histogram = talib.MACD(close)
    slow_k, slow_d = talib.STOCH(high, low, close, 14, 3, 0, 3, 0)
    centre = talib.EMA(close, 20)
    reach = 1.5 * talib.ATR(high, low, close, 20)
    squeezed = (upper < centre + reach) & (lower > centre - reach)
    balance = talib.OBV(close, traded)
    balance[20:] -= balance[:-20].copy()
    return {
        "price_vs_ema20": close / centre - 1.0,
        "price_vs_ema50": close / talib.EMA(close, 50) - 1.0,
        "price_vs_ema200": close / talib.EMA(close, 200) - 1.0,
        "adx_14": talib.ADX(high, low, close, 14),
        "plus_di_14": talib.PLUS_DI(high, low, close, 14),
        "minus_di_14": talib.MINUS_DI(high, low, close, 14),
        "aroon_oscillator_25": talib.AROONOSC(high, low, 25),
        "return_16": talib.ROCP(close, 16),
        "rsi_14": talib.RSI(close, 14),
        "rsi_7": talib.RSI(close, 7),
        "macd_norm": line / close,
        "macd_signal_norm": signal / close,
        "macd_hist_norm": histogram / close,
        "stoch_k": slow_k,
        "stoch_d": slow_d,
        "cci_20": talib.CCI(high, low, close, 20),
        "atr_14": talib.ATR(high, low, close, 14) / close,
        "bb_width": (upper - lower) / middle,
        "bb_squeeze": squeezed.astype(float),
        "bb_position": (close - lower) / (upper - lower),
        "mfi_14": talib.MFI(high, low, close, traded, 14),
        "obv_slope": balance / (20.0 * talib.SMA(traded, 20)),
    }


# The first bar from which ours and TA-Lib's agree within the tolerance: the first warm one (for %K
# that of %D), or, where TA-Lib starts a recursion otherwise (ADX, DI: from the sum of 13; MACD: its
# EMA12 later), the bar at which the start is forgotten.
TALIB: dict[str, tuple[int, float]] = {
    "price_vs_ema20": (19, 1e-13),
    "price_vs_ema50": (49, 1e-13),
    "price_vs_ema200": (199, 1e-13),
    "adx_14": (600, 1e-9),
    "plus_di_14": (500, 1e-9),
    "minus_di_14": (500, 1e-9),
    "aroon_oscillator_25": (25, 0.0),
    "return_16": (16, 1e-14),
    "rsi_14": (14, 1e-9),
    "rsi_7": (7, 1e-9),
    "macd_norm": (300, 1e-12),
    "macd_signal_norm": (300, 1e-12),
    "macd_hist_norm": (300, 1e-12),
    "stoch_k": (17, 1e-9),
    "stoch_d": (17, 1e-9),
    "cci_20": (19, 1e-6),
    "atr_14": (14, 1e-14),
    "bb_width": (19, 1e-7),
    "bb_squeeze": (20, 0.0),
    "bb_position": (19, 1e-5),
    "mfi_14": (14, 1e-9),
    "obv_slope": (20, 1e-10),
}


@pytest.mark.parametrize("name", TALIB)
def test_indicators_equal_ta_lib(name: str, obs: Values, features: Named) -> None:
    """An indicator equals TA-Lib's from the stated bar on."""
    first, tolerance = TALIB[name]
    expected = _library(obs)[name]
    np.testing.assert_allclose(
        features[name][first:], expected[first:], rtol=0.0, atol=tolerance, err_msg=name
    )


SQL = """
with bars as (
    select *, row_number() over (order by open_ms) as n,
        lag(close) over (order by open_ms) as before,
        date_trunc('day', make_timestamp(open_ms * 1000)) as day
    from market
), days as (
    select *,
        max(high) over so_far as top, min(low) over so_far as bottom,
        avg(volume) over earlier as usual, count(*) over earlier as earlier_bars,
        lag(close, 16) over (order by open_ms) as start,
        count(*) filter (where close > open) over hours as rising,
        count(*) filter (where close < open) over hours as falling
    from bars
    window so_far as (partition by day order by open_ms),
        earlier as (order by open_ms rows between 20 preceding and 1 preceding),
        hours as (order by open_ms rows between 15 preceding and current row)
)
select
    case when n < 96 then null when top = bottom then 0.5
        else (close - bottom) / (top - bottom) end as daily_range_position,
    case when n >= 96 then least(top - close, close - bottom) end as nearest,
    case when earlier_bars = 20 then (volume > 2 * usual)::int end as volume_surge,
    case when start is null then null when close > start then falling / 16.0
        when close < start then rising / 16.0 else 0 end as adverse_candle_ratio,
    greatest(high, before) - least(low, before) as true_range
from days order by open_ms
"""


@pytest.mark.parametrize("seed", range(4))
def test_windows_of_days_and_bars_equal_sql(seed: int) -> None:
    """Running days and bar windows equal SQL's over histories with gaps that begin at any hour."""
    obs = market(2_500, seed, start_ms=1_672_531_200_000 + 900_000 * 37 * seed)
    obs = damaged(obs, np.random.default_rng(seed))
    fit = np.isfinite(obs[:, 1:6]).all(1) & (obs[:, 1:6] >= 0).all(1) & (obs[:, 1:6] < 1e18).all(1)
    obs = obs[fit]
    table = pd.DataFrame(obs[:, :6], columns=["open_ms", "open", "high", "low", "close", "volume"])
    table["open_ms"] = table["open_ms"].astype(np.int64)
    with duckdb.connect() as connection:
        connection.register("market", table)
        found = connection.execute(SQL).df()
    features = named(obs)
    for name in ("daily_range_position", "volume_surge", "adverse_candle_ratio"):
        expected = found[name].to_numpy(np.float64)
        np.testing.assert_allclose(features[name], expected, rtol=0, atol=1e-12, err_msg=name)
    near = np.minimum(found["nearest"].to_numpy(np.float64) / _atr(found["true_range"]), 10.0)
    np.testing.assert_allclose(features["near_daily_high_low"], near, rtol=1e-9)


def _atr(true_range: pd.Series) -> Values:
    seeded = true_range.copy()
    seeded.iloc[14] = true_range.iloc[1:15].mean()
    seeded.iloc[:14] = np.nan
    return seeded.ewm(alpha=1.0 / 14.0, adjust=False).mean().to_numpy(np.float64)


@pytest.mark.parametrize("seed", range(3))
def test_runs_of_candles_equal_islands_in_sql(seed: int) -> None:
    """The signed length of a run equals that of gaps and islands, held within ten."""
    obs = market(1_500, seed)
    obs[::7, 4] = obs[::7, 1]  # no body
    obs[200:230, 4] = obs[200:230, 1] + 1.0
    table = pd.DataFrame({"n": np.arange(len(obs)), "way": np.sign(obs[:, 4] - obs[:, 1])})
    islands = """
    with grouped as (select *, n - row_number() over (partition by way order by n) as island
        from candles)
    select way * least(row_number() over (partition by way, island order by n), 10) as run
    from grouped order by n
    """
    with duckdb.connect() as connection:
        connection.register("candles", table)
        expected = connection.execute(islands).df()["run"].to_numpy(np.float64)
    found = named(obs)["consecutive_direction"]
    np.testing.assert_array_equal(found[9:], expected[9:])
    assert np.nanmax(found) == 10.0
