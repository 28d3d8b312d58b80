"""Each indicator against an independent one: pandas, and TA-Lib where it is installed."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from kernel.features.engine import compute
from kernel.features.registry import FEATURES
from tests.kernel.features.worlds import damaged, market

BARS = 3_000
SETTLED = 1_200  # bars after which different ways to start a recursion agree to 1e-9


@pytest.fixture(scope="module", params=["smooth", "in ticks"])
def obs(request: pytest.FixtureRequest) -> NDArray[np.float64]:
    """Return a market, once with prices on a coarse grid, so that equal moves and ranks occur."""
    world = market(BARS, seed=31)
    if request.param == "in ticks":
        world[:, 1:5] = np.round(world[:, 1:5] / 25.0) * 25.0
    return world


@pytest.fixture(scope="module")
def features(obs: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    return named(obs)


def named(obs: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    return dict(zip(FEATURES, compute(obs)[0].T, strict=True))


def candles(obs: NDArray[np.float64]) -> pd.DataFrame:
    return pd.DataFrame(obs[:, 1:6], columns=["open", "high", "low", "close", "volume"])


def seeded_average(x: pd.Series, bars: int, alpha: float) -> pd.Series:
    """Average exponentially from the mean of the first `bars` values that are not NaN."""
    first = x.first_valid_index()
    present = x if first is None else x.loc[first:]
    seeded = present.copy()
    seeded.iloc[: bars - 1] = np.nan
    if len(present) >= bars:
        seeded.iloc[bars - 1] = present.iloc[:bars].mean()
    return seeded.ewm(alpha=alpha, adjust=False).mean().reindex(x.index)


def ema(x: pd.Series, bars: int) -> pd.Series:
    return seeded_average(x, bars, 2.0 / (bars + 1.0))


def wilder(x: pd.Series, bars: int) -> pd.Series:
    return seeded_average(x, bars, 1.0 / bars)


def rsi(close: pd.Series, bars: int = 14) -> pd.Series:
    change = close.diff()
    gain = wilder(change.clip(lower=0.0), bars)
    loss = wilder((-change).clip(lower=0.0), bars)
    return 100.0 - 100.0 / (1.0 + gain / loss)


def true_range(frame: pd.DataFrame) -> pd.Series:
    previous = frame.close.shift()
    spans = [frame.high - frame.low, (frame.high - previous).abs(), (frame.low - previous).abs()]
    return pd.concat(spans, axis=1).max(axis=1).where(previous.notna())


def adx(frame: pd.DataFrame) -> pd.Series:
    up, down = frame.high.diff(), -frame.low.diff()
    atr = wilder(true_range(frame), 14)
    plus = 100.0 * wilder(up.where((up > down) & (up > 0.0), 0.0).where(up.notna()), 14) / atr
    minus = 100.0 * wilder(down.where((down > up) & (down > 0.0), 0.0).where(up.notna()), 14) / atr
    return wilder(100.0 * (plus - minus).abs() / (plus + minus), 14)


def macd_histogram(close: pd.Series) -> pd.Series:
    fast = ema(close, 12)
    slow = ema(close, 26)
    line = fast.where(slow.notna()) - slow
    return line - ema(line, 9)


def money_flow(frame: pd.DataFrame) -> pd.Series:
    span = frame.high - frame.low
    lean = ((frame.close - frame.low) - (frame.high - frame.close)) / span.where(span > 0.0)
    return (lean.fillna(0.0) * frame.volume).rolling(20).sum() / frame.volume.rolling(20).sum()


def band_width(frame: pd.DataFrame) -> pd.Series:
    return 4.0 * frame.close.rolling(20).std(ddof=0) / frame.close.rolling(20).mean()


def band_position(frame: pd.DataFrame) -> pd.Series:
    middle, deviation = frame.close.rolling(20).mean(), frame.close.rolling(20).std(ddof=0)
    return (frame.close - (middle - 2.0 * deviation)) / (4.0 * deviation)


def stack(frame: pd.DataFrame) -> pd.Series:
    fast, middle, slow = (ema(frame.close, bars) for bars in (20, 50, 200))
    order = ((fast > middle) & (middle > slow)).astype(float) - ((fast < middle) & (middle < slow))
    return order.where(slow.notna())


def atr(frame: pd.DataFrame) -> pd.Series:
    return wilder(true_range(frame), 14)


ORACLES: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "return_1": lambda frame: frame.close.pct_change(1),
    "hourly_return": lambda frame: frame.close.pct_change(4),
    "return_16": lambda frame: frame.close.pct_change(16),
    "price_vs_ema20": lambda frame: frame.close / ema(frame.close, 20) - 1.0,
    "price_vs_ema50": lambda frame: frame.close / ema(frame.close, 50) - 1.0,
    "price_vs_ema200": lambda frame: frame.close / ema(frame.close, 200) - 1.0,
    "ema_stack": stack,
    "adx_14": adx,
    "rsi_14": lambda frame: rsi(frame.close),
    "rsi_slope": lambda frame: rsi(frame.close).diff(4),
    "macd_hist_norm": lambda frame: macd_histogram(frame.close) / frame.close,
    "atr_14": lambda frame: atr(frame) / frame.close,
    "atr_percentile": lambda frame: atr(frame).rolling(500).rank(pct=True),
    "bb_width": band_width,
    "bb_position": band_position,
    "volume_ratio": lambda frame: frame.volume / frame.volume.rolling(20).mean(),
    "volume_delta": money_flow,
}


@pytest.mark.parametrize("name", ORACLES)
def test_candle_features_equal_pandas(
    name: str, obs: NDArray[np.float64], features: dict[str, NDArray[np.float64]]
) -> None:
    """A feature equals its formula in pandas from its first warm bar on, NaN for NaN."""
    expected = ORACLES[name](candles(obs)).to_numpy()
    np.testing.assert_allclose(features[name], expected, rtol=1e-8, atol=1e-9)


def test_series_features_equal_pandas(
    obs: NDArray[np.float64], features: dict[str, NDArray[np.float64]]
) -> None:
    """Funding, open interest, sentiment and on-chain features equal their formulas."""
    funding, interest, mood, flow, mvrv = (pd.Series(column) for column in obs[:, 6:].T)
    size = flow.abs().expanding().mean()
    for bar in range(2880, BARS):
        size.iloc[bar] = size.iloc[bar - 1] * (1 - 1 / 2880) + abs(flow.iloc[bar]) / 2880
    relative = (flow / size).clip(-5.0, 5.0)
    relative.iloc[:479] = np.nan
    expected = {
        "funding_rate_norm": funding.clip(-0.003, 0.003) / 0.003,
        "oi_change": interest.pct_change(16).clip(-1.0, 1.0),
        "fear_greed": mood / 100.0,
        "exchange_net_flow_norm": relative,
        "mvrv": mvrv,
    }
    for name, column in expected.items():
        np.testing.assert_allclose(features[name], column.to_numpy(), rtol=1e-9, err_msg=name)


def test_calendar_features_equal_pandas(
    obs: NDArray[np.float64], features: dict[str, NDArray[np.float64]]
) -> None:
    """Sessions and the hour follow the UTC clock at the close of the bar."""
    close = pd.DatetimeIndex(pd.to_datetime(obs[:, 0].astype(np.int64) + 900_000, unit="ms"))
    hour = np.asarray(close.hour + close.minute / 60.0)
    expected = {
        "is_asian_session": hour < 8.0,
        "is_london_session": (hour >= 7.0) & (hour < 16.0),
        "is_ny_session": (hour >= 13.0) & (hour < 22.0),
        "session_hour_sin": np.sin(2.0 * np.pi * hour / 24.0),
        "session_hour_cos": np.cos(2.0 * np.pi * hour / 24.0),
    }
    for name, column in expected.items():
        np.testing.assert_allclose(features[name], column, rtol=0, atol=2e-15, err_msg=name)


def higher_closes(obs: NDArray[np.float64], rule: str) -> pd.Series:
    """Return the close of each higher bar that has any, indexed by the time at which it ends."""
    index = pd.to_datetime(obs[:, 0].astype(np.int64), unit="ms")
    closes = pd.Series(obs[:, 4], index=index).resample(rule).last().dropna()
    closes.index = closes.index + pd.Timedelta(rule)
    return closes


def joined_back(obs: NDArray[np.float64], higher: pd.Series) -> NDArray[np.float64]:
    """Return per bar the latest higher value whose bar has ended by the close of the bar."""
    close_time = pd.to_datetime(obs[:, 0].astype(np.int64) + 900_000, unit="ms")
    return higher.reindex(close_time, method="ffill").to_numpy()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("gaps", [False, True])
def test_higher_timeframes_equal_a_pandas_resample(seed: int, gaps: bool) -> None:
    """H4 and D1 context use exactly the higher bars that have ended, gaps or not, any start."""
    start = 1_672_531_200_000 + 900_000 * (seed * 37)
    obs = market(2_500, seed, start_ms=start)
    if gaps:
        obs = damaged(obs, np.random.default_rng(seed))
        obs = obs[np.isfinite(obs[:, 1:6]).all(1) & (obs[:, 1:5] > 0).all(1) & (obs[:, 1] < 1e18)]
        obs = obs[(obs[:, 1:6] < 1e18).all(1) & (obs[:, 5] >= 0)]
    features = named(obs)
    h4, d1 = higher_closes(obs, "4h"), higher_closes(obs, "24h")
    expected = {
        "h4_ema_bias": joined_back(obs, h4 / ema(h4, 20) - 1.0),
        "h4_rsi_norm": joined_back(obs, rsi(h4)),
        "d1_trend": joined_back(obs, d1 / ema(d1, 10) - 1.0),
    }
    for name, column in expected.items():
        np.testing.assert_allclose(
            features[name], column, rtol=1e-8, atol=1e-11, err_msg=f"{name}, {seed}, gaps {gaps}"
        )


def test_the_daily_open_is_that_of_the_midnight_bar() -> None:
    """The distance to the day's open is NaN from a missing 00:00 bar until the next midnight."""
    obs = market(96 * 4, seed=41)
    without = np.delete(obs, 96 * 2, axis=0)
    midnight = without[:, 0] // 86_400_000
    opens = {row[0] // 86_400_000: row[1] for row in without if row[0] % 86_400_000 == 0}
    day_open = np.array([opens.get(day, np.nan) for day in midnight])
    found = named(without)["price_vs_d1_open"]
    np.testing.assert_allclose(found, without[:, 4] / day_open - 1.0, rtol=0, atol=1e-15)
    assert np.isnan(found).sum() == 95


def test_atr_percentile_averages_ties() -> None:
    """Where ATR stands still for all 500 bars its rank is in the middle of the ties."""
    obs = market(600, seed=1)
    obs[:, 1:5] = (100.0, 101.0, 99.0, 100.0)
    assert named(obs)["atr_percentile"][-1] == 0.501


def test_settled_features_equal_ta_lib(
    obs: NDArray[np.float64], features: dict[str, NDArray[np.float64]]
) -> None:
    """Once their starts are forgotten, RSI, ATR, ADX, MACD, Bollinger and EMA equal TA-Lib's."""
    talib = pytest.importorskip("talib")
    high, low, close = (np.ascontiguousarray(obs[:, column]) for column in (2, 3, 4))
    upper, middle, lower = talib.BBANDS(close, timeperiod=20)
    expected = {
        "rsi_14": talib.RSI(close, 14),
        "atr_14": talib.ATR(high, low, close, 14) / close,
        "adx_14": talib.ADX(high, low, close, 14),
        "macd_hist_norm": talib.MACD(close)[2] / close,
        "bb_width": (upper - lower) / middle,
        "bb_position": (close - lower) / (upper - lower),
        "price_vs_ema50": close / talib.EMA(close, 50) - 1.0,
        "price_vs_ema200": close / talib.EMA(close, 200) - 1.0,
    }
    for name, column in expected.items():
        np.testing.assert_allclose(
            features[name][SETTLED:], column[SETTLED:], rtol=1e-6, atol=1e-9, err_msg=name
        )
