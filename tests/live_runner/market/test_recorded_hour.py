"""What the runner sees beside a recorder is what the lake says later, to the last byte."""

import asyncio
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from kernel.bars import Bars
from kernel.observation import (
    FUNDING_FIELDS,
    OBSERVATION_FIELDS,
    OTHER_MARKET,
    TRADE_FIELDS,
    observe,
)
from live_runner.candles import Candle
from live_runner.market.recorder import DEPTH_EVERY_S, Recorder
from live_runner.market.recordings import RecordingWriter
from live_runner.market.series import SeriesBook
from live_runner.market.venue import DAY_MS, Pauses, Venue
from live_runner.market.venue_clock import VenueClock
from live_runner.settings import RunnerSettings
from market_data.sources.protocol import Wanted
from market_data.sources.recordings import Recordings as RecordingsSource
from market_data.storage.lake import FOREVER_MS, Lake
from market_data.tables import TABLES
from market_data.universe import SourceSettings
from replay_venue.market.generated import GeneratedSource
from replay_venue.market.series import OnChain
from replay_venue.serving.app import application
from replay_venue.serving.clock import Clock
from replay_venue.serving.faults.faults import Faults
from replay_venue.serving.venue import ServedVenue
from tests.live_runner.inside import desk_settings
from tests.live_runner.stage import BAR_MS, LAGS_MS, ONCHAIN, SEED, START_MS, SYMBOLS

SYMBOL = "ETHUSDT"
BARS = 6
OUTAGE = (2, 4, 9)  # in this bar, from this minute to that one, nothing is heard
RESTART = (4, 7)  # in this bar, at this minute, the process is another one
DECIDED_AFTER_MS = 150
HEARD_AFTER_MS = 60.0
MINUTE_MS = 60_000
END_MS = START_MS + BARS * BAR_MS


@dataclass
class Hands:
    """A venue whose clock, and ours, stand where the test puts them; trading began a day ago."""

    market: GeneratedSource = field(default_factory=lambda: GeneratedSource(SEED, 0.0, SYMBOLS))
    seconds: float = 0.0

    def at(self, now_ms: float) -> None:
        """Move both clocks on."""
        self.seconds = max(self.seconds, (now_ms - START_MS) / 1_000)

    def client(self) -> httpx.AsyncClient:
        """Return a client of the venue's REST, without a socket in between."""
        clock = Clock(START_MS, 1.0, real=lambda: self.seconds)
        played = ServedVenue(self.market, clock, Faults(0), START_MS - 9 * DAY_MS)
        transport = httpx.ASGITransport(application(played))
        return httpx.AsyncClient(transport=transport, base_url="http://venue.test")


class Process:
    """One runner's ears and memory: a book of series, and a recorder that tells it."""

    def __init__(self, settings: RunnerSettings, client: httpx.AsyncClient, hands: Hands) -> None:
        self.errors: list[str] = []
        rng = random.Random(1)
        self.venue = Venue(client, Pauses(0.0, 0.0, 1), rng, self.errors.append)
        self.series = SeriesBook(SYMBOL, settings, self.venue)
        assert settings.recordings is not None
        self.recordings = RecordingWriter(settings.recordings)
        observers = {SYMBOL: self.series.observer}
        self.recorder = Recorder(
            settings=settings,
            recordings=self.recordings,
            client=client,
            rng=rng,
            on_error=self.errors.append,
            observers=observers,
        )
        self.recorder.clock = VenueClock(self.venue, lambda: hands.seconds)

    async def begin(self, last_open_ms: int) -> None:
        """Look at the clock and read what the next bar needs, as at every start."""
        await self.recorder.clock.look()
        await self.series.load(last_open_ms, last_open_ms + BAR_MS)


