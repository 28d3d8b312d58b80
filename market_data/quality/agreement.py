"""Whether the primary's prices are those of the market: held against a second venue, bar by bar."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from market_data.frames import Frame
from market_data.storage.lake import FOREVER_MS, Lake
from market_data.window import Window, exact, moment

MOST_APART = 0.005
_COLUMNS = ["event_time_ms", "low", "high", "close"]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the closes of one window lie from the reference.

    `basis_bps` is the median distance of the reference's close, in hundredths of a percent of the
    primary's: it holds what a perpetual and a spot market, or two quote currencies, differ by as a
    rule. `apart` are the bars whose closes differ by more than `MOST_APART`, with how far the
    primary's close lies `outside` the range in which the reference traded.
    """

    window: Window
    compared: int
    unmatched: int
    basis_bps: float
    p99_bps: float
    apart: Frame

    @property
    def disagreeing(self) -> Frame:
        """Return the bars in which the reference never traded near the primary's close."""
        return self.apart[self.apart["outside"] > MOST_APART]


def agreement(lake: Lake, window: Window) -> Agreement:
    """Compare the closed bars that both venues have.

    Closes of two venues may be a percent apart for a moment, when both race through the same range:
    measured on 2025-10-10 21:15 UTC, 0.61 % between two BTC perpetuals and 0.76 % between ETH's
    perpetual and its spot market, yet with closes at most 0.16 % outside the other's range; of
    the other 35,000 bars of that year 99.99 % were within 0.21 %. So bars disagree when the close
    is further than `MOST_APART` from anything the reference traded during the bar; a quiet bar's
    range is narrow, and there it is the distance of the closes.
    """
    span = (FOREVER_MS, window.start_ms, window.end_ms)
    primary = lake.as_of("candles", window.symbol, *span)[_COLUMNS]
    reference = lake.as_of("reference_candles", window.symbol, *span)[_COLUMNS]
    both = primary.merge(reference, on="event_time_ms", suffixes=("", "_reference"))
    close = both["close"]
    away = both["close_reference"] / close - 1.0
    beyond = np.maximum(close - both["high_reference"], both["low_reference"] - close) / close
    both = both.assign(apart=away, outside=np.maximum(beyond, 0.0))
    return Agreement(
        window=window,
        compared=len(both),
        unmatched=len(primary) + len(reference) - 2 * len(both),
        basis_bps=float(away.median()) * 1e4 if len(both) else 0.0,
        p99_bps=float(away.abs().quantile(0.99)) * 1e4 if len(both) else 0.0,
        apart=both[away.abs() > MOST_APART].reset_index(drop=True),
    )


def bars_apart(found: Agreement) -> list[dict[str, Any]]:
    """Return a record per bar whose closes differ, the worst first."""
    return [
        {
            "symbol": found.window.symbol,
            "bar": moment(bar.event_time_ms),
            "close": exact(bar.close),
            "reference": exact(bar.close_reference),
            "reference traded": f"{exact(bar.low_reference)} … {exact(bar.high_reference)}",
            "apart": f"{bar.apart:+.2%}",
            "outside": f"{bar.outside:.2%}",
        }
        for bar in found.apart.sort_values("outside", ascending=False).itertuples()
    ]
