"""What watching costs the runner: `python -m benchmarks.watching`.

A venue plays two symbols; a runner whose journal holds two years decides them, first alone and then
while fifty clients ask for the page and what stands on it as fast as they are answered. The ratio
of the two stretches is what watching costs.
"""

import asyncio
import multiprocessing
import os
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np

from tests.live_runner.stage import BAR_MS, SYMBOLS, RunnerProcess, recorded, runner, until, venue

SPEED = 1_800.0  # two 15-minute bars a second
SECONDS = 60.0
CLIENTS = 50
YEARS_OF_BARS = 2 * 365 * 96
PATHS = ("/", "/cards", "/health", "/metrics", f"/journal/summary?symbol={SYMBOLS[0]}")


def main() -> int:
    """Print the figures and return the exit code."""
    with tempfile.TemporaryDirectory() as folder, venue(speed=SPEED) as market:
        home = Path(folder)
        with runner(home, market.url) as live:
            until(lambda: live.decided(SYMBOLS[0]) > 20, "the first decisions")
            live.stop()
            _fill(live.journal)
            live.start()
            live.until_trading()
            alone = _stretch("alone", live)
            crowd = multiprocessing.get_context("spawn").Process(target=_crowd, args=(live.url,))
            crowd.start()
            watched = _stretch(f"{CLIENTS} clients", live)
            crowd.terminate()
            crowd.join()
    print(f"p99 of bar to decision, watched over alone: {watched / alone:.2f}")
    return 0


def _fill(journal: Path) -> None:
    """Put two years of decisions before the first one."""
    with sqlite3.connect(journal) as db:
        (held,) = db.execute("SELECT count(*) FROM decisions").fetchone()
        copies = YEARS_OF_BARS * len(SYMBOLS) // held
        db.execute(
            "INSERT INTO decisions WITH RECURSIVE k(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM k"
            " WHERE n < ?) SELECT symbol, open_time_ms - ? * n, epoch, bundle_digest,"
            " settings_digest, features, probabilities, row, out, reason, catch_up, latency_us,"
            " compute_us FROM decisions, k",
            (copies, held * BAR_MS),
        )
        (total,) = db.execute("SELECT count(*) FROM decisions").fetchone()
    print(f"journal of {total:,} decisions, {journal.stat().st_size / 2**20:,.0f} MiB")


def _stretch(name: str, live: RunnerProcess) -> float:
    """Print and return the 99th percentile, in ms, of bar to decision over a stretch."""
    with sqlite3.connect(live.journal) as db:
        (last_ms,) = db.execute("SELECT max(open_time_ms) FROM decisions").fetchone()
    time.sleep(SECONDS)
    latencies = np.concatenate([_latencies(live, symbol, last_ms) for symbol in SYMBOLS])
    p50, p99 = np.percentile(latencies, [50, 99]) / 1_000
    print(f"{name:12} {len(latencies):5} bars   p50 {p50:6.2f} ms   p99 {p99:6.2f} ms")
    return float(p99)


def _latencies(live: RunnerProcess, symbol: str, after_ms: int) -> np.ndarray:
    told = recorded(live.journal, symbol)
    fresh = (told["open_time_ms"] > after_ms) & (told["catch_up"] == 0)
    return told["latency_us"][fresh]


def _crowd(url: str) -> None:
    """Ask for everything, again as soon as it is answered, until terminated."""
    os.nice(10)  # the crowd is elsewhere: it takes no processor from the runner

    async def watch(client: httpx.AsyncClient, first: int) -> None:
        at = first
        while True:
            await client.get(PATHS[at % len(PATHS)])
            at += 1

    async def all_of_them() -> None:
        limits = httpx.Limits(max_connections=CLIENTS)
        async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60.0) as client:
            await asyncio.gather(*(watch(client, number) for number in range(CLIENTS)))

    asyncio.run(all_of_them())


if __name__ == "__main__":
    sys.exit(main())
