"""Binance's public data dump: a folder that mirrors it, or a flat one with its zips.

Source: the exchange's repository binance-public-data, whose README describes names and columns.
Spot stamps are microseconds since 2025-01-01; USD-M futures stamps are milliseconds.
"""

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from market_data.frames import Frame
from market_data.sources import safe_zip
from market_data.sources.backoff import refused
from market_data.sources.checksums import verified
from market_data.sources.columns import WrongColumnError, numbers, page, times_ms, whole_numbers
from market_data.sources.protocol import Wanted
from market_data.sources.spelling import interval
from market_data.sources.tabular import Batch, csv_batches, reading
from market_data.tables import TABLES
from market_data.universe import SourceSettings

MARKETS = {"perpetual": "futures/um", "spot": "spot"}
_MICROSECONDS = (
    10**14
)  # a stamp above it is in µs: as milliseconds it would lie after the year 5000
_KLINE = (
    "open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "count",
    "taker_buy_volume", "taker_buy_quote_volume", "ignore",
)  # fmt: skip
_PRICES = {name: name for name in ("open", "high", "low", "close")}


@dataclass(frozen=True, slots=True)
class Dump:
    """One kind of file: its folder, the names of its fields in order, and ours by theirs.

    `sided` files say whether the buyer was the maker; the taker is the other one.
    """

    folder: str
    fields: tuple[str, ...]
    time: str
    columns: Mapping[str, str]
    futures_only: bool = True
    sided: str = ""


