"""Sessions and the clock: the laws, DuckDB's calendar, and instants worked out by hand."""

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from kernel.features.calendar import GROUP, sine_of_turn
from tests.kernel.features import alone
from tests.kernel.features.sql import columns
from tests.kernel.features.worlds import BAR_MS, damaged, market

TOLERANCE = {
    "is_asian_session": 0.0,
    "is_london_session": 0.0,
    "is_ny_session": 0.0,
    "session_hour_sin": 2e-15,
    "session_hour_cos": 2e-15,
    "weekday_sin": 2e-15,
    "weekday_cos": 2e-15,
}
CLOCK = """
    WITH clock AS (
        SELECT open_time_ms, hour(closed) + minute(closed) / 60 AS hour,
               isodow(closed) - 1 AS weekday
        FROM bars
    )
    SELECT hour < 8 AS is_asian_session,
           hour >= 8 AND hour < 17 AS is_london_session,
           hour >= 13 AND hour < 22 AS is_ny_session,
           sin(2 * pi() * hour / 24) AS session_hour_sin,
           cos(2 * pi() * hour / 24) AS session_hour_cos,
           sin(2 * pi() * weekday / 7) AS weekday_sin,
           cos(2 * pi() * weekday / 7) AS weekday_cos
    FROM clock ORDER BY open_time_ms
"""


def test_calendar_batch_equals_stream() -> None:
    """Batch, stream, restart and any chunking give the same bytes."""
    alone.check_parity(GROUP)


def test_calendar_extremes_stay_in_range() -> None:
    """Extreme worlds give values within the stated ranges."""
    alone.check_extremes(GROUP, bars=700)


def test_calendar_warm_up_is_exact() -> None:
    """Every feature has a value from the first bar on."""
    alone.check_warm_up(GROUP)


def test_calendar_reads_the_clock_alone() -> None:
    """Prices and series change no byte; another time does."""
    alone.check_inputs(GROUP)


def test_calendar_cannot_see_the_future() -> None:
    """No past value changes with the future."""
    alone.check_certificates(GROUP)


@pytest.mark.parametrize("name", TOLERANCE)
def test_calendar_equals_sql(name: str) -> None:
    """A feature is what DuckDB's calendar says of the instant at which the bar closes."""
    obs = damaged(market(3_000, seed=61), np.random.default_rng(61))
    obs = obs[np.isfinite(obs[:, 1:6]).all(axis=1) & (obs[:, 1:6] > 0).all(axis=1)]
    obs = obs[(obs[:, 1:5] < 1e18).all(axis=1)]
    found = alone.column(GROUP, alone.batch(GROUP, obs)[0], name)
    expected = columns(obs, CLOCK)[name]
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=TOLERANCE[name])


@pytest.mark.parametrize(
    ("name", "zone", "opening"),
    [
        ("is_asian_session", "Asia/Tokyo", 9),
        ("is_london_session", "Europe/London", 8),
        ("is_ny_session", "America/New_York", 8),
    ],
)
def test_sessions_are_the_business_hours_of_winter(name: str, zone: str, opening: int) -> None:
    """On a day of January each session lasts to 17:00 on its own city's clock."""
    obs = market(96, seed=62, start_ms=1_673_308_800_000)  # 2023-01-10 00:00 UTC
    found = alone.column(GROUP, alone.batch(GROUP, obs)[0], name)
    for open_ms, flag in zip(obs[:, 0].tolist(), found.tolist(), strict=True):
        closed = datetime.fromtimestamp((open_ms + BAR_MS) / 1_000, ZoneInfo(zone))
        assert flag == float(opening <= closed.hour < 17), closed


def test_calendar_is_that_of_the_close() -> None:
    """The bar from Sunday 23:45 to Monday 00:00 UTC is Monday's first instant, in Asia."""
    obs = market(1, seed=1, start_ms=1_672_617_600_000 - BAR_MS)
    (row,), _ = alone.batch(GROUP, obs)
    assert row.tolist() == [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0]


def test_sine_is_within_rounding_of_the_library() -> None:
    """The series differs from the C library's sine by no more than the rounding of the angle."""
    turns = np.random.default_rng(2).random(20_000)
    found = np.array([sine_of_turn(turn) for turn in turns.tolist()])
    assert np.abs(found - np.sin(2.0 * np.pi * turns)).max() < 1.5e-15
