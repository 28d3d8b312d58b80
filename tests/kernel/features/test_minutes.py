"""What happens within the bar: the laws, TA-Lib over the minutes laid end to end, and by hand."""

import numpy as np
import pytest
import talib
from numpy.typing import NDArray

from kernel.features.minutes import GROUP
from kernel.features.recursions import MINUTE_WIDTH, MINUTES
from tests.kernel.features import alone
from tests.kernel.features.sql import columns
from tests.kernel.features.worlds import market

Values = NDArray[np.float64]
ALL_MINUTES = slice(MINUTES, MINUTES + 15 * MINUTE_WIDTH)

TOLERANCE = {
    "m1_price_accel_5": 1e-15,
    "m1_vol_ratio_5": 1e-12,
    "m1_rsi_9": 1e-8,
    "m1_atr_3": 1e-12,
    "m1_body_pct": 1e-15,
    "minutes_missing": 0.0,
}
MOVES = """
    SELECT (minute_14_close - minute_09_close) / minute_09_close AS m1_price_accel_5,
           list_avg([minute_10_volume, minute_11_volume, minute_12_volume, minute_13_volume,
                     minute_14_volume])
           / list_avg([minute_05_volume, minute_06_volume, minute_07_volume, minute_08_volume,
                       minute_09_volume]) AS m1_vol_ratio_5,
           abs(minute_14_close - minute_14_open) / (minute_14_high - minute_14_low) AS m1_body_pct
    FROM bars ORDER BY open_time_ms
"""


def test_minutes_batch_equals_stream() -> None:
    """Batch, stream, restart and any chunking give the same bytes."""
    alone.check_parity(GROUP, bars=300)


def test_minutes_extremes_stay_in_range() -> None:
    """Extreme worlds give values within the stated ranges, or NaN by policy."""
    alone.check_extremes(GROUP, bars=700)


def test_minutes_warm_up_is_exact() -> None:
    """The 15 minutes of the first bar are enough for every feature."""
    alone.check_warm_up(GROUP)


def test_minutes_read_their_inputs_alone() -> None:
    """Fields that are not inputs change no byte; inputs do."""
    alone.check_inputs(GROUP)


def test_minutes_cannot_see_the_future() -> None:
    """No past value changes with the future."""
    alone.check_certificates(GROUP)


def minutes_of(obs: Values) -> Values:
    """Return the minutes of all bars, float64[15 n, 5], NaN where one is missing."""
    return obs[:, ALL_MINUTES].reshape(-1, MINUTE_WIDTH)


def torn(obs: Values) -> Values:
    """Return `obs` with minutes missing singly and in runs, and without some bars."""
    rng = np.random.default_rng(81)
    rows = minutes_of(obs).copy()
    rows[rng.random(len(rows)) < 0.01] = np.nan
    for start in rng.integers(0, len(rows), 10):
        rows[start : start + rng.integers(1, 100)] = np.nan
    world = obs.copy()
    world[:, ALL_MINUTES] = rows.reshape(len(obs), -1)
    return world[rng.random(len(obs)) > 0.03]


def within(obs: Values, unbroken: int) -> Values:
    """Return bool[n], whether the last `unbroken` minutes of the bar are there."""
    there = np.isfinite(minutes_of(obs)).all(axis=1).reshape(-1, 15)
    return there[:, 15 - unbroken :].all(axis=1)


def over_all_minutes(obs: Values) -> dict[str, Values]:
    """Return what TA-Lib says at each bar's last minute, over the minutes that are there."""
    rows = minutes_of(obs)
    there = np.isfinite(rows).all(axis=1)
    _, high, low, close, _ = np.ascontiguousarray(rows[there].T)
    strength = np.full(len(rows), np.nan)
    atr = np.full(len(rows), np.nan)
    strength[there] = talib.RSI(close, 9)
    atr[there] = talib.ATR(high, low, close, 3) / close
    return {"m1_rsi_9": strength[14::15], "m1_atr_3": atr[14::15]}


