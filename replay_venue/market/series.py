"""What a market is made of, and the one shape every source of markets has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kernel.bars import Bars
from replay_venue.market.instruments import Perpetual


@dataclass(frozen=True, slots=True)
class Points:
    """A series of values, ascending in time: `time_ms` int64[m] and `value` float64[m]."""

    time_ms: NDArray[np.int64]
    value: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class OnChain:
    """Daily on-chain values; `time_ms` int64[m] starts the day described, which ends a day later.

    `value` holds float64[m] by Coin Metrics' name of the metric, of `kernel.onchain_metrics`; NaN
    where the source has no value for that day.
    """

    time_ms: NDArray[np.int64]
    value: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class AggregateTrades:
    """Aggregate trades, ascending in time and id, all of length m.

    `side` int8 is +1 where the taker bought and -1 where it sold; quantity in the base asset.
    """

    time_ms: NDArray[np.int64]
    trade_id: NDArray[np.int64]
    price: NDArray[np.float64]
    quantity: NDArray[np.float64]
    side: NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Book:
    """An order book at one moment, best first: price and quantity, float64[levels] a side.

    `update_id` grows with time and is the same whenever the same moment is asked for.
    """

    time_ms: int
    update_id: int
    bid_price: NDArray[np.float64]
    bid_quantity: NDArray[np.float64]
    ask_price: NDArray[np.float64]
    ask_quantity: NDArray[np.float64]


class MarketSource(Protocol):
    """A market that the venue serves; the venue never asks for what lies after its clock.

    Windows are [start_ms, end_ms); an unknown series is empty, never an error.
    """

    @property
    def symbols(self) -> tuple[str, ...]:
        """Return the symbols traded, in the order given."""
        ...

    def instrument(self, symbol: str) -> Perpetual:
        """Return names and decimals of one of `symbols`."""
        ...

    def bars(self, symbol: str, timeframe: str, start_ms: int, end_ms: int) -> Bars:
        """Return the complete candles that open in the window."""
        ...

    def running_bar(self, symbol: str, timeframe: str, open_ms: int, now_ms: int) -> Bars:
        """Return the candle opened at `open_ms` from what was known at `now_ms`: 0 or 1 rows."""
        ...

    def mark_bars(self, symbol: str, timeframe: str, start_ms: int, end_ms: int) -> Bars:
        """Return complete candles of the mark price; their volume is 0. Empty where unknown."""
        ...

    def index_bars(self, symbol: str, timeframe: str, start_ms: int, end_ms: int) -> Bars:
        """Return complete candles of the index price; their volume is 0. Empty where unknown."""
        ...

    def trades(self, symbol: str, start_ms: int, end_ms: int) -> AggregateTrades:
        """Return the aggregate trades of the window; they make up its minute candles."""
        ...

    def book(self, symbol: str, at_ms: int, levels: int) -> Book | None:
        """Return the order book as it stood at `at_ms`; None where the source has none."""
        ...

    def funding(self, symbol: str, start_ms: int, end_ms: int) -> Points:
        """Return settled funding rates by settlement time."""
        ...

    def funding_hours(self, symbol: str, at_ms: int) -> int:
        """Return how many hours lie between settlements, as in force at a moment."""
        ...

    def open_interest(self, symbol: str, start_ms: int, end_ms: int) -> Points:
        """Return open interest in base quantity, every 15 minutes."""
        ...

    def fear_greed(self, start_ms: int, end_ms: int) -> Points:
        """Return the daily index, known at its stamp."""
        ...

    def onchain(self, asset: str, start_ms: int, end_ms: int) -> OnChain:
        """Return daily values of a base asset by the start of the day they describe."""
        ...
