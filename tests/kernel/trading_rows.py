"""Trading settings and rows that several tests share."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.trading import INPUT_FIELDS, TradingSettings

BAR_MS = 900_000
MONDAY_MS = 1_704_067_200_000  # 2024-01-01 00:00 UTC, a Monday
DAY_MS = 86_400_000
STAY_OUT = (0.1, 0.8, 0.1)
GO_LONG = (0.1, 0.1, 0.8)
GO_SHORT = (0.8, 0.1, 0.1)

SETTINGS = TradingSettings(
    min_confidence=0.5,
    min_prob_diff=0.1,
    take_profit_atr=2.0,
    stop_loss_atr=1.0,
    horizon_bars=8,
    risk_per_trade=0.01,
    max_notional_fraction=1.0,
    fee_bps=4.0,
    half_spread_bps=0.5,
    slippage_bps=0.5,
    max_daily_loss=1.0,
    max_weekly_drawdown=1.0,
    max_session_drawdown=1.0,
    max_consecutive_losses=1_000_000,
    pause_bars=4,
    initial_equity=10_000.0,
)
GUARDED = replace(
    SETTINGS,
    max_daily_loss=0.03,
    max_weekly_drawdown=0.08,
    max_session_drawdown=0.05,
    max_consecutive_losses=3,
)
FREE = replace(SETTINGS, fee_bps=0.0, half_spread_bps=0.0, slippage_bps=0.0)


def row(
    bar: int,
    prices: tuple[float, float, float, float] = (100.0, 100.5, 99.5, 100.0),
    wish: tuple[float, float, float] = STAY_OUT,
    *,
    atr: float = 2.0,
    funding_rate: float = 0.0,
    abstain: float = 0.0,
    start_ms: int = MONDAY_MS,
) -> list[float]:
    """Return one trading row: bar number, (open, high, low, close) and probabilities."""
    return [start_ms + bar * BAR_MS, *prices, atr, funding_rate, *wish, abstain]


def market(seed: int, bars: int, *, gaps: bool = True) -> NDArray[np.float64]:
    """Return rows of a random market with gaps in time, unknown values, abstentions and strong
    opinions."""
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, bars)))
    opened = np.concatenate([[100.0], close[:-1]]) * np.exp(rng.normal(0.0, 0.003, bars))
    high = np.maximum(opened, close) * np.exp(rng.exponential(0.004, bars))
    low = np.minimum(opened, close) * np.exp(-rng.exponential(0.004, bars))
    steps = rng.choice([1, 1, 1, 1, 2, 40], bars) if gaps else np.ones(bars)
    rows = np.column_stack(
        [
            MONDAY_MS + np.cumsum(steps) * BAR_MS,
            *(opened, high, low, close),
            np.where(rng.random(bars) < 0.03, np.nan, close * rng.uniform(0.002, 0.02, bars)),
            np.where(rng.random(bars) < 0.1, np.nan, rng.normal(0.0, 0.001, bars)),
            rng.dirichlet([0.5, 0.5, 0.5], bars),
            rng.choice([0.0, 0.0, 0.0, 0.0, 3.0], bars),
        ]
    )
    rows[rng.random(bars) < 0.03, 7:10] = np.nan
    assert rows.shape[1] == len(INPUT_FIELDS)
    return rows


def bits(values: Any) -> NDArray[np.uint64]:
    """Return float64 values as their bits, so that equality means the same bytes."""
    return np.ascontiguousarray(np.array(values, dtype=np.float64)).view(np.uint64)
