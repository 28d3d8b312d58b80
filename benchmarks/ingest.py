"""What a backfill costs: `python -m benchmarks.ingest`.

Ten symbols, 24 months of 15-minute candles, from a venue in a process of its own on this machine
into a lake, through ccxt, page by page; then the same again. Beside it the same pages through ccxt
alone, with nothing done to the rows: what is left is ours. Shares are CPU seconds per second. The
venue on this machine has no rate limit, which is why ccxt's parsing is most of what is left; the
last line says what our work on a row is beside the time in which Binance lets it be asked for.
"""

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import httpx
import psutil

from market_data.ingest.ingestion import Ingest, ingest
from market_data.sources.catalogue import Sources
from market_data.sources.ccxt_exchange import CcxtExchange
from market_data.storage.lake import Lake
from market_data.universe import SourceSettings, TableSettings, UniverseSettings
from market_data.window import Window

Result = TypeVar("Result")
COINS = ("BTC", "ETH", "BNB", "SOL", "XRP", "ADA", "DOGE", "AVAX", "LINK", "LTC")
SYMBOLS = tuple(f"{coin}USDT" for coin in COINS)
FIRST = "2024-01-01"
LAST = "2026-01-01"
NOW = "2026-01-08"
BAR_MS = 900_000
BINANCE_ROWS_PER_S = 4_990  # 499 rows cost 2 units of weight, which ccxt spaces by 50 ms
MAX_SHARE_AT_BINANCE = 0.5
MAX_SECOND_RUN_S = 20.0


@dataclass(frozen=True)
class Spent:
    """What some work cost: seconds, and the CPU seconds of this process and of the venue."""

    seconds: float
    ours: float
    venue: float

    def __str__(self) -> str:
        ours = self.ours / self.seconds
        venue = self.venue / self.seconds
        return f"{self.seconds:6.1f} s   us {ours:4.0%}   venue {venue:4.0%}"


def main() -> int:
    """Print the figures and return the exit code."""
    with tempfile.TemporaryDirectory() as folder, venue() as (url, process):
        universe = written(Path(folder))
        sources = Sources(folder=folder, venue_url=url)
        lake = Lake(root=f"{folder}/lake")
        warm_up(sources)
        pages, alone = measured(process, lambda: through_ccxt_alone(url))
        reports, first = measured(process, lambda: backfill(lake, sources, universe))
        rows = sum(report.added for report in reports)
        asked = requests(sources)
        again, second = measured(process, lambda: backfill(lake, sources, universe))
        asked = requests(sources) - asked
    expected = len(SYMBOLS) * (ms(LAST) - ms(FIRST)) // BAR_MS
    print(f"pages through ccxt alone  {pages:9,d} rows  {pages / alone.seconds:7,.0f}/s  {alone}")
    print(f"backfill into the lake    {rows:9,d} rows  {rows / first.seconds:7,.0f}/s  {first}")
    print(f"the same again            {sum(one.received for one in again):9,d} rows  {second}")
    print(f"requests of the second run: {asked} (the clock)")
    share = BINANCE_ROWS_PER_S * first.ours / rows
    print(f"our CPU a row: {1e6 * first.ours / rows:.0f} µs, {share:.0%} at Binance's own pace")
    complete = rows == expected and asked == 1
    fast = share <= MAX_SHARE_AT_BINANCE and second.seconds <= MAX_SECOND_RUN_S
    return 0 if complete and fast else 1


def backfill(lake: Lake, sources: Sources, universe: UniverseSettings) -> list[Ingest]:
    """Ingest the candles of every symbol."""
    windows = [Window(symbol, ms(FIRST), ms(LAST)) for symbol in SYMBOLS]
    return ingest("candles", sources, lake, windows, universe, tell=say)


def through_ccxt_alone(url: str) -> int:
    """Return the rows of one symbol, paged as the adapter pages and thrown away."""
    source = CcxtExchange("binance", SourceSettings("ccxt", exchange="binanceusdm"), url)
    client = source.connected()
    market = source.listed_as(SYMBOLS[0])
    since = ms(FIRST)
    rows = 0
    limit = source.exchange.roads["candles"].page
    while since < ms(LAST):
        page = client.fetch_ohlcv(market, "15m", since, limit, {"until": ms(LAST) - 1})
        since = page[-1][0] + BAR_MS
        rows = rows + len(page)
    return rows


def requests(sources: Sources) -> int:
    """Return how many requests the exchange's connection has carried."""
    source = sources.source("binance")
    assert isinstance(source, CcxtExchange)
    pools = source.connected().session.get_adapter("http://").poolmanager.pools
    return sum(pools[key].num_requests for key in pools.keys())  # noqa: SIM118  no iterator


def warm_up(sources: Sources) -> None:
    """Import and connect before anything is measured."""
    import pandas as pd  # noqa: F401

    source = sources.source("binance")
    assert isinstance(source, CcxtExchange)
    source.listed_as(SYMBOLS[0])


def measured(process: psutil.Process, work: Callable[[], Result]) -> tuple[Result, Spent]:
    """Return what the work returns, and what it cost."""
    before = process.cpu_times()
    ours = time.process_time()
    began = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - began
    mine = time.process_time() - ours
    after = process.cpu_times()
    theirs = after.user + after.system - before.user - before.system
    return result, Spent(seconds, mine, theirs)


def written(folder: Path) -> UniverseSettings:
    """Write the universe that the sources read, and return it."""
    sources = "sources: {binance: {adapter: ccxt, exchange: binanceusdm}}"
    tables = ["candles", "funding", "open_interest", "fear_greed", "onchain"]
    market = "".join(f"  {one}: {{source: binance, publication_lag_ms: 0}}\n" for one in tables)
    (folder / "universe.yaml").write_text(
        f"symbols: [{', '.join(SYMBOLS)}]\ntimeframe: 15m\nhistory_start: {FIRST!r}\n"
        f"{sources}\nmarket:\n{market}"
    )
    return UniverseSettings(
        SYMBOLS,
        "15m",
        FIRST,
        {"binance": SourceSettings("ccxt", exchange="binanceusdm")},
        {"candles": TableSettings("binance", 0)},
    )


@contextmanager
def venue() -> Iterator[tuple[str, psutil.Process]]:
    """Serve the generated market from a process of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "replay_venue", "--port", str(port), "--start", NOW]
    command += ["--history-start", FIRST, "--symbols", ",".join(SYMBOLS)]
    with subprocess.Popen(command) as served:
        url = f"http://127.0.0.1:{port}"
        try:
            for symbol in SYMBOLS:  # generated when first asked for
                wait(f"{url}/fapi/v1/klines?symbol={symbol}&interval=15m&limit=1", served)
            yield url, psutil.Process(served.pid)
        finally:
            served.terminate()


def wait(url: str, served: subprocess.Popen[bytes]) -> None:
    """Return when the venue answers."""
    until_s = time.monotonic() + 120
    while served.poll() is None and time.monotonic() < until_s:
        try:
            httpx.get(url, timeout=60).raise_for_status()
        except httpx.TransportError:
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"{url}: found no answer, expected one within two minutes")


def ms(day: str) -> int:
    """Return a day's midnight UTC in milliseconds."""
    return int(datetime.fromisoformat(f"{day}T00:00+00:00").timestamp()) * 1000


def say(line: str) -> None:
    """Print a line of progress."""
    print(f"   {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
