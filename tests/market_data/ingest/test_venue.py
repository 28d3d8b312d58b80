"""The ingest against a served venue, through ccxt, as an installation runs it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kernel.errors import TidegateError
from market_data.ingest.ingestion import Ingest, ingest, rows_in
from market_data.sources.catalogue import Sources
from market_data.sources.ccxt_exchange import CcxtExchange
from market_data.sources.protocol import Source
from market_data.storage.lake import FOREVER_MS, Lake
from market_data.tables import DAY_MS
from market_data.universe import load_universe
from market_data.window import Window
from replay_venue.serving.faults.faults import Fault
from tests.hung import HUNG_S
from tests.market_data.served_venue import BAR_MS, Served, SmallMarket, picked, points, served, walk

START_MS = 1_759_276_800_000  # 2025-10-01T00:00Z
DAYS = 61
END_MS = START_MS + DAYS * DAY_MS
BARS = DAYS * 96
LISTED = 4_000  # the first bar of the younger symbol
MINUTES = 60_000
UNIVERSE = """
symbols: [BTCUSDT, ETHUSDT]
timeframe: 15m
history_start: "2025-10-01"
sources:
  binance:     {adapter: ccxt, exchange: binanceusdm}
  coinbase:    {adapter: ccxt, exchange: coinbase}
  hyperliquid: {adapter: ccxt, exchange: hyperliquid}
market:
  candles:           {source: binance, publication_lag_ms: 0}
  minute_candles:    {source: binance, publication_lag_ms: 0}
  mark_candles:      {source: hyperliquid, publication_lag_ms: 0}
  reference_candles: {source: coinbase, fallback: hyperliquid, publication_lag_ms: 0}
  funding:           {source: hyperliquid, publication_lag_ms: 60000}
  open_interest:     {source: binance, publication_lag_ms: 60000}
  fear_greed:        {source: binance, publication_lag_ms: 0}
  onchain:           {source: binance, publication_lag_ms: 0}
"""
WINDOW = Window("BTCUSDT", START_MS, END_MS)


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the universe."""
    folder = tmp_path_factory.mktemp("configs")
    (folder / "universe.yaml").write_text(UNIVERSE)
    return folder


@pytest.fixture
def venue() -> Iterator[Served]:
    """Serve two months of two symbols, the second listed in the middle of them."""
    interest = points(START_MS, BAR_MS, [5e4 + k % 97 for k in range(BARS)])
    market = SmallMarket(
        {"BTCUSDT": walk(START_MS, BARS), "ETHUSDT": picked(walk(START_MS, BARS, 2), slice_rows())},
        settlements={"BTCUSDT": points(START_MS, 28_800_000, [1e-4 + k / 1e7 for k in range(183)])},
        interest={"BTCUSDT": interest},
        indexes={"BTCUSDT": walk(START_MS, BARS, seed=3)},
        minutes={"BTCUSDT": walk(START_MS, MINUTES, seed=4, step_ms=60_000)},
    )
    with served(market, END_MS) as venue:
        yield venue


def slice_rows() -> list[int]:
    """Return the rows of the younger symbol."""
    return list(range(LISTED, BARS))


def sources(venue: Served, configs: Path, attempts: int = 4) -> Sources:
    """Return the universe's sources at the venue, with short pauses."""
    return Sources(
        folder=str(configs),
        venue_url=venue.url,
        attempts=attempts,
        first_delay_s=0.001,
        longest_delay_s=0.01,
    )


def run(
    venue: Served, configs: Path, lake: Lake, table: str = "candles", window: Window = WINDOW
) -> Ingest:
    """Ingest one window of one table."""
    universe = load_universe(configs)
    return ingest(table, sources(venue, configs), lake, [window], universe)[0]


def test_every_exchange_fills_its_tables(venue: Served, configs: Path, lake: Lake):
    """Primary, reference and funding come from three exchanges, each under its own name."""
    reports = {
        table: run(venue, configs, lake, table)
        for table in ("candles", "reference_candles", "funding", "open_interest")
    }
    assert {table: report.added for table, report in reports.items()} == {
        "candles": BARS,
        "reference_candles": BARS,
        "funding": 183,
        "open_interest": BARS,
    }
    assert {table: (*report.sources, *report.markets) for table, report in reports.items()} == {
        "candles": ("binance", "BTC/USDT:USDT"),
        "reference_candles": ("coinbase", "BTC/USDT"),
        "funding": ("hyperliquid", "BTC/USDC:USDC"),
        "open_interest": ("binance", "BTC/USDT:USDT"),
    }
    closes = rows_in(lake, "reference_candles", WINDOW)["close"].tolist()
    assert closes == venue.market.indexes["BTCUSDT"].close.tolist()


def test_run_waits_through_bans_and_is_complete(venue: Served, configs: Path, lake: Lake):
    """Throttled and banned in the middle of its pages, the run loses time and no row."""
    venue.faults.arm(Fault("http5xx", count=2, match="klines"))
    venue.faults.arm(Fault("http429", count=1, match="klines", retry_after_s=1.0))
    began_s = time.monotonic()
    assert run(venue, configs, lake).added == BARS
    assert time.monotonic() - began_s >= 1.0


