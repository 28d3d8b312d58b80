"""Figures of a backtest or of a paper account; `Score` has its one definition here."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

YEAR_MS = 31_536_000_000  # 365 days: this market never closes
RATIO_CAP = 100.0
FULL_TRADES = 30


@dataclass(frozen=True, slots=True)
class Metrics:
    """What an account did, all finite: shares are fractions, ratios per year within ±RATIO_CAP.

    `turnover` is traded notional per year over the mean equity, `exposure` the share of bars with a
    position, `profit_factor` profits over losses (RATIO_CAP without a loss, 0 without a profit).
    """

    trades: int
    win_rate: float
    profit_factor: float
    sharpe: float
    sortino: float
    max_drawdown: float
    turnover: float
    exposure: float
    total_return: float
    score: float

    def to_dict(self) -> dict[str, float | int]:
        """Return the figures by name."""
        return asdict(self)


def summarize(trades: NDArray[Any], equity: NDArray[np.float64], bar_ms: int) -> Metrics:
    """Summarize closed trades (TRADE_DTYPE) and the equity float64[n] at the close of each bar.

    Ratios are annualised for bars round the clock, at a riskless rate of 0. Raises ValueError for
    equity that is empty, not finite, or not positive at its start.
    """
    if len(equity) == 0 or not np.isfinite(equity).all() or equity[0] <= 0.0:
        raise ValueError(
            f"metrics: found {len(equity)} equities from {equity[:1]}, expected finite, first > 0"
        )
    bars_per_year = YEAR_MS / bar_ms
    returns = bar_returns(equity)
    ratio = sharpe(returns, bars_per_year)
    drawdown = max_drawdown(equity)
    return Metrics(
        trades=len(trades),
        win_rate=float(np.mean(trades["pnl"] > 0.0)) if len(trades) else 0.0,
        profit_factor=profit_factor(trades["pnl"]),
        sharpe=ratio,
        sortino=sortino(returns, bars_per_year),
        max_drawdown=drawdown,
        turnover=turnover(trades, equity, bars_per_year),
        exposure=exposure(trades, len(equity), bar_ms),
        total_return=float(equity[-1] / equity[0] - 1.0),
        score=score(ratio, drawdown, len(trades)),
    )


def score(sharpe: float, max_drawdown: float, trades: int) -> float:
    """Return Score, the one figure by which a challenger is held against the champion.

    Sharpe × (1 − maximum drawdown) × min(1, trades / 30): risk-adjusted return, marked down for the
    worst fall an owner had to sit through and for resting on few trades. Where Sharpe is negative,
    both factors would flatter, so the drawdown adds to the loss instead and few trades excuse
    nothing: Sharpe × (1 + maximum drawdown). Higher is better throughout.
    """
    if sharpe <= 0.0:
        return sharpe * (1.0 + max_drawdown)
    return sharpe * (1.0 - min(max_drawdown, 1.0)) * min(1.0, trades / FULL_TRADES)


def bar_returns(equity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the simple return of each later bar, float64[n − 1]; 0 once equity is gone."""
    before = equity[:-1]
    alive = before > 0.0
    return np.where(alive, np.diff(equity) / np.where(alive, before, 1.0), 0.0)


def sharpe(returns: NDArray[np.float64], bars_per_year: float) -> float:
    """Return mean over sample standard deviation, per year; 0 where nothing moves."""
    deviation = float(np.std(returns, ddof=1)) if len(returns) > 1 else 0.0
    return _ratio(float(np.mean(returns)) if len(returns) else 0.0, deviation, bars_per_year)


def sortino(returns: NDArray[np.float64], bars_per_year: float) -> float:
    """Return mean over downside deviation from 0 (Sortino and van der Meer, 1991), per year."""
    if len(returns) == 0:
        return 0.0
    downside = math.sqrt(float(np.mean(np.minimum(returns, 0.0) ** 2)))
    return _ratio(float(np.mean(returns)), downside, bars_per_year)


def _ratio(mean: float, deviation: float, bars_per_year: float) -> float:
    if deviation <= 1e-15:
        return 0.0 if mean <= 0.0 else RATIO_CAP
    return float(np.clip(mean / deviation * math.sqrt(bars_per_year), -RATIO_CAP, RATIO_CAP))


def max_drawdown(equity: NDArray[np.float64]) -> float:
    """Return the deepest fall from a peak as a share of that peak."""
    peaks = np.maximum.accumulate(equity)
    return float(np.max((peaks - equity) / peaks))


def profit_factor(pnl: NDArray[np.float64]) -> float:
    """Return the sum of profits over the sum of losses, at most RATIO_CAP."""
    won = float(pnl[pnl > 0.0].sum())
    lost = -float(pnl[pnl < 0.0].sum())
    if won <= 0.0:
        return 0.0
    return RATIO_CAP if lost <= 0.0 else min(won / lost, RATIO_CAP)


def turnover(trades: NDArray[Any], equity: NDArray[np.float64], bars_per_year: float) -> float:
    """Return the notional of all entries and exits per year, over the mean equity."""
    notional = float((trades["quantity"] * (trades["entry_price"] + trades["exit_price"])).sum())
    mean = float(np.mean(equity))
    return notional / mean * bars_per_year / len(equity) if mean > 0.0 else 0.0


def exposure(trades: NDArray[Any], bars: int, bar_ms: int) -> float:
    """Return the share of bars in which a closed trade held, entry and exit bar included."""
    held = (trades["exit_time_ms"] - trades["entry_time_ms"]) // bar_ms + 1
    return min(float(held.sum()) / bars, 1.0)
