"""On-chain features: the laws, DuckDB's windows over days, and days by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from kernel.features.onchain import GROUP
from kernel.features.recursions import (
    EXCHANGE_NET_FLOW,
    EXCHANGE_NET_FLOW_TIME,
    FEES,
    FEES_TIME,
    HASH_RATE,
    MVRV,
)
from tests.kernel.features import alone
from tests.kernel.features.sql import columns, late
from tests.kernel.features.worlds import market

Values = NDArray[np.float64]

TOLERANCE = {
    "mvrv": 0.0,
    "mvrv_zscore": 1e-10,
    "exchange_net_flow_norm": 1e-12,
    "exchange_net_flow_zscore": 1e-10,
    "active_addresses_growth": 1e-12,
    "transactions_growth": 1e-12,
    "hash_ribbon": 1e-12,
    "fee_pressure": 1e-12,
    "onchain_missing": 0.0,
}
DAYS = """
    WITH seen AS (
        SELECT open_time_ms, {field} AS x, {field}_time_ms // 86400000 AS day
        FROM bars WHERE {field} IS NOT NULL
    ), days AS (
        SELECT day, arg_max(x, open_time_ms) AS x FROM seen GROUP BY day
    ), earlier AS (
        SELECT day,
               count(*) OVER all_days AS n,
               avg(x) OVER d90 AS mean90, stddev_pop(x) OVER d90 AS deviation90,
               avg(x) OVER d30 AS mean30, avg(abs(x)) OVER d30 AS size30,
               sum(x) OVER d29 AS sum29, sum(x) OVER d59 AS sum59,
               sum(x) OVER d6 AS sum6, sum(x) OVER week AS week
        FROM days
        WINDOW all_days AS (ORDER BY day ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
               d90 AS (ORDER BY day ROWS BETWEEN 90 PRECEDING AND 1 PRECEDING),
               d59 AS (ORDER BY day ROWS BETWEEN 59 PRECEDING AND 1 PRECEDING),
               d30 AS (ORDER BY day ROWS BETWEEN 30 PRECEDING AND 1 PRECEDING),
               d29 AS (ORDER BY day ROWS BETWEEN 29 PRECEDING AND 1 PRECEDING),
               d6 AS (ORDER BY day ROWS BETWEEN 6 PRECEDING AND 1 PRECEDING),
               week AS (ORDER BY day ROWS BETWEEN 13 PRECEDING AND 7 PRECEDING)
    )
    SELECT CASE WHEN n >= {days} THEN {formula} END AS value
    FROM bars LEFT JOIN seen USING (open_time_ms) LEFT JOIN earlier USING (day)
    ORDER BY open_time_ms
"""
_ZSCORE = "least(greatest((x - mean90) / deviation90, -5), 5)"
_GROWTH = "least((sum6 + x) / week - 1, 1)"
FORMULA = {
    "mvrv": ("mvrv", 0, "x"),
    "mvrv_zscore": ("mvrv", 90, _ZSCORE),
    "exchange_net_flow_norm": ("exchange_net_flow", 30, "least(greatest(x / size30, -5), 5)"),
    "exchange_net_flow_zscore": ("exchange_net_flow", 90, _ZSCORE),
    "active_addresses_growth": ("active_addresses", 13, _GROWTH),
    "transactions_growth": ("transactions", 13, _GROWTH),
    "hash_ribbon": ("hash_rate", 59, "((sum29 + x) / 30) / ((sum59 + x) / 60) - 1"),
    "fee_pressure": ("fees", 30, "(x - mean30) / (x + mean30)"),
}
MISSING = """
    SELECT (mvrv IS NULL OR exchange_net_flow IS NULL OR active_addresses IS NULL
            OR transactions IS NULL OR hash_rate IS NULL OR fees IS NULL)::INT AS value
    FROM bars ORDER BY open_time_ms
"""


def test_onchain_batch_equals_stream() -> None:
    """Batch, stream, restart and any chunking give the same bytes."""
    alone.check_parity(GROUP, bars=3_200)


def test_onchain_extremes_stay_in_range() -> None:
    """Extreme worlds give values within the stated ranges, or NaN by policy."""
    alone.check_extremes(GROUP, bars=8_900)


def test_onchain_warm_up_is_exact() -> None:
    """A feature is NaN before its warm-up bar and has a value from it on."""
    alone.check_warm_up(GROUP)


def test_onchain_reads_its_inputs_alone() -> None:
    """Fields that are not inputs change no byte; inputs do."""
    alone.check_inputs(GROUP)


def test_onchain_cannot_see_the_future() -> None:
    """No past value changes with the future."""
    alone.check_certificates(GROUP)


@pytest.mark.parametrize("name", TOLERANCE)
@pytest.mark.parametrize("torn", [False, True], ids=["whole", "torn"])
def test_onchain_equals_sql(name: str, torn: bool) -> None:
    """A feature equals its window over days, also where values come at noon, or not for days."""
    obs = market(12_000, seed=101)
    obs = late(obs, range(EXCHANGE_NET_FLOW, FEES + 1), bars=37) if torn else obs
    if name == "onchain_missing":
        query = MISSING
    else:
        field, days, formula = FORMULA[name]
        query = DAYS.format(field=field, days=days, formula=formula)
    expected = columns(obs, query)["value"]
    found = alone.column(GROUP, alone.batch(GROUP, obs)[0], name)
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=TOLERANCE[name])
    assert np.isfinite(expected).sum() > 2_000


def days(field: int, values: list[float]) -> Values:
    """Return observations of one value of a field a day."""
    obs = market(96 * len(values), seed=102)
    obs[:, field] = np.repeat(values, 96)
    return obs


def test_a_day_counts_once() -> None:
    """Net flows of 1 for 30 days, then 3: three times the usual, on each of the day's 96 bars."""
    obs = days(EXCHANGE_NET_FLOW, [-1.0, 1.0] * 15 + [3.0, -3.0])
    found = alone.column(GROUP, alone.batch(GROUP, obs)[0], "exchange_net_flow_norm")
    assert np.isnan(found[: 30 * 96]).all()
    assert (found[30 * 96 : 31 * 96] == 3.0).all()
    np.testing.assert_allclose(found[31 * 96 :], -3.0 * 30 / 32, rtol=1e-15)


@pytest.mark.parametrize("hours", [0, 2, 12, 23, 26, 50])
def test_a_value_counts_once_however_late_it_comes(hours: int) -> None:
    """Published hours later, the same days make the same windows: each feature is shifted, and of
    no bar different.
    """
    obs = market(9_600, seed=104)
    bars = 4 * hours
    later = obs.copy()
    columns = [*range(EXCHANGE_NET_FLOW, FEES + 1), *range(EXCHANGE_NET_FLOW_TIME, FEES_TIME + 1)]
    later[bars:, columns] = obs[: len(obs) - bars, columns]
    later[:bars, columns] = np.nan
    at_once, _ = alone.batch(GROUP, obs)
    found, _ = alone.batch(GROUP, later)
    np.testing.assert_array_equal(found[bars:], at_once[: len(obs) - bars])
    assert np.isfinite(found[-1]).all()


def test_a_correction_replaces_the_value_of_its_day() -> None:
    """A day that first said 50 and then 2 counts with 2."""
    obs = days(FEES, [2.0] * 32)
    obs[30 * 96 : 30 * 96 + 48, FEES] = 50.0
    found = alone.column(GROUP, alone.batch(GROUP, obs)[0], "fee_pressure")
    np.testing.assert_allclose(found[30 * 96 : 30 * 96 + 48], 48.0 / 52.0, rtol=1e-15)
    assert (found[30 * 96 + 48 :] == 0.0).all()


def test_hash_ribbon_by_hand() -> None:
    """30 days at 1 after 30 at 3: the short mean is half of the long one."""
    obs = days(HASH_RATE, [3.0] * 30 + [1.0] * 30)
    found = alone.column(GROUP, alone.batch(GROUP, obs)[0], "hash_ribbon")
    assert np.isnan(found[: 59 * 96]).all()
    assert (found[59 * 96 :] == -0.5).all()


def test_value_that_stood_still_has_no_zscore() -> None:
    """90 days at one value give no scale: NaN, whatever comes next."""
    obs = days(MVRV, [1.7] * 91 + [1.8] + [1.9])
    found = alone.column(GROUP, alone.batch(GROUP, obs)[0], "mvrv_zscore")
    assert np.isnan(found[: 92 * 96]).all()
    assert (found[92 * 96 :] == 5.0).all()


@pytest.mark.parametrize("field", range(EXCHANGE_NET_FLOW, FEES + 1))
def test_any_missing_series_is_told(field: int) -> None:
    """The flag is raised by each of the six series alone; the others keep their values."""
    obs = market(9_000, seed=103)
    obs[-1, field] = np.nan
    values, _ = alone.batch(GROUP, obs)
    assert values[-2:, -1].tolist() == [0.0, 1.0]
    without = int(np.isnan(values[-1]).sum())
    assert without == (2 if field in (EXCHANGE_NET_FLOW, MVRV) else 1)