def heard(hands: Hands) -> Iterator[tuple[float, str, Any]]:
    """Yield (moment, kind, what) of a live hour: trades with their delays, books, candles and
    closes.
    """
    rng = np.random.default_rng(5)
    trades = hands.market.trades(SYMBOL, START_MS, END_MS)
    delay = rng.choice((20, 90, 400, 3_000), len(trades.time_ms), p=(0.5, 0.4, 0.098, 0.002))
    columns = (trades.trade_id, trades.price, trades.quantity, trades.side, trades.time_ms)
    for at, late, *row in zip(trades.time_ms, delay, *columns, strict=True):
        number, price, quantity, side, time_ms = (one.item() for one in row)
        body = {"e": "aggTrade", "s": SYMBOL, "a": number, "m": side < 0, "T": time_ms}
        text = json.dumps({"data": {**body, "p": repr(price), "q": repr(quantity)}})
        yield float(at + late), "trade", text
    for at in np.arange(START_MS + 1_500, END_MS, 1_000 * DEPTH_EVERY_S):
        yield float(at), "book", None
    bars = hands.market.bars(SYMBOL, "15m", START_MS, END_MS)
    for row in zip(*(getattr(bars, name).tolist() for name in Bars.__slots__), strict=True):
        yield float(row[0] + BAR_MS + DECIDED_AFTER_MS), "close", Candle(*row)
    for symbol, timeframe, bar_ms in ((SYMBOL, "1m", MINUTE_MS), (OTHER_MARKET, "15m", BAR_MS)):
        bars = hands.market.bars(symbol, timeframe, START_MS, END_MS)
        for row in zip(*(getattr(bars, name).tolist() for name in Bars.__slots__), strict=True):
            yield row[0] + bar_ms + HEARD_AFTER_MS, "candle", (symbol, timeframe, Candle(*row))
    yield float(START_MS + RESTART[0] * BAR_MS + RESTART[1] * MINUTE_MS), "restart", None


async def lived(folder: Path, hands: Hands) -> tuple[np.ndarray, list[str]]:
    """Return what each bar was observed to be, float64[BARS, K], and what went wrong."""
    symbols = replace(desk_settings(folder, "http://venue.test"), recordings=folder / "heard")
    async with hands.client() as client:
        process = Process(symbols, client, hands)
        await process.begin(START_MS - BAR_MS)
        errors = process.errors
        rows = list[list[float]]()
        quiet = [START_MS + OUTAGE[0] * BAR_MS + minute * MINUTE_MS for minute in OUTAGE[1:]]
        for at_ms, kind, what in sorted(heard(hands), key=lambda one: one[0]):
            hands.at(at_ms)
            if kind == "trade" and not quiet[0] < at_ms < quiet[1]:
                process.recorder.hear(what)
            elif kind == "book" and not quiet[0] < at_ms < quiet[1]:
                await process.recorder._record_depth(SYMBOL)
            elif kind == "candle" and not quiet[0] < at_ms < quiet[1]:
                process.series.hear(*what)
            elif kind == "close":
                close_ms = what.open_time_ms + BAR_MS
                assert await process.series.ensure(close_ms, close_ms) == {}
                rows.append(process.series.observe(what))
            elif kind == "restart":
                process.recordings.flush()
                process = Process(symbols, client, hands)
                await process.begin(int(rows[-1][0]))
                errors += process.errors
        process.recordings.flush()
    return np.array(rows), errors


