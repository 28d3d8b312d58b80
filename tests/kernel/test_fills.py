"""Fills are conservative, funding is settled when the exchange settles it, and no money appears."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel import fills
from kernel.fills import ExitReason, exit_of, fill_price, settle_funding
from tests.kernel.trading_rows import BAR_MS, HOUR_MS, MONDAY_MS, hours_before


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
    assert exit_of(
        side=1.0,
        open_price=100.0,
        high=101.0,
        low=99.0,
        close=100.5,
        take_profit=105.0,
        stop_loss=95.0,
        at_horizon=True,
    ) == (3.0, 100.5)
    assert exit_of(
        side=1.0,
        open_price=100.0,
        high=106.0,
        low=99.0,
        close=100.5,
        take_profit=105.0,
        stop_loss=95.0,
        at_horizon=True,
    ) == (2.0, 105.0)
    assert exit_of(
        side=1.0,
        open_price=100.0,
        high=101.0,
        low=99.0,
        close=100.5,
        take_profit=105.0,
        stop_loss=95.0,
        at_horizon=False,
    ) == (0.0, 0.0)


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
    reason, price = exit_of(
        side=side,
        open_price=prices[0],
        high=high,
        low=low,
        close=prices[1],
        take_profit=target,
        stop_loss=stop,
        at_horizon=at_horizon,
    )
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


def holding(side: float, since_hour: float) -> list[float]:
    """Return the state of an account that holds 2 units since some hour of the Monday."""
    state = [0.0] * fills.STATE_SIZE
    state[fills.CASH] = 1_000.0
    state[fills.SIDE] = side
    state[fills.QUANTITY] = 2.0
    state[fills.ENTRY_MS] = MONDAY_MS + since_hour * HOUR_MS
    state[fills.SETTLED_MS] = state[fills.ENTRY_MS]
    return state


def settle(
    state: list[float], open_hour: float, rates: dict[int, float], *, costs_only: bool = False
) -> float:
    """Settle at the open of a bar of 15 minutes what is known at its close."""
    open_ms = MONDAY_MS + int(open_hour * HOUR_MS)
    known = hours_before(
        open_ms + BAR_MS, {MONDAY_MS + hour * HOUR_MS: rate for hour, rate in rates.items()}
    )
    return settle_funding(
        state=state,
        rates=[9.9, *known],
        first=1,
        close_time_ms=open_ms + BAR_MS,
        until_ms=open_ms,
        open_price=100.0,
        costs_only=costs_only,
    )


@pytest.mark.parametrize(
    ("since_hour", "open_hour", "rates", "paid"),
    [
        (7.75, 8.0, {8: 0.001}, 0.001),
        (8.0, 8.0, {8: 0.001}, 0.0),
        (8.0, 8.25, {8: 0.001}, 0.0),
        (7.75, 8.25, {8: 0.001}, 0.001),
        (1.0, 24.0, {8: 0.001, 16: 0.002, 24: -0.004}, -0.001),
        (1.0, 4.0, {1: 0.5, 2: 0.001, 3: 0.001, 4: 0.001, 5: 0.5}, 0.003),
        (7.75, 8.0, {8: math.nan}, 0.0),
    ],
)
def test_each_hour_that_settled_is_paid_once_at_its_own_rate(
    since_hour: float, open_hour: float, rates: dict[int, float], paid: float
) -> None:
    """What settled after the entry and up to this open is paid, however long ago the last bar."""
    state = holding(1.0, since_hour)
    found = settle(state, open_hour, rates)
    assert found == pytest.approx(200.0 * paid)
    assert state[fills.CASH] == pytest.approx(1_000.0 - found)
    assert state[fills.FUNDING] == found
    assert settle(state, open_hour, rates) == 0.0


def test_a_rate_that_is_known_late_is_paid_late() -> None:
    """The hour that nobody knew of at its own bar is paid when it is known, and then only once."""
    state = holding(1.0, 7.0)
    assert settle(state, 8.0, {}) == 0.0
    assert settle(state, 8.25, {8: 0.001}) == pytest.approx(0.2)
    assert settle(state, 8.5, {8: 0.001}) == 0.0


def test_funding_is_received_by_the_other_side() -> None:
    """At a positive rate longs pay shorts."""
    assert settle(holding(-1.0, 7.0), 8.0, {8: 0.001}) == pytest.approx(-0.2)
    assert settle(holding(1.0, 7.0), 8.0, {8: -0.001}) == pytest.approx(-0.2)


def test_what_may_not_have_been_held_is_counted_where_it_costs() -> None:
    """Where nobody knows whether the position was still there, nothing is received."""
    rates = {7: 0.001, 8: -0.004}
    assert settle(holding(1.0, 6.0), 8.0, rates, costs_only=True) == pytest.approx(0.2)
    assert settle(holding(-1.0, 6.0), 8.0, rates, costs_only=True) == pytest.approx(0.8)
