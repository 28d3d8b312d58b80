"""Unmodified ccxt against a served venue: three exchanges, whole pages, bad days, giving up."""

import socket
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kernel.bars import Bars
from kernel.errors import TidegateError
from market_data.sources.backoff import Backoff
from market_data.sources.ccxt_exchange import CcxtExchange
from market_data.sources.exchanges import EXCHANGES
from market_data.sources.extras import Bounded, Listed
from market_data.sources.protocol import Source, Wanted
from market_data.tables import DAY_MS, TABLES
from market_data.universe import SourceSettings
from replay_venue.market.series import AggregateTrades, Book, Points
from replay_venue.serving.faults.faults import Fault, Kind
from tests.market_data.served_venue import BAR_MS, SmallMarket, picked, points, served, walk

START_MS = 1_764_547_200_000  # 2025-12-01T00:00Z
COLUMNS = ("open", "high", "low", "close", "volume")
IMPATIENT = Backoff(attempts=5, first_delay_s=0.001, longest_delay_s=0.01)
BARS = 1_300
PAGE = EXCHANGES["binanceusdm"].roads["candles"].page


def exchange(url: str, name: str = "binanceusdm", backoff: Backoff = IMPATIENT) -> CcxtExchange:
    """Return an exchange that does not wait long."""
    return CcxtExchange(name, SourceSettings("ccxt", exchange=name), url, backoff, timeout_s=5.0)


def read(source: Source, table: str, start_ms: int, end_ms: int, symbol: str = "BTCUSDT") -> Any:
    """Return all pages as one frame."""
    pages = list(source.pages(Wanted(table, symbol, start_ms, end_ms, BAR_MS)))
    empty = pd.DataFrame({name: [] for name in ("event_time_ms", *TABLES[table].columns)})
    return pd.concat(pages, ignore_index=True) if pages else empty


def same_bars(frame: Any, bars: Bars, columns: tuple[str, ...] = COLUMNS) -> bool:
    """Say whether the frame holds exactly these bars, bit by bit."""
    return np.array_equal(frame["event_time_ms"], bars.open_time_ms) and all(
        frame[name].to_numpy().tobytes() == getattr(bars, name).tobytes() for name in columns
    )


def small_market() -> SmallMarket:
    """Return bitcoin with every series, each of several pages."""
    return SmallMarket(
        {"BTCUSDT": walk(START_MS, BARS)},
        marks={"BTCUSDT": walk(START_MS, BARS, seed=2)},
        indexes={"BTCUSDT": walk(START_MS, BARS, seed=3)},
        minutes={"BTCUSDT": walk(START_MS, 600, seed=4, step_ms=60_000)},
    )


END_MS = START_MS + BARS * BAR_MS


@pytest.mark.parametrize(
    ("name", "table", "expected"),
    [
        ("binanceusdm", "candles", "candles"),
        ("binanceusdm", "mark_candles", "marks"),
        ("binanceusdm", "index_candles", "indexes"),
        ("hyperliquid", "candles", "candles"),
        ("hyperliquid", "reference_candles", "candles"),
        ("coinbase", "reference_candles", "indexes"),
        ("coinbase", "candles", "indexes"),
    ],
)
def test_candles_come_in_pages_past_the_limit_and_bit_by_bit(name: str, table: str, expected: str):
    """A span of several pages arrives complete, in order, each number as the venue holds it."""
    market = small_market()
    with served(market, END_MS) as venue:
        source = exchange(venue.url, name)
        pages = list(source.pages(Wanted(table, "BTCUSDT", START_MS, END_MS, BAR_MS)))
    limit = EXCHANGES[name].roads[table].page
    assert [len(page) for page in pages] == [min(limit, BARS - at) for at in range(0, BARS, limit)]
    columns = tuple(column for column in TABLES[table].columns if column != "volume")
    bars = getattr(market, expected)["BTCUSDT"]
    assert list(pages[0].columns) == ["event_time_ms", *TABLES[table].columns]
    assert same_bars(pd.concat(pages, ignore_index=True), bars, columns)


def test_minute_candles_are_asked_for_as_minutes():
    """The step of a table, not of the universe, decides the interval."""
    market = small_market()
    with served(market, END_MS) as venue:
        found = read(exchange(venue.url), "minute_candles", START_MS, START_MS + 600 * 60_000)
    assert same_bars(found, market.minutes["BTCUSDT"])


