"""Funding, open interest and basis: the laws, DuckDB's windows, and numbers by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from kernel.features.derivatives import GROUP
from kernel.features.recursions import FUNDING_RATE, INDEX_CLOSE, MARK_CLOSE, OPEN_INTEREST
from tests.kernel.features import alone
from tests.kernel.features.sql import columns, late
from tests.kernel.features.worlds import market

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
FUNDING = """
    WITH rates AS (
        SELECT open_time_ms, funding_rate_time_ms // 28800000 AS period,
               least(greatest(funding_rate, -0.003), 0.003) AS rate
        FROM bars WHERE funding_rate IS NOT NULL
    ), settlements AS (
        SELECT period, arg_max(rate, open_time_ms) AS rate FROM rates GROUP BY period
    ), earlier AS (
        SELECT period,
               count(*) OVER month AS settled,
               avg(rate) OVER month AS mean,
               stddev_pop(rate) OVER month AS deviation,
               sum(rate) OVER week AS total,
               count(*) OVER week AS settled_in_week
        FROM settlements
        WINDOW month AS (ORDER BY period ROWS BETWEEN 90 PRECEDING AND 1 PRECEDING),
               week AS (ORDER BY period ROWS BETWEEN 20 PRECEDING AND 1 PRECEDING)
    )
    SELECT rate / 0.003 AS funding_rate_norm,
           CASE WHEN settled = 90 THEN least(greatest((rate - mean) / deviation, -5), 5) END
               AS funding_zscore,
           CASE WHEN settled_in_week = 20 THEN total + rate END AS funding_cumulated,
           (rate IS NULL)::INT AS funding_missing
    FROM bars LEFT JOIN rates USING (open_time_ms) LEFT JOIN earlier USING (period)
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
    """A feature equals its window in DuckDB, also where rates are late, absent, or bars missing."""
    obs = market(5_000, seed=91)
    series = (FUNDING_RATE, OPEN_INTEREST, MARK_CLOSE, INDEX_CLOSE)
    obs = late(obs, series, bars=5) if torn else obs
    expected = {**columns(obs, FUNDING), **columns(obs, INTEREST)}[name]
    found = alone.column(GROUP, alone.batch(GROUP, obs)[0], name)
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=TOLERANCE[name])
    assert np.isfinite(expected).sum() > 1_000


def settled(rates: list[float]) -> Values:
    """Return observations of one settlement of 8 hours after the other."""
    obs = market(32 * len(rates), seed=92)
    obs[:, FUNDING_RATE] = np.repeat(rates, 32)
    return obs


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
