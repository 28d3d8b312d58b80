"""Recorded parquet files: whose they are is read off their names, what they hold off their columns.

ohlcv_<symbol>_<timeframe>_<venue>    candles
mark_<symbol>_<timeframe>_<venue>     candles of the mark price
index_<symbol>_<timeframe>_<venue>    candles of the index
trades_<symbol>_<venue>[_<year>]      trade prints: timestamp, id, side, price, amount
bbo_<symbol>_<venue>[_<year>]         best bid and ask with their quantities
funding_<symbol>_<span>_<venue>       settled rates by funding_time
open_interest_<any>                   timestamp, venue, symbol (the base), oi_usd
onchain_<asset>_daily                 Coin Metrics' columns
fear_greed                            the daily index

`depth100_` files are not read: they hold the best prices and the sums of 100 levels, from which no
level's quantity follows, so that any order book made of them would be invented.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.bars import TIMEFRAME_MS, Bars
from kernel.onchain_metrics import METRICS
from replay_venue.market.series import AggregateTrades, OnChain, Points
from replay_venue.market.weather import DAY_MS

_CANDLES = re.compile(
    r"(?P<kind>ohlcv|mark|index)_(?P<symbol>[A-Z0-9]+)_(?P<timeframe>\d+[mhd])_(?P<venue>.+)\.parquet"
)
_TICKS = re.compile(r"(?P<kind>trades|bbo)_(?P<symbol>[A-Z0-9]+)_(?P<venue>.+?)(_\d{4})?\.parquet")
_FUNDING = re.compile(r"funding_(?P<symbol>[A-Z0-9]+)_\w+?_(?P<venue>.+)\.parquet")
_ONCHAIN = re.compile(r"onchain_(?P<asset>[a-z0-9]+)_daily\.parquet")
_OPEN_INTEREST = re.compile(r"open_interest_.+\.parquet")
NO_POINTS = Points(np.empty(0, np.int64), np.empty(0))


@dataclass(frozen=True, slots=True)
class Quotes:
    """Best bid and ask over time, of one length; `number` counts the rows of the file from 1."""

    time_ms: NDArray[np.int64]
    number: NDArray[np.int64]
    bid_price: NDArray[np.float64]
    bid_quantity: NDArray[np.float64]
    ask_price: NDArray[np.float64]
    ask_quantity: NDArray[np.float64]


def candle_venues(folder: Path, symbol: str) -> dict[str, dict[str, Bars]]:
    """Return the traded candles of a symbol: venue → timeframe → bars."""
    return _candles(folder, "ohlcv", symbol)


def quoted_candles(folder: Path, kind: str, symbol: str, venue: str) -> dict[str, Bars]:
    """Return candles of "mark" or "index" by timeframe; empty where the venue recorded none."""
    return _candles(folder, kind, symbol).get(venue, {})


def trades(folder: Path, symbol: str, venue: str) -> AggregateTrades:
    """Return the trade prints of a symbol at a venue, by ascending id."""
    names = ("id", "price", "amount")
    path = _ticks(folder, "trades", symbol, venue)
    if path is None:
        none = np.empty(0)
        return AggregateTrades(
            NO_POINTS.time_ms, NO_POINTS.time_ms, none, none, none.astype(np.int8)
        )
    table = _table(path, ("timestamp", *names, "side"))
    order = np.argsort(table["id"].to_numpy(), kind="stable")
    side = table["side"].to_pylist()
    known = {"buy": 1, "sell": -1}
    if set(side) - set(known):
        raise ValueError(f"{path.name}: found sides {sorted(set(side))}, expected buy and sell")
    identity, price, amount = (table[name].to_numpy()[order] for name in names)
    sides = np.array([known[one] for one in side], np.int8)[order]
    return AggregateTrades(_stamps(table["timestamp"])[order], identity, price, amount, sides)


def quotes(folder: Path, symbol: str, venue: str) -> Quotes | None:
    """Return the best bid and ask of a symbol at a venue; None where it recorded none."""
    path = _ticks(folder, "bbo", symbol, venue)
    if path is None:
        return None
    names = ("bid_price", "bid_amount", "ask_price", "ask_amount")
    time_ms, rows, values = _read(path, "timestamp", names)
    return Quotes(time_ms, rows + 1, *values)


def funding(folder: Path, symbol: str, exchange: str) -> Points:
    """Return settled funding: of `exchange` where it was recorded there, else of the one that was.

    ValueError where several others were recorded, of which none can be preferred.
    """
    found = {match["venue"]: path for path, match in _matching(folder, _FUNDING, symbol)}
    chosen = {venue: path for venue, path in found.items() if exchange_of(venue) == exchange}
    files = chosen or found
    if not files:
        return NO_POINTS
    if len(files) > 1:
        raise ValueError(
            f"recorded funding of {symbol}: found files of {sorted(files)}, expected one venue"
        )
    time_ms, _, values = _read(next(iter(files.values())), "funding_time", ("funding_rate",))
    return Points(time_ms, values[0])


def open_interest_usd(folder: Path, base: str, exchange: str) -> Points:
    """Return open interest in USD of the exchange, or of the venue with the longest history.

    A venue of which only a snapshot was taken has no history.
    """
    paths = [path for path in sorted(folder.iterdir()) if _OPEN_INTEREST.fullmatch(path.name)]
    if not paths:
        return NO_POINTS
    table = _table(paths[0], ("timestamp", "venue", "symbol", "oi_usd"))
    venues = np.array(table["venue"].to_pylist())
    mine = np.array(table["symbol"].to_pylist()) == base
    counts = {str(name): int((mine & (venues == name)).sum()) for name in np.unique(venues)}
    histories = {name: count for name, count in counts.items() if count > 1}
    if not histories:
        return NO_POINTS
    venue = exchange if exchange in histories else max(histories, key=histories.__getitem__)
    rows = np.flatnonzero(mine & (venues == venue))
    rows = rows[_last_of_each(_stamps(table["timestamp"])[rows])]
    return Points(_stamps(table["timestamp"])[rows], table["oi_usd"].to_numpy()[rows])


def onchain(folder: Path) -> dict[str, OnChain]:
    """Return daily values by base asset; a metric without a column is NaN on every day."""
    days: dict[str, OnChain] = {}
    for path in sorted(folder.iterdir()):
        match = _ONCHAIN.fullmatch(path.name)
        if match is not None:
            days[match["asset"].upper()] = _read_onchain(path)
    return days


def fear_greed(folder: Path) -> Points:
    """Return the index; empty without its file."""
    path = folder / "fear_greed.parquet"
    if not path.exists():
        return NO_POINTS
    time_ms, _, values = _read(path, "timestamp", ("fear_greed",))
    return Points(time_ms, values[0])


def exchange_of(venue: str) -> str:
    """Return the exchange of a venue's name: binance of binance-perp."""
    return venue.partition("-")[0]


