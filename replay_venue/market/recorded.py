"""Recorded files as a source: nothing filled, nothing invented, venues never mixed."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kernel.bars import TIMEFRAME_MS, Bars
from kernel.onchain_metrics import METRICS
from replay_venue.market import recorded_files as files
from replay_venue.market.candles import merge, select
from replay_venue.market.funding import HOUR_MS, PERIOD_HOURS
from replay_venue.market.instruments import Perpetual, decimals_of, instrument
from replay_venue.market.recorded_files import Quotes
from replay_venue.market.series import AggregateTrades, Book, OnChain, Points

MAX_BOOK_AGE_MS = 60_000  # a quote older than this is no longer how the book stands


@dataclass(frozen=True, slots=True)
class _Recorded:
    """What one folder holds of one symbol: prices of one venue, and the series beside them."""

    instrument: Perpetual
    venue: str
    candles: Mapping[str, Bars]
    mark: Mapping[str, Bars]
    index: Mapping[str, Bars]
    trades: AggregateTrades
    quotes: Quotes | None
    funding: Points
    open_interest: Points


class RecordedSource:
    """Markets read once from parquet files, whose names are listed in `recorded_files`.

    Every price of a symbol (candles, mark, index, trades, best bid and ask) comes from one venue:
    `venue` where given, else the one whose candles reach furthest. Funding and open interest are of
    that exchange if it recorded them, else of the one that did: rates and sizes, never prices.
    Open interest is recorded in USD and served in base quantity, over the close of the candle that
    ended last; without such a candle there is no value. A timeframe without a file is summed up
    from the file that reaches furthest of those that divide it, only where no part is missing.
    """

    def __init__(self, folder: Path, symbols: tuple[str, ...], venue: str | None = None) -> None:
        if not folder.is_dir():
            raise ValueError(f"recorded market: found no folder {folder}, expected parquet there")
        if not symbols:
            raise ValueError("recorded market: found no symbols, expected at least one")
        self.symbols = symbols
        self._recorded = {symbol: _read(folder, symbol, venue) for symbol in symbols}
        self._fear_greed = files.fear_greed(folder)
        self._onchain = files.onchain(folder)

    def venue(self, symbol: str) -> str:
        """Return the venue whose prices are served."""
        return self._recorded[symbol].venue

    def instrument(self, symbol: str) -> Perpetual:
        return self._recorded[symbol].instrument

    def bars(self, symbol: str, timeframe: str, start_ms: int, end_ms: int) -> Bars:
        return _bars(self._recorded[symbol].candles, timeframe, start_ms, end_ms)

    def running_bar(self, symbol: str, timeframe: str, open_ms: int, now_ms: int) -> Bars:
        candles = self._recorded[symbol].candles
        step = TIMEFRAME_MS[timeframe]
        for fine in _parts(candles, timeframe):
            parts = _window(candles[fine], open_ms, open_ms + step)
            ends = parts.open_time_ms + TIMEFRAME_MS[fine]
            known = int(np.searchsorted(ends, now_ms, side="right"))
            if known:
                return merge(parts.slice(0, known), np.zeros(1, np.int64))
            if len(parts) and parts.open_time_ms[0] == open_ms:
                opened = parts.open_time_ms[:1]
                price = parts.open[:1]
                return Bars(
                    open_time_ms=opened,
                    open=price,
                    high=price,
                    low=price,
                    close=price,
                    volume=np.zeros(1),
                )
        return _of({}, timeframe)

    def mark_bars(self, symbol: str, timeframe: str, start_ms: int, end_ms: int) -> Bars:
        return _bars(self._recorded[symbol].mark, timeframe, start_ms, end_ms)

    def index_bars(self, symbol: str, timeframe: str, start_ms: int, end_ms: int) -> Bars:
        return _bars(self._recorded[symbol].index, timeframe, start_ms, end_ms)

    def trades(self, symbol: str, start_ms: int, end_ms: int) -> AggregateTrades:
        found = self._recorded[symbol].trades
        rows = _rows(found.time_ms, start_ms, end_ms)
        return AggregateTrades(
            *(getattr(found, field.name)[rows] for field in fields(AggregateTrades))
        )

    def book(self, symbol: str, at_ms: int, levels: int) -> Book | None:
        """Return the best bid and ask, one level a side, as last recorded in the minute before."""
        found = self._recorded[symbol].quotes
        if found is None or levels < 1:
            return None
        row = int(np.searchsorted(found.time_ms, at_ms, side="right")) - 1
        if row < 0 or at_ms - found.time_ms[row] > MAX_BOOK_AGE_MS:
            return None
        one = slice(row, row + 1)
        return Book(
            time_ms=int(found.time_ms[row]),
            update_id=int(found.number[row]),
            bid_price=found.bid_price[one],
            bid_quantity=found.bid_quantity[one],
            ask_price=found.ask_price[one],
            ask_quantity=found.ask_quantity[one],
        )

    def funding(self, symbol: str, start_ms: int, end_ms: int) -> Points:
        return _points(self._recorded[symbol].funding, start_ms, end_ms)

    def funding_hours(self, symbol: str, at_ms: int) -> int:
        """Return the hours between the last two settlements recorded by then, 8 at most."""
        settled_ms = self._recorded[symbol].funding.time_ms
        last_ms = settled_ms[: np.searchsorted(settled_ms, at_ms, side="right")][-2:]
        hours = round(float(np.ptp(last_ms)) / HOUR_MS) if len(last_ms) == 2 else PERIOD_HOURS
        return min(max(hours, 1), PERIOD_HOURS)

    def open_interest(self, symbol: str, start_ms: int, end_ms: int) -> Points:
        return _points(self._recorded[symbol].open_interest, start_ms, end_ms)

    def fear_greed(self, start_ms: int, end_ms: int) -> Points:
        return _points(self._fear_greed, start_ms, end_ms)

    def onchain(self, asset: str, start_ms: int, end_ms: int) -> OnChain:
        days = self._onchain.get(asset)
        if days is None:
            nothing = files.NO_POINTS
            return OnChain(nothing.time_ms, dict.fromkeys(METRICS, nothing.value))
        rows = _rows(days.time_ms, start_ms, end_ms)
        return OnChain(days.time_ms[rows], {name: of[rows] for name, of in days.value.items()})


def aggregate(bars: Bars, fine_ms: int, coarse_ms: int) -> Bars:
    """Sum fine candles up into the coarse ones of which every part is there."""
    opens = bars.open_time_ms // coarse_ms * coarse_ms
    starts = np.flatnonzero(np.diff(opens, prepend=-1))
    if len(starts) == 0:
        return bars
    counts = np.diff(np.append(starts, len(opens)))
    merged = merge(replace(bars, open_time_ms=opens), starts)
    whole = counts == coarse_ms // fine_ms
    return select(merged, whole)


def _read(folder: Path, symbol: str, venue: str | None) -> _Recorded:
    known = instrument(symbol)
    venues = files.candle_venues(folder, symbol)
    chosen = (
        venue if venue is not None else max(venues, key=lambda one: _reach(venues[one]), default="")
    )
    if chosen not in venues:
        raise ValueError(
            f"recorded market {folder}: found candles of {symbol} from {sorted(venues)}, expected "
            f"ohlcv_{symbol}_<timeframe>_{chosen or '<venue>'}.parquet"
        )
    candles = venues[chosen]
    exchange = files.exchange_of(chosen)
    return _Recorded(
        instrument=_with_decimals(known, candles),
        venue=chosen,
        candles=candles,
        mark=files.quoted_candles(folder, "mark", symbol, chosen),
        index=files.quoted_candles(folder, "index", symbol, chosen),
        trades=files.trades(folder, symbol, chosen),
        quotes=files.quotes(folder, symbol, chosen),
        funding=files.funding(folder, symbol, exchange),
        open_interest=_in_base(
            files.open_interest_usd(folder, known.base, exchange), candles, known.lot_decimals
        ),
    )


def _reach(candles: Mapping[str, Bars]) -> tuple[int, int]:
    """Return how long the longest file of a venue lasts in ms, and its rows."""
    return max((_span(bars), len(bars)) for bars in candles.values())


def _span(bars: Bars) -> int:
    return int(np.ptp(bars.open_time_ms)) if len(bars) else 0


def _in_base(usd: Points, candles: Mapping[str, Bars], decimals: int) -> Points:
    """Return USD over the close of the finest candle that ended at most one candle before."""
    quantity = np.full(len(usd.value), np.nan)
    for name in sorted(candles, key=TIMEFRAME_MS.__getitem__, reverse=True):
        ends = candles[name].open_time_ms + TIMEFRAME_MS[name]
        row = np.searchsorted(ends, usd.time_ms, side="right") - 1
        there = (row >= 0) & (usd.time_ms - ends[row] < TIMEFRAME_MS[name])
        quantity[there] = usd.value[there] / candles[name].close[row[there]]
    known = np.isfinite(quantity)
    return Points(usd.time_ms[known], np.around(quantity[known], decimals).astype(np.float64))


def _bars(candles: Mapping[str, Bars], timeframe: str, start_ms: int, end_ms: int) -> Bars:
    step = TIMEFRAME_MS[timeframe]
    if timeframe in candles or not _parts(candles, timeframe):
        return _window(_of(candles, timeframe), start_ms, end_ms)
    fine = max(_parts(candles, timeframe), key=lambda name: _span(candles[name]))
    first = -(-start_ms // step) * step
    stop = -(-end_ms // step) * step
    return aggregate(_window(candles[fine], first, stop), TIMEFRAME_MS[fine], step)


def _of(candles: Mapping[str, Bars], timeframe: str) -> Bars:
    nothing = files.NO_POINTS
    return candles.get(timeframe, Bars(nothing.time_ms, *[nothing.value] * 5))


def _parts(candles: Mapping[str, Bars], timeframe: str) -> list[str]:
    """Return the recorded timeframes that make `timeframe` up, the finest first."""
    step = TIMEFRAME_MS[timeframe]
    return sorted(
        (name for name in candles if step % TIMEFRAME_MS[name] == 0), key=TIMEFRAME_MS.__getitem__
    )


def _window(bars: Bars, start_ms: int, end_ms: int) -> Bars:
    rows = _rows(bars.open_time_ms, start_ms, end_ms)
    return bars.slice(rows.start, rows.stop)


def _points(points: Points, start_ms: int, end_ms: int) -> Points:
    rows = _rows(points.time_ms, start_ms, end_ms)
    return Points(points.time_ms[rows], points.value[rows])


def _rows(time_ms: NDArray[np.int64], start_ms: int, end_ms: int) -> slice:
    first, stop = np.searchsorted(time_ms, [start_ms, max(end_ms, start_ms)])
    return slice(int(first), int(stop))


def _with_decimals(known: Perpetual, candles: Mapping[str, Bars]) -> Perpetual:
    """Return the instrument with the decimals that its recorded prices need, and its last price."""
    closes = np.concatenate([bars.close[-2_000:] for bars in candles.values()])
    decimals = max(map(decimals_of, closes.tolist()), default=0)
    known = replace(known, tick_decimals=max(decimals, known.tick_decimals))
    priced = closes[np.isfinite(closes)]
    return replace(known, price=float(priced[-1])) if len(priced) else known
