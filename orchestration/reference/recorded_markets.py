"""The recorded markets as observations are made of them, for pages and tests; read in place."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.bars import Bars
from kernel.observation import Market, Series
from kernel.onchain_metrics import METRICS, in_our_columns
from kernel.order_flow import Depth, Trades
from kernel.resampling import resample

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
BAR_MS = 900_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Recording:
    """Real bars and what is known beside them; `title` says whose and of when.

    `beside` says where a field of the observations comes from, if not from the title's market. Bars
    of another length than 15 minutes stand for those only for the features of `shown`, which count
    bars and look at no clock; empty, all are shown.
    """

    title: str
    market: Market
    bar_ms: int = BAR_MS
    beside: Mapping[str, str] = field(default_factory=dict[str, str])
    shown: tuple[str, ...] = ()


def recordings(folder: Path = DATA) -> list[Recording]:
    """Return the recorded markets, longest first; raises FileNotFoundError without the files."""
    return [
        Recording(
            "BTCUSDT, OKX perpetual, 2023–2025",
            three_years(folder),
            beside={
                "funding_rate": "funding of Binance",
                "open_interest": "open interest of Hyperliquid, from 2025-12-07 on",
            },
        ),
        Recording("ETHUSDT beside BTCUSDT, Binance perpetuals, 2025", _two_coins(folder)),
        Recording("BTCUSDT by the minute, Binance perpetual, May and June 2025", _minutes(folder)),
        Recording("BTCUSDT book, Binance spot, 17 h of 2026-06-14", _book(folder)),
        Recording(
            "BTCUSDT trades in bars of 10 s, Binance perpetual, 2 h of 2020-02-22",
            _trades(folder, 10_000),
            bar_ms=10_000,
            shown=("vpin", "kyle_lambda", "trade_sign_autocorrelation"),
        ),
        Recording(
            "BTCUSDT best quotes in bars of 1 s, Binance perpetual, 4 min of 2020-02-22",
            _quotes(folder, 1_000),
            bar_ms=1_000,
            shown=("book_imbalance", "microprice_drift", "order_flow_imbalance"),
        ),
    ]


def three_years(folder: Path = DATA) -> Market:
    """Return the longest recorded market: BTC from 2023 to 2025, with what is known beside it."""
    bars = _bars(folder / "ohlcv_BTCUSDT_15m_okx-swap.parquet")
    funding = _read(folder / "funding_BTCUSDT_8h_binance.parquet")
    fear = _read(folder / "fear_greed.parquet")
    chain = _read(folder / "onchain_btc_daily.parquet")
    theirs = {name: chain[name].to_numpy() for name in METRICS}
    metrics = in_our_columns(theirs, rows=len(chain))
    parts = [
        _series("funding_rate", funding, "funding_rate", 60_000),
        _open_interest(folder, bars),
        _series("fear_greed", fear, "fear_greed", HOUR_MS),
        *(
            _series(name, chain.assign(**{name: value}), name, DAY_MS + 2 * HOUR_MS)
            for name, value in metrics.items()
        ),
    ]
    return Market(bars, {one.name: one for one in parts})


def _open_interest(folder: Path, bars: Bars) -> Series:
    """Return Hyperliquid's open interest in BTC, of the hours that begin within the bars.

    The file has it in USD, stamped with the start of an hour. It moves with the price of the hour
    that follows the stamp, so it is an hour's figure: made BTC by the mean close of that hour, and
    known at its end.
    """
    frame = _read(folder / "open_interest_multivenue.parquet")
    frame = frame[(frame["venue"] == "hyperliquid") & (frame["symbol"] == "BTC")]
    hours, of_hour = np.unique(bars.open_time_ms // HOUR_MS * HOUR_MS, return_inverse=True)
    mean = np.bincount(of_hour, bars.close) / np.bincount(of_hour)
    times = _times(frame)
    _, there, hour = np.intersect1d(times, hours, return_indices=True)
    interest = frame["oi_usd"].to_numpy(np.float64)[there] / mean[hour]
    return Series("open_interest", times[there], times[there] + HOUR_MS, interest)


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
    times = _times(frame)
    middle = frame["mid_price"].to_numpy(np.float64)
    bars = _bars_of_ticks(times, middle, np.zeros(len(times)), BAR_MS)
    nothing = np.full(len(times), np.nan)
    depth = Depth(
        event_time_ms=times,
        known_at_ms=times,
        best_bid=frame["best_bid"].to_numpy(np.float64),
        best_ask=frame["best_ask"].to_numpy(np.float64),
        best_bid_quantity=nothing,
        best_ask_quantity=nothing,
        bid_quantity_100=frame["bid_qty_100lvl"].to_numpy(np.float64),
        ask_quantity_100=frame["ask_qty_100lvl"].to_numpy(np.float64),
    )
    return Market(bars, {}, depth=depth)


def _quotes(folder: Path, bar_ms: int) -> Market:
    """Return the recorded best quotes; their bars are those of the middle, without trades."""
    frame = _read(folder / "bbo_BTCUSDT_binance-perp_2020.parquet")
    times = _times(frame)
    names = ("bid_price", "ask_price", "bid_amount", "ask_amount")
    bid, ask, bids, asks = (frame[name].to_numpy(np.float64) for name in names)
    nothing = np.full(len(times), np.nan)
    bars = _bars_of_ticks(times, 0.5 * (bid + ask), np.zeros(len(times)), bar_ms)
    return Market(
        bars,
        {},
        depth=Depth(
            event_time_ms=times,
            known_at_ms=times,
            best_bid=bid,
            best_ask=ask,
            best_bid_quantity=bids,
            best_ask_quantity=asks,
            bid_quantity_100=nothing,
            ask_quantity_100=nothing,
        ),
    )


def _trades(folder: Path, bar_ms: int) -> Market:
    """Return the recorded trades and the bars that they make; a bar without one is absent."""
    frame = _read(folder / "trades_BTCUSDT_binance-perp_2020.parquet")
    times = _times(frame)
    known = frame["local_timestamp"].dt.ceil("ms").dt.as_unit("ms").astype("int64").to_numpy()
    price, amount = (frame[name].to_numpy(np.float64) for name in ("price", "amount"))
    side = np.where(frame["side"] == "buy", 1.0, -1.0)
    bars = _bars_of_ticks(times, price, amount, bar_ms)
    return Market(bars, {}, trades=Trades(times, known, price, amount, side))


def _bars_of_ticks(
    times: NDArray[np.int64],
    price: NDArray[np.float64],
    quantity: NDArray[np.float64],
    bar_ms: int,
) -> Bars:
    first = np.flatnonzero(np.diff(times // bar_ms, prepend=-1))
    return Bars(
        open_time_ms=times[first] // bar_ms * bar_ms,
        open=price[first],
        high=np.maximum.reduceat(price, first),
        low=np.minimum.reduceat(price, first),
        close=price[np.append(first[1:], len(times)) - 1],
        volume=np.add.reduceat(quantity, first),
    )


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

    return pd.read_parquet(path).sort_values("timestamp", ignore_index=True, kind="stable")
