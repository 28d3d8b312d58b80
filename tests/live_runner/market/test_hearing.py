"""Minutes and BTC's bars come over the socket: fewer requests, the same bytes."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.observation import OBSERVATION_FIELDS
from live_runner.candles import Candle
from live_runner.market.series import SeriesBook
from live_runner.market.venue import Price
from tests.live_runner.inside import bars_step, desk, desk_settings
from tests.live_runner.market.test_series import MINUTE_MS, CountingVenue
from tests.live_runner.stage import BAR_MS, START_MS, SYMBOLS, venue

Message = tuple[str, str, Candle]
MINUTES = "ETHUSDT 1m last"
OTHER = "BTCUSDT 15m last"
LAST_MINUTE = OBSERVATION_FIELDS.index("minute_14_close")
IN_A_BAR = 16  # fifteen minutes and BTC's bar


@dataclass
class BusyVenue(CountingVenue):
    """A venue beside whose answers the socket goes on."""

    meanwhile: Callable[[], None] = lambda: None
    spans: list[tuple[str, int, int]] = field(default_factory=list)

    async def candles(
        self,
        symbol: str,
        timeframe: str,
        bar_ms: int,
        start_ms: int,
        end_ms: int,
        price: Price = "last",
    ) -> list[Candle]:
        """Answer once the socket has brought something."""
        if price == "mark":
            self.meanwhile()
        self.spans.append((f"{symbol} {timeframe} {price}", start_ms, end_ms))
        return await super().candles(symbol, timeframe, bar_ms, start_ms, end_ms, price)


def _book(market: CountingVenue, timeframe: str = "15m") -> SeriesBook:
    chosen = replace(desk_settings(Path("unused"), "http://127.0.0.1:1"), timeframe=timeframe)
    return SeriesBook("ETHUSDT", chosen, market)


def _messages(bar: int) -> list[Message]:
    """Return what the socket brings of one bar."""
    open_ms = START_MS + bar * BAR_MS
    market = CountingVenue()
    span = (open_ms, open_ms + BAR_MS)
    minutes = asyncio.run(market.candles("ETHUSDT", "1m", MINUTE_MS, *span))
    others = asyncio.run(market.candles("BTCUSDT", "15m", BAR_MS, *span))
    return [
        *(("ETHUSDT", "1m", one) for one in minutes),
        *(("BTCUSDT", "15m", one) for one in others),
    ]


def _observed(book: SeriesBook, bar: int) -> bytes:
    """Return a bar's observation, decided as soon as it has closed."""
    close_ms = START_MS + (bar + 1) * BAR_MS
    assert asyncio.run(book.ensure(close_ms, close_ms)) == {}
    row = book.observe(
        Candle(open_time_ms=close_ms - BAR_MS, open=1.0, high=1.0, low=1.0, close=1.0, volume=1.0)
    )
    book.observer.forget(close_ms - BAR_MS)
    return np.array(row).tobytes()


def test_what_is_heard_is_not_asked_for() -> None:
    """Neither minutes nor BTC are requested, and no byte differs."""
    market = CountingVenue()
    told = _book(market)
    untold = _book(CountingVenue())
    for bar in range(20):
        for message in _messages(bar):
            told.hear(*message)
        assert _observed(told, bar) == _observed(untold, bar)
    assert (market.asked.count(MINUTES), market.asked.count(OTHER)) == (0, 0)


def test_a_minute_that_was_not_heard_is_asked_for_with_what_follows() -> None:
    """One gap costs one request, from the gap on; the next bar needs none.

    What is heard already of the next bar when that request is made still counts.
    """
    market = BusyVenue()
    book = _book(market)
    sent = [message for bar in range(5) for message in _messages(bar)]
    del sent[2 * IN_A_BAR + 6]
    for bar in range(4):
        while len(sent) > (4 - bar) * IN_A_BAR - 3:
            book.hear(*sent.pop(0))
        _observed(book, bar)
    gap_ms = START_MS + 2 * BAR_MS + 6 * MINUTE_MS
    close_ms = START_MS + 3 * BAR_MS
    assert [one[1:] for one in market.spans if one[0] == MINUTES] == [(gap_ms, close_ms)]