_CANDLES = Dump("klines", _KLINE, "open_time", {**_PRICES, "volume": "volume"}, futures_only=False)
DUMPS: Mapping[str, Dump] = MappingProxyType(
    {
        "candles": _CANDLES,
        "reference_candles": _CANDLES,
        "minute_candles": _CANDLES,
        "mark_candles": Dump("markPriceKlines", _KLINE, "open_time", _PRICES),
        "index_candles": Dump("indexPriceKlines", _KLINE, "open_time", _PRICES),
        "funding": Dump(
            "fundingRate",
            ("calc_time", "funding_interval_hours", "last_funding_rate"),
            "calc_time",
            {"funding_rate": "last_funding_rate"},
        ),
        "open_interest": Dump(
            "metrics",
            ("create_time", "symbol", "sum_open_interest"),
            "create_time",
            {"open_interest": "sum_open_interest"},
        ),
        "trades": Dump(
            "aggTrades",
            (
                "agg_trade_id", "price", "quantity", "first_trade_id", "last_trade_id",
                "transact_time", "is_buyer_maker",
            ),
            "transact_time",
            {"trade_id": "agg_trade_id", "price": "price", "quantity": "quantity"},
            futures_only=False,
            sided="is_buyer_maker",
        ),
        "depth": Dump(
            "bookTicker",
            (
                "update_id", "best_bid_price", "best_bid_qty", "best_ask_price", "best_ask_qty",
                "transaction_time", "event_time",
            ),
            "transaction_time",
            {
                "update_id": "update_id",
                "best_bid": "best_bid_price",
                "best_bid_quantity": "best_bid_qty",
                "best_ask": "best_ask_price",
                "best_ask_quantity": "best_ask_qty",
            },
        ),
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class BinanceArchive:
    """Read the zips below `at`; a month's file is preferred, days fill the months without one.

    Only files whose span meets the window are opened. A month or day that is not there has no rows.
    """

    asking_is_free: ClassVar[bool] = True

    name: str
    settings: SourceSettings
    at: str

    @property
    def tables(self) -> frozenset[str]:
        """Return the tables that the market's dump has files for."""
        spot = self.settings.market == "spot"
        return frozenset(name for name, dump in DUMPS.items() if not (spot and dump.futures_only))

    def now_ms(self) -> int:
        """Return the wall clock: an archive holds only what is over."""
        return time.time_ns() // 1_000_000

    def pages(self, wanted: Wanted) -> Iterator[Frame]:
        """Yield the rows file by file, some 40,000 at a time, as the files have them.

        Raises dagster Failure for a folder that is not there, a file whose published checksum
        differs, and a file that is damaged, malicious or of another layout; no row of an archive is
        yielded before the whole of it has been verified.
        """
        dump = DUMPS[wanted.table]
        for file in self._files(dump, wanted):
            with file.path.open("rb") as handle:
                verified(handle, file.path)
                with safe_zip.opened(handle, file.path, f"{file.path.stem}.csv") as stream:
                    yield from _rows(stream, file.path, dump, wanted)

    def _files(self, dump: Dump, wanted: Wanted) -> list[_File]:
        """Return the files to open, by time."""
        root = Path(self.at)
        if not root.is_dir() or self.settings.market not in MARKETS:
            found = f"no folder {self.at} of the market {self.settings.market!r}"
            raise refused(self.name, found, f"a folder, and a market of {sorted(MARKETS)}")
        months = self._dated(root, "monthly", dump, wanted)
        days = self._dated(root, "daily", dump, wanted)
        whole = {stamp for stamp in months if len(stamp) == 7}
        held = months | {stamp: path for stamp, path in days.items() if stamp[:7] not in whole}
        files = [_File(path, *_span(stamp)) for stamp, path in sorted(held.items())]
        closing_ms = 1 if wanted.table == "open_interest" else 0  # a day's last row is at its end
        return [
            file
            for file in files
            if file.start_ms < wanted.end_ms and file.end_ms + closing_ms > wanted.start_ms
        ]

    def _dated(self, root: Path, period: str, dump: Dump, wanted: Wanted) -> dict[str, Path]:
        """Return the zips of one kind by the month or day in their name."""
        bars = dump.fields is _KLINE
        length = interval(TABLES[wanted.table].step(wanted.bar_ms)) if bars else dump.folder
        name = re.compile(rf"{wanted.symbol}-{length}-(\d{{4}}-\d\d(?:-\d\d)?)\.zip")
        below = Path(period, dump.folder, wanted.symbol, *([length] if bars else []))
        market = MARKETS[self.settings.market]
        folders = [root / "data" / market / below, root / market / below, root / below]
        if dump.folder not in {"markPriceKlines", "indexPriceKlines"}:
            folders.append(root)  # those are named as plain candles are: only a folder tells
        found: dict[str, Path] = {}
        for folder in folders:
            for path in folder.iterdir() if folder.is_dir() else ():
                if match := name.fullmatch(path.name):
                    found.setdefault(match[1], path)
        return found


def _rows(stream: Any, path: Path, dump: Dump, wanted: Wanted) -> Iterator[Frame]:
    import pyarrow as pa

    needed = [dump.time, *dump.columns.values(), *filter(None, [dump.sided])]
    ids = {name for name in needed if name.endswith("_id")}
    types = {name: pa.int64() if name in ids else pa.float64() for name in needed}
    types[dump.time] = pa.string() if dump.folder == "metrics" else pa.int64()
    types[dump.sided] = pa.bool_()
    with reading(path):
        for batch in csv_batches(stream, needed, dump.fields, types):
            yield _page(batch, needed, dump, wanted)


def _page(batch: Batch, needed: list[str], dump: Dump, wanted: Wanted) -> Frame:
    missing = sorted(set(needed) - set(batch.schema.names))
    if missing:
        raise WrongColumnError(f"found no columns {missing}, expected {needed}")
    values: dict[str, Any] = {
        ours: whole_numbers(batch[theirs]) if theirs.endswith("_id") else numbers(batch[theirs])
        for ours, theirs in dump.columns.items()
    }
    if dump.sided:
        values["side"] = 1.0 - 2.0 * numbers(batch[dump.sided])
    times = times_ms(batch[dump.time], "" if dump.folder == "metrics" else "ms")
    times = np.where(times >= _MICROSECONDS, times // 1_000, times)
    frame = page(wanted.table, times, values, wanted)
    return _on_grid(frame, wanted) if dump.folder == "metrics" else frame


def _on_grid(frame: Frame, wanted: Wanted) -> Frame:
    """Return the rows at a bar's open: the dump has one every five minutes."""
    table = TABLES[wanted.table]
    step = table.step(wanted.bar_ms)
    away: NDArray[np.int64] = (frame["event_time_ms"].to_numpy() + table.jitter_ms) % step
    return frame[away <= 2 * table.jitter_ms].reset_index(drop=True)


def _span(stamp: str) -> tuple[int, int]:
    """Return the span of a month (2024-01) or a day (2024-01-31) in milliseconds UTC."""
    monthly = len(stamp) == 7
    start = datetime.strptime(stamp, "%Y-%m" if monthly else "%Y-%m-%d").replace(tzinfo=UTC)
    end = (start + timedelta(days=31)).replace(day=1) if monthly else start + timedelta(days=1)
    return int(start.timestamp()) * 1_000, int(end.timestamp()) * 1_000
