"""ccxt's asynchronous client and its WebSocket client, unmodified, against the venue."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.hung import HUNG_S
from tests.replay_venue.clockwork import Clockwork
from tests.replay_venue.served import Served, at, clockwork, point

NOW = at("2025-04-10 07:07:30")
SYMBOL = "BTC/USDT:USDT"


@pytest.fixture
def venue() -> Iterator[Served]:
    with clockwork("2025-04-10 07:07:30") as served:
        yield served


@asynccontextmanager
async def client(kind: str, served: Served) -> AsyncIterator[Any]:
    import ccxt.async_support
    import ccxt.pro

    maker = {"rest": ccxt.async_support.binanceusdm, "pro": ccxt.pro.binanceusdm}[kind]
    one = point(maker({"enableRateLimit": False, "timeout": 1_000 * HUNG_S}), served.url)
    try:
        await one.load_markets()
        yield one
    finally:
        await one.close()


def asked(
    kind: str, served: Served, ask: Callable[[Any], Awaitable[Any]], forward_s: int = 0
) -> Any:
    """Return ccxt's answer, while the clock goes forward a second at a time if it is asked to."""

    async def talk() -> Any:
        async with client(kind, served) as one:
            answer = asyncio.ensure_future(ask(one))
            while not answer.done() and forward_s:
                await asyncio.wait([answer], timeout=0.1)
                now_ms = served.venue.clock.now_ms() + 1_000 * forward_s
                await asyncio.to_thread(served.control, "clock", advance_to_ms=now_ms)
            return await asyncio.wait_for(answer, HUNG_S)

    return asyncio.run(talk())


def test_async_ccxt_reads_every_public_call(venue: Served) -> None:
    """Candles of three prices, trades, book, tickers, funding and open interest at once."""

    async def ask(one: Any) -> list[Any]:
        return await asyncio.gather(
            one.fetch_ohlcv(SYMBOL, "1w", limit=3),
            one.fetch_mark_ohlcv(SYMBOL, "15m", limit=3),
            one.fetch_index_ohlcv(SYMBOL, "15m", limit=3),
            one.fetch_trades(SYMBOL, limit=5),
            one.fetch_order_book(SYMBOL, 5),
            one.fetch_tickers(),
            one.fetch_bids_asks(),
            one.fetch_mark_price(SYMBOL),
            one.fetch_funding_rate(SYMBOL),
            one.fetch_funding_rate_history(SYMBOL, limit=3),
            one.fetch_open_interest_history(SYMBOL, "1h", limit=3),
            one.fetch_funding_intervals(),
            one.fetch_last_prices(),
        )

    weeks, mark, index, trades, book, tickers, bids, price, rate, history, held, info, last = asked(
        "rest", venue, ask
    )
    assert [week[0] for week in weeks] == [
        at("2025-03-24"), at("2025-03-31"), at("2025-04-07")
    ]  # fmt: skip
    assert round(mark[0][4] - index[0][4], 6) == 0.3
    assert trades[-1]["timestamp"] == NOW
    assert book["nonce"] == NOW // 100
    assert set(tickers) == set(bids) == set(last) == {SYMBOL, "ETH/USDT:USDT"}
    assert bids[SYMBOL]["bid"] == book["bids"][0][0]
    assert price["markPrice"] == rate["markPrice"] == mark[-1][4]
    assert rate["fundingTimestamp"] == at("2025-04-10 08:00")
    assert [float(row["info"]["markPrice"]) for row in history] == marks_at(history)
    assert [row["timestamp"] for row in held] == [
        at(f"2025-04-10 0{hour}:00") for hour in (5, 6, 7)
    ]
    assert info[SYMBOL]["interval"] == "8h"


def marks_at(history: list[dict[str, Any]]) -> list[float]:
    """Return the mark price at each settlement."""
    return [
        float(Clockwork().mark_bars("BTCUSDT", "1m", time_ms - 60_000, time_ms).close[0])
        for time_ms in (row["timestamp"] for row in history)
    ]


def test_pro_keeps_a_local_book(venue: Served) -> None:
    """watch_order_book's own snapshot and updates end at the venue's book, several updates on."""

    async def ask(one: Any) -> Any:
        for _ in range(6):
            book = await one.watch_order_book(SYMBOL, 1_000)
        return book["nonce"], [row[:2] for row in book["bids"]], [row[:2] for row in book["asks"]]

    nonce, bids, asks = asked("pro", venue, ask, forward_s=1)
    book = Clockwork().book("BTCUSDT", nonce * 100, 1_000)
    assert book is not None
    assert nonce > NOW // 100
    assert bids == [list(row) for row in zip(book.bid_price, book.bid_quantity, strict=True)]
    assert asks == [list(row) for row in zip(book.ask_price, book.ask_quantity, strict=True)]


@pytest.mark.parametrize("name", ["trade", "aggTrade"])
def test_pro_watches_trades(venue: Served, name: str) -> None:
    """Each trade after the subscription arrives once, in order."""

    async def ask(one: Any) -> list[int]:
        one.newUpdates = True
        seen: list[int] = []
        while len(seen) < 12:
            batch = await one.watch_trades(SYMBOL, params={"name": name})
            seen += [int(trade["id"]) for trade in batch]
        return seen

    seen = asked("pro", venue, ask, forward_s=40)
    assert seen == list(range(seen[0], seen[0] + len(seen)))


@pytest.mark.parametrize("timeframe", ["1m", "1w", "1M"])
def test_pro_watches_candles(venue: Served, timeframe: str) -> None:
    """The candle watched is the one REST serves at that moment."""

    async def ask(one: Any) -> Any:
        watched = await one.watch_ohlcv(SYMBOL, timeframe)
        return watched[-1], (await one.fetch_ohlcv(SYMBOL, timeframe, limit=1))[-1]

    watched, fetched = asked("pro", venue, ask)
    assert watched == fetched


def test_pro_watches_prices(venue: Served) -> None:
    """Mark price, best bid and ask and the day's ticker are what REST serves."""

    async def ask(one: Any) -> Any:
        return await asyncio.gather(
            one.watch_mark_price(SYMBOL), one.watch_bids_asks([SYMBOL]), one.watch_ticker(SYMBOL)
        )

    mark, best, ticker = asked("pro", venue, ask)
    assert mark["markPrice"] == float(
        venue.get("/fapi/v1/premiumIndex", symbol="BTCUSDT")["markPrice"]
    )
    book = venue.get("/fapi/v1/depth", symbol="BTCUSDT", limit=5)
    assert [best[SYMBOL]["bid"], best[SYMBOL]["ask"]] == [
        float(book["bids"][0][0]), float(book["asks"][0][0])
    ]  # fmt: skip
    day = venue.get("/fapi/v1/ticker/24hr", symbol="BTCUSDT")
    assert [ticker["last"], ticker["baseVolume"]] == [float(day["lastPrice"]), float(day["volume"])]


def test_pro_leaves_a_stream(venue: Served) -> None:
    """un_watch_trades ends the stream; the connection goes on."""

    async def ask(one: Any) -> bool:
        await one.watch_trades(SYMBOL)
        await one.un_watch_trades(SYMBOL)
        return SYMBOL in one.trades

    assert asked("pro", venue, ask, forward_s=40) is False
