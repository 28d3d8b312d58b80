"""The guards on the runner's own condition."""

import pytest

from kernel.decision import Abstain
from live_runner.health import Health, HealthLimits

LIMITS = HealthLimits(api_errors_a_minute=10, latency_ms=500, slow_bars=3)


def test_ten_failures_within_a_minute_bar_entries_until_the_first_is_old() -> None:
    """Nine do not, ten do, and a minute after the first of them nothing is barred."""
    health = Health(LIMITS, lambda: False)
    for second in range(9):
        health.failed(100.0 + second)
    assert health.trouble("BTCUSDT", 110.0) == (Abstain.NONE, "")
    health.failed(109.0)
    assert health.trouble("BTCUSDT", 110.0)[0] == Abstain.API_ERRORS
    assert health.trouble("BTCUSDT", 159.9)[0] == Abstain.API_ERRORS
    assert health.trouble("BTCUSDT", 160.0)[0] == Abstain.NONE


def test_failures_spread_over_time_bar_nothing() -> None:
    """One failure every seven seconds never makes ten in a minute."""
    health = Health(LIMITS, lambda: False)
    for second in range(0, 700, 7):
        health.failed(float(second))
        assert health.trouble("BTCUSDT", float(second))[0] == Abstain.NONE


def test_three_slow_bars_in_a_row_bar_their_symbol_only() -> None:
    """A quick bar ends the row; the other symbol goes on."""
    health = Health(LIMITS, lambda: False)
    for latency_us in (500_001, 500_001, 500_000, 500_001, 500_001):
        health.decided("BTCUSDT", latency_us, caught_up=False)
        assert health.trouble("BTCUSDT", 0.0)[0] == Abstain.NONE
    health.decided("BTCUSDT", 500_001, caught_up=False)
    assert health.trouble("BTCUSDT", 0.0)[0] == Abstain.SLOW
    assert health.trouble("ETHUSDT", 0.0)[0] == Abstain.NONE
    health.decided("BTCUSDT", 1, caught_up=False)
    assert health.trouble("BTCUSDT", 0.0)[0] == Abstain.NONE


@pytest.mark.parametrize("bars", [1, 50])
def test_bars_caught_up_after_an_outage_are_not_slow(bars: int) -> None:
    """However many old bars are worked off, they say nothing of speed."""
    health = Health(LIMITS, lambda: False)
    for _ in range(bars):
        health.decided("BTCUSDT", 60_000_000, caught_up=True)
    assert health.trouble("BTCUSDT", 0.0)[0] == Abstain.NONE


def test_nothing_is_late_where_the_market_runs_at_another_pace() -> None:
    """A replay at any speed bars nothing; back at our pace the same counts bar again."""
    replayed = True
    health = Health(LIMITS, lambda: replayed)
    for second in range(10):
        health.failed(float(second))
        health.decided("BTCUSDT", 60_000_000, caught_up=False)
    assert health.trouble("BTCUSDT", 10.0) == (Abstain.NONE, "")
    assert health.slow_bars("BTCUSDT") == 10
    replayed = False
    assert health.trouble("BTCUSDT", 10.0)[0] == Abstain.API_ERRORS
    assert health.trouble("BTCUSDT", 100.0)[0] == Abstain.SLOW
