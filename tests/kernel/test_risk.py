"""Each guard blocks when its limit is reached, and resets when it should."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.risk import (
    EQUITY,
    RISK_SIZE,
    Guard,
    blocking_guard,
    count_trade,
    roll_windows,
    size,
    start,
    watch,
)
from tests.kernel.trading_rows import BAR_MS, DAY_MS, MONDAY_MS

HOUR_MS = 3_600_000
SUNDAY_MS = MONDAY_MS + 6 * DAY_MS


def account() -> list[float]:
    """Return the risk slots of a fresh account of 10,000."""
    state = [0.0] * RISK_SIZE
    start(state, 10_000.0)
    return state


def mark(
    state: list[float],
    at_ms: int,
    equity: float,
    *,
    daily: float = 1.0,
    weekly: float = 1.0,
    session: float = 1.0,
    losses: float = 1e6,
    pause: float = 3.0,
) -> Guard:
    """Let one bar pass and return the guard that blocks the decision at its close."""
    roll_windows(state, float(at_ms))
    watch(
        state=state,
        equity=equity,
        max_daily_loss=daily,
        max_weekly_drawdown=weekly,
        max_session_drawdown=session,
        max_consecutive_losses=losses,
        pause_bars=pause,
    )
    return Guard(int(blocking_guard(state)))


def test_daily_loss_blocks_until_midnight_utc() -> None:
    """A loss of 3 % since 00:00 UTC blocks the rest of the day, a recovery included."""
    state = account()
    assert mark(state, MONDAY_MS, 9_701.0, daily=0.03) is Guard.NONE
    assert mark(state, MONDAY_MS + 10 * HOUR_MS, 9_700.0, daily=0.03) is Guard.DAILY_LOSS
    assert mark(state, MONDAY_MS + 11 * HOUR_MS, 10_500.0, daily=0.03) is Guard.DAILY_LOSS
    assert mark(state, MONDAY_MS + DAY_MS - BAR_MS, 10_000.0, daily=0.03) is Guard.DAILY_LOSS
    assert mark(state, MONDAY_MS + DAY_MS, 10_000.0, daily=0.03) is Guard.NONE


def test_daily_loss_counts_from_the_last_close_of_yesterday() -> None:
    """A new day starts from the equity at midnight, so that a gap in its first bar counts."""
    state = account()
    mark(state, MONDAY_MS, 12_000.0, daily=0.03)
    assert mark(state, MONDAY_MS + DAY_MS, 11_640.0, daily=0.03) is Guard.DAILY_LOSS


def test_weekly_drawdown_blocks_until_monday() -> None:
    """A fall of 20 % from the week's peak blocks up to Sunday's last bar and not on Monday 00:00
    UTC."""
    state = account()
    assert mark(state, MONDAY_MS, 12_500.0, weekly=0.2) is Guard.NONE
    assert mark(state, MONDAY_MS + DAY_MS, 10_000.0, weekly=0.2) is Guard.WEEKLY_DRAWDOWN
    late_sunday = SUNDAY_MS + DAY_MS - BAR_MS
    assert mark(state, late_sunday, 12_500.0, weekly=0.2) is Guard.WEEKLY_DRAWDOWN
    assert mark(state, SUNDAY_MS + DAY_MS, 12_500.0, weekly=0.2) is Guard.NONE


def test_session_drawdown_pauses_and_starts_a_new_session() -> None:
    """A fall of 10 % from the session's peak blocks three decisions; then the peak is forgotten."""
    state = account()
    assert mark(state, MONDAY_MS, 11_000.0, session=0.1) is Guard.NONE
    blocked = [mark(state, MONDAY_MS + bar * BAR_MS, 9_900.0, session=0.1) for bar in range(1, 6)]
    assert blocked == [Guard.SESSION_DRAWDOWN] * 3 + [Guard.NONE] * 2
    assert mark(state, MONDAY_MS + 6 * BAR_MS, 8_910.0, session=0.1) is Guard.SESSION_DRAWDOWN


