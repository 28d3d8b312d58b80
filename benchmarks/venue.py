"""How fast the replay venue is: REST requests a second, bars a second through ccxt and the stream.

Run: python benchmarks/venue.py
"""

import asyncio
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from websockets.asyncio.client import connect

from replay_venue.generator import generate
from tests.replay_venue.serving import BAR_MS, Served, at, binance_usdm, serving

START = at("2025-12-21")


def generated() -> str:
    """Return the time three years of 15m candles take."""
    began = time.perf_counter()
    bars = generate(7, "BTCUSDT", 0.12, at("2023-01-01"), at("2026-01-01"), "15m").bars
    return f"generate: {len(bars):,} candles in {time.perf_counter() - began:.2f} s"


def requests(served: Served, path: str, count: int, **query: object) -> str:
    """Return the rate of one connection asking for `path`."""
    began = time.perf_counter()
    for _ in range(count):
        served.get(path, **query)
    return f"REST {path} {query}: {count / (time.perf_counter() - began):,.0f} requests/s"


def backfill(served: Served) -> str:
    """Return the rate at which ccxt pages through two years."""
    client = binance_usdm(served.url)
    client.load_markets()
    since, rows = at("2024-01-01"), 0
    began = time.perf_counter()
    while page := client.fetch_ohlcv("BTC/USDT:USDT", "15m", since=since, limit=1_000):
        rows += len(page)
        since = page[-1][0] + BAR_MS
    took = time.perf_counter() - began
    return f"ccxt: {rows:,} candles in {took:.2f} s, {rows / took:,.0f} bars/s"


async def streamed(served: Served, bars: int) -> str:
    """Return the rate at which two streams arrive when the clock jumps `bars` bars ahead."""
    target = "/stream?streams=btcusdt@kline_15m/ethusdt@kline_15m"
    async with connect(served.ws + target) as socket:
        await socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": 1}))
        while json.loads(await socket.recv()).get("id") != 1:
            pass
        await asyncio.to_thread(served.control, "clock", step_bars=bars)
        began, closed = time.perf_counter(), 0
        while closed < 2 * bars:
            closed += json.loads(await socket.recv())["data"]["k"]["x"]
        took = time.perf_counter() - began
    return f"WS: {closed:,} closed bars in {took:.2f} s, {closed / took:,.0f} bars/s"


def main() -> None:
    print(generated())
    with serving("--start", "2025-12-21") as served:
        served.control("clock", pause=True)
        print(requests(served, "/fapi/v1/time", 500))
        print(
            requests(served, "/fapi/v1/klines", 100, symbol="BTCUSDT", interval="15m", limit=1_000)
        )
        print(backfill(served))
        print(asyncio.run(streamed(served, 2_000)))


if __name__ == "__main__":
    main()