def test_a_gap_spoils_no_later_bar_while_rest_is_down() -> None:
    """The bar of the lost minute is stale; the next ones were heard whole, and nothing piles up."""
    market = CountingVenue()
    book = _book(market)
    for bar in range(8):
        messages = _messages(bar)
        if bar == 3:
            market.down = frozenset({MINUTES})
            del messages[6]
        for message in messages:
            book.hear(*message)
        close_ms = START_MS + (bar + 1) * BAR_MS
        assert set(asyncio.run(book.ensure(close_ms, close_ms))) == (
            {"minutes"} if bar == 3 else set()
        )
        row = book.observe(
            Candle(
                open_time_ms=close_ms - BAR_MS, open=1.0, high=1.0, low=1.0, close=1.0, volume=1.0
            )
        )
        assert np.isnan(row[LAST_MINUTE]) == (bar == 3)
        assert max(len(source.heard) for source in book._sources) <= 8


def test_what_comes_while_the_rest_is_read_need_not_be_asked_for() -> None:
    """The bar's own message may come before its last minute, and before BTC's bar."""
    late: list[Message] = []

    def hear() -> None:
        for message in late:
            book.hear(*message)

    market = BusyVenue(meanwhile=hear)
    book = _book(market)
    for bar in range(5):
        *early, minute, other = _messages(bar)
        late[:] = [other, minute]
        for message in early:
            book.hear(*message)
        _observed(book, bar)
    assert (market.asked.count(MINUTES), market.asked.count(OTHER)) == (0, 0)


def test_a_bar_of_one_minute_is_its_own_minute() -> None:
    """At a timeframe of one minute a bar's candle is all that its minutes need."""
    market = CountingVenue()
    book = _book(market, "1m")
    for minute in range(3):
        open_ms = START_MS + minute * MINUTE_MS
        for symbol in SYMBOLS:
            candles = asyncio.run(
                market.candles(symbol, "1m", MINUTE_MS, open_ms, open_ms + MINUTE_MS)
            )
            book.hear(symbol, "1m", candles[0])
        market.asked.clear()
        close_ms = open_ms + MINUTE_MS
        assert asyncio.run(book.ensure(close_ms, close_ms)) == {}
        # BTC's bar of the minute before may still be of use to the first
        assert MINUTES not in market.asked
        assert ("BTCUSDT 1m last" in market.asked) == (minute == 0)
        row = book.observe(
            Candle(open_time_ms=open_ms, open=1.0, high=1.0, low=1.0, close=1.0, volume=1.0)
        )
        assert row[LAST_MINUTE] == 2.0 * open_ms / MINUTE_MS


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_whatever_the_socket_does_the_bytes_are_those_of_rest(data: st.DataObject) -> None:
    """Dropped, doubled, delayed and broken messages and outages of the socket change no byte."""
    bars = data.draw(st.integers(2, 6))
    sent = [message for bar in range(bars) for message in _messages(bar)]
    arrives: list[list[Message]] = [[] for _ in range(bars)]
    for number, (symbol, timeframe, candle) in enumerate(sent):
        fate = data.draw(st.sampled_from(("whole",) * 12 + ("lost", "late", "twice", "broken")))
        bar = number // IN_A_BAR + (data.draw(st.integers(1, 2)) if fate == "late" else 0)
        if fate == "lost" or bar >= bars:
            continue
        told = candle._replace(high=-1.0) if fate == "broken" else candle
        arrives[bar] += [(symbol, timeframe, told)] * (2 if fate == "twice" else 1)
    told = _book(CountingVenue())
    untold = _book(CountingVenue())
    for bar in range(bars):
        for message in data.draw(st.permutations(arrives[bar])):
            told.hear(*message)
        assert _observed(told, bar) == _observed(untold, bar)


def test_a_desk_asks_for_minutes_and_btc_only_while_it_has_not_heard_them(tmp_path: Path) -> None:
    """With a real socket bars need neither request; messages left out bring them back."""
    asked = Counter[str]()
    candles = ("/fapi/v1/klines 1m", "/fapi/v1/klines 15m")

    async def requests(home: Path, url: str) -> tuple[int, int]:
        async with desk(desk_settings(home, url), asked) as one:
            await bars_step(one, market, 3)
            asked.clear()
            await bars_step(one, market, 20)
            heard = sum(asked[name] for name in candles)
            market.fault(kind="skip", rate=1.0, match="kline_1m")
            await bars_step(one, market, 3)
            asked.clear()
            await bars_step(one, market, 20)
            return heard, asked[candles[0]]

    with venue(speed=1.0) as market:
        heard, unheard = asyncio.run(requests(tmp_path, market.url))
    print(f"20 bars of two symbols: {heard} requests heard, {unheard} unheard")
    assert heard < 10
    assert unheard >= 20
