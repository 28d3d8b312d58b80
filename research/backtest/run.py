"""Backtest: the kernel's trading step folded over history, the very code that trades live."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.bars import Bars
from kernel.decision import Abstain
from kernel.features.registry import FEATURES
from kernel.trading import INPUT_FIELDS, OUTPUT_FIELDS, fold, trades
from kernel.trading_settings import TradingSettings


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
    abstain: NDArray[np.float64] | None = None,
    delay_bars: int = 0,
    cost_multiplier: float = 1.0,
) -> BacktestResult:
    """Trade the probabilities [n, 3] (CLASSES order, NaN stays out) from a fresh account.

    `atr` [n] is in price units and `funding` [n] is each bar's latest known rate; both, like the
    probabilities, are known at the bar's close and act from the next open. `delay_bars` acts on
    what was known that many bars earlier. `cost_multiplier` scales fee, spread, slippage and
    funding alike.
    """
    rows = build_rows(bars, atr, probabilities, funding, abstain=abstain, delay_bars=delay_bars)
    if cost_multiplier != 1.0:
        rows[:, INPUT_FIELDS.index("funding_rate")] *= cost_multiplier
        settings = with_costs(settings, cost_multiplier)
    out, _ = fold(rows, settings)
    return BacktestResult(rows, out, trades(rows, out), out[:, OUTPUT_FIELDS.index("equity")])


def build_rows(
    bars: Bars,
    atr: NDArray[np.float64],
    probabilities: NDArray[Any],
    funding: NDArray[np.float64],
    *,
    abstain: NDArray[np.float64] | None = None,
    delay_bars: int = 0,
) -> NDArray[np.float64]:
    """Return the trading rows float64[n, I] of a history; raises ValueError for misfit shapes."""
    n = len(bars)
    shapes = (atr.shape, probabilities.shape, funding.shape)
    if shapes != ((n,), (n, 3), (n,)) or delay_bars < 0:
        raise ValueError(
            f"backtest: found atr, probabilities, funding of {shapes} and a delay of {delay_bars},"
            f" expected {((n,), (n, 3), (n,))} and 0 or more"
        )
    rows = np.empty((n, len(INPUT_FIELDS)))
    for column, values in enumerate(
        (bars.open_time_ms, bars.open, bars.high, bars.low, bars.close)
    ):
        rows[:, column] = values
    late, early = slice(delay_bars, None), slice(0, max(n - delay_bars, 0))
    rows[:, 5] = np.nan
    rows[late, 5] = atr[early]
    rows[:, 6] = funding
    rows[:, 7:10] = np.nan
    rows[late, 7:10] = probabilities[early]
    rows[:, 10] = float(Abstain.NONE)
    if abstain is not None:
        rows[late, 10] = abstain[early]
    return rows


def with_costs(settings: TradingSettings, multiplier: float) -> TradingSettings:
    """Return the settings with fee, half-spread and slippage scaled."""
    return replace(
        settings,
        fee_bps=settings.fee_bps * multiplier,
        half_spread_bps=settings.half_spread_bps * multiplier,
        slippage_bps=settings.slippage_bps * multiplier,
    )


def atr_of(features: NDArray[np.float64], close: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ATR in price units from the full feature matrix float64[n, F]."""
    return features[:, FEATURES.index("atr_14")] * close
