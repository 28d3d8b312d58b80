"""The account: one code for history and live, money in equals money out, and no look ahead."""

import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kernel import fills
from kernel.decision import Abstain
from kernel.fills import ExitReason
from kernel.risk import Guard
from kernel.trading import (
    CLOSE,
    CLOSE_TIME_MS,
    FIRST_FUNDING,
    INPUT_FIELDS,
    OPEN,
    OPEN_TIME_MS,
    OUTPUT_FIELDS,
    Trader,
    TradingSettings,
    fold,
    initial_state,
    trades,
)
from tests.kernel.trading_rows import (
    DAY_MS,
    FREE,
    GO_LONG,
    GO_SHORT,
    GUARDED,
    HOUR_MS,
    MONDAY_MS,
    SETTINGS,
    STAY_OUT,
    bits,
    market,
    row,
)

SEEDS = st.integers(0, 2**32 - 1)
CHOICES = st.sampled_from([SETTINGS, GUARDED, FREE, replace(GUARDED, horizon_bars=1, pause_bars=1)])


def column(out: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """Return one output of every bar."""
    return out[:, OUTPUT_FIELDS.index(name)]


def pushed(rows: Any, choice: TradingSettings = FREE) -> NDArray[np.float64]:
    """Return the outputs of a live account over these rows."""
    trader = Trader(choice)
    return np.array([trader.push(one) for one in rows])


@settings(max_examples=40, deadline=None)
@given(SEEDS, CHOICES, st.integers(1, 300))
def test_history_and_live_give_the_same_bytes(
    seed: int, choice: TradingSettings, bars: int
) -> None:
    """The compiled fold and the plain account, bar by bar, differ in 0 bytes of output and of
    state."""
    rows = market(seed, bars)
    trader = Trader(choice)
    live = [trader.push(one) for one in rows.tolist()]
    out, state = fold(rows, choice)
    assert np.array_equal(bits(live), bits(out))
    assert np.array_equal(bits(trader.snapshot()), bits(state))


@settings(max_examples=40, deadline=None)
@given(SEEDS, CHOICES, st.lists(st.integers(0, 200), max_size=6))
def test_any_chunking_and_any_restart_give_the_same_bytes(
    seed: int, choice: TradingSettings, cuts: list[int]
) -> None:
    """History cut anywhere, each piece by another process, folded or live, is the uncut history."""
    rows = market(seed, 200)
    whole, end = fold(rows, choice)
    parts, state = [], initial_state(choice)
    for number, (begin, stop) in enumerate(
        zip([0, *sorted(cuts)], [*sorted(cuts), 200], strict=True)
    ):
        if number % 2:
            trader = Trader(choice, state)
            parts += [trader.push(one) for one in rows[begin:stop]]
            state = trader.snapshot()
        else:
            out, state = fold(rows[begin:stop], choice, state)
            parts += list(out)
    assert np.array_equal(bits(parts), bits(whole))
    assert np.array_equal(bits(state), bits(end))


def test_fold_leaves_the_state_that_it_is_given() -> None:
    """A snapshot can be used twice."""
    state = initial_state(SETTINGS)
    before = state.copy()
    fold(market(1, 50), SETTINGS, state)
    assert np.array_equal(state, before)


@settings(max_examples=60, deadline=None)
@given(SEEDS, CHOICES, st.integers(1, 300))
def test_money_in_is_money_out(seed: int, choice: TradingSettings, bars: int) -> None:
    """Every unit of equity gained or lost is a trade's profit, or the open position's value less
    its costs."""
    rows = market(seed, bars)
    out, state = fold(rows, choice)
    table = trades(rows, out)
    held = state[fills.SIDE] != 0.0
    open_fees, open_funding = state[[fills.FEES, fills.FUNDING]] if held else (0.0, 0.0)
    open_gain = (
        state[fills.SIDE] * state[fills.QUANTITY] * (rows[-1, CLOSE] - state[fills.ENTRY_PRICE])
    )
    gained = column(out, "equity")[-1] - choice.initial_equity
    expected = math.fsum(table["pnl"]) + open_gain - open_fees - open_funding
    tolerance = 1e-12 * choice.initial_equity * bars
    assert gained == pytest.approx(expected, abs=tolerance)
    assert math.fsum(column(out, "fees")) == pytest.approx(
        math.fsum(table["fees"]) + open_fees, abs=tolerance
    )
    assert math.fsum(column(out, "funding")) == pytest.approx(
        math.fsum(table["funding"]) + open_funding, abs=tolerance
    )
    assert math.fsum(column(out, "pnl")) == pytest.approx(math.fsum(table["pnl"]), abs=tolerance)


@settings(max_examples=40, deadline=None)
@given(SEEDS, CHOICES)
def test_each_trade_adds_up(seed: int, choice: TradingSettings) -> None:
    """A trade's profit is side × quantity × (exit − entry) − fees − funding, its fees those of both
    notionals."""
    rows = market(seed, 300)
    table = trades(rows, fold(rows, choice)[0])
    gross = table["side"] * table["quantity"] * (table["exit_price"] - table["entry_price"])
    notional = table["quantity"] * (table["entry_price"] + table["exit_price"])
    assert table["pnl"] == pytest.approx(gross - table["fees"] - table["funding"], abs=1e-7)
    assert table["fees"] == pytest.approx(notional * choice.fee_bps / 10_000, abs=1e-9)
    assert (table["entry_time_ms"] <= table["exit_time_ms"]).all()
    assert (table["entry_time_ms"][1:] > table["exit_time_ms"][:-1]).all()


@settings(max_examples=60, deadline=None)
@given(SEEDS, CHOICES, st.integers(1, 199))
def test_no_bar_knows_what_comes_after_it(seed: int, choice: TradingSettings, cut: int) -> None:
    """Cutting the future off, or replacing it by another one, leaves every byte up to the cut."""
    rows = market(seed, 200)
    other = rows.copy()
    other[cut:, OPEN:] = market(seed + 1, 200)[cut:, OPEN:]
    whole, _ = fold(rows, choice)
    assert np.array_equal(bits(fold(rows[:cut], choice)[0]), bits(whole[:cut]))
    assert np.array_equal(bits(fold(other, choice)[0][:cut]), bits(whole[:cut]))


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_an_entry_fills_at_the_open_after_its_decision(seed: int) -> None:
    """No entry uses a price from before its decision's bar closed: it is the next open, plus
    costs. Where that bar is missing, nothing is filled."""
    rows = market(seed, 300)
    out, _ = fold(rows, SETTINGS)
    ordered = np.flatnonzero(column(out, "order")[:-1])
    next_open = rows[1:, OPEN_TIME_MS] == rows[:-1, CLOSE_TIME_MS]
    ordered = ordered[next_open[ordered]]
    filled = np.flatnonzero(column(out, "entry_side"))
    assert np.array_equal(filled, ordered + 1)
    side = column(out, "entry_side")[filled]
    assert np.array_equal(side, column(out, "order")[ordered])
    assert np.array_equal(column(out, "quantity")[filled], column(out, "order_quantity")[ordered])
    assert column(out, "entry_price")[filled] == pytest.approx(
        rows[filled, OPEN] * (1 + side * 1e-4)
    )


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(0, 299))
def test_trades_of_a_window_are_whole(seed: int, begin: int) -> None:
    """A window that starts inside a trade reports it whole when it closes."""
    rows = market(seed, 300)
    out, _ = fold(rows, SETTINGS)
    table = trades(rows, out)
    tail = table[table["exit_time_ms"] >= rows[begin, OPEN_TIME_MS]]
    assert trades(rows[begin:], out[begin:]).tobytes() == tail.tobytes()


