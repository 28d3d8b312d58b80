"""Recorded files as a source: what a folder holds is read off the names in it."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kernel.bars import TIMEFRAME_MS, Bars
from replay_venue.instruments import Instrument, instrument
from replay_venue.series import OnChain, Points
from replay_venue.weather import DAY_MS

_CANDLES = re.compile(r"ohlcv_(?P<symbol>[A-Z0-9]+)_(?P<timeframe>\d+[mhd])_.+\.parquet")
_FUNDING = re.compile(r"funding_(?P<symbol>[A-Z0-9]+)_.+\.parquet")
_ONCHAIN = re.compile(r"onchain_(?P<asset>[a-z0-9]+)_daily\.parquet")
_ONCHAIN_COLUMNS = ("FlowInExUSD", "FlowOutExUSD", "CapMVRVCur")
_EMPTY = Points(np.empty(0, np.int64), np.empty(0))


class RecordedSource:
    """Markets read once from parquet files named as `ohlcv_<symbol>_<timeframe>_<venue>.parquet`.

    Files: ohlcv_…, funding_<symbol>_…, onchain_<asset>_daily, fear_greed. Of several files for one
    symbol and timeframe the one with the most rows is served. A timeframe without a file is summed
    up from the finest file that divides it, only where none of its parts is missing. A series
    without a file is empty; so is open interest, for which no file layout is known.
    """

    def __init__(self, folder: Path, symbols: tuple[str, ...]) -> None:
        if not folder.is_dir():
            raise ValueError(f"recorded market: found no folder {folder}, expected parquet there")
        names = sorted(path.name for path in folder.iterdir())
        self.symbols = symbols
        self._candles = {symbol: _read_candles(folder, names, symbol) for symbol in symbols}
        missing = [symbol for symbol, files in self._candles.items() if not files]
        if missing or not symbols:
            raise ValueError(
                f"recorded market {folder}: found no candles for {missing}, "
                "expected ohlcv_<symbol>_<timeframe>_<venue>.parquet for each symbol"
            )
        self._instruments = {
            symbol: _instrument(symbol, files) for symbol, files in self._candles.items()
        }
        self._funding = {symbol: _read_funding(folder, names, symbol) for symbol in symbols}
        self._fear_greed = _read_fear_greed(folder / "fear_greed.parquet")
        self._onchain = {
            match["asset"].upper(): _read_onchain(folder / match.string)
            for match in map(_ONCHAIN.fullmatch, names)
            if match
        }

    def instrument(self, symbol: str) -> Instrument:
        return self._instruments[symbol]

    def bars(self, symbol: str, timeframe: str, start_ms: int, end_ms: int) -> Bars:
        files = self._candles[symbol]
        step = TIMEFRAME_MS[timeframe]
        if timeframe in files:
            return _window(files[timeframe], start_ms, end_ms)
        fine = self._finest(symbol, timeframe)
        if fine is None:
            return _window(next(iter(files.values())), 0, 0)
        first, stop = -(-start_ms // step) * step, -(-end_ms // step) * step
        return aggregate(_window(files[fine], first, stop), TIMEFRAME_MS[fine], step)

    def running_bar(self, symbol: str, timeframe: str, open_ms: int, now_ms: int) -> Bars:
        files = self._candles[symbol]
        fine = self._finest(symbol, timeframe) or timeframe
        parts = _window(files[fine], open_ms, open_ms + TIMEFRAME_MS[timeframe])
        if len(parts) == 0 and timeframe in files:
            parts = _window(files[timeframe], open_ms, open_ms + 1)
        known = int(np.searchsorted(parts.open_time_ms + TIMEFRAME_MS[fine], now_ms, side="right"))
        if known:
            return _merge(parts.slice(0, known), np.zeros(1, np.int64))
        opened = parts.open[:1]
        return Bars(parts.open_time_ms[:1], opened, opened, opened, opened, np.zeros(len(opened)))

    def funding(self, symbol: str, start_ms: int, end_ms: int) -> Points:
        return _points(self._funding[symbol], start_ms, end_ms)

    def open_interest(self, symbol: str, start_ms: int, end_ms: int) -> Points:
        del symbol, start_ms, end_ms
        return _EMPTY

    def fear_greed(self, start_ms: int, end_ms: int) -> Points:
        return _points(self._fear_greed, start_ms, end_ms)

    def onchain(self, asset: str, start_ms: int, end_ms: int) -> OnChain:
        days = self._onchain.get(asset)
        if days is None:
            return OnChain(_EMPTY.time_ms, _EMPTY.value, _EMPTY.value, _EMPTY.value)
        rows = slice(*np.searchsorted(days.time_ms, [start_ms, max(end_ms, start_ms)]))
        values = (days.flow_in_usd, days.flow_out_usd, days.mvrv)
        return OnChain(days.time_ms[rows], *(column[rows] for column in values))

    def _finest(self, symbol: str, timeframe: str) -> str | None:
        """Return the finest recorded timeframe that divides `timeframe`, if it is finer."""
        step = TIMEFRAME_MS[timeframe]
        finer = [name for name in self._candles[symbol] if step % TIMEFRAME_MS[name] == 0]
        fine = min(finer, key=TIMEFRAME_MS.__getitem__, default=timeframe)
        return None if fine == timeframe else fine


def aggregate(bars: Bars, fine_ms: int, coarse_ms: int) -> Bars:
    """Sum fine candles up into the coarse ones of which every part is there."""
    opens = bars.open_time_ms // coarse_ms * coarse_ms
    starts = np.flatnonzero(np.diff(opens, prepend=-1))
    if len(starts) == 0:
        return bars
    counts = np.diff(np.append(starts, len(opens)))
    merged = _merge(replace(bars, open_time_ms=opens), starts)
    whole = counts == coarse_ms // fine_ms
    return Bars(*(getattr(merged, name)[whole] for name in Bars.__slots__))


def _merge(bars: Bars, starts: NDArray[np.int64]) -> Bars:
    """Return one candle per run of rows that begins at each of `starts`."""
    lasts = np.append(starts[1:], len(bars)) - 1
    return Bars(
        bars.open_time_ms[starts],
        bars.open[starts],
        np.maximum.reduceat(bars.high, starts),
        np.minimum.reduceat(bars.low, starts),
        bars.close[lasts],
        np.add.reduceat(bars.volume, starts),
    )


def _window(bars: Bars, start_ms: int, end_ms: int) -> Bars:
    first, stop = np.searchsorted(bars.open_time_ms, [start_ms, max(end_ms, start_ms)])
    return bars.slice(int(first), int(stop))


def _points(points: Points, start_ms: int, end_ms: int) -> Points:
    rows = slice(*np.searchsorted(points.time_ms, [start_ms, max(end_ms, start_ms)]))
    return Points(points.time_ms[rows], points.value[rows])


@dataclass(frozen=True, slots=True)
class _Columns:
    time_ms: NDArray[np.int64]
    values: tuple[NDArray[np.float64], ...]


def _read(path: Path, time: str, names: tuple[str, ...]) -> _Columns:
    """Return columns of a parquet file by ascending time, the last row of equal times kept."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pq.read_schema(path)
    if time not in schema.names or any(name not in schema.names for name in names):
        raise ValueError(f"{path.name}: found columns {schema.names}, expected {[time, *names]}")
    table = pq.read_table(path, columns=[time, *names])
    stamps = table.column(time).cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64()).to_numpy()
    order = np.argsort(stamps, kind="stable")
    keep = order[np.append(np.diff(stamps[order]) > 0, True)] if len(order) else order
    columns = (table.column(name).cast(pa.float64(), safe=False).to_numpy() for name in names)
    return _Columns(stamps[keep], tuple(column[keep] for column in columns))


