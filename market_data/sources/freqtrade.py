"""A freqtrade data folder, such as user_data/data/binance: feather, parquet, json or json.gz.

Source: freqtrade's documentation, "Data Downloading", and its data handlers. A spot market's
candles are in `<pair>-<timeframe>`; below `futures/` there is `<pair>-<timeframe>-<kind>` with the
kinds futures, mark, index and funding_rate, whose rate is in the column `open`; trades are in
`<pair>-trades`.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from kernel.bars import TIMEFRAME_MS
from market_data.frames import Frame
from market_data.sources.backoff import refused
from market_data.sources.columns import numbers, page, whole_numbers
from market_data.sources.instruments import UNLISTED, Instruments
from market_data.sources.looking import there
from market_data.sources.protocol import Wanted
from market_data.sources.spelling import interval
from market_data.sources.stamps import WrongColumnError, stamps
from market_data.sources.tabular import Batch, batches, reading
from market_data.tables import TABLES
from market_data.universe import SourceSettings

LARGEST_JSON_BYTES = 512 << 20  # unpacked, and read as a whole; ten years of minutes are some 350
SUFFIXES = ("feather", "parquet", "json", "json.gz")
_CANDLE_FIELDS = ("date", "open", "high", "low", "close", "volume")
_TRADE_FIELDS = ("timestamp", "id", "type", "side", "price", "amount", "cost")
_PRICES = {name: name for name in ("open", "high", "low", "close")}
_KINDS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "candles": ("futures", {**_PRICES, "volume": "volume"}),
    "reference_candles": ("futures", {**_PRICES, "volume": "volume"}),
    "minute_candles": ("futures", {**_PRICES, "volume": "volume"}),
    "mark_candles": ("mark", _PRICES),
    "index_candles": ("index", _PRICES),
    "funding": ("funding_rate", {"funding_rate": "open"}),
    "trades": (
        "trades",
        {"trade_id": "id", "price": "price", "quantity": "amount", "side": "side"},
    ),
}
_SPOT = frozenset({"candles", "reference_candles", "minute_candles", "trades"})


@dataclass(frozen=True, slots=True)
class Freqtrade:
    """Read what freqtrade downloaded into the folder `at`, of one of its markets.

    All files of a series are read: of every format, and settlements of every timeframe.
    """

    asking_is_free: ClassVar[bool] = True

    name: str
    settings: SourceSettings
    at: str
    instruments: Instruments = UNLISTED

    @property
    def tables(self) -> frozenset[str]:
        """Return the tables for which freqtrade keeps files of the market."""
        return _SPOT if self.settings.market == "spot" else frozenset(_KINDS)

    def now_ms(self) -> int:
        """Return the wall clock: a file holds only what is over."""
        return time.time_ns() // 1_000_000

    def pages(self, wanted: Wanted) -> Iterator[Frame]:
        """Yield the rows in pieces, as the files have them; no file means no rows.

        Raises TidegateError for a folder that is not there and a file that cannot be read.
        """
        _, columns = _KINDS[wanted.table]
        for path in self._paths(wanted):
            with reading(path):
                for batch in _batches(path, wanted.table, columns):
                    yield _page(batch, columns, wanted)

    def searched(self, wanted: Wanted) -> str:
        """Return which file was looked for, and what lies there instead; "" if it is there."""
        if self._paths(wanted):
            return ""
        stem = self._stems(wanted)[0]
        looked_for = f"{stem}.{{{','.join(SUFFIXES)}}}"
        return f"{self.name}: {there(Path(self.at), looked_for, SUFFIXES, self._pair(wanted))}"

    def _paths(self, wanted: Wanted) -> list[Path]:
        """Return the files with the rows, each once."""
        folder = Path(self.at)
        if not folder.is_dir() or self.settings.market not in {"perpetual", "spot"}:
            found = f"no folder {self.at} of the market {self.settings.market!r}"
            raise refused(self.name, found, "freqtrade's of an exchange, and perpetual or spot")
        names = [f"{stem}.{suffix}" for stem in self._stems(wanted) for suffix in SUFFIXES]
        return [folder / name for name in names if (folder / name).is_file()]

    def _pair(self, wanted: Wanted) -> str:
        """Return the pair as freqtrade's files write it: BTC_USDT_USDT."""
        if wanted.name:
            return wanted.name.replace("/", "_").replace(":", "_")
        what = self.instruments.of(wanted.symbol)
        spot = f"{what.counted}_{what.quote}"
        return spot if self.settings.market == "spot" else f"{spot}_{what.quote}"

    def _stems(self, wanted: Wanted) -> list[str]:
        """Return the names without suffix that files with the rows may have.

        Settlements are in a file of any timeframe: newer downloads say 1h, older ones 8h.
        """
        kind = _KINDS[wanted.table][0]
        spot = self.settings.market == "spot"
        pair = self._pair(wanted)
        step = TABLES[wanted.table].step(wanted.bar_ms)
        frames = list(TIMEFRAME_MS) if kind == "funding_rate" else [interval(step or 60_000)]
        if kind == "trades":
            names = [f"{pair}-trades"]
        else:
            names = [f"{pair}-{frame}" + ("" if spot else f"-{kind}") for frame in frames]
        return names if spot else [f"{place}{name}" for place in ("futures/", "") for name in names]


def _batches(path: Path, table: str, columns: Mapping[str, str]) -> Iterator[Batch]:
    fields = _TRADE_FIELDS if table == "trades" else _CANDLE_FIELDS
    if path.suffix in {".feather", ".parquet"}:
        yield from batches(path, fields, required=(fields[0], *columns.values()))
    else:
        yield _json(path, fields)


def _json(path: Path, fields: tuple[str, ...]) -> Batch:
    """Return the rows of a file that is one list of rows."""
    import gzip
    import json

    import pyarrow as pa

    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        content = file.read(LARGEST_JSON_BYTES + 1)
    if len(content) > LARGEST_JSON_BYTES:
        raise WrongColumnError(f"found more than {LARGEST_JSON_BYTES} bytes, expected feather")
    rows: list[Any] = json.loads(content)
    sound = isinstance(rows, list) and all(
        isinstance(row, list) and len(row) >= len(fields) for row in rows
    )
    if not sound:
        raise WrongColumnError(f"found no list of rows, expected rows of {fields}")
    columns = (
        zip(*(row[: len(fields)] for row in rows), strict=True) if rows else [()] * len(fields)
    )
    return pa.table({name: _column(values) for name, values in zip(fields, columns, strict=True)})


def _column(values: tuple[Any, ...]) -> Any:
    import pyarrow as pa

    texts = any(isinstance(value, str) for value in values)
    mixed = any(isinstance(value, float) for value in values)
    if texts:
        return pa.array([None if value is None else str(value) for value in values], pa.string())
    return pa.array(values, pa.float64() if mixed or not values else None)


def _page(batch: Batch, columns: Mapping[str, str], wanted: Wanted) -> Frame:
    stamp = "timestamp" if wanted.table == "trades" else "date"
    values = {
        ours: whole_numbers(batch[theirs]) if ours == "trade_id" else numbers(batch[theirs])
        for ours, theirs in columns.items()
    }
    return page(wanted.table, stamps(batch[stamp], "ms"), values, wanted)
