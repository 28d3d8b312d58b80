"""How fast the replay venue is: pages and rows a second over REST, events a second on its streams.

Run: python benchmarks/venue.py. Cold pages include generating the market they are the first to ask
for. The client is one connection of this process, which shares its core with the venue's thread.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from websockets.asyncio.client import ClientConnection, connect

from replay_venue.market.generator import generate
from replay_venue.market.intervals import TIMEFRAME_MS
from replay_venue.serving import wire
from tests.replay_venue.served import BAR_MS, Served, at, binance_usdm, serving

SINCE = at("2024-03-01")


def generated() -> str:
    """Return the time three years of 15m candles take."""
    began = time.perf_counter()
    bars = generate(
        seed=7,
        symbol="BTCUSDT",
        edge=0.12,
        start_ms=at("2023-01-01"),
        end_ms=at("2026-01-01"),
        timeframe="15m",
    ).bars
    return f"generate: {len(bars):,} candles in {time.perf_counter() - began:.2f} s"


def formatted() -> str:
    """Return what writing a page of candles costs, apart from HTTP."""
    bars = generate(
        seed=7,
        symbol="BTCUSDT",
        edge=0.12,
        start_ms=SINCE,
        end_ms=SINCE + 1_500 * BAR_MS,
        timeframe="15m",
    ).bars
    began = time.perf_counter()
    for _ in range(50):
        wire.kline_page(bars, "15m")
    took = time.perf_counter() - began
    return f"write a page of 1,500 candles: {20 * took:.2f} ms, {50 * 1_500 / took:,.0f} rows/s"


def paged(served: Served, interval: str, limit: int, pages: int = 40) -> str:
    """Return the rate of one connection that pages through candles, and again over the same."""
    step = limit * TIMEFRAME_MS[interval]
    query = {"symbol": "BTCUSDT", "interval": interval, "limit": limit}

    def walk() -> Iterator[int]:
        for page in range(pages):
            body = served.http.get(
                "/fapi/v1/klines", params={**query, "startTime": SINCE + page * step}
            )
            yield body.content.count(b"],[") + 1

    return f"klines {interval} limit={limit}: {_pace(walk)}; again {_pace(walk)}"


def asked(served: Served, path: str, count: int, **query: Any) -> str:
    """Return the rate of one connection asking the same again."""

    def walk() -> Iterator[int]:
        for _ in range(count):
            yield len(served.http.get(path, params=query).content)

    return f"{path} {query}: {_pace(walk, 'bytes')}"


def traded(served: Served) -> str:
    """Return the rate of paging through trades by id."""

    def walk() -> Iterator[int]:
        query: dict[str, Any] = {"startTime": SINCE}
        for _ in range(40):
            rows = served.get("/fapi/v1/aggTrades", symbol="BTCUSDT", limit=1_000, **query)
            query = {"fromId": rows[-1]["a"] + 1}
            yield len(rows)

    return f"aggTrades by fromId: {_pace(walk)}"


def backfill(served: Served) -> str:
    """Return the rate at which ccxt pages through two years."""
    client = binance_usdm(served.url)
    client.load_markets()
    since = at("2023-12-01")
    rows = 0
    began = time.perf_counter()
    while page := client.fetch_ohlcv("BTC/USDT:USDT", "15m", since=since, limit=1_500):
        rows += len(page)
        since = page[-1][0] + BAR_MS
    took = time.perf_counter() - began
    return f"ccxt: {rows:,} candles in {took:.2f} s, {rows / took:,.0f} bars/s"


async def streamed(served: Served, names: str, bars: int, wanted: Callable[[Any], bool]) -> str:
    """Return the rate at which what is `wanted` arrives when the clock jumps `bars` ahead."""
    async with connect(f"{served.ws}/stream?streams={names}", max_queue=None) as socket:
        await _answered(socket, 1)
        began = time.perf_counter()
        events = 0
        await asyncio.to_thread(served.control, "clock", step_bars=bars)
        target = served.venue.clock.now_ms() // BAR_MS * BAR_MS
        while True:
            data = json.loads(await socket.recv())["data"]
            events += wanted(data)
            if data["e"] == "kline" and data["k"]["x"] and data["k"]["T"] == target - 1:
                break
        took = time.perf_counter() - began
    return f"WS {names}, {bars} bars: {events:,} events in {took:.2f} s, {events / took:,.0f}/s"


async def updated(served: Served) -> str:
    """Return how many depth updates of 1,000 levels a second the venue makes for ten streams."""
    names = "/".join(f"{symbol.lower()}@depth@100ms" for symbol in served.venue.market.symbols)
    async with connect(f"{served.ws}/stream?streams={names}", max_queue=None) as socket:
        await _answered(socket, 2)
        await asyncio.to_thread(served.control, "clock", pause=False)
        cpu = time.process_time()
        began = time.perf_counter()
        events = 0
        while time.perf_counter() - began < 3.0:
            await socket.recv()
            events += 1
        took = time.perf_counter() - began
        busy = time.process_time() - cpu
        await asyncio.to_thread(served.control, "clock", pause=True)
    share = f"{100 * busy / took:.0f} % of a core"
    return f"WS depth@100ms of ten symbols: {events / took:,.0f} updates/s on {share}"


async def _answered(socket: ClientConnection, identity: int) -> None:
    await socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": identity}))
    while json.loads(await socket.recv()).get("id") != identity:
        pass


def _pace(walk: Callable[[], Iterator[int]], what: str = "rows") -> str:
    began = time.perf_counter()
    sizes = list(walk())
    took = time.perf_counter() - began
    return f"{len(sizes) / took:,.0f} requests/s, {sum(sizes) / took:,.0f} {what}/s"


def main() -> None:
    print(generated())
    print(formatted())
    coins = ("BTC", "ETH", "SOL", "XRP", "ADA", "DOT", "LINK", "LTC", "AVAX", "DOGE")
    symbols = ",".join(f"{coin}USDT" for coin in coins)
    with serving("--start", "2025-12-21", "--symbols", symbols) as served:
        served.control("clock", pause=True)
        print(asked(served, "/fapi/v1/time", 500))
        for interval, limit in [("15m", 1_500), ("15m", 499), ("1m", 1_500), ("1m", 499)]:
            print(paged(served, interval, limit))
        print(traded(served))
        print(asked(served, "/fapi/v1/depth", 200, symbol="BTCUSDT", limit=1_000))
        print(backfill(served))
        bars = "btcusdt@kline_15m/ethusdt@kline_15m"
        print(asyncio.run(streamed(served, bars, 2_000, lambda data: data["k"]["x"])))
        trades = "btcusdt@aggTrade/btcusdt@kline_15m"
        print(asyncio.run(streamed(served, trades, 48, lambda data: data["e"] == "aggTrade")))
        print(asyncio.run(updated(served)))


if __name__ == "__main__":
    main()
