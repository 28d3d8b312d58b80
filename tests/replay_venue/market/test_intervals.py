"""The grid of every interval, against pandas' and DuckDB's calendars."""

from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay_venue.market import intervals
from replay_venue.market.intervals import COARSE, INTERVALS
from tests.replay_venue.served import at

MOMENTS = st.integers(at("1971-01-01"), at("2099-01-01"))


@given(st.sampled_from(INTERVALS), MOMENTS)
def test_a_bar_holds_the_moment_it_was_found_by(interval: str, moment: int) -> None:
    """Each moment lies in exactly one bar: from its open to the next one's."""
    opened = intervals.open_of(interval, moment)
    assert opened <= moment < intervals.next_open(interval, opened)
    assert intervals.open_of(interval, opened) == opened
    assert intervals.open_of(interval, opened - 1, 1) == opened
    assert intervals.first_open(interval, opened) == opened
    assert intervals.first_open(interval, moment) == (
        opened if opened == moment else intervals.next_open(interval, opened)
    )


@pytest.mark.parametrize("interval", INTERVALS)
def test_numbers_and_opens_are_inverse(interval: str) -> None:
    """Counting bars up from any of them meets each open once, in order."""
    first = intervals.numbers(interval, np.array([at("2024-02-28 13:07")]))
    number = first + np.arange(40)
    opened = intervals.opens(interval, number)
    assert intervals.numbers(interval, opened).tolist() == number.tolist()
    assert intervals.numbers(interval, opened - 1).tolist() == (number - 1).tolist()


def test_the_grid_is_pandas_own() -> None:
    """Every interval's bar of 2,000 moments is that of pandas' floor, week and month."""
    import pandas as pd

    rng = np.random.default_rng(3)
    moments = rng.integers(at("2017-01-01"), at("2031-01-01"), 2_000)
    stamps = pd.DatetimeIndex(pd.to_datetime(moments, unit="ms", utc=True))
    naive = stamps.tz_localize(None)
    expected = {name: stamps.floor(name.replace("m", "min")) for name in INTERVALS[:-3]}
    expected["3d"] = pd.to_datetime(moments // 259_200_000 * 259_200_000, unit="ms", utc=True)
    expected["1w"] = naive.to_period("W-SUN").start_time.tz_localize("UTC")
    expected["1M"] = naive.to_period("M").start_time.tz_localize("UTC")
    for interval, opened in expected.items():
        found = intervals.opens(interval, intervals.numbers(interval, moments))
        assert found.tolist() == opened.as_unit("ms").astype("int64").tolist(), interval


@pytest.mark.parametrize(("interval", "unit"), [("1w", "week"), ("1M", "month"), ("1d", "day")])
def test_the_grid_is_duckdb_s_own(interval: str, unit: str) -> None:
    """Weeks open on Monday and months on their first, as date_trunc has them."""
    import duckdb

    start, end = datetime(2023, 12, 25), datetime(2028, 3, 2)  # noqa: DTZ001 - naive is UTC here
    rows = duckdb.execute(
        f"select epoch_ms(t), epoch_ms(date_trunc('{unit}', t)::timestamp) "
        "from range(?::timestamp, ?::timestamp, interval 7 hour) r(t)",
        [start, end],
    ).fetchall()
    assert len(rows) > 5_000
    for moment, opened in rows:
        assert intervals.open_of(interval, moment) == opened


def test_known_boundaries() -> None:
    """A leap February, a week over New Year, and three days from 2019-09-08."""
    assert intervals.next_open("1M", at("2024-02-01")) == at("2024-03-01")
    assert intervals.open_of("1w", at("2025-01-01")) == at("2024-12-30")
    assert intervals.open_of("3d", at("2019-09-10 23:00")) == at("2019-09-08")


def test_an_unknown_interval_is_named() -> None:
    """The error says what was found and which intervals there are."""
    with pytest.raises(ValueError, match="found '2w', expected one of"):
        intervals.open_of("2w", 0)
    assert set(COARSE) < set(INTERVALS)