def test_a_winning_trade_by_hand() -> None:
    """A long of 100 USD risk, worked out on paper: entry, funding, target, fees and profit."""
    rows = [
        row(30, (100.0, 101.0, 99.0, 100.0), GO_LONG, atr=2.0),
        row(31, (101.0, 102.0, 100.0, 101.5)),
        row(32, (102.0, 104.0, 101.0, 103.0), settled={8: 0.001}),
        row(33, (103.0, 105.5, 102.5, 104.0), settled={8: 0.001}),
    ]
    choice = replace(SETTINGS, half_spread_bps=5.0, slippage_bps=5.0, fee_bps=10.0)
    out = pushed(rows, choice)
    assert column(out, "order_quantity")[0] == pytest.approx(10_000 * 0.01 / 2.0)
    entry, leave, funding = 101.0 * 1.001, 105.0 * 0.999, 50 * 102.0 * 0.001
    fees = 50 * (entry + leave) * 0.001
    table = trades(np.array(rows), out)
    assert table["exit_reason"].tolist() == [ExitReason.TAKE_PROFIT]
    assert table["entry_price"][0] == pytest.approx(entry)
    assert table["exit_price"][0] == pytest.approx(leave)
    assert table["funding"][0] == pytest.approx(funding)
    assert table["fees"][0] == pytest.approx(fees)
    assert table["pnl"][0] == pytest.approx(50 * (leave - entry) - fees - funding)
    assert out[-1, OUTPUT_FIELDS.index("equity")] == pytest.approx(10_000 + table["pnl"][0])