def test_candles_skip_over_a_hole():
    """Missing bars end neither a page nor the reading."""
    holed = picked(walk(START_MS, BARS), np.r_[0:100, 1_000:BARS])
    with served(SmallMarket({"BTCUSDT": holed}), END_MS) as venue:
        found = read(exchange(venue.url), "candles", START_MS, END_MS)
    assert same_bars(found, holed)


@pytest.mark.parametrize("kind", ["drop", "http418", "http429", "http5xx", "truncate", "drip"])
@pytest.mark.parametrize(
    ("name", "table", "paths"),
    [
        ("binanceusdm", "candles", ("exchangeInfo", "klines", "time")),
        ("coinbase", "reference_candles", ("products", "/candles", "time")),
        ("hyperliquid", "candles", ("metaAndAssetCtxs", "candleSnapshot", "exchangeStatus")),
    ],
)
def test_exchange_survives_a_bad_day(kind: Kind, name: str, table: str, paths: tuple[str, ...]):
    """Dropped connections, bans, errors and half payloads cost time and not one number."""
    market = small_market()
    hit = paths[1:2] if kind in ("http418", "http429") else paths  # each costs a second
    with served(market, END_MS) as venue:
        for path in hit:
            fault = Fault(kind, count=1, match=path, retry_after_s=0.0, delay_ms=1)
            venue.faults.arm(fault)
        source = exchange(venue.url, name)
        assert source.now_ms() == END_MS
        found = read(source, table, START_MS, END_MS)
        assert venue.faults.report()["injected"][kind] == len(hit)
    held = market.indexes if name == "coinbase" else market.candles
    assert same_bars(found, held["BTCUSDT"], COLUMNS[:4])


@pytest.mark.parametrize("kind", ["http418", "http429"])
def test_ban_is_waited_for_as_long_as_the_exchange_asks(kind: Kind):
    """Retry-After is obeyed in full seconds, whatever our own pause would be."""
    with served(small_market(), END_MS) as venue:
        source = exchange(venue.url)
        source.listed_as("BTCUSDT")
        venue.faults.arm(Fault(kind, count=1, match="klines", retry_after_s=1.0))
        began_s = time.monotonic()
        assert len(read(source, "candles", START_MS, START_MS + BAR_MS)) == 1
    assert time.monotonic() - began_s >= 1.0


@pytest.mark.parametrize(
    ("kind", "found"), [("http5xx", "Internal error"), ("truncate", "no whole JSON")]
)
def test_exchange_that_stays_away_fails_the_run_in_words(kind: Kind, found: str):
    """After the last attempt the failure names what was asked, what came, and what to do."""
    with served(small_market(), END_MS) as venue:
        venue.faults.arm(Fault(kind, count=9, match="klines"))
        source = exchange(venue.url, backoff=replace(IMPATIENT, attempts=3))
        with pytest.raises(TidegateError) as failure:
            read(source, "candles", START_MS, END_MS)
    text = str(str(failure.value))
    assert text.startswith(f"candles of BTCUSDT from {venue.url}: found no answer in 3 attempts")
    assert found in text
    assert "tidegate doctor" in text
    assert "no answer in 3 attempts" in str(failure.value)


