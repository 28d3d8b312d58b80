"""A market in which every table of bitcoin has rows, and ways to change them."""

from dataclasses import replace
from typing import Any

import numpy as np

from kernel.bars import Bars
from market_data.quality.acceptance import accept
from market_data.tables import TABLES
from tests.assets.market_stage import (
    BAR_MS,
    BARS,
    DAY_MS,
    DECEMBER_MS,
    FIRST_MS,
    HOUR_MS,
    REFERENCE,
    VENUE,
    Stage,
    put_bars,
    put_values,
)
from tests.market_data.served_venue import walk

YEAR_2100_MS = 4_102_444_800_000


def fill(stage: Stage) -> None:
    """Put two days of every table of BTCUSDT and candles of ETHUSDT into the market.

    That there is nothing else of ETHUSDT somebody has accepted.
    """
    who = {"person": "Ada", "reason": "bitcoin is enough", "at_ms": FIRST_MS}
    for name, table in TABLES.items():
        if name != "candles" and (table.dense or table.longest_silence_ms):
            accept(stage.lake, name, "ETHUSDT", (0, YEAR_2100_MS), **who)
    market = stage.market
    bars = walk(FIRST_MS, BARS)
    put_bars(market, "BTCUSDT", bars)
    put_bars(market, "ETHUSDT", walk(FIRST_MS, BARS, seed=2))
    put_bars(market, "BTCUSDT", shifted(bars, 1.0005), "reference_candles", REFERENCE)
    put_bars(market, "BTCUSDT", shifted(bars, 1.0001), "mark_candles")
    put_bars(market, "BTCUSDT", shifted(bars, 1.0002), "index_candles")
    put_bars(market, "BTCUSDT", minutes(bars), "minute_candles")
    settled = DECEMBER_MS - 3 * 8 * HOUR_MS + 5
    put_values(
        market=market,
        table="funding",
        symbol="BTCUSDT",
        start_ms=settled,
        step_ms=8 * HOUR_MS,
        values=[1e-4, -2e-4, 3e-4] * 2 + [0.0],
    )
    interest = [9e4 + at for at in range(BARS)]
    put_values(
        market=market,
        table="open_interest",
        symbol="BTCUSDT",
        start_ms=FIRST_MS,
        step_ms=BAR_MS,
        values=interest,
    )
    put_values(
        market=market,
        table="fear_greed",
        symbol="BTCUSDT",
        start_ms=DECEMBER_MS - 2 * DAY_MS,
        step_ms=DAY_MS,
        values=[20.0, 30.0, 40.0],
    )
    put_days(stage, 4)
    put_ticks(stage)


def shifted(bars: Bars, factor: float) -> Bars:
    """Return the same bars at another price level."""
    prices = {name: getattr(bars, name) * factor for name in ("open", "high", "low", "close")}
    return replace(bars, **prices)


def minutes(bars: Bars) -> Bars:
    """Return one-minute bars over the same span, flat within each bar."""
    times = FIRST_MS + 60_000 * np.arange(15 * len(bars), dtype=np.int64)
    close = np.repeat(bars.close, 15)
    return Bars(
        open_time_ms=times,
        open=close,
        high=close,
        low=close,
        close=close,
        volume=np.ones(len(times)),
    )


def put_days(stage: Stage, count: int, **columns: Any) -> None:
    """Hold on-chain days that end before the present."""
    times = DECEMBER_MS - 3 * DAY_MS + DAY_MS * np.arange(count, dtype=np.int64)
    names = TABLES["onchain"].columns
    values = {name: np.linspace(1.0, 2.0, count) for name in names}
    stage.market.put(VENUE, "onchain", "BTCUSDT", event_time_ms=times, **(values | columns))


def put_ticks(stage: Stage) -> None:
    """Hold trades, several of them at one moment, order books, and measured arrivals."""
    times = DECEMBER_MS + 250 * (np.arange(400, dtype=np.int64) // 2)
    number = np.arange(400)
    side = np.where(number % 3, 1.0, -1.0)
    stage.market.put(
        VENUE, "trades", "BTCUSDT", event_time_ms=times, trade_id=number,
        price=50_000.0 + number, quantity=np.full(400, 0.5), side=side,
    )  # fmt: skip
    depth = {name: np.full(400, 2.0) for name in TABLES["depth"].columns}
    prices = {"best_bid": 50_000.0 + number, "best_ask": 50_001.0 + number}
    stage.market.put(
        VENUE, "depth", "BTCUSDT",
        **(depth | prices | {"event_time_ms": times, "update_id": number}),
    )  # fmt: skip
    put_arrivals(stage, "funding", 40, 20_000)


def put_arrivals(stage: Stage, table: str, count: int, lag_ms: int) -> None:
    """Hold measured lags of rows of a table."""
    times = DECEMBER_MS + HOUR_MS // 2 * np.arange(count, dtype=np.int64)
    stage.market.put(
        VENUE, "arrivals", "BTCUSDT", event_time_ms=times, series=[table] * count,
        lag_ms=np.full(count, lag_ms, np.int64),
    )  # fmt: skip


def corrected(stage: Stage, table: str, symbol: str, row: int, **values: Any) -> None:
    """Have the source send other values for one of its rows."""
    held = stage.market.rows[VENUE, table, symbol].copy()
    for name, value in values.items():
        held.loc[row, name] = value
    stage.market.rows[VENUE, table, symbol] = held