def _read_candles(folder: Path, names: list[str], symbol: str) -> Mapping[str, Bars]:
    files: dict[str, Bars] = {}
    for match in map(_CANDLES.fullmatch, names):
        if match is None or match["symbol"] != symbol or match["timeframe"] not in TIMEFRAME_MS:
            continue
        read = _read(folder / match.string, "timestamp", ("open", "high", "low", "close", "volume"))
        bars = Bars(read.time_ms, *read.values)
        if len(bars) > len(files.get(match["timeframe"], ())):
            files[match["timeframe"]] = bars
    return files


def _read_funding(folder: Path, names: list[str], symbol: str) -> Points:
    for match in map(_FUNDING.fullmatch, names):
        if match is not None and match["symbol"] == symbol:
            read = _read(folder / match.string, "funding_time", ("funding_rate",))
            return Points(read.time_ms, read.values[0])
    return _EMPTY


def _read_fear_greed(path: Path) -> Points:
    if not path.exists():
        return _EMPTY
    read = _read(path, "timestamp", ("fear_greed",))
    return Points(read.time_ms, read.values[0])


def _read_onchain(path: Path) -> OnChain:
    read = _read(path, "timestamp", _ONCHAIN_COLUMNS)
    return OnChain(read.time_ms // DAY_MS * DAY_MS, *read.values)


def _instrument(symbol: str, files: Mapping[str, Bars]) -> Instrument:
    """Return the instrument with the decimals that its recorded prices need."""
    known = instrument(symbol)
    closes = np.concatenate([bars.close[-2_000:] for bars in files.values()])
    decimals = max(_decimals(float(price)) for price in closes)
    return replace(known, tick_decimals=max(decimals, known.tick_decimals))


def _decimals(value: float) -> int:
    fraction = repr(value).partition(".")[2]
    return 0 if not math.isfinite(value) or "e" in fraction else len(fraction.rstrip("0"))