def test_exchange_that_is_not_there_fails_the_run_in_words():
    """A refused connection is retried and then reported like any other silence."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(TidegateError) as failure:
        exchange(url, backoff=replace(IMPATIENT, attempts=2)).now_ms()
    text = str(str(failure.value))
    assert f"the exchange's clock from {url}: found no answer in 2 attempts" in text


@pytest.mark.parametrize(
    ("name", "tried", "listed"),
    [
        ("binanceusdm", "SOL/USDT:USDT", "BTC/USDT:USDT"),
        ("coinbase", "SOL/USDT or SOL/USD", "BTC/USDT"),
        ("hyperliquid", "SOL/USDC:USDC", "BTC/USDC:USDC"),
    ],
)
def test_symbol_that_is_not_listed_is_refused_at_once(name: str, tried: str, listed: str):
    """No retry makes a market appear; the failure names what was looked for and what there is."""
    with served(small_market(), END_MS) as venue, pytest.raises(TidegateError) as failure:
        read(exchange(venue.url, name), "candles", START_MS, END_MS, "SOLUSDT")
    text = str(str(failure.value))
    assert f"no market SOLUSDT or {tried} at {venue.url}" in text
    assert listed in text


@pytest.mark.parametrize(
    ("name", "market"),
    [
        ("binanceusdm", "BTC/USDT:USDT"),
        ("coinbase", "BTC/USDT"),
        ("hyperliquid", "BTC/USDC:USDC"),
    ],
)
def test_exchange_names_the_market_that_it_reads(name: str, market: str):
    """One symbol of the universe is another market at each exchange, and each says which."""
    with served(small_market(), END_MS) as venue:
        source = exchange(venue.url, name)
        assert isinstance(source, Listed)
        assert source.listed_as("BTCUSDT") == market


@pytest.mark.parametrize("name", ["binanceusdm", "hyperliquid"])
def test_funding_keeps_the_stamp_it_was_given(name: str):
    """Settlement stamps some milliseconds off the hour are data, not noise to round away."""
    stamps = START_MS + np.array([3, 28_800_000, 57_600_011], dtype=np.int64)
    settled = Points(stamps, np.array([0.0001, -0.00025, 0.00012345]))
    market = replace(small_market(), settlements={"BTCUSDT": settled})
    with served(market, END_MS) as venue:
        found = read(exchange(venue.url, name), "funding", START_MS, START_MS + DAY_MS)
    assert found["event_time_ms"].tolist() == stamps.tolist()
    assert found["funding_rate"].tolist() == settled.value.tolist()


@pytest.mark.parametrize("name", ["binanceusdm", "hyperliquid"])
def test_funding_pages_past_the_limit(name: str):
    """More settlements than one answer holds arrive once each."""
    settled = points(START_MS, 60_000, [k / 1e6 for k in range(2_300)])
    market = replace(small_market(), settlements={"BTCUSDT": settled})
    with served(market, END_MS) as venue:
        found = read(exchange(venue.url, name), "funding", START_MS, START_MS + 2_300 * 60_000)
    assert found["event_time_ms"].tolist() == settled.time_ms.tolist()


def test_open_interest_begins_where_it_begins():
    """A venue that kept nothing at first is read on; one that keeps nothing yields nothing."""
    interest = points(START_MS + 700 * BAR_MS, BAR_MS, [80_000.5 + k for k in range(60)])
    candles = {"BTCUSDT": walk(START_MS, BARS), "ETHUSDT": walk(START_MS, BARS)}
    with served(SmallMarket(candles, interest={"BTCUSDT": interest}), END_MS) as venue:
        source = exchange(venue.url)
        found = read(source, "open_interest", START_MS, END_MS)
        none = read(source, "open_interest", START_MS, END_MS, "ETHUSDT")
    assert found["event_time_ms"].tolist() == interest.time_ms.tolist()
    assert found["open_interest"].tolist() == interest.value.tolist()
    assert len(none) == 0


def test_trades_go_on_by_number_past_a_crowded_moment():
    """More trades of one millisecond than a page holds arrive all, each once, with their side."""
    count = 2_500
    held = AggregateTrades(
        START_MS + 5_000 + np.repeat(np.array([0, 1, 7_200_000], np.int64), [300, 1_700, 500]),
        1 + np.arange(count, dtype=np.int64),
        50_000.0 + np.arange(count) % 7,
        np.round(0.001 * (1 + np.arange(count) % 5), 3),
        np.where(np.arange(count) % 3 == 0, -1, 1).astype(np.int8),
    )
    market = replace(small_market(), ticks={"BTCUSDT": held})
    with served(market, END_MS) as venue:
        found = read(exchange(venue.url), "trades", START_MS, END_MS)
    assert found["trade_id"].tolist() == held.trade_id.tolist()
    assert found["event_time_ms"].tolist() == held.time_ms.tolist()
    assert found["side"].tolist() == held.side.tolist()
    assert found["price"].tolist() == held.price.tolist()
    assert found["quantity"].tolist() == held.quantity.tolist()


def test_depth_is_the_book_of_this_moment():
    """One row: the best of both sides, and what lies on the first hundred levels."""
    levels = np.arange(150)
    book = Book(
        time_ms=END_MS,
        update_id=77,
        bid_price=50_000.0 - levels,
        bid_quantity=np.full(150, 2.0),
        ask_price=50_000.5 + levels,
        ask_quantity=np.full(150, 0.5),
    )
    market = replace(small_market(), books={"BTCUSDT": book})
    with served(market, END_MS) as venue:
        found = read(exchange(venue.url), "depth", END_MS, END_MS + 1)
    assert found.iloc[0].to_dict() == {
        "event_time_ms": END_MS,
        "update_id": found["update_id"][0],
        "best_bid": 50_000.0,
        "best_ask": 50_000.5,
        "best_bid_quantity": 2.0,
        "best_ask_quantity": 0.5,
        "bid_quantity_100": 200.0,
        "ask_quantity_100": 50.0,
    }
    assert len(found) == 1


@pytest.mark.parametrize(
    ("name", "table", "kept_ms"),
    [
        ("binanceusdm", "open_interest", 30 * DAY_MS),
        ("binanceusdm", "trades", 2 * DAY_MS),
        ("hyperliquid", "candles", 5_000 * BAR_MS),
        ("hyperliquid", "minute_candles", 5_000 * 60_000),
    ],
)
def test_public_exchange_is_asked_only_for_what_it_keeps(name: str, table: str, kept_ms: int):
    """Somewhat less than what is kept is asked for; a venue on this machine keeps everything."""
    public = exchange("", name)
    local = exchange("http://127.0.0.1:9", name)
    assert isinstance(public, Bounded)
    asked_ms = END_MS - public.kept_from_ms(table, BAR_MS, END_MS)
    assert 0.9 * kept_ms < asked_ms < kept_ms
    assert local.kept_from_ms(table, BAR_MS, END_MS) == 0
    assert public.kept_from_ms("funding", BAR_MS, END_MS) == 0


def test_public_exchange_keeps_ccxt_s_rate_limit():
    """ccxt's limiter is on wherever the exchange is not a venue on this machine.

    Four requests of weight 2 at 50 ms a unit cannot take less than 0.3 s; without it they do, in
    the quickest of ten tries, however busy the machine.
    """
    with served(small_market(), END_MS) as venue:
        tries = (timed(lambda: paged(exchange(venue.url))) for _ in range(10))
        assert any(took_s < 0.3 for took_s in tries)
        assert timed(lambda: paged(replace(exchange(venue.url), replayed=False))) >= 0.3


def paged(source: CcxtExchange) -> None:
    source.listed_as("BTCUSDT")
    assert len(read(source, "candles", START_MS, START_MS + 4 * PAGE * BAR_MS)) == BARS


def timed(work: Callable[[], None]) -> float:
    """Return the seconds that some work takes."""
    began_s = time.monotonic()
    work()
    return time.monotonic() - began_s


def test_endpoint_with_a_limit_of_its_own_is_spaced_out():
    """Binance's funding history allows 500 requests in five minutes beside the weights."""
    market = replace(small_market(), settlements={"BTCUSDT": points(START_MS, 28_800_000, [1e-4])})
    with served(market, END_MS) as venue:
        source = replace(exchange(venue.url), replayed=False)
        assert timed(lambda: (read(source, "funding", START_MS, END_MS), None)[1]) >= 0.6


@pytest.mark.parametrize(
    ("name", "table", "text"),
    [
        ("coinbase", "funding", "expected one of ['candles', 'minute_candles', 'reference"),
        ("kraken", "candles", "expected one of ['binanceusdm', 'coinbase', 'hyperliquid']"),
    ],
)
def test_what_an_exchange_lacks_is_refused_in_words(name: str, table: str, text: str):
    """A table or an exchange that is not there is a matter of universe.yaml, said so at once."""
    with pytest.raises(TidegateError) as failure:
        read(exchange("http://127.0.0.1:9", name), table, START_MS, END_MS)
    assert text in str(str(failure.value))


def test_interval_that_an_exchange_lacks_is_refused_in_words():
    """Coinbase has no bars of three minutes."""
    with served(small_market(), END_MS) as venue, pytest.raises(TidegateError) as failure:
        wanted = Wanted("candles", "BTCUSDT", START_MS, END_MS, 180_000)
        list(exchange(venue.url, "coinbase").pages(wanted))
    assert "found bars of 180000 ms, expected one of ['1m', '5m', '15m'" in str(str(failure.value))
