"""Backtest: the kernel's trading step folded over history, the very code that trades live."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.bars import Bars
from kernel.decision import Abstain
from kernel.features.registry import FEATURES
from kernel.observation import FUNDING_HOURS
from kernel.trading import (
    ABSTAIN,
    ATR,
    CLOSE,
    CLOSE_TIME_MS,
    EQUITY,
    FIRST_FUNDING,
    HIGH,
    INPUT_FIELDS,
    LOW,
    OPEN,
    OPEN_TIME_MS,
    P_BUY,
    P_SELL,
    fold,
    trades,
)
from kernel.trading_settings import TradingSettings
from research.backtest.worlds import AS_ASSUMED, World


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """One backtest: rows float64[n, I] in, out float64[n, O] and closed trades (TRADE_DTYPE).

    `equity` float64[n] is a view of out: the account marked at each close.
    """

    rows: NDArray[np.float64]
    out: NDArray[np.float64]
    trades: NDArray[Any]
    equity: NDArray[np.float64]


def run(
    bars: Bars,
    atr: NDArray[np.float64],
    probabilities: NDArray[Any],
    funding: NDArray[np.float64],
    settings: TradingSettings,
    *,
    bar_ms: int,
    abstain: NDArray[np.float64] | None = None,
    world: World = AS_ASSUMED,
) -> BacktestResult:
    """Trade the probabilities [n, 3] (CLASSES order, NaN stays out) from a fresh account.

    `atr` [n] is in price units; like the probabilities it is known at the bar's close and acts from
    the next open. `funding` [n, 24] is what settled in the hours before each close, as
    `kernel.observation.settled_by_hour` has it. `world` says what costs more there, and how many
    bars earlier what is acted on was known.
    """
    rows = build_rows(
        bars,
        atr,
        probabilities,
        funding * world.funding,
        bar_ms=bar_ms,
        abstain=abstain,
        delay_bars=world.delay_bars,
    )
    out, _ = fold(rows, world.costs(settings))
    return BacktestResult(rows=rows, out=out, trades=trades(rows, out), equity=out[:, EQUITY])


def build_rows(
    bars: Bars,
    atr: NDArray[np.float64],
    probabilities: NDArray[Any],
    funding: NDArray[np.float64],
    *,
    bar_ms: int,
    abstain: NDArray[np.float64] | None = None,
    delay_bars: int = 0,
) -> NDArray[np.float64]:
    """Return the trading rows float64[n, I] of a history; raises ValueError for misfit shapes."""
    n = len(bars)
    shapes = (atr.shape, probabilities.shape, funding.shape)
    expected = ((n,), (n, 3), (n, FUNDING_HOURS))
    if shapes != expected or delay_bars < 0:
        raise ValueError(
            f"backtest: found atr, probabilities, funding of {shapes} and a delay of {delay_bars},"
            f" expected {expected} and 0 or more"
        )
    late = slice(delay_bars, None)
    early = slice(0, max(n - delay_bars, 0))
    rows = np.full((n, len(INPUT_FIELDS)), np.nan)
    rows[:, OPEN_TIME_MS] = bars.open_time_ms
    rows[:, CLOSE_TIME_MS] = bars.open_time_ms + bar_ms
    rows[:, OPEN] = bars.open
    rows[:, HIGH] = bars.high
    rows[:, LOW] = bars.low
    rows[:, CLOSE] = bars.close
    rows[late, ATR] = atr[early]
    rows[late, P_SELL : P_BUY + 1] = probabilities[early]
    rows[:, ABSTAIN] = float(Abstain.NONE)
    if abstain is not None:
        rows[late, ABSTAIN] = abstain[early]
    rows[:, FIRST_FUNDING:] = funding
    return rows


def atr_of(features: NDArray[np.float64], close: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ATR in price units from the full feature matrix float64[n, F]."""
    return features[:, FEATURES.index("atr_14")] * close
