"""Market data of a few rows, and writers that lay it out as others do."""

import hashlib
import io
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from market_data.sources.protocol import Source, Wanted
from market_data.tables import TABLES
from market_data.universe import SourceSettings

BAR_MS = 900_000
DAY_MS = 86_400_000
START_MS = 1_704_067_200_000  # 2024-01-01T00:00Z
KLINE_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
    "taker_buy_volume,taker_buy_quote_volume,ignore"
)
AGG_HEADER = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"
BOOK_HEADER = (
    "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time"
)
METRICS_HEADER = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,"
    "count_toptrader_long_short_ratio,sum_toptrader_long_short_ratio,"
    "count_long_short_ratio,sum_taker_long_short_vol_ratio"
)
FUNDING_HEADER = "calc_time,funding_interval_hours,last_funding_rate"


def wanted(
    table: str, start_ms: int, end_ms: int, symbol: str = "BTCUSDT", bar_ms: int = BAR_MS
) -> Wanted:
    return Wanted(table, symbol, start_ms, end_ms, bar_ms)


def read(source: Source, asked: Wanted) -> pd.DataFrame:
    """Return all pages as one frame, empty with the table's columns where there are none."""
    pages = list(source.pages(asked))
    empty = pd.DataFrame(columns=["event_time_ms", *TABLES[asked.table].columns])
    return pd.concat(pages, ignore_index=True) if pages else empty


def candles(start_ms: int, count: int, step_ms: int = BAR_MS, seed: int = 1) -> pd.DataFrame:
    """Return consistent candles whose every number has some digits."""
    rng = np.random.default_rng(seed)
    close = 50_000.0 * np.exp(np.cumsum(rng.normal(0, 0.002, count)))
    opened = np.concatenate(([50_000.0], close[:-1]))
    return pd.DataFrame(
        {
            "event_time_ms": start_ms + step_ms * np.arange(count, dtype=np.int64),
            "open": opened,
            "high": np.maximum(opened, close) * 1.001,
            "low": np.minimum(opened, close) * 0.999,
            "close": close,
            "volume": rng.uniform(0, 9, count),
        }
    )


def kline_lines(frame: pd.DataFrame, per_ms: int = 1) -> list[str]:
    """Return the rows of a klines file; `per_ms` 1,000 writes microseconds."""
    volume = frame["volume"] if "volume" in frame else np.zeros(len(frame))
    return [
        f"{row.event_time_ms * per_ms},{row.open!r},{row.high!r},{row.low!r},{row.close!r},"
        f"{size!r},{(row.event_time_ms + BAR_MS) * per_ms - 1},1.5,7,0.5,0.25,0"
        for row, size in zip(frame.itertuples(), map(float, volume), strict=True)
    ]


def zipped(path: Path, lines: Iterable[str], header: str = "", member: str = "") -> Path:
    """Write the lines as the one file of a zip called like it."""
    text = "\n".join([*([header] if header else []), *lines, ""])
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member or f"{path.stem}.csv", text)
    return path


def publish_checksum(path: Path) -> Path:
    """Write the checksum file that stands beside a published zip."""
    beside = path.with_name(f"{path.name}.CHECKSUM")
    beside.write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    return beside


def same(found: pd.DataFrame, expected: pd.DataFrame) -> bool:
    """Say whether the columns of `expected` are found bit by bit, NaN included, in this order."""
    return len(found) == len(expected) and all(
        np.array_equal(
            found[name].to_numpy(np.float64).view(np.int64),
            expected[name].to_numpy(np.float64).view(np.int64),
        )
        for name in expected.columns
    )


def settings(adapter: str, **values: object) -> SourceSettings:
    return SourceSettings(adapter, **values)  # type: ignore[arg-type]


def raw_zip(entries: Sequence[tuple[str, bytes]]) -> bytes:
    """Return an archive with these entries."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return buffer.getvalue()
