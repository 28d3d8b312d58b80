"""Every feed of raw data that the venue can serve, on the way into a lake of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.testing import assert_frame_equal

from kernel.errors import TidegateError
from market_data.ingest.ingestion import Ingest, ingest, quarantined_in, rows_in
from market_data.sources.catalogue import Sources
from market_data.storage.lake import FOREVER_MS, Lake
from market_data.tables import TABLES
from market_data.universe import UniverseSettings, load_universe
from market_data.window import Window
from tests.replay_venue.served import Served, at, clockwork

SYMBOL = "BTCUSDT"
START_MS = at("2025-04-01")
NOW = "2025-04-09 07:07:30"
UNIVERSE = """
symbols: [BTCUSDT]
timeframe: 15m
history_start: "2025-04-01"
sources:
  binance:        {{adapter: ccxt, exchange: binanceusdm}}
  coinbase:       {{adapter: ccxt, exchange: coinbase}}
  hyperliquid:    {{adapter: ccxt, exchange: hyperliquid}}
  coinmetrics:    {{adapter: coinmetrics}}
  alternative.me: {{adapter: fear_greed}}
market:
  candles:           {{source: binance, publication_lag_ms: 0}}
  reference_candles: {{source: {reference}, publication_lag_ms: 0}}
  minute_candles:    {{source: binance, publication_lag_ms: 0, history_start: "2025-04-06"}}
  mark_candles:      {{source: binance, publication_lag_ms: 0}}
  index_candles:     {{source: binance, publication_lag_ms: 0}}
  funding:           {{source: {funding}, publication_lag_ms: 60000}}
  open_interest:     {{source: binance, publication_lag_ms: 60000}}
  fear_greed:        {{source: alternative.me, publication_lag_ms: 3600000}}
  onchain:           {{source: coinmetrics, publication_lag_ms: 93600000}}
"""


@dataclass(frozen=True)
class Feed:
    """One table from one source; `path` is a part of the endpoint that serves its rows."""

    source: str
    table: str
    path: str

    def __str__(self) -> str:
        return f"{self.source}-{self.table}"


FEEDS = (
    Feed("binance", "candles", "/fapi/v1/klines"),
    Feed("binance", "minute_candles", "/fapi/v1/klines"),
    Feed("binance", "mark_candles", "markPriceKlines"),
    Feed("binance", "index_candles", "indexPriceKlines"),
    Feed("binance", "funding", "fundingRate"),
    Feed("binance", "open_interest", "openInterestHist"),
    Feed("coinbase", "reference_candles", "/candles"),
    Feed("hyperliquid", "reference_candles", "candleSnapshot"),
    Feed("hyperliquid", "funding", "fundingHistory"),
    Feed("coinmetrics", "onchain", "asset-metrics"),
    Feed("alternative.me", "fear_greed", "fng"),
)


def by_name(name: str) -> Feed:
    """Return the feed called `source-table`."""
    return next(feed for feed in FEEDS if str(feed) == name)


@dataclass(frozen=True)
class World:
    """A venue whose clock stands, and the sources that ask it without waiting long."""

    venue: Served
    folder: Path

    def universe(self, feed: Feed) -> UniverseSettings:
        """Return the universe in which the feed's source is the table's."""
        return load_universe(self._configs(feed))

    def run(self, feed: Feed, lake: Lake, *, reread: bool = False) -> Ingest | TidegateError:
        """Ingest the feed as a run of its own would; return what it did, or how it failed."""
        folder = self._configs(feed)
        sources = Sources(
            folder=str(folder),
            venue_url=self.venue.url,
            attempts=3,
            first_delay_s=0.0005,
            longest_delay_s=0.001,
        )
        window = Window(SYMBOL, START_MS, at("2025-05-01"))
        universe = load_universe(folder)
        try:
            return ingest(feed.table, sources, lake, [window], universe, reread=reread)[0]
        except TidegateError as failure:
            return failure

    def arm(self, kind: str, **how: Any) -> None:
        """Arm a fault at the venue."""
        self.venue.control("faults", kind=kind, **how)

    def clear(self) -> None:
        """Let the venue be well again: no fault, ban, skew or restatement."""
        for what in ("faults", "restatements"):
            self.venue.http.delete(f"/control/{what}").raise_for_status()

    def injected(self) -> int:
        """Return how many events were hit so far."""
        return sum(self.venue.get("/control/faults")["injected"].values())

    def _configs(self, feed: Feed) -> Path:
        """Return the folder with the feed's universe.yaml."""
        hyper = feed.source == "hyperliquid"
        folder = self.folder / ("hyperliquid" if hyper else "others")
        folder.mkdir(exist_ok=True)
        text = UNIVERSE.format(
            reference="hyperliquid" if hyper else "coinbase",
            funding="hyperliquid" if hyper else "binance",
        )
        (folder / "universe.yaml").write_text(text)
        return folder


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Serve a market of known values at a standing clock."""
    with clockwork(NOW, history="2025-03-25") as venue:
        yield World(venue, folder)


def stored(lake: Lake, feed: Feed) -> pd.DataFrame:
    """Return the rows a reader sees: stamps and values, without when a run learned them."""
    window = Window(SYMBOL, START_MS, at("2025-05-01"))
    rows = rows_in(lake, feed.table, window)
    return rows[["event_time_ms", "source", *TABLES[feed.table].columns]].reset_index(drop=True)


def aside(lake: Lake, feed: Feed) -> pd.DataFrame:
    """Return what is in quarantine."""
    return quarantined_in(lake, feed.table, Window(SYMBOL, START_MS, at("2025-05-01")))


def digest(lake: Lake, feed: Feed) -> str:
    """Return the digest of every revision of the feed's table."""
    return lake.table_digest(feed.table, SYMBOL, FOREVER_MS)


def same(found: pd.DataFrame, expected: pd.DataFrame) -> bool:
    """Say whether two frames hold the same rows, bit by bit."""
    try:
        assert_frame_equal(
            found.reset_index(drop=True), expected.reset_index(drop=True), check_exact=True
        )
    except AssertionError:
        return False
    return True


@dataclass(frozen=True)
class Sound:
    """What a lake holds of a feed that never met a fault."""

    rows: pd.DataFrame
    digest: str


def sound_lakes(venue: World, folder: Path) -> dict[Feed, Sound]:
    """Return, per feed, what one run brings when nothing goes wrong."""
    found: dict[Feed, Sound] = {}
    for feed in FEEDS:
        lake = Lake(root=str(folder / str(feed)))
        report = venue.run(feed, lake)
        assert not isinstance(report, TidegateError), report
        assert report.quarantined == 0
        found[feed] = Sound(stored(lake, feed), digest(lake, feed))
        assert len(found[feed].rows) > 5
    return found
