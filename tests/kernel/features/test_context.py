"""Higher time frames: the laws, DuckDB for the buckets, TA-Lib and pandas for what runs on them."""

import numpy as np
import pandas as pd
import pytest
import talib
from numpy.typing import NDArray

from kernel.features.context import GROUP
from tests.kernel.features import alone
from tests.kernel.features.sql import columns
from tests.kernel.features.worlds import BAR_MS, START_MS, market

Values = NDArray[np.float64]

BARS = 13_000
WEEK_BARS = 7 * 96
MONDAY_MS = START_MS + 86_400_000  # 2023-01-02
STARTS = {"Sunday 00:00": 0, "Monday 00:15": 97, "Wednesday 13:45": 343, "Friday 23:45": 575}
BUCKETS = {
    "h4": "time_bucket(INTERVAL 4 HOUR, ts) + INTERVAL 4 HOUR",
    "d1": "date_trunc('day', ts) + INTERVAL 1 DAY",
    "w1": "date_trunc('week', ts) + INTERVAL 7 DAY",
}
TOLERANCE = {
    "h4_ema_bias": 1e-11,
    "h4_rsi_norm": 1e-11,
    "h4_macd_dir": 0.0,  # where MACD is not within 1e-9 of its signal, relative to price
    "d1_ema_bias": 1e-11,
    "d1_rsi_norm": 1e-11,
    "d1_macd_dir": 0.0,
    "d1_trend": 1e-11,
    "w1_ema_bias": 1e-11,
    "w1_rsi_norm": 1e-11,
}


def test_context_batch_equals_stream() -> None:
    """Batch, stream, restart and any chunking give the same bytes."""
    alone.check_parity(GROUP, bars=900)


def test_context_extremes_stay_in_range() -> None:
    """Extreme worlds give values within the stated ranges, or NaN by policy."""
    alone.check_extremes(GROUP, bars=10_300)


def test_context_warm_up_is_exact() -> None:
    """A feature is NaN before its warm-up bar and has a value from it on."""
    alone.check_warm_up(GROUP)


def test_context_warm_up_is_enough_from_any_day_of_the_week() -> None:
    """A history that begins within a week is warm no later than one that begins with it."""
    obs = market(10_080 + 700, seed=72)
    for offset in (96, 97, 100, 350, 671):
        values, _ = alone.batch(GROUP, obs[offset:])
        for i, row in enumerate(GROUP.features):
            assert np.isfinite(values[row.warmup_bars - 1 :, i]).all(), (row.name, offset)


def test_context_reads_its_inputs_alone() -> None:
    """Fields that are not inputs change no byte; inputs do."""
    alone.check_inputs(GROUP)


def test_context_cannot_see_the_future() -> None:
    """No past value changes with the future; 23 days hold a turn of every direction."""
    alone.check_certificates(GROUP, bars=2_200)


def history(start: int, gaps: bool) -> Values:
    """Return bars from `start` bars after Sunday on; with gaps, also of a week and of edges."""
    obs = market(BARS + start, seed=start)[start:]
    if not gaps:
        return obs
    rng = np.random.default_rng(start)
    keep = rng.random(len(obs)) > 0.03
    for first in rng.integers(0, len(obs), 6):
        keep[first : first + rng.integers(1, 200)] = False
    opens = (obs[:, 0] - MONDAY_MS) / BAR_MS % WEEK_BARS
    week = (obs[:, 0] - MONDAY_MS) / BAR_MS // WEEK_BARS
    keep &= ~((opens == WEEK_BARS - 1) & (week % 3 == 1)) & ~((opens == 0) & (week % 4 == 2))
    keep &= week != 5
    return obs[keep]


def higher_closes(obs: Values, frame: str) -> pd.DataFrame:
    """Return the close of each higher bar that has any, and when it ends."""
    query = f"""
        SELECT epoch_ms({BUCKETS[frame]}) AS ended, arg_max(close, open_time_ms) AS close
        FROM bars GROUP BY 1 ORDER BY 1
    """
    return pd.DataFrame(columns(obs, query))


def joined_back(obs: Values, higher: pd.DataFrame, values: Values) -> Values:
    """Return per bar the value of the latest higher bar that has ended by the bar's close."""
    query = """
        SELECT higher.value AS value FROM bars
        ASOF LEFT JOIN higher ON epoch_ms(bars.closed) >= higher.ended ORDER BY open_time_ms
    """
    return columns(obs, query, higher=higher.assign(value=values))["value"]


def average(x: pd.Series, bars: int) -> pd.Series:
    """Return the EMA of `x`, started as the mean of its first `bars` values that are not NaN."""
    present = x.dropna()
    seeded = present.copy()
    seeded.iloc[: bars - 1] = np.nan
    seeded.iloc[bars - 1 : bars] = present.iloc[:bars].mean()
    return seeded.ewm(span=bars, adjust=False).mean().reindex(x.index)


def macd_gap(close: pd.Series) -> Values:
    """Return MACD less its signal, relative to the close."""
    line = average(close, 12) - average(close, 26)
    return ((line - average(line, 9)) / close).to_numpy()


