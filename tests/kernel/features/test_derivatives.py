"""Funding, open interest and basis: the laws, DuckDB's windows, and numbers by hand."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from kernel.features.derivatives import GROUP
from kernel.features.recursions import (
    FUNDING_HOURS_EARLIER,
    INDEX_CLOSE,
    MARK_CLOSE,
    OPEN_INTEREST,
)
from kernel.observation import HOUR_MS, Series, settled_by_hour
from tests.kernel.features import alone
from tests.kernel.features.sql import columns, late
from tests.kernel.features.worlds import BAR_MS, START_MS, market

Values = NDArray[np.float64]

TOLERANCE = {
    "funding_rate_norm": 1e-15,
    "funding_zscore": 1e-10,
    "funding_cumulated": 1e-15,
    "oi_change": 1e-15,
    "basis": 1e-15,
    "long_short_pressure": 1e-9,  # the square root of rounding where a change is nearly nothing
    "funding_missing": 0.0,
    "open_interest_missing": 0.0,
    "basis_missing": 0.0,
}
WINDOWED = ("funding_zscore", "funding_cumulated")
FUNDING = """
    WITH settled AS (
        SELECT hour, least(greatest(rate, -0.003), 0.003) AS held, rate,
               hour - lag(hour) OVER (ORDER BY hour) AS hours
        FROM settlements
    ), periods AS (
        SELECT hour // 8 AS period, sum(held) AS paid FROM settled GROUP BY period
    ), earlier AS (
        SELECT period, count(*) OVER month AS counted, avg(paid) OVER month AS mean,
               stddev_pop(paid) OVER month AS deviation,
               sum(paid) OVER week AS total, count(*) OVER week AS counted_in_week
        FROM periods
        WINDOW month AS (ORDER BY period ROWS BETWEEN 90 PRECEDING AND 1 PRECEDING),
               week AS (ORDER BY period ROWS BETWEEN 20 PRECEDING AND 1 PRECEDING)
    ), latest AS (
        SELECT open_time_ms, max(hour) AS hour
        FROM bars JOIN settlements ON hour * 3600000 BETWEEN open_time_ms - 86400000 + 900000
            AND open_time_ms + 899999 GROUP BY open_time_ms
    ), so_far AS (
        SELECT l.open_time_ms, sum(s.held) AS paid FROM latest l JOIN settled s
            ON s.hour <= l.hour AND s.hour // 8 = l.hour // 8 GROUP BY l.open_time_ms
    ), rates AS (
        SELECT open_time_ms, hour,
               least(greatest(rate * 8 / least(hours, 8), -0.003), 0.003) AS rate
        FROM latest JOIN settled USING (hour)
    )
    SELECT rate / 0.003 AS funding_rate_norm,
           CASE WHEN counted = 90 THEN least(greatest((rate - mean) / deviation, -5), 5) END
               AS funding_zscore,
           CASE WHEN counted_in_week = 20 THEN total + paid END AS funding_cumulated,
           (rates.open_time_ms IS NULL)::INT AS funding_missing
    FROM bars LEFT JOIN rates USING (open_time_ms) LEFT JOIN so_far USING (open_time_ms)
        LEFT JOIN earlier ON period = hour // 8
    ORDER BY open_time_ms
"""
INTEREST = """
    WITH changes AS (
        SELECT open_time_ms, open_interest, mark_close, index_close,
               open_interest / lag(open_interest, 16) OVER time - 1 AS change,
               close / lag(close, 16) OVER time - 1 AS move
        FROM bars WINDOW time AS (ORDER BY open_time_ms)
    )
    SELECT change AS oi_change,
           sign(change * move) * sqrt(abs(change * move)) AS long_short_pressure,
           mark_close / index_close - 1 AS basis,
           (open_interest IS NULL)::INT AS open_interest_missing,
           (mark_close IS NULL OR index_close IS NULL)::INT AS basis_missing
    FROM changes ORDER BY open_time_ms