def test_a_position_opened_at_a_settlement_pays_nothing_then() -> None:
    """Funding at 08:00 belongs to who held before 08:00, not to who buys at that open."""
    rates = {8: 0.01}
    out = pushed([row(31, wish=GO_LONG), row(32, settled=rates), row(33, settled=rates)])
    assert column(out, "entry_side").tolist() == [0.0, 1.0, 0.0]
    assert not column(out, "funding").any()


def test_barriers_are_watched_from_the_entry_bar_on() -> None:
    """A position stopped in its entry bar is closed there, and a new order can follow at that
    close."""
    rows = [
        row(1, wish=GO_LONG),
        row(2, (100.0, 100.5, 97.0, 98.0), GO_SHORT),
        row(3, (98.0, 98.5, 97.5, 98.0)),
    ]
    out = pushed(rows)
    assert column(out, "exit_reason").tolist() == [0.0, ExitReason.STOP_LOSS, 0.0]
    assert column(out, "exit_price")[1] == 98.0
    assert column(out, "order").tolist() == [1.0, -1.0, 0.0]


def test_horizon_counts_the_entry_bar() -> None:
    """With a horizon of 3 bars a position leaves at the close of the third bar, entry bar
    included."""
    choice = replace(FREE, horizon_bars=3)
    out = pushed([row(1, wish=GO_LONG), row(2), row(3), row(4), row(5)], choice)
    assert column(out, "exit_reason").tolist() == [0, 0, 0, ExitReason.HORIZON, 0]
    assert column(out, "position_side").tolist() == [0, 1, 1, 0, 0]


@pytest.mark.parametrize(("every_hours", "settlements"), [(1, 24), (4, 6), (8, 3)])
def test_a_position_pays_what_settles_while_it_is_held(every_hours: int, settlements: int) -> None:
    """A short of 24 hours pays each settlement of its symbol's own interval at a negative rate."""
    rates = dict.fromkeys(range(0, 72, every_hours), -0.003)
    choice = replace(FREE, horizon_bars=96, take_profit_atr=90.0, stop_loss_atr=40.0)
    flat = (100.0, 100.0, 100.0, 100.0)
    rows = [
        row(bar, flat, GO_SHORT if bar == 2 else STAY_OUT, settled=rates) for bar in range(2, 103)
    ]
    table = trades(np.array(rows), pushed(rows, choice))
    quantity = table["quantity"][0]
    assert table["exit_reason"].tolist() == [ExitReason.HORIZON]
    assert table["funding"][0] == pytest.approx(settlements * 0.003 * quantity * 100.0)