def direction(gap: Values) -> Values:
    """Return the sign of a gap, NaN too near to zero to tell."""
    return np.where(np.abs(gap) > 1e-9, np.sign(gap), np.nan)


def expected_of(obs: Values) -> dict[str, Values]:
    frames = {name: higher_closes(obs, name) for name in BUCKETS}
    h4, d1, w1 = (frame.close.to_numpy() for frame in frames.values())
    on_higher = {
        "h4_ema_bias": h4 / talib.EMA(h4, 20) - 1.0,
        "h4_rsi_norm": talib.RSI(h4, 14) / 100.0,
        "h4_macd_dir": direction(macd_gap(frames["h4"].close)),
        "d1_ema_bias": d1 / talib.EMA(d1, 20) - 1.0,
        "d1_rsi_norm": talib.RSI(d1, 14) / 100.0,
        "d1_macd_dir": direction(macd_gap(frames["d1"].close)),
        "d1_trend": d1 / talib.EMA(d1, 10) - 1.0,
        "w1_ema_bias": (w1 - talib.EMA(w1, 10)) / w1,
        "w1_rsi_norm": talib.RSI(w1, 14) / 100.0,
    }
    found = {name: joined_back(obs, frames[name[:2]], on_higher[name]) for name in on_higher}
    found["w1_ema_bias"][: 10 * WEEK_BARS - 1] = np.nan
    found["w1_rsi_norm"][: 15 * WEEK_BARS - 1] = np.nan
    return found


@pytest.mark.parametrize("gaps", [False, True], ids=["gapless", "gaps"])
@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_higher_time_frames_equal_sql_and_ta_lib(start: int, gaps: bool) -> None:
    """H4, days and weeks are DuckDB's buckets that have ended, EMA and RSI on them TA-Lib's."""
    obs = history(start, gaps)
    values, _ = alone.batch(GROUP, obs)
    for name, expected in expected_of(obs).items():
        found = alone.column(GROUP, values, name)
        told = ~np.isnan(expected)
        assert told.sum() > 500, name
        np.testing.assert_allclose(
            found[told], expected[told], rtol=0.0, atol=TOLERANCE[name], err_msg=name
        )
        if not name.endswith("macd_dir"):
            assert np.isnan(found[~told]).all(), name


def test_settled_direction_equals_ta_lib() -> None:
    """300 H4 bars on, TA-Lib's other start of the fast average is forgotten."""
    obs = market(BARS, seed=73)
    higher = higher_closes(obs, "h4")
    close = higher.close.to_numpy()
    gap = talib.MACD(close)[2] / close
    gap[:300] = np.nan
    expected = joined_back(obs, higher, direction(gap))
    found = alone.column(GROUP, alone.batch(GROUP, obs)[0], "h4_macd_dir")
    told = ~np.isnan(expected)
    assert told.sum() > 6_000
    np.testing.assert_array_equal(found[told], expected[told])


def test_a_week_has_672_bars_and_ends_on_sunday_night() -> None:
    """Weekly features change at the bar that closes on Monday 00:00 UTC, every 672 bars."""
    obs = market(BARS, seed=74, start_ms=MONDAY_MS)
    values, _ = alone.batch(GROUP, obs)
    for name, weeks in (("w1_ema_bias", 10), ("w1_rsi_norm", 15)):
        found = alone.column(GROUP, values, name)
        changed = np.flatnonzero(np.diff(found[weeks * WEEK_BARS - 1 :])) + weeks * WEEK_BARS
        assert np.isnan(found[: weeks * WEEK_BARS - 1]).all()
        assert changed.tolist() == [
            week * WEEK_BARS - 1 for week in range(weeks + 1, BARS // WEEK_BARS + 1)
        ]


def test_weekly_bias_by_hand() -> None:
    """Nine weeks that close at 100 and one at 110: EMA10 starts at 101, the bias is 9 / 110."""
    obs = market(10 * WEEK_BARS, seed=75, start_ms=MONDAY_MS)
    obs[:, 1:5] = 100.0
    obs[-1, 4] = 110.0
    found = alone.column(GROUP, alone.batch(GROUP, obs)[0], "w1_ema_bias")
    assert found[-1] == pytest.approx(9.0 / 110.0, rel=1e-15)


@pytest.mark.parametrize("gaps", [False, True], ids=["gapless", "gaps"])
def test_the_daily_open_equals_sql(gaps: bool) -> None:
    """The distance to the day's open is NaN on a day without its 00:00 bar."""
    obs = history(343, gaps)
    query = """
        SELECT close / max(CASE WHEN ts = date_trunc('day', ts) THEN open END)
               OVER (PARTITION BY date_trunc('day', ts)) - 1 AS value
        FROM bars ORDER BY open_time_ms
    """
    expected = columns(obs, query)["value"]
    expected[:95] = np.nan
    found = alone.column(GROUP, alone.batch(GROUP, obs)[0], "price_vs_d1_open")
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=1e-15)
    assert np.isnan(expected).sum() > 95 or not gaps
