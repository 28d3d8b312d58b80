"""Trading settings and rows that several tests share."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.observation import FUNDING_HOURS, last_settlement_ms
from kernel.trading import INPUT_FIELDS, TradingSettings

BAR_MS = 900_000
HOUR_MS = 3_600_000
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
    settled: Mapping[int, float] | None = None,
    abstain: float = 0.0,
    start_ms: int = MONDAY_MS,
    bar_ms: int = BAR_MS,
) -> list[float]:
    """Return one trading row: bar number, (open, high, low, close) and probabilities.

    `settled` are the rates known at its close by the hour after `start_ms` at which they settled.
    """
    open_ms = start_ms + bar * bar_ms
    rates = {start_ms + hour * HOUR_MS: rate for hour, rate in (settled or {}).items()}
    funding = hours_before(open_ms + bar_ms, rates)
    return [open_ms, open_ms + bar_ms, *prices, atr, *wish, abstain, *funding]


def hours_before(close_ms: int, rates: Mapping[int, float]) -> list[float]:
    """Return the rates of the 24 full hours before a close, out of those by their hour in ms."""
    latest_ms = last_settlement_ms(close_ms)
    return [rates.get(latest_ms - k * HOUR_MS, np.nan) for k in range(FUNDING_HOURS)]


def market(seed: int, bars: int, *, gaps: bool = True, late: bool = True) -> NDArray[np.float64]:
    """Return rows of a random market with gaps in time, unknown values, abstentions and strong
    opinions; it settles every hour, every four or every eight, changes between them, and one rate
    in ten is known an hour late.
    """
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, bars)))
    opened = np.concatenate([[100.0], close[:-1]]) * np.exp(rng.normal(0.0, 0.003, bars))
    high = np.maximum(opened, close) * np.exp(rng.exponential(0.004, bars))
    low = np.minimum(opened, close) * np.exp(-rng.exponential(0.004, bars))
    steps = rng.choice([1, 1, 1, 1, 2, 40], bars) if gaps else np.ones(bars, np.int64)
    open_ms = MONDAY_MS + np.cumsum(steps) * BAR_MS
    rows = np.column_stack(
        [
            open_ms,
            open_ms + BAR_MS,
            *(opened, high, low, close),
            np.where(rng.random(bars) < 0.03, np.nan, close * rng.uniform(0.002, 0.02, bars)),
            rng.dirichlet([0.5, 0.5, 0.5], bars),
            rng.choice([0.0, 0.0, 0.0, 0.0, 3.0], bars),
            _settled(rng, open_ms + BAR_MS, 0.1 if late else 0.0),
        ]
    )
    rows[rng.random(bars) < 0.03, 7:10] = np.nan
    assert rows.shape[1] == len(INPUT_FIELDS)
    return rows


def _settled(
    rng: np.random.Generator, close_ms: NDArray[np.int64], late: float
) -> NDArray[np.float64]:
    first_hour = int(close_ms[0]) // HOUR_MS - FUNDING_HOURS - 1
    hours = first_hour + np.arange(int(close_ms[-1]) // HOUR_MS - first_hour + 1)
    every = rng.choice([1, 4, 8], len(hours) // 48 + 1).repeat(48)[: len(hours)]
    rates = np.where(hours % every == 0, rng.normal(0.0, 0.001, len(hours)), np.nan)
    late_ms = np.where(rng.random(len(hours)) < late, HOUR_MS, 0)
    latest = (close_ms - 1) // HOUR_MS
    at = latest[:, None] - np.arange(FUNDING_HOURS) - first_hour
    known = (hours[at] * HOUR_MS + late_ms[at]) <= close_ms[:, None]
    return np.where(known, rates[at], np.nan)


def bits(values: Any) -> NDArray[np.uint64]:
    """Return float64 values as their bits, so that equality means the same bytes."""
    return np.ascontiguousarray(np.array(values, dtype=np.float64)).view(np.uint64)
