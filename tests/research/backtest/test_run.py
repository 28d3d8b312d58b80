"""The backtest feeds the live step, delayed and made dearer where asked, and adds nothing of its
own."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.bars import Bars
from kernel.features.registry import FEATURES
from kernel.observation import Series, settled_by_hour
from kernel.trading import (
    ABSTAIN,
    ATR,
    CLOSE,
    FIRST_FUNDING,
    INPUT_FIELDS,
    OPEN,
    OPEN_TIME_MS,
    OUTPUT_FIELDS,
    P_BUY,
    P_SELL,
    Trader,
    trades,
)
from research.backtest import run as backtest
from research.backtest.worlds import World
from tests.kernel.trading_rows import BAR_MS, FREE, SETTINGS, bits, market

SEEDS = st.integers(0, 2**32 - 1)
DEAR = World("dear", fees=2.0, slippage=2.0, funding=2.0)


def history(seed: int, bars: int = 300) -> tuple[Bars, dict[str, np.ndarray]]:
    """Return the candles of a random market and what a model knew at each close."""
    rows = market(seed, bars)
    prices = rows[:, OPEN : CLOSE + 1].T
    candles = Bars(rows[:, OPEN_TIME_MS].astype(np.int64), *prices, np.ones(bars))
    return candles, {
        "atr": rows[:, ATR],
        "probabilities": rows[:, P_SELL : P_BUY + 1],
        "funding": rows[:, FIRST_FUNDING:],
        "abstain": rows[:, ABSTAIN],
    }


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_a_backtest_is_the_live_account_over_history(seed: int) -> None:
    """Bar by bar, a live account that is given the same knowledge does the same, to the byte."""
    candles, known = history(seed)
    result = backtest.run(candles, **known, settings=SETTINGS, bar_ms=BAR_MS)
    trader = Trader(SETTINGS)
    live = np.array([trader.push(row) for row in market(seed, 300)])
    assert np.array_equal(bits(live), bits(result.out))
    assert result.trades.tobytes() == trades(result.rows, live).tobytes()
    assert np.array_equal(result.equity, live[:, OUTPUT_FIELDS.index("equity")])


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(1, 5))
def test_a_delay_acts_on_what_was_known_earlier(seed: int, delay: int) -> None:
    """Delayed by d bars, probabilities, ATR and abstention are those of d bars ago; prices and
    funding are not."""
    candles, known = history(seed)
    rows = backtest.build_rows(candles, **known, bar_ms=BAR_MS, delay_bars=delay)
    now = backtest.build_rows(candles, **known, bar_ms=BAR_MS)
    delayed = (ATR, *range(P_SELL, P_BUY + 1), ABSTAIN)
    at_once = [column for column in range(len(INPUT_FIELDS)) if column not in delayed]
    for column in delayed:
        assert np.array_equal(bits(rows[delay:, column]), bits(now[:-delay, column]))
    assert np.isnan(rows[:delay, ATR]).all()
    assert np.isnan(rows[:delay, P_SELL : P_BUY + 1]).all()
    assert np.array_equal(bits(rows[:, at_once]), bits(now[:, at_once]))


@pytest.mark.parametrize("delay", [3, 4])
def test_a_delay_beyond_the_history_trades_nothing(delay: int) -> None:
    """When nothing was known yet, nothing is traded."""
    candles, known = history(1, 3)
    assert (
        len(
            backtest.run(
                candles,
                **known,
                settings=FREE,
                bar_ms=BAR_MS,
                world=World("late", delay_bars=delay),
            ).trades
        )
        == 0
    )


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_twice_the_costs_cost_more(seed: int) -> None:
    """The same first trade pays twice the fee rate, twice the spread and slippage and twice the
    funding."""
    candles, known = history(seed)
    once = backtest.run(candles, **known, settings=SETTINGS, bar_ms=BAR_MS)
    twice = backtest.run(
        candles,
        **known,
        settings=SETTINGS,
        bar_ms=BAR_MS,
        world=DEAR,
    )
    dear = DEAR.costs(SETTINGS)
    assert (dear.fee_bps, dear.half_spread_bps, dear.slippage_bps) == (8.0, 1.0, 1.0)
    assert np.array_equal(
        bits(twice.rows[:, FIRST_FUNDING:]), bits(once.rows[:, FIRST_FUNDING:] * 2.0)
    )
    if len(once.trades):
        first, second = once.trades[0], twice.trades[0]
        assert first["entry_time_ms"] == second["entry_time_ms"]
        assert second["fees"] == pytest.approx(2.0 * first["fees"], rel=1e-3)
        assert second["funding"] == pytest.approx(2.0 * first["funding"])
        assert second["pnl"] < first["pnl"] + abs(first["funding"])


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(1, 299))
def test_a_backtest_does_not_know_the_future(seed: int, cut: int) -> None:
    """The backtest of the first bars is the first part of the backtest of all bars."""
    candles, known = history(seed)
    whole = backtest.run(candles, **known, settings=SETTINGS, bar_ms=BAR_MS)
    early = {name: values[:cut] for name, values in known.items()}
    part = backtest.run(candles.slice(0, cut), **early, settings=SETTINGS, bar_ms=BAR_MS)
    assert np.array_equal(bits(part.out), bits(whole.out[:cut]))


@pytest.mark.parametrize(("every_hours", "due"), [(1, 16.0), (8, 2.0)])
def test_funding_is_charged_when_the_symbol_settles(every_hours: int, due: float) -> None:
    """A short of 16 hours pays -0.3 % sixteen times, or twice, as its symbol settles."""
    at_ms = 1_745_452_800_000 + BAR_MS * np.arange(200)
    price = np.full(200, 100.0)
    stamps = at_ms[0] + every_hours * 3_600_000 * np.arange(1, 49 // every_hours) + 7
    rates = Series("funding_rate", stamps, stamps + 60_000, np.full(len(stamps), -0.003))
    probabilities = np.full((200, 3), np.nan)
    probabilities[2] = (0.95, 0.03, 0.02)
    held = replace(SETTINGS, take_profit_atr=90.0, stop_loss_atr=40.0, horizon_bars=64)
    result = backtest.run(
        Bars(open_time_ms=at_ms, open=price, high=price, low=price, close=price, volume=price),
        np.ones(200),
        probabilities,
        settled_by_hour(rates, at_ms + BAR_MS),
        held,
        bar_ms=BAR_MS,
    )
    trade = result.trades[0]
    assert trade["funding"] == pytest.approx(due * 0.003 * trade["quantity"] * 100.0)


def test_shapes_that_do_not_fit_are_refused() -> None:
    """A probability too few is an error that shows the shapes, not a shifted backtest."""
    candles, known = history(1)
    known["probabilities"] = known["probabilities"][1:]
    with pytest.raises(ValueError, match=r"found atr, probabilities, funding of .*\(299, 3\)"):
        backtest.run(candles, **known, settings=SETTINGS, bar_ms=BAR_MS)
    candles, known = history(1)
    with pytest.raises(ValueError, match="a delay of -1"):
        backtest.run(
            candles, **known, settings=SETTINGS, bar_ms=BAR_MS, world=World("early", delay_bars=-1)
        )


def test_atr_comes_from_the_features() -> None:
    """The ATR in price units is the normalised feature times the close."""
    features = np.zeros((2, len(FEATURES)))
    features[:, FEATURES.index("atr_14")] = [0.01, 0.02]
    assert backtest.atr_of(features, np.array([100.0, 200.0])).tolist() == [1.0, 4.0]
