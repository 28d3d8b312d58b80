"""The recorded markets as observations are made of them, for pages and tests; read in place."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.bars import Bars
from kernel.observation import Market, Series
from kernel.order_flow import Depth
from kernel.resampling import resample

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
BAR_MS = 900_000
HOUR_MS, DAY_MS = 3_600_000, 86_400_000


@dataclass(frozen=True, slots=True)
class Recording:
    """Real bars and what is known beside them; `title` says whose and of when."""

    title: str
    market: Market


def recordings(folder: Path = DATA) -> list[Recording]:
    """Return the recorded markets, longest first; raises FileNotFoundError without the files."""
    return [
        Recording("BTCUSDT, OKX perpetual, 2023–2025", _three_years(folder)),
        Recording("ETHUSDT beside BTCUSDT, Binance perpetuals, 2025", _two_coins(folder)),
        Recording("BTCUSDT by the minute, Binance perpetual, May and June 2025", _minutes(folder)),
        Recording("BTCUSDT book, Binance spot, 17 h of 2026-06-14", _book(folder)),
    ]


def _three_years(folder: Path) -> Market:
    bars = _bars(folder / "ohlcv_BTCUSDT_15m_okx-swap.parquet")
    funding = _read(folder / "funding_BTCUSDT_8h_binance.parquet")
    fear = _read(folder / "fear_greed.parquet")
    chain = _read(folder / "onchain_btc_daily.parquet")
    chain["net_flow"] = chain["FlowInExUSD"] - chain["FlowOutExUSD"]
    columns = {
        "exchange_net_flow": "net_flow",
        "mvrv": "CapMVRVCur",
        "active_addresses": "AdrActCnt",
        "transactions": "TxCnt",
        "hash_rate": "HashRate",
        "fees": "FeeTotNtv",
    }
    parts = [
        _series("funding_rate", funding, "funding_rate", 60_000),
        _series("fear_greed", fear, "fear_greed", HOUR_MS),
        *(_series(name, chain, column, DAY_MS + 2 * HOUR_MS) for name, column in columns.items()),
    ]
    return Market(bars, {one.name: one for one in parts})


def _two_coins(folder: Path) -> Market:
    btc, eth = (
        resample(_bars(folder / f"ohlcv_{symbol}_5m_binance-perp.parquet"), 300_000, BAR_MS)
        for symbol in ("BTCUSDT", "ETHUSDT")
    )
    opens = btc.open_time_ms
    return Market(eth, {"btc_close": Series("btc_close", opens, opens + BAR_MS, btc.close)})


def _minutes(folder: Path) -> Market:
    minutes = _bars(folder / "ohlcv_BTCUSDT_1m_binance-perp.parquet")
    return Market(resample(minutes, 60_000, BAR_MS), {}, minutes=minutes)


def _book(folder: Path) -> Market:
    """Return the recorded book; its bars are those of the middle of the quotes, without trades."""
    frame = _read(folder / "depth100_BTCUSDT_6s_binance-spot.parquet")
    times, middle = _times(frame), frame["mid_price"].to_numpy(np.float64)
    first = np.flatnonzero(np.diff(times // BAR_MS, prepend=-1))
    last = np.append(first[1:], len(times)) - 1
    bars = Bars(
        times[first] // BAR_MS * BAR_MS,
        middle[first],
        np.maximum.reduceat(middle, first),
        np.minimum.reduceat(middle, first),
        middle[last],
        np.zeros(len(first)),
    )
    nothing = np.full(len(times), np.nan)
    depth = Depth(
        times,
        times,
        frame["best_bid"].to_numpy(np.float64),
        frame["best_ask"].to_numpy(np.float64),
        nothing,
        nothing,
        frame["bid_qty_100lvl"].to_numpy(np.float64),
        frame["ask_qty_100lvl"].to_numpy(np.float64),
    )
    return Market(bars, {}, depth=depth)


def _bars(path: Path) -> Bars:
    frame = _read(path)
    names = ("open", "high", "low", "close", "volume")
    return Bars(_times(frame), *(frame[name].to_numpy(np.float64) for name in names))


def _series(name: str, frame: Any, column: str, lag_ms: int) -> Series:
    rows = frame[frame[column].notna()]
    times = _times(rows)
    return Series(name, times, times + lag_ms, rows[column].to_numpy(np.float64))


def _times(frame: Any) -> NDArray[np.int64]:
    return frame["timestamp"].dt.as_unit("ms").astype("int64").to_numpy()


def _read(path: Path) -> Any:
    import pandas as pd

    return pd.read_parquet(path).sort_values("timestamp", ignore_index=True)