@pytest.mark.parametrize("name", TOLERANCE)
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "torn"])
def test_minutes_equal_sql_and_ta_lib(name: str, whole: bool) -> None:
    """A feature equals its formula in SQL, or TA-Lib's over all minutes, and is NaN without."""
    obs = market(1_500, seed=82)
    obs = obs if whole else torn(obs)
    expected = {
        **columns(obs, MOVES),
        **over_all_minutes(obs),
        "minutes_missing": 1.0 - within(obs, 15),
    }[name]
    needed = {"m1_price_accel_5": 6, "m1_vol_ratio_5": 10, "minutes_missing": 0}.get(name, 1)
    expected[~within(obs, needed)] = np.nan
    found = alone.column(GROUP, alone.batch(GROUP, obs)[0], name)
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=TOLERANCE[name])
    assert whole == (not np.isnan(expected).any()) or name == "minutes_missing"


def test_a_bar_by_hand() -> None:
    """Closes 100..114, then the last five minutes trade double: 14 of 15 numbers are plain."""
    obs = market(1, seed=83)
    closes = np.arange(100.0, 115.0)
    flat = np.stack([closes - 0.5, closes + 1.0, closes - 1.0, closes, np.full(15, 3.0)], axis=1)
    flat[10:, 4] = 6.0
    obs[0, ALL_MINUTES] = flat.ravel()
    (row,), _ = alone.batch(GROUP, obs)
    assert row[0] == pytest.approx(5.0 / 109.0, rel=1e-15)
    assert row[1] == 2.0
    assert row[2] == 100.0
    assert row[3] == pytest.approx(2.0 / 114.0, rel=1e-15)
    assert row[4] == 0.25
    assert row[5] == 0.0


def test_a_minute_without_range_has_no_body() -> None:
    """A last minute that stands still is NaN, not a body of nothing; so is volume after none."""
    obs = market(2, seed=84)
    obs[1, MINUTES + 14 * 5 : MINUTES + 14 * 5 + 4] = obs[1, 4]
    obs[1, MINUTES + 5 * 5 + 4 : MINUTES + 10 * 5 : 5] = 0.0
    values, _ = alone.batch(GROUP, obs)
    assert np.isfinite(values[0]).all()
    assert np.isnan(values[1]).tolist() == [False, True, False, False, True, False]


def test_volume_after_a_quiet_stretch_is_held() -> None:
    """Volume that leaps a thousandfold counts as a hundredfold."""
    obs = market(1, seed=85)
    obs[0, ALL_MINUTES][4::5] = 1.0
    obs[0, ALL_MINUTES][54::5] = 1_000.0
    assert alone.column(GROUP, alone.batch(GROUP, obs)[0], "m1_vol_ratio_5")[0] == 100.0


@pytest.mark.parametrize("price", [np.nan, 0.0, -1.0, np.inf, 1e300])
def test_an_unusable_minute_is_a_missing_one(price: float) -> None:
    """A price that no bar may have makes its minute missing: five minutes are no move over five."""
    obs = market(1, seed=86)
    obs[0, MINUTES + 9 * 5 + 3] = price
    (row,), _ = alone.batch(GROUP, obs)
    assert np.isnan(row).tolist() == [True, True, False, False, False, False]
    assert row[5] == 1.0


@pytest.mark.parametrize(("there", "warm"), [(3, []), (4, [3]), (9, [0, 3]), (10, [0, 1, 2, 3])])
def test_a_history_that_begins_within_a_bar_is_warm_minute_by_minute(
    there: int, warm: list[int]
) -> None:
    """ATR3 takes 4 minutes, RSI9 10; before them they are NaN, compiled and plain alike."""
    obs = market(1, seed=87)
    obs[0, MINUTES : MINUTES + (15 - there) * 5] = np.nan
    (row,), _ = alone.batch(GROUP, obs)
    (live,), _ = alone.stream(GROUP, obs)
    assert np.flatnonzero(~np.isnan(row[:4])).tolist() == warm
    assert row.tobytes() == live.tobytes()