def _candles(folder: Path, kind: str, symbol: str) -> dict[str, dict[str, Bars]]:
    venues: dict[str, dict[str, Bars]] = {}
    for path, match in _matching(folder, _CANDLES, symbol):
        if match["kind"] == kind and match["timeframe"] in TIMEFRAME_MS:
            names = ("open", "high", "low", "close")
            traded = kind == "ohlcv"
            time_ms, _, values = _read(path, "timestamp", (*names, "volume") if traded else names)
            volume = () if traded else (np.zeros(len(time_ms)),)
            venues.setdefault(match["venue"], {})[match["timeframe"]] = Bars(
                time_ms, *values, *volume
            )
    return venues


def _ticks(folder: Path, kind: str, symbol: str, venue: str) -> Path | None:
    for path, match in _matching(folder, _TICKS, symbol):
        if match["kind"] == kind and match["venue"] == venue:
            return path
    return None


def _matching(
    folder: Path, pattern: re.Pattern[str], symbol: str
) -> list[tuple[Path, re.Match[str]]]:
    found = [(path, pattern.fullmatch(path.name)) for path in sorted(folder.iterdir())]
    return [(path, match) for path, match in found if match and match["symbol"] == symbol]


def _read_onchain(path: Path) -> OnChain:
    import pyarrow.parquet as pq

    present = tuple(name for name in METRICS if name in pq.read_schema(path).names)
    time_ms, _, values = _read(path, "timestamp", present)
    columns: Mapping[str, NDArray[np.float64]] = dict(zip(present, values, strict=True))
    missing = np.full(len(time_ms), np.nan)
    return OnChain(
        time_ms // DAY_MS * DAY_MS, {name: columns.get(name, missing) for name in METRICS}
    )


def _read(
    path: Path, time: str, names: tuple[str, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[NDArray[np.float64], ...]]:
    """Return stamps, row numbers and columns by ascending time, the last of equal times."""
    import pyarrow as pa

    table = _table(path, (time, *names))
    stamps = _stamps(table[time])
    rows = _last_of_each(stamps)
    columns = (table[name].cast(pa.float64(), safe=False).to_numpy()[rows] for name in names)
    return stamps[rows], rows, tuple(columns)


def _last_of_each(stamps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows by ascending time, the last of equal times."""
    order = np.argsort(stamps, kind="stable")
    return order[np.append(np.diff(stamps[order]) > 0, True)] if len(order) else order


def _table(path: Path, names: tuple[str, ...]) -> Any:
    import pyarrow.parquet as pq

    found = pq.read_schema(path).names
    if any(name not in found for name in names):
        raise ValueError(f"{path.name}: found columns {found}, expected {list(names)}")
    return pq.read_table(path, columns=list(names))


def _stamps(column: Any) -> NDArray[np.int64]:
    import pyarrow as pa

    return column.cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64()).to_numpy()