def kept(folder: Path, hands: Hands) -> Lake:
    """Return a lake that has ingested the market's history, and the recordings."""
    lake = Lake(root=str(folder / "lake"))
    market = hands.market
    since_ms = START_MS - 9 * DAY_MS
    for symbol, table, bars in (
        (SYMBOL, "candles", market.bars(SYMBOL, "15m", START_MS, END_MS)),
        (SYMBOL, "minute_candles", market.bars(SYMBOL, "1m", START_MS, END_MS)),
        (SYMBOL, "mark_candles", market.mark_bars(SYMBOL, "15m", START_MS, END_MS)),
        (SYMBOL, "index_candles", market.index_bars(SYMBOL, "15m", START_MS, END_MS)),
        (OTHER_MARKET, "candles", market.bars(OTHER_MARKET, "15m", START_MS, END_MS)),
    ):
        names = list(TABLES[table].columns)
        values = {name: getattr(bars, name) for name in names}
        lag_ms = LAGS_MS["minutes"] if table == "minute_candles" else BAR_MS
        append(
            lake=lake,
            table=table,
            symbol=symbol,
            times=bars.open_time_ms,
            lag_ms=lag_ms,
            values=values,
        )
    chain = market.onchain("ETH", since_ms, START_MS)
    for table, points, name in (
        ("funding", market.funding(SYMBOL, since_ms, END_MS), "funding_rate"),
        ("open_interest", market.open_interest(SYMBOL, since_ms, END_MS), "open_interest"),
        ("fear_greed", market.fear_greed(since_ms, END_MS), "fear_greed"),
    ):
        append(
            lake=lake,
            table=table,
            symbol=SYMBOL,
            times=points.time_ms,
            lag_ms=LAGS_MS[name],
            values={name: points.value},
        )
    append(
        lake=lake,
        table="onchain",
        symbol=SYMBOL,
        times=chain.time_ms,
        lag_ms=LAGS_MS["mvrv"],
        values=onchain_columns(chain),
    )
    source = RecordingsSource(
        "recorder", SourceSettings(adapter="recordings"), str(folder / "heard")
    )
    for table in ("trades", "depth"):
        for page in source.pages(Wanted(table, SYMBOL, START_MS, END_MS, BAR_MS)):
            rows = page.drop_duplicates(["event_time_ms", TABLES[table].identity[0]])
            lake.append(table, SYMBOL, rows.assign(source="recorder"), FOREVER_MS)
    return lake


def append(
    lake: Lake, table: str, symbol: str, times: np.ndarray, lag_ms: int, values: dict[str, Any]
) -> None:
    """Append rows that are known `lag_ms` after their event."""
    keys = {"event_time_ms": times, "known_at_ms": times + lag_ms, "source": "venue"}
    lake.append(table, symbol, pd.DataFrame({**keys, **values}), FOREVER_MS)


def onchain_columns(chain: OnChain) -> dict[str, np.ndarray]:
    flow = chain.value["FlowInExUSD"] - chain.value["FlowOutExUSD"]
    return {
        "exchange_net_flow": flow,
        **{ours: chain.value[name] for ours, name in ONCHAIN.items()},
    }


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> tuple[np.ndarray, np.ndarray]:
    """Return what was observed live, and what the lake says of the same bars."""
    folder = tmp_path_factory.mktemp("hour")
    hands = Hands()
    live, errors = asyncio.run(lived(folder, hands))
    assert errors == []
    return live, observe(kept(folder, hands).market(SYMBOL, FOREVER_MS), BAR_MS)


def missing(rows: np.ndarray, name: str) -> list[int]:
    """Return the bars in which a field is missing."""
    return np.flatnonzero(np.isnan(rows[:, OBSERVATION_FIELDS.index(name)])).tolist()


def test_a_recorded_hour_is_the_same_live_and_from_the_lake(
    hour: tuple[np.ndarray, np.ndarray],
) -> None:
    """Late trades, an outage of the feed and a restart within: not one byte differs."""
    live, later = hour
    assert live.shape == later.shape == (BARS, len(OBSERVATION_FIELDS))
    assert live.tobytes() == later.tobytes()


def test_a_recorded_hour_lacks_only_what_was_not_heard(
    hour: tuple[np.ndarray, np.ndarray],
) -> None:
    """The outage costs its bar the trades and the flow of the book; a restart costs nothing.

    Ether has no hash rate.
    """
    live, _ = hour
    expected = {name: [OUTAGE[0]] for name in (*TRADE_FIELDS, "order_flow")}
    expected["hash_rate"] = expected["hash_rate_time_ms"] = list(range(BARS))
    # An hour in which nothing settled has no rate: that is no loss.
    fields = [name for name in OBSERVATION_FIELDS if name not in FUNDING_FIELDS]
    assert {name: bars for name in fields if (bars := missing(live, name))} == expected
