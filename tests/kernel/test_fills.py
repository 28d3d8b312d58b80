"""Fills are conservative, funding is settled when the exchange settles it, and no money appears."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel import fills
from kernel.fills import ExitReason, exit_of, fill_price, settle_funding
from tests.kernel.trading_rows import BAR_MS, MONDAY_MS

HOUR_MS = 3_600_000


def exit_reason(
    side: float, bar: tuple[float, float, float, float], target: float, stop: float
) -> tuple[ExitReason, float]:
    """Return reason and price of the exit in a bar that is not the horizon's."""
    reason, price = exit_of(side, *bar, target, stop, False)
    return ExitReason(int(reason)), price


def test_stop_comes_first_when_a_bar_touches_both_barriers() -> None:
    """Inside one bar nobody knows the order, so the worse one is assumed, long and short."""
    bar = (100.0, 106.0, 94.0, 105.0)
    assert exit_reason(1.0, bar, 105.0, 95.0) == (ExitReason.STOP_LOSS, 95.0)
    assert exit_reason(-1.0, bar, 95.0, 105.0) == (ExitReason.STOP_LOSS, 105.0)


def test_a_jump_over_the_stop_fills_at_the_open() -> None:
    """A stop cannot be filled at a price that the market jumped over."""
    assert exit_reason(1.0, (90.0, 92.0, 88.0, 91.0), 105.0, 95.0) == (ExitReason.STOP_LOSS, 90.0)
    assert exit_reason(-1.0, (110.0, 112.0, 108.0, 109.0), 95.0, 105.0) == (
        ExitReason.STOP_LOSS,
        110.0,
    )


def test_a_jump_over_the_target_gives_no_gift() -> None:
    """A target that the market jumped over fills at the target, not at the better open."""
    bar = (110.0, 112.0, 108.0, 111.0)
    assert exit_reason(1.0, bar, 105.0, 95.0) == (ExitReason.TAKE_PROFIT, 105.0)


def test_a_touch_is_enough() -> None:
    """A price that reaches a barrier exactly has reached it, stop and target, long and short."""
    assert exit_reason(1.0, (100.0, 101.0, 95.0, 100.0), 105.0, 95.0)[0] is ExitReason.STOP_LOSS
    assert exit_reason(-1.0, (100.0, 105.0, 99.0, 100.0), 95.0, 105.0)[0] is ExitReason.STOP_LOSS
    assert exit_reason(1.0, (100.0, 105.0, 99.0, 100.0), 105.0, 95.0)[0] is ExitReason.TAKE_PROFIT
    assert exit_reason(-1.0, (100.0, 101.0, 95.0, 100.0), 95.0, 105.0)[0] is ExitReason.TAKE_PROFIT


def test_horizon_exits_at_the_close_and_only_without_a_barrier() -> None:
    """At its horizon a position leaves at the close, unless a barrier was touched in that bar."""
    assert exit_of(1.0, 100.0, 101.0, 99.0, 100.5, 105.0, 95.0, True) == (3.0, 100.5)
    assert exit_of(1.0, 100.0, 106.0, 99.0, 100.5, 105.0, 95.0, True) == (2.0, 105.0)
    assert exit_of(1.0, 100.0, 101.0, 99.0, 100.5, 105.0, 95.0, False) == (0.0, 0.0)


@given(
    st.sampled_from([1.0, -1.0]),
    st.tuples(*[st.floats(50.0, 150.0)] * 4),
    st.floats(0.1, 40.0),
    st.floats(0.1, 40.0),
    st.booleans(),
)
def test_exits_stay_within_the_bar_and_never_beat_the_target(
    side: float,
    prices: tuple[float, float, float, float],
    above: float,
    below: float,
    at_horizon: bool,
) -> None:
    """Stop and horizon exits trade inside the bar's range, and no exit is better than the
    target."""
    high, low = max(prices), min(prices)
    target, stop = 100.0 + side * above, 100.0 - side * below
    reason, price = exit_of(side, prices[0], high, low, prices[1], target, stop, at_horizon)
    if reason == ExitReason.NONE:
        assert not at_horizon
        assert low > min(target, stop)
        assert high < max(target, stop)
    elif reason == ExitReason.TAKE_PROFIT:
        assert price == target
    else:
        assert low <= price <= high
        assert side * (price - target) < 0.0


@given(st.floats(0.01, 1e6), st.floats(0.0, 100.0))
def test_costs_always_hurt(price: float, cost_bps: float) -> None:
    """A buyer pays at least the price, a seller receives at most it, by exactly the cost."""
    assert fill_price(price, 1.0, cost_bps) >= price >= fill_price(price, -1.0, cost_bps)
    assert fill_price(price, 1.0, cost_bps) == pytest.approx(price * (1 + cost_bps / 10_000))


def holding(side: float, last_open_ms: int) -> list[float]:
    """Return the state of an account that holds 2 units and last saw the given bar."""
    state = [0.0] * fills.STATE_SIZE
    state[fills.CASH] = 1_000.0
    state[fills.SIDE] = side
    state[fills.QUANTITY] = 2.0
    state[fills.LAST_OPEN_MS] = last_open_ms
    return state


@pytest.mark.parametrize(
    ("last_hour", "hour", "settlements"),
    [
        (7.75, 8.0, 1),
        (8.0, 8.25, 0),
        (7.75, 8.25, 1),
        (15.75, 16.0, 1),
        (23.75, 24.0, 1),
        (1.0, 25.0, 3),
    ],
)
def test_funding_is_settled_at_0_8_and_16_utc(
    last_hour: float, hour: float, settlements: int
) -> None:
    """Each settlement between the last bar and this one is paid once, also when bars are
    missing."""
    state = holding(1.0, MONDAY_MS + int(last_hour * HOUR_MS))
    paid = settle_funding(state, float(MONDAY_MS + int(hour * HOUR_MS)), 100.0, 0.001)
    assert paid == pytest.approx(0.2 * settlements)
    assert state[fills.CASH] == pytest.approx(1_000.0 - paid)
    assert state[fills.FUNDING] == paid


def test_funding_is_received_by_the_other_side() -> None:
    """At a positive rate longs pay shorts; an unknown rate moves nothing."""
    at_ms = float(MONDAY_MS + 8 * HOUR_MS)
    before = MONDAY_MS + 8 * HOUR_MS - BAR_MS
    assert settle_funding(holding(-1.0, before), at_ms, 100.0, 0.001) == pytest.approx(-0.2)
    assert settle_funding(holding(1.0, before), at_ms, 100.0, -0.001) == pytest.approx(-0.2)
    assert settle_funding(holding(1.0, before), at_ms, 100.0, math.nan) == 0.0