def test_the_interval_may_change_while_a_position_is_held() -> None:
    """At its cap the symbol goes hourly: 8:00 and 16:00, then every hour, each at its own rate."""
    rates = {8: 0.001, 16: 0.003} | {hour: 0.003 + 0.001 * (hour - 16) for hour in range(17, 21)}
    choice = replace(FREE, horizon_bars=200, take_profit_atr=90.0, stop_loss_atr=40.0)
    flat = (100.0, 100.0, 100.0, 100.0)
    rows = [
        row(bar, flat, GO_LONG if bar == 4 else STAY_OUT, settled=rates) for bar in range(4, 84)
    ]
    paid = column(pushed(rows, choice), "funding")
    hours = rows[0][OPEN_TIME_MS] + 900_000 * np.flatnonzero(paid)
    assert ((hours - MONDAY_MS) / HOUR_MS).tolist() == [8.0, 16.0, 17.0, 18.0, 19.0, 20.0]
    quantity = column(pushed(rows, choice), "quantity")[1]
    assert paid[paid != 0.0] == pytest.approx(100.0 * quantity * np.array(list(rates.values())))


def test_a_bar_of_four_hours_pays_four_settlements() -> None:
    """A position that is opened at a settlement pays the others of that bar, each once."""
    rates = dict.fromkeys(range(24), 0.001)
    choice = replace(FREE, horizon_bars=2)
    flat = (100.0, 100.0, 100.0, 100.0)
    rows = [
        row(bar, flat, GO_LONG if bar == 0 else STAY_OUT, settled=rates, bar_ms=4 * HOUR_MS)
        for bar in range(4)
    ]
    out = pushed(rows, choice)
    quantity = column(out, "quantity")[1]
    assert column(out, "funding") == pytest.approx(
        np.array([0.0, 3.0, 4.0, 0.0]) * 0.001 * quantity * 100.0
    )


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_funding_is_the_sum_of_the_settlements_within_each_trade(seed: int) -> None:
    """A trade pays every hour that settled after its entry, until the bar that closes it opens."""
    rows = market(seed, 300, late=False)
    latest_ms = (np.ceil(rows[:, CLOSE_TIME_MS] / HOUR_MS) - 1) * HOUR_MS
    rates = {
        hour_ms - k * HOUR_MS: rate
        for hour_ms, one in zip(latest_ms, rows, strict=True)
        for k, rate in enumerate(one[FIRST_FUNDING:])
        if not np.isnan(rate)
    }
    for trade in trades(rows, fold(rows, FREE)[0]):
        entry_ms, exit_ms = trade["entry_time_ms"], trade["exit_time_ms"]
        notional = trade["side"] * trade["quantity"]
        due = math.fsum(
            notional * rate * rows[np.searchsorted(rows[:, OPEN_TIME_MS], hour_ms), OPEN]
            for hour_ms, rate in rates.items()
            if entry_ms < hour_ms <= exit_ms
        )
        assert trade["funding"] == pytest.approx(due, abs=1e-9)


def test_an_order_whose_next_bar_is_missing_is_dropped() -> None:
    """After a hole nobody fills what was wanted before it; a new wish is a new order."""
    out = pushed([row(1, wish=GO_LONG), row(3), row(4, wish=GO_LONG), row(5)])
    assert column(out, "order").tolist() == [1.0, 0.0, 1.0, 0.0]
    assert column(out, "entry_side").tolist() == [0.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("prices", "reason", "price"),
    [
        ((100.0, 150.0, 50.0, 120.0), ExitReason.HORIZON, 100.0),
        ((97.0, 150.0, 50.0, 120.0), ExitReason.STOP_LOSS, 97.0),
        ((110.0, 150.0, 50.0, 120.0), ExitReason.TAKE_PROFIT, 104.0),
    ],
)
def test_a_horizon_is_time_also_where_bars_are_missing(
    prices: tuple[float, float, float, float], reason: ExitReason, price: float
) -> None:
    """A position whose horizon ended in a hole leaves at the first open after it, and no better."""
    choice = replace(FREE, horizon_bars=4)
    rows = [row(1, wish=GO_LONG), row(2), row(3), row(400, prices), row(401)]
    out = pushed(rows, choice)
    assert column(out, "exit_reason").tolist() == [0, 0, 0, reason, 0]
    assert column(out, "exit_price")[3] == price


