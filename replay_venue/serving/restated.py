"""A market whose past can be restated: from the order on, a row that was served has another value.

Candles stay candles: the restated value is the last price paid in the bar, so every interval agrees
on it. The bar's close becomes the value and its high and low make room for it; finer bars that end
with it do the same, coarser ones make room, and the last trade before its end was paid at it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from kernel.bars import TIMEFRAME_MS, Bars
from kernel.onchain_metrics import METRICS
from replay_venue.market.instruments import Perpetual
from replay_venue.market.intervals import DAY_MS, MINUTE_MS
from replay_venue.market.series import AggregateTrades, Book, MarketSource, OnChain, Points
from replay_venue.serving.venue import ServedVenue

CandleTable = Literal["candles", "mark_candles", "index_candles"]
Table = CandleTable | Literal["funding", "open_interest", "fear_greed", "onchain"]
CANDLE_TABLES: tuple[CandleTable, ...] = get_args(CandleTable)
TABLES: tuple[Table, ...] = (
    *CANDLE_TABLES, "funding", "open_interest", "fear_greed", "onchain",
)  # fmt: skip
MAX_RESTATEMENTS = 1_000


@dataclass(frozen=True, slots=True)
class Restatement:
    """Another value for one row: the close of a candle, a rate, open interest, the index, a metric.

    `symbol` is the instrument, for on-chain values the base asset and for the index nothing.
    `time_ms` is the row's own stamp. `timeframe` is for candles, `metric` for on-chain values.
    """

    table: Table
    time_ms: int
    value: float
    symbol: str = ""
    timeframe: str = "15m"
    metric: str = ""

    def __post_init__(self) -> None:
        if self.table not in TABLES:
            raise ValueError(f"restatement: found table {self.table!r}, expected one of {TABLES}")
        if self.timeframe not in TIMEFRAME_MS:
            known = list(TIMEFRAME_MS)
            raise ValueError(f"restatement: found timeframe {self.timeframe!r}, expected {known}")
        if (self.table == "onchain") != (self.metric in METRICS):
            raise ValueError(
                f"restatement of {self.table}: found metric {self.metric!r}, expected one of "
                f"{METRICS} for onchain and none otherwise"
            )
        if not np.isfinite(self.value) or (self.table in CANDLE_TABLES and self.value <= 0):
            raise ValueError(
                f"restatement: found value {self.value}, expected a number, a price above 0"
            )

    @property
    def end_ms(self) -> int:
        """Return when the row that is restated was over."""
        if self.table in CANDLE_TABLES:
            return self.time_ms + TIMEFRAME_MS[self.timeframe]
        return self.time_ms + (DAY_MS if self.table == "onchain" else 0)


class Restated:
    """A market source over another one, with the restatements ordered so far, oldest first.

    Of two restatements of one row the later holds. The order book is as it was.
    """

    def __init__(self, market: MarketSource) -> None:
        self._market = market
        self._ordered: dict[int, Restatement] = {}
        self._next = 1

    def order(self, wanted: Restatement, now_ms: int) -> int:
        """Restate a row and return the order's number; ValueError for a row never served."""
        if len(self._ordered) >= MAX_RESTATEMENTS:
            raise ValueError(
                f"restatements: found {MAX_RESTATEMENTS}, expected fewer: withdraw some first"
            )
        if wanted.end_ms > now_ms or not self._exists(wanted):
            raise ValueError(
                f"restatement: found no row of {wanted.table} for {wanted.symbol!r} at "
                f"{wanted.time_ms} that was over by {now_ms}, expected a row that was served"
            )
        number = self._next
        self._next = self._next + 1
        self._ordered[number] = wanted
        return number

    def withdraw(self, number: int | None = None) -> None:
        """Serve the first value again, of one order or of all; KeyError for an unknown number."""
        if number is None:
            self._ordered.clear()
        else:
            del self._ordered[number]

    def ordered(self) -> dict[int, Restatement]:
        """Return the restatements in force by their numbers."""
        return dict(self._ordered)

    @property
    def symbols(self) -> tuple[str, ...]:
        return self._market.symbols

    def instrument(self, symbol: str) -> Perpetual:
        return self._market.instrument(symbol)

    def bars(self, symbol: str, timeframe: str, start_ms: int, end_ms: int) -> Bars:
        bars = self._market.bars(symbol, timeframe, start_ms, end_ms)
        return _with_last_prices(bars, timeframe, self._of("candles", symbol))

    def mark_bars(self, symbol: str, timeframe: str, start_ms: int, end_ms: int) -> Bars:
        bars = self._market.mark_bars(symbol, timeframe, start_ms, end_ms)
        return _with_last_prices(bars, timeframe, self._of("mark_candles", symbol))

    def index_bars(self, symbol: str, timeframe: str, start_ms: int, end_ms: int) -> Bars:
        bars = self._market.index_bars(symbol, timeframe, start_ms, end_ms)
        return _with_last_prices(bars, timeframe, self._of("index_candles", symbol))

    def running_bar(self, symbol: str, timeframe: str, open_ms: int, now_ms: int) -> Bars:
        bars = self._market.running_bar(symbol, timeframe, open_ms, now_ms)
        return _with_last_prices(bars, timeframe, self._of("candles", symbol))

    def trades(self, symbol: str, start_ms: int, end_ms: int) -> AggregateTrades:
        trades = self._market.trades(symbol, start_ms, end_ms)
        price = trades.price.copy()
        for each in self._of("candles", symbol):
            last = self._market.trades(symbol, each.end_ms - MINUTE_MS, each.end_ms).trade_id[-1:]
            price[np.isin(trades.trade_id, last)] = each.value
        return replace(trades, price=price)

    def book(self, symbol: str, at_ms: int, levels: int) -> Book | None:
        return self._market.book(symbol, at_ms, levels)

    def funding(self, symbol: str, start_ms: int, end_ms: int) -> Points:
        points = self._market.funding(symbol, start_ms, end_ms)
        return _with_values(points, self._of("funding", symbol))

    def funding_hours(self, symbol: str, at_ms: int) -> int:
        return self._market.funding_hours(symbol, at_ms)

    def open_interest(self, symbol: str, start_ms: int, end_ms: int) -> Points:
        points = self._market.open_interest(symbol, start_ms, end_ms)
        return _with_values(points, self._of("open_interest", symbol))

    def fear_greed(self, start_ms: int, end_ms: int) -> Points:
        points = self._market.fear_greed(start_ms, end_ms)
        return _with_values(points, self._of("fear_greed", ""))

    def onchain(self, asset: str, start_ms: int, end_ms: int) -> OnChain:
        days = self._market.onchain(asset, start_ms, end_ms)
        orders = self._of("onchain", asset)
        if not orders:
            return days
        columns = {
            metric: _with_values(
                Points(days.time_ms, values), [each for each in orders if each.metric == metric]
            ).value
            for metric, values in days.value.items()
        }
        return OnChain(days.time_ms, columns)

    def _of(self, table: Table, symbol: str) -> list[Restatement]:
        return [
            each
            for each in self._ordered.values()
            if each.table == table and each.symbol in (symbol, "")
        ]

    def _exists(self, wanted: Restatement) -> bool:
        """Say whether the market has the row itself."""
        at = wanted.time_ms
        symbol = wanted.symbol
        table = wanted.table
        if table == "fear_greed":
            return symbol == "" and len(self._market.fear_greed(at, at + 1).time_ms) == 1
        if table == "onchain":
            days = self._market.onchain(symbol, at, at + 1)
            return len(days.time_ms) == 1 and wanted.metric in days.value
        if symbol not in self.symbols:
            return False
        if table in CANDLE_TABLES:
            if at % TIMEFRAME_MS[wanted.timeframe]:
                return False
            read = {
                "mark_candles": self._market.mark_bars,
                "index_candles": self._market.index_bars,
            }
            return (
                len(read.get(table, self._market.bars)(symbol, wanted.timeframe, at, at + 1)) == 1
            )
        rows = self._market.funding if table == "funding" else self._market.open_interest
        return len(rows(symbol, at, at + 1).time_ms) == 1


def restatable(venue: ServedVenue) -> ServedVenue:
    """Return the venue with a market that can be restated; one that can already is returned."""
    if isinstance(venue.market, Restated):
        return venue
    return replace(venue, market=Restated(venue.market))


def _with_last_prices(bars: Bars, timeframe: str, orders: Iterable[Restatement]) -> Bars:
    """Return the bars with each order's value as the last price paid before its end."""
    step = TIMEFRAME_MS[timeframe]
    for each in orders:
        hit = (bars.open_time_ms < each.end_ms) & (bars.open_time_ms + step >= each.end_ms)
        if hit.any():
            bars = replace(
                bars,
                high=np.where(hit, np.maximum(bars.high, each.value), bars.high),
                low=np.where(hit, np.minimum(bars.low, each.value), bars.low),
                close=np.where(
                    hit & (bars.open_time_ms + step == each.end_ms), each.value, bars.close
                ),
            )
    return bars


def _with_values(points: Points, orders: Iterable[Restatement]) -> Points:
    value = points.value
    for each in orders:
        value = np.where(points.time_ms == each.time_ms, each.value, value)
    return Points(points.time_ms, value)