"""


def test_derivatives_batch_equals_stream() -> None:
    """Batch, stream, restart and any chunking give the same bytes."""
    alone.check_parity(GROUP)


def test_derivatives_extremes_stay_in_range() -> None:
    """Extreme worlds give values within the stated ranges, or NaN by policy."""
    alone.check_extremes(GROUP, bars=3_100)


def test_derivatives_warm_up_is_exact() -> None:
    """A feature is NaN before its warm-up bar and has a value from it on."""
    alone.check_warm_up(GROUP)


def test_derivatives_read_their_inputs_alone() -> None:
    """Fields that are not inputs change no byte; inputs do."""
    alone.check_inputs(GROUP)


def test_derivatives_cannot_see_the_future() -> None:
    """No past value changes with the future."""
    alone.check_certificates(GROUP)


@pytest.mark.parametrize("name", TOLERANCE)
@pytest.mark.parametrize("torn", [False, True], ids=["whole", "torn"])
def test_derivatives_equal_sql(name: str, torn: bool) -> None:
    """A feature equals its window in DuckDB, also where values are late, absent, or bars missing,
    and where the symbol goes from eight hours to four and to one.
    """
    obs = market(5_000, seed=91)
    hours = settling_hours(first=-24, stop=1_300, changes=(500, 900))
    rates = np.random.default_rng(91).normal(1e-4, 4e-4, len(hours))
    obs = with_settlements(obs, hours, rates)
    series = (OPEN_INTEREST, MARK_CLOSE, INDEX_CLOSE)
    # Of each hour one bar at least is there: what a period of 8 hours cost is known at its end.
    obs = late(obs, series, bars=5, longest_hole=4) if torn else obs
    settled = pd.DataFrame({"hour": START_MS // HOUR_MS + hours, "rate": rates})
    # The state has seen nothing of the periods that ended before the first bar.
    settled = settled[settled["hour"] >= START_MS // HOUR_MS] if name in WINDOWED else settled
    expected = {**columns(obs, FUNDING, settlements=settled), **columns(obs, INTEREST)}[name]
    found = alone.column(GROUP, alone.batch(GROUP, obs)[0], name)
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=TOLERANCE[name])
    assert np.isfinite(expected).sum() > 1_000


def settling_hours(first: int, stop: int, changes: tuple[int, int]) -> NDArray[np.int64]:
    """Return hours that settle: every eighth, from the first change every fourth, then each."""
    hours = np.arange(first, stop)
    every = np.select([hours < changes[0], hours < changes[1]], [8, 4], 1)
    return hours[hours % every == 0]


def with_settlements(obs: Values, hours: NDArray[np.int64], rates: Values) -> Values:
    """Return the observations with these rates, settled at hours after the worlds' start."""
    event_ms = START_MS + hours * HOUR_MS
    changed = obs.copy()
    changed[:, FUNDING_HOURS_EARLIER:] = settled_by_hour(
        Series("funding_rate", event_ms, event_ms + 60_000, rates),
        obs[:, 0].astype(np.int64) + BAR_MS,
    )
    return changed


def settled(rates: list[float], every_hours: int = 8) -> Values:
    """Return observations of one settlement after the other, as many hours apart."""
    obs = market(4 * every_hours * len(rates), seed=92)
    return with_settlements(obs, every_hours * np.arange(len(rates)), np.array(rates))


@pytest.mark.parametrize("every_hours", [1, 2, 4, 8])
def test_symbols_that_settle_at_other_intervals_are_comparable(every_hours: int) -> None:
    """The same rate per hour of time gives the same features, whatever the interval."""
    rates = [1e-5 * every_hours] * (24 * 31 // every_hours)
    found, _ = alone.batch(GROUP, settled(rates, every_hours))
    last = {one.name: found[-1, at] for at, one in enumerate(GROUP.features)}
    assert last["funding_rate_norm"] == pytest.approx(8e-5 / 0.003)
    assert last["funding_cumulated"] == pytest.approx(7 * 24 * 1e-5)


def test_a_week_of_funding_is_21_settlements() -> None:
    """Settlements of 1, 2, 3 ... hundredths of a per mille sum over the last 21, once each."""
    obs = settled([1e-5 * n for n in range(1, 31)])
    found = alone.column(GROUP, alone.batch(GROUP, obs)[0], "funding_cumulated")
    assert np.isnan(found[: 20 * 32]).all()
    assert found[20 * 32] == pytest.approx(1e-5 * sum(range(1, 22)), rel=1e-12)
    assert found[-1] == pytest.approx(1e-5 * sum(range(10, 31)), rel=1e-12)
    assert len(np.unique(found[20 * 32 :])) == 10


def test_funding_that_stood_still_has_no_zscore() -> None:
    """90 settlements at one rate give no scale: NaN, whatever comes next, and 5 after a ripple."""
    obs = settled([1e-4] * 91 + [2e-4] * 2)
    found = alone.column(GROUP, alone.batch(GROUP, obs)[0], "funding_zscore")
    assert np.isnan(found[: 92 * 32]).all()
    assert (found[92 * 32 :] == 5.0).all()


def test_one_settlement_says_nothing_per_hour() -> None:
    """Without the settlement before it nobody knows for how many hours a rate was paid."""
    obs = settled([1e-4, 1e-4])
    found = alone.column(GROUP, alone.batch(GROUP, obs)[0], "funding_rate_norm")
    assert np.isnan(found[:32]).all()
    assert found[32:] == pytest.approx(1e-4 / 0.003)


@pytest.mark.parametrize(
    ("interest", "price", "pressure"),
    [
        (1.04, 1.01, 0.02),  # longs open
        (1.04, 0.99, -0.02),  # shorts open
        (0.96, 1.01, -0.02),  # shorts leave
        (0.96, 0.99, 0.02),  # longs leave
        (1.0, 1.01, 0.0),
    ],
)
def test_pressure_by_hand(interest: float, price: float, pressure: float) -> None:
    """Open interest by 4 % and price by 1 % make 2 %, signed by who moves."""
    obs = market(17, seed=93)
    obs[:, OPEN_INTEREST] = 1e6
    obs[:, 1:5] = 100.0
    obs[-1, OPEN_INTEREST] *= interest
    obs[-1, 1:5] *= price
    found = alone.column(GROUP, alone.batch(GROUP, obs)[0], "long_short_pressure")
    assert found[-1] == pytest.approx(pressure, abs=1e-15)


@pytest.mark.parametrize("field", [MARK_CLOSE, INDEX_CLOSE])
@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -1.0])
def test_basis_needs_both_prices(field: int, value: float) -> None:
    """Without a mark or an index above zero there is no basis, and the flag says so."""
    obs = market(1, seed=94)
    obs[0, field] = value
    values, _ = alone.batch(GROUP, obs)
    assert np.isnan(alone.column(GROUP, values, "basis")[0])
    assert alone.column(GROUP, values, "basis_missing")[0] == 1.0
