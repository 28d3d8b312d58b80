"""Every figure agrees with an independent pandas computation, and Score orders as it says."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.trading import OUTPUT_FIELDS, TRADE_DTYPE, fold, trades
from research.backtest import run as backtest
from research.evaluation.metrics import RATIO_CAP, Metrics, score, summarize
from tests.kernel.trading_rows import BAR_MS, SETTINGS, market
from tests.research.backtest.test_run import history

BARS_PER_YEAR = 4 * 24 * 365
NO_TRADES = np.zeros(0, dtype=TRADE_DTYPE)


def trade(pnl: float, first: int = 0, last: int = 0) -> tuple[float, ...]:
    """Return a trade of one unit at 100 that holds from bar `first` to bar `last`."""
    return (first * BAR_MS, last * BAR_MS, 1, 1.0, 100.0, 100.0, 0.0, 0.0, pnl, 1)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_figures_agree_with_pandas(seed: int) -> None:
    """Over real backtests, each figure equals the one worked out from data frames."""
    candles, known = history(seed, 600)
    result = backtest.run(candles, **known, settings=SETTINGS, bar_ms=BAR_MS)
    metrics = summarize(result.trades, result.equity, BAR_MS)
    equity = pd.Series(result.equity)
    table = pd.DataFrame(result.trades)
    returns = equity.pct_change().dropna()
    downside = np.sqrt((returns.clip(upper=0) ** 2).mean())
    wins = table.pnl[table.pnl > 0].sum()
    losses = -table.pnl[table.pnl < 0].sum()
    notional = (table.quantity * table.entry_price + table.quantity * table.exit_price).sum()
    assert metrics.trades == len(table)
    assert metrics.total_return == pytest.approx(equity.iloc[-1] / equity.iloc[0] - 1)
    assert metrics.max_drawdown == pytest.approx(-(equity / equity.cummax() - 1).min())
    assert metrics.sharpe == pytest.approx(returns.mean() / returns.std() * BARS_PER_YEAR**0.5)
    assert metrics.sortino == pytest.approx(returns.mean() / downside * BARS_PER_YEAR**0.5)
    assert metrics.win_rate == pytest.approx((table.pnl > 0).mean())
    assert metrics.profit_factor == pytest.approx(min(wins / losses, RATIO_CAP))
    assert metrics.turnover == pytest.approx(notional / equity.mean() * BARS_PER_YEAR / len(equity))


def test_exposure_counts_the_bars_in_which_trades_held() -> None:
    """Without gaps in time, exposure is the share of bars that end in a position or close one."""
    rows = market(5, 400, gaps=False)
    out, _ = fold(rows, SETTINGS)
    table = trades(rows, out)
    held = np.zeros(400, dtype=bool)
    for one in table:
        held |= (rows[:, 0] >= one["entry_time_ms"]) & (rows[:, 0] <= one["exit_time_ms"])
    equity = out[:, OUTPUT_FIELDS.index("equity")]
    assert summarize(table, equity, BAR_MS).exposure == pytest.approx(held.mean())
    assert 0.1 < held.mean() < 1.0


def test_an_account_that_never_traded_has_zeros() -> None:
    """Nothing traded and nothing moved: every figure is 0, none is NaN."""
    assert summarize(NO_TRADES, np.full(50, 10_000.0), BAR_MS) == Metrics(
        trades=0,
        win_rate=0.0,
        profit_factor=0.0,
        sharpe=0.0,
        sortino=0.0,
        max_drawdown=0.0,
        turnover=0.0,
        exposure=0.0,
        total_return=0.0,
        score=0.0,
    )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-10_000, 100_000), max_size=40), st.floats(1.0, 1e5), st.integers(0, 40)
)
def test_every_figure_is_finite(path: list[int], first: float, count: int) -> None:
    """Even an account that lost all and owes money has figures that JSON can hold."""
    pnl = np.random.default_rng(count).normal(size=count)
    table = np.array([trade(float(one)) for one in pnl], dtype=TRADE_DTYPE)
    figures = summarize(table, np.array([first, *path], dtype=float), BAR_MS).to_dict()
    assert all(math.isfinite(value) for value in figures.values())
    assert 0.0 <= figures["win_rate"] <= 1.0
    assert 0.0 <= figures["exposure"] <= 1.0
    assert figures["max_drawdown"] >= 0.0


def test_ratios_without_a_loss_are_capped() -> None:
    """Where there is no loss to divide by, ratios are 100 and not infinite."""
    table = np.array([trade(1.0), trade(2.0)], dtype=TRADE_DTYPE)
    metrics = summarize(table, np.geomspace(1e4, 2e4, 50), BAR_MS)
    assert (metrics.profit_factor, metrics.sharpe, metrics.sortino) == (RATIO_CAP,) * 3
    assert metrics.win_rate == 1.0


@pytest.mark.parametrize(
    "equity", [[], [0.0, 1.0], [-1.0], [1.0, math.nan], [1.0, math.inf]], ids=str
)
def test_broken_equity_is_refused(equity: list[float]) -> None:
    """No equity, a start at nothing, or NaN cannot be summarised."""
    with pytest.raises(ValueError, match=r"metrics: found .* expected finite"):
        summarize(NO_TRADES, np.array(equity), BAR_MS)


RATIO = st.floats(-RATIO_CAP, RATIO_CAP)
SHARE = st.floats(0.0, 1.0)


@given(RATIO, RATIO, SHARE, SHARE, st.integers(0, 100), st.integers(0, 100))
def test_score_never_prefers_the_worse(
    low: float, high: float, calm: float, wild: float, few: int, many: int
) -> None:
    """A higher Sharpe or a lower drawdown never lowers Score; more trades never lower a
    winner's."""
    low, high = sorted((low, high))
    calm, wild = sorted((calm, wild))
    few, many = sorted((few, many))
    assert score(low, calm, few) <= score(high, calm, few)
    assert score(low, wild, few) <= score(low, calm, few)
    assert score(abs(low), calm, few) <= score(abs(low), calm, many)


def test_score_has_the_documented_values() -> None:
    """Score is Sharpe × (1 − drawdown) × min(1, trades / 30), and worse than Sharpe for a loser."""
    assert score(2.0, 0.1, 60) == pytest.approx(1.8)
    assert score(2.0, 0.1, 15) == pytest.approx(0.9)
    assert score(-2.0, 0.1, 60) == pytest.approx(-2.2)
    assert score(-2.0, 0.1, 1) == pytest.approx(-2.2)