def test_losing_streak_pauses_and_is_forgotten() -> None:
    """Five losses in a row block three decisions; the streak then counts from nothing."""
    state = account()
    for _ in range(4):
        count_trade(state, -1.0)
    assert mark(state, MONDAY_MS, 10_000.0, losses=5.0) is Guard.NONE
    count_trade(state, -1.0)
    blocked = [mark(state, MONDAY_MS + bar * BAR_MS, 10_000.0, losses=5.0) for bar in range(1, 6)]
    assert blocked == [Guard.CONSECUTIVE_LOSSES] * 3 + [Guard.NONE] * 2
    count_trade(state, -1.0)
    assert mark(state, MONDAY_MS + 6 * BAR_MS, 10_000.0, losses=5.0) is Guard.NONE


@pytest.mark.parametrize("pnl", [0.0, 5.0])
def test_a_trade_without_loss_ends_the_streak(pnl: float) -> None:
    """A win or a break-even between losses starts the count anew."""
    state = account()
    for one in (-1.0, -1.0, pnl, -1.0, -1.0):
        count_trade(state, one)
    assert mark(state, MONDAY_MS, 10_000.0, losses=3.0) is Guard.NONE


def test_guards_report_the_strictest_first() -> None:
    """When several are tripped at once, the daily guard is named before the weekly and the
    session's."""
    state = account()
    limits = {"daily": 0.1, "weekly": 0.1, "session": 0.1}
    assert mark(state, MONDAY_MS, 5_000.0, **limits) is Guard.DAILY_LOSS
    assert mark(state, MONDAY_MS + DAY_MS, 5_000.0, **limits) is Guard.WEEKLY_DRAWDOWN


@given(
    st.lists(st.tuples(st.integers(1, 200), st.floats(5_000.0, 15_000.0)), min_size=1, max_size=60)
)
def test_daily_and_weekly_windows_agree_with_the_calendar(path: list[tuple[int, float]]) -> None:
    """Over any path of equity, blocks follow from grouping closes by calendar day and ISO week."""
    state = account()
    at_ms = MONDAY_MS
    last = 10_000.0
    day = None
    week = None
    day_start = 0.0
    peak = 0.0
    lost = False
    fell = False
    for bars, equity in path:
        at_ms += bars * BAR_MS
        moment = datetime.fromtimestamp(at_ms / 1000, UTC)
        if moment.date() != day:
            day = moment.date()
            day_start = last
            lost = False
        if moment.isocalendar()[:2] != week:
            week = moment.isocalendar()[:2]
            peak = last
            fell = False
        peak = max(peak, equity)
        last = equity
        lost = lost or day_start - equity >= 0.2 * day_start
        fell = fell or peak - equity >= 0.3 * peak
        expected = Guard.DAILY_LOSS if lost else Guard.WEEKLY_DRAWDOWN if fell else Guard.NONE
        assert mark(state, at_ms, equity, daily=0.2, weekly=0.3) is expected
        assert state[EQUITY] == equity


MONEY = st.floats(1.0, 1e9)


@given(MONEY, st.floats(1e-4, 1e6), st.floats(1e-4, 1e4), st.floats(0.1, 10.0), MONEY, MONEY)
def test_size_risks_no_more_than_allowed(
    equity: float, price: float, atr: float, stop: float, risk: float, cap: float
) -> None:
    """A quantity neither loses more than the risk at its stop nor exceeds the notional cap, and
    meets one of them."""
    risk = risk / 1e9
    cap = cap / 1e8
    quantity = size(
        equity=equity,
        price=price,
        atr=atr,
        stop_loss_atr=stop,
        risk_per_trade=risk,
        max_notional_fraction=cap,
    )
    lost = quantity * stop * atr / equity
    notional = quantity * price / equity
    assert lost <= risk * (1 + 1e-12)
    assert notional <= cap * (1 + 1e-12)
    assert lost == pytest.approx(risk) or notional == pytest.approx(cap)


@pytest.mark.parametrize(
    ("equity", "price", "atr"),
    [
        (0.0, 100.0, 1.0),
        (-5.0, 100.0, 1.0),
        (1e4, 0.0, 1.0),
        (1e4, 100.0, 0.0),
        (1e4, 1.0, float("nan")),
    ],
)
def test_size_is_nothing_without_equity_price_or_atr(
    equity: float, price: float, atr: float
) -> None:
    """Nothing can be sized from nothing."""
    assert (
        size(
            equity=equity,
            price=price,
            atr=atr,
            stop_loss_atr=1.0,
            risk_per_trade=0.01,
            max_notional_fraction=1.0,
        )
        == 0.0
    )