def test_one_position_at_a_time() -> None:
    """While a position is held, wishes are not even orders."""
    out = pushed([row(bar, wish=GO_LONG) for bar in range(1, 6)])
    assert column(out, "order").tolist() == [1, 0, 0, 0, 0]


@pytest.mark.parametrize("code", [one for one in Abstain if one is not Abstain.NONE])
def test_every_abstention_keeps_an_account_out(code: Abstain) -> None:
    """Each reason to abstain stops an order that the probabilities ask for."""
    out = pushed([row(1, wish=GO_LONG), row(2, wish=GO_LONG, abstain=float(code))])
    assert column(out, "order").tolist() == [1.0, 0.0]
    assert column(pushed([row(1, wish=GO_LONG, abstain=float(code))]), "order").tolist() == [0.0]


@pytest.mark.parametrize("atr", [math.nan, 0.0, -1.0])
def test_no_atr_no_entry(atr: float) -> None:
    """Without an ATR there is no stop, so there is no entry."""
    assert not column(pushed([row(1, wish=GO_LONG, atr=atr)]), "order").any()


LOSE = (100.0, 100.5, 90.0, 100.0)


@pytest.mark.parametrize(
    ("limits", "guard", "free_again_ms"),
    [
        ({"max_daily_loss": 0.01}, Guard.DAILY_LOSS, MONDAY_MS + DAY_MS),
        ({"max_weekly_drawdown": 0.01}, Guard.WEEKLY_DRAWDOWN, MONDAY_MS + 7 * DAY_MS),
        ({"max_session_drawdown": 0.01}, Guard.SESSION_DRAWDOWN, MONDAY_MS + 5 * 900_000),
        ({"max_consecutive_losses": 1}, Guard.CONSECUTIVE_LOSSES, MONDAY_MS + 5 * 900_000),
    ],
)
def test_each_guard_blocks_a_trader_after_a_loss(
    limits: dict[str, float], guard: Guard, free_again_ms: int
) -> None:
    """After one stopped trade the guard blocks each wish with its own code, to the bar where it
    resets."""
    trader = Trader(replace(FREE, **limits))
    trader.push(row(0, wish=GO_LONG))
    at_ms, blocked = MONDAY_MS + 900_000, []
    while at_ms < free_again_ms:
        bar = (at_ms - MONDAY_MS) // 900_000
        prices = LOSE if bar == 1 else (100.0, 100.5, 99.5, 100.0)
        out = trader.push(row(bar, prices, GO_LONG))
        blocked.append(out[OUTPUT_FIELDS.index("blocked")])
        assert out[OUTPUT_FIELDS.index("order")] == 0.0
        at_ms += 900_000
    assert set(blocked) == {float(guard)}
    freed = trader.push(row((free_again_ms - MONDAY_MS) // 900_000, wish=GO_LONG))
    assert freed[OUTPUT_FIELDS.index("order")] == 1.0


def test_an_account_without_notional_is_blocked() -> None:
    """Where the cap leaves no quantity to trade, the wish is blocked by the notional guard."""
    out = pushed([row(1, wish=GO_LONG)], replace(FREE, max_notional_fraction=0.0))
    assert column(out, "blocked").tolist() == [Guard.NOTIONAL]
    assert column(out, "order").tolist() == [0.0]


@pytest.mark.parametrize("days", [0, 1, 7])
def test_an_emptied_account_never_trades_again(days: int) -> None:
    """A leveraged account that a gap has emptied is blocked that day, the next day and the next
    week."""
    choice = replace(FREE, risk_per_trade=1.0, max_notional_fraction=10.0)
    rows = [row(1, wish=GO_LONG), row(2), row(3, (50.0, 50.0, 50.0, 50.0), GO_LONG)]
    out = pushed([*rows, row(4 + 96 * days, wish=GO_LONG)], choice)
    assert (column(out, "equity")[2:] < 0.0).all()
    assert (column(out, "blocked")[2:] > 0.0).all()
    assert not column(out, "order")[2:].any()


def test_a_position_survives_a_change_of_settings() -> None:
    """A swap keeps the account: the position goes on with its barriers, under the new horizon."""
    first = Trader(FREE)
    for bar in (1, 2):
        first.push(row(bar, wish=GO_LONG))
    second = Trader(replace(FREE, horizon_bars=2), first.snapshot())
    out = second.push(row(3))
    assert out[OUTPUT_FIELDS.index("exit_reason")] == ExitReason.HORIZON


@pytest.mark.parametrize(
    "broken",
    [
        row(1, (math.nan, 101.0, 99.0, 100.0)),
        row(1, (100.0, math.inf, 99.0, 100.0)),
        row(1, (100.0, 101.0, 0.0, 100.0)),
        row(1, (100.0, 101.0, -1.0, 100.0)),
        row(1, (100.0, 99.0, 98.0, 98.5)),
        row(1, (100.0, 101.0, 99.0, 98.0)),
        row(0),
        row(-1),
        [math.nan, *row(1)[1:]],
    ],
)
def test_unsound_bars_are_refused_by_history_and_live_alike(broken: list[float]) -> None:
    """Broken prices, or time that does not move forward, raise and leave the account where it
    was."""
    trader = Trader(SETTINGS)
    trader.push(row(0))
    before = trader.snapshot()
    with pytest.raises(ValueError, match=r"trading row: found .* expected to open at or after"):
        trader.push(broken)
    assert np.array_equal(trader.snapshot(), before)
    with pytest.raises(ValueError, match=r"trading row: found .* expected to open at or after"):
        fold(np.array([row(0), broken]), SETTINGS)


def test_wrong_shapes_are_refused() -> None:
    """Rows and states of another width or type say what was expected."""
    width = len(INPUT_FIELDS)
    with pytest.raises(ValueError, match=rf"expected float64\[n, {width}\]"):
        fold(np.zeros((3, 10)), SETTINGS)
    with pytest.raises(ValueError, match=f"expected {width}"):
        Trader(SETTINGS).push([1.0, 2.0])
    with pytest.raises(ValueError, match="trading state"):
        Trader(SETTINGS, np.full(fills.STATE_SIZE, math.nan))


def test_settings_survive_a_round_trip() -> None:
    """Settings come back from their dictionary equal, whole numbers whole and the rest floats."""
    back = TradingSettings.from_dict(SETTINGS.to_dict() | {"fee_bps": 4})
    assert back == SETTINGS
    assert isinstance(back.fee_bps, float)
    assert isinstance(back.horizon_bars, int)
    assert back.vector().tolist() == [getattr(back, one.name) for one in fields(back)]


@pytest.mark.parametrize("name", [one.name for one in fields(TradingSettings)])
@pytest.mark.parametrize("value", [math.nan, math.inf, -1, 10**400, "1", None, True, [], 1e13])
def test_settings_refuse_each_bad_value_by_name(name: str, value: Any) -> None:
    """Whatever is no number in range is refused by a ValueError that names the setting."""
    with pytest.raises(ValueError, match=f"trading setting {name}: found"):
        TradingSettings.from_dict(SETTINGS.to_dict() | {name: value})


def test_settings_refuse_missing_and_unknown_names() -> None:
    """A misspelt setting is not a default: the error names both halves of the mistake."""
    values: dict[str, Any] = SETTINGS.to_dict()
    values["fee"] = values.pop("fee_bps")
    with pytest.raises(ValueError, match=r"missing \['fee_bps'\] and unknown\s+\['fee'\]"):
        TradingSettings.from_dict(values)
