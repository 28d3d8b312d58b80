"""Binance's public data dump: a folder that mirrors it, or a flat one with its zips.

Source: the exchange's repository binance-public-data, whose README describes names and columns.
Spot stamps are microseconds since 2025-01-01; USD-M futures stamps are milliseconds.
"""

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from market_data.frames import Frame
from market_data.sources import safe_zip
from market_data.sources.backoff import refused
from market_data.sources.checksums import verified
from market_data.sources.columns import numbers, page, whole_numbers
from market_data.sources.looking import DEEPEST, there
from market_data.sources.protocol import Wanted
from market_data.sources.spelling import interval
from market_data.sources.stamps import Stamps, stamps
from market_data.sources.tabular import Batch, csv_batches, reading
from market_data.spans import Span
from market_data.tables import IMPOSSIBLE_STAMP, MINUTE_MS, TABLES
from market_data.universe import SourceSettings

PAGE_ROWS = 65_536
METRICS_MS = 5 * MINUTE_MS
OPEN_LABELS_FROM_MS = (
    1_782_345_600_000  # 2026-06-25: a file that does not tell is judged by its day
)
_KLINE = (
    "open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "count",
    "taker_buy_volume", "taker_buy_quote_volume", "ignore",
)  # fmt: skip
_KLINES = ("klines", "markPriceKlines", "indexPriceKlines", "premiumIndexKlines")
_UNLIKE = {  # folders of the dump that lead to another market
    "perpetual": frozenset({"spot", "cm", "option"}),
    "spot": frozenset({"futures", "um", "cm", "option"}),
}
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
    """A zip, and the month or day that its name says."""

    path: Path
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class BinanceArchive:
    """Read the zips anywhere below `at`: months and days side by side, the months' rows first.

    Only files whose span meets the window are opened. A month or day that is not there has no rows,
    and where a symbol has no file at all `searched` says so.
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
        """Yield the rows by time, some 65,000 at once, as the files have them.

        Where a month and its days are both there, the rows of a moment come in one page, the
        month's first: whoever judges them sees at once where two files disagree. Raises
        TidegateError for a folder that is not there, a file whose published checksum differs, and a
        file that is damaged, malicious or of another layout; no row of an archive is yielded before
        the whole of it has been verified.
        """
        dump = DUMPS[wanted.table]
        for files in _overlapping(self._files(dump, wanted)):
            if len(files) == 1 or TABLES[wanted.table].shape == "tick":  # ticks have numbers
                for file in files:
                    yield from _read(file, dump, wanted)
            else:
                yield from _merged(files, dump, wanted)

    def searched(self, wanted: Wanted) -> str:
        """Return which files were looked for, and what zips there are; "" if the symbol has any."""
        dump = DUMPS[wanted.table]
        if self._dated(dump, wanted):
            return ""
        kind = dump.folder if dump.folder in _KLINES else f"of {self.settings.market}"
        looked_for = f"{_stem(dump, wanted)}-<month or day>.zip ({kind})"
        return f"{self.name}: {there(Path(self.at), looked_for, ('.zip',), wanted.called)}"

    def _files(self, dump: Dump, wanted: Wanted) -> list[_File]:
        """Return the files to open, by time, a month before its days."""
        closing_ms = 1 if dump.folder == "metrics" else 0  # a day's last row is at its end
        return [
            file
            for file in self._dated(dump, wanted)
            if file.start_ms < wanted.end_ms and file.end_ms + closing_ms > wanted.start_ms
        ]

    def _dated(self, dump: Dump, wanted: Wanted) -> list[_File]:
        """Return all files of a series, by time, a month before its days."""
        root = Path(self.at)
        market = self.settings.market
        if not root.is_dir() or market not in _UNLIKE:
            found = f"no folder {self.at} of the market {market!r}"
            raise refused(self.name, found, f"a folder, and a market of {sorted(_UNLIKE)}")
        name = re.compile(rf"{re.escape(_stem(dump, wanted))}-(\d{{4}}-\d\d(?:-\d\d)?)\.zip")
        found = [
            _File(path, *_span(match[1]))
            for path in _zips(root, dump, _UNLIKE[market])
            if (match := name.fullmatch(path.name))
        ]
        return sorted(found, key=lambda file: (file.start_ms, -file.end_ms, file.path))


def _stem(dump: Dump, wanted: Wanted) -> str:
    """Return how the names of a series begin: BTCUSDT-15m, BTCUSDT-fundingRate."""
    bars = dump.fields is _KLINE
    length = interval(TABLES[wanted.table].step(wanted.bar_ms)) if bars else dump.folder
    return f"{wanted.called}-{length}"


def _zips(root: Path, dump: Dump, unlike: frozenset[str]) -> Iterator[Path]:
    """Yield the zips below a folder that no folder's name gives to another market or kind.

    Only klines of several kinds are named alike; a folder of theirs, here or above, tells them
    apart, and without one they are plain candles.
    """
    kinds = [part for part in root.resolve().parts if part in _KLINES]
    kind_of = {str(root): kinds[-1] if kinds else ""}
    for place, folders, names in os.walk(root, followlinks=True):
        kind = kind_of[place]
        deep = len(Path(place).relative_to(root).parts)
        folders[:] = sorted(
            one for one in folders if one[0] != "." and one not in unlike and deep < DEEPEST
        )
        for one in folders:
            kind_of[os.path.join(place, one)] = one if one in _KLINES else kind  # noqa: PTH118  as os.walk does
        if dump.folder not in _KLINES or (kind or "klines") == dump.folder:
            yield from (Path(place, name) for name in names if name.endswith(".zip"))


def _overlapping(files: Sequence[_File]) -> Iterator[list[_File]]:
    """Yield the files in groups of which no two overlap."""
    group: list[_File] = []
    for file in files:
        if group and file.start_ms >= max(one.end_ms for one in group):
            yield group
            group = []
        group.append(file)
    if group:
        yield group


def _merged(files: Sequence[_File], dump: Dump, wanted: Wanted) -> Iterator[Frame]:
    """Yield the rows of several files by time, no moment of theirs in two pages."""
    import pandas as pd

    rows: Frame = pd.concat(
        [frame for file in files for frame in _read(file, dump, wanted)], ignore_index=True
    )
    rows = rows.sort_values("event_time_ms", kind="stable", ignore_index=True)
    times = rows["event_time_ms"].to_numpy()
    start = 0
    while start < len(rows):
        last = times[min(start + PAGE_ROWS, len(rows)) - 1]
        end = int(np.searchsorted(times, last, side="right"))
        yield rows[start:end].reset_index(drop=True)
        start = end


def _read(file: _File, dump: Dump, wanted: Wanted) -> Iterator[Frame]:
    path = file.path
    with path.open("rb") as handle:
        verified(handle, path)
        with safe_zip.opened(handle, path, f"{path.stem}.csv") as stream, reading(path):
            for batch in _batches(stream, dump):
                yield _page(batch, file, dump, wanted)


def _batches(stream: Any, dump: Dump) -> Iterator[Batch]:
    import pyarrow as pa

    needed = [dump.time, *dump.columns.values(), *filter(None, [dump.sided])]
    ids = {name for name in needed if name.endswith("_id")}
    types = {name: pa.int64() if name in ids else pa.float64() for name in needed}
    types[dump.time] = pa.string() if dump.folder == "metrics" else pa.int64()
    types[dump.sided] = pa.bool_()
    found = csv_batches(stream, needed, dump.fields, types, required=needed)
    if dump.folder == "metrics":  # a day of 288 rows: what its stamps mean is told by all of them
        whole = list(found)
        yield from [pa.concat_tables(whole)] if whole else []
    else:
        yield from found


def _page(batch: Batch, file: _File, dump: Dump, wanted: Wanted) -> Frame:
    values: dict[str, Any] = {
        ours: whole_numbers(batch[theirs]) if theirs.endswith("_id") else numbers(batch[theirs])
        for ours, theirs in dump.columns.items()
    }
    if dump.sided:
        values["side"] = 1.0 - 2.0 * numbers(batch[dump.sided])
    if dump.folder != "metrics":
        return page(wanted.table, stamps(batch[dump.time], "ms"), values, wanted)
    labels = stamps(batch[dump.time])
    measured = labels.moved(_until_measured_ms(labels, (file.start_ms, file.end_ms)))
    return _on_grid(page(wanted.table, measured, values, wanted), wanted)


def _until_measured_ms(labels: Stamps, span: Span) -> int:
    """Return how long after their labels the values of a file of metrics were measured.

    A row describes five minutes and is measured at their end. Labels were those ends up to
    2026-06-24, and are the beginnings since. A day from 00:05 to 24:00 is labelled by ends, one
    from 00:00 to 23:55 by beginnings; where the first and the last are not there, the day decides.
    """
    start_ms, end_ms = span
    rounded = (labels.possible_ms + METRICS_MS // 2) // METRICS_MS * METRICS_MS
    if not len(rounded):
        return 0
    first_ms = int(rounded.min())
    last_ms = int(rounded.max())
    if (first_ms == start_ms) != (last_ms == end_ms):
        by_beginning = first_ms == start_ms
    elif first_ms == start_ms + METRICS_MS:
        by_beginning = False
    else:
        by_beginning = start_ms >= OPEN_LABELS_FROM_MS
    return METRICS_MS if by_beginning else 0


def _on_grid(frame: Frame, wanted: Wanted) -> Frame:
    """Return the rows at a bar's open: the dump has one every five minutes.

    Those between two bars are of moments that nobody asked for. One that is not even on the dump's
    own grid, or has no possible time, is none of them: it stays, to be judged.
    """
    table = TABLES[wanted.table]
    times = frame["event_time_ms"].to_numpy()
    at_bar = _away(times, table.step(wanted.bar_ms)) <= table.jitter_ms
    astray = _away(times, METRICS_MS) > table.jitter_ms
    if IMPOSSIBLE_STAMP in frame:
        astray |= (frame[IMPOSSIBLE_STAMP] != "").to_numpy()
    return frame[at_bar | astray].reset_index(drop=True)


def _away(times: Any, step_ms: int) -> Any:
    """Return how far, int64[n] ms, each time is from the next multiple of a step."""
    past = times % step_ms
    return np.minimum(past, step_ms - past)


def _span(stamp: str) -> tuple[int, int]:
    """Return the span of a month (2024-01) or a day (2024-01-31) in milliseconds UTC."""
    monthly = len(stamp) == 7
    start = datetime.strptime(stamp, "%Y-%m" if monthly else "%Y-%m-%d").replace(tzinfo=UTC)
    end = (start + timedelta(days=31)).replace(day=1) if monthly else start + timedelta(days=1)
    return int(start.timestamp()) * 1_000, int(end.timestamp()) * 1_000