def test_symbol_listed_later_begins_where_it_begins(venue: Served, configs: Path, lake: Lake):
    """Two thirds of the window lie before its first bar: no row, no error, and all of the rest."""
    window = replace(WINDOW, symbol="ETHUSDT")
    report = run(venue, configs, lake, window=window)
    assert report.added == BARS - LISTED
    assert rows_in(lake, "candles", window)["event_time_ms"].iloc[0] == START_MS + LISTED * BAR_MS


def test_unknown_symbol_stops_the_run_and_says_how_to_name_it(
    venue: Served, configs: Path, lake: Lake
):
    """Nothing is stored of a symbol that the exchange does not know."""
    with pytest.raises(TidegateError) as failure:
        run(venue, configs, lake, window=replace(WINDOW, symbol="DOGEUSDT"))
    text = str(failure.value)
    assert "symbol DOGEUSDT: found no such market at the exchange" in text
    assert "instruments: {DOGEUSDT" in text
    assert lake.months("candles", "DOGEUSDT") == ()


def test_fallback_exchange_fills_what_the_first_one_lacks(venue: Served, configs: Path, lake: Lake):
    """Bars that the reference exchange skipped come from the second, under its name."""
    whole = venue.market.indexes["BTCUSDT"]
    kept = [row for row in range(BARS) if not 100 <= row < 110]
    venue.market.indexes["BTCUSDT"] = picked(whole, kept)
    report = run(venue, configs, lake, "reference_candles")
    rows = rows_in(lake, "reference_candles", WINDOW)
    assert report.sources == ("coinbase", "hyperliquid")
    assert len(rows) == BARS
    assert rows[rows["source"] == "hyperliquid"].index.tolist() == list(range(100, 110))


class Public(Sources):
    """Sources that treat the venue as an exchange in public, which keeps little."""

    def source(self, name: str) -> Source:
        """Return the source with the limits of the real exchange."""
        found = super().source(name)
        assert isinstance(found, CcxtExchange)
        return replace(found, replayed=False)


def test_open_interest_of_the_public_exchange_is_thirty_days(
    venue: Served, configs: Path, lake: Lake
):
    """Older months are not asked for, fail nothing, and are not claimed as read."""
    public = Public(folder=str(configs), venue_url=venue.url)
    months = [replace(WINDOW, end_ms=END_MS - 40 * DAY_MS), WINDOW]
    old, both = ingest("open_interest", public, lake, months, load_universe(configs))
    assert (old.read_ms, old.sources, old.received) == ((), (), 0)
    first_ms = rows_in(lake, "open_interest", WINDOW)["event_time_ms"].iloc[0]
    assert END_MS - 30 * DAY_MS < first_ms < END_MS - 29 * DAY_MS
    assert both.read_ms[0][0] > END_MS - 30 * DAY_MS
    claimed = lake.read_spans("open_interest", "BTCUSDT")
    assert min(span.start_ms for span in claimed) > END_MS - 30 * DAY_MS


KILLED = """
import sys
from pathlib import Path
from market_data.window import Window
from market_data.ingest.ingestion import ingest
from market_data.storage.lake import Lake
from market_data.sources.catalogue import Sources
from market_data.universe import load_universe
folder, url, root, start_ms, end_ms = sys.argv[1:]
window = Window("BTCUSDT", int(start_ms), int(end_ms))
sources = Sources(folder=folder, venue_url=url)
ingest("minute_candles", sources, Lake(root=root), [window], load_universe(Path(folder)))
"""


def test_killed_backfill_goes_on_where_it_was(
    venue: Served, configs: Path, lake: Lake, tmp_path: Path
):
    """SIGKILL in the middle of a backfill: what was stored is not asked for again, none is lost."""
    span = (str(START_MS), str(START_MS + MINUTES * 60_000))
    venue.faults.arm(Fault("slow", rate=1.0, match="klines", delay_ms=20))
    arguments = [str(configs), venue.url, lake.root, *span]
    with subprocess.Popen([sys.executable, "-c", KILLED, *arguments]) as running:
        until_s = time.monotonic() + HUNG_S
        while not lake.read_spans("minute_candles", "BTCUSDT") and time.monotonic() < until_s:
            assert running.poll() is None, "the run was over before it could be killed"
            time.sleep(0.01)
        os.kill(running.pid, signal.SIGKILL)
    venue.faults.clear()
    window = Window("BTCUSDT", START_MS, START_MS + MINUTES * 60_000)
    kept = len(rows_in(lake, "minute_candles", window))
    assert 0 < kept < MINUTES
    report = run(venue, configs, lake, "minute_candles", window)
    assert report.read_ms[0][0] > START_MS
    assert report.received < MINUTES
    undisturbed = Lake(root=str(tmp_path / "undisturbed"))
    run(venue, configs, undisturbed, "minute_candles", window)
    digests = [
        one.table_digest("minute_candles", "BTCUSDT", FOREVER_MS) for one in (lake, undisturbed)
    ]
    assert digests[0] == digests[1]
