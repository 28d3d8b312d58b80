"""A lane hands every bar on once, in order, whatever the socket does."""

import asyncio
import json
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from live_runner.candles import Candle
from live_runner.market.feed import SYNC, Lane, parse
from live_runner.market.venue import Pauses, Price, Venue, VenueError
from live_runner.settings import RunnerSettings
from tests.hung import HUNG_S
from tests.live_runner.inside import desk_settings
from tests.live_runner.stage import BAR_MS

FAST = Pauses(base_s=0.0, cap_s=0.0, attempts=1)


def _candle(bar: int) -> Candle:
    price = 100.0 + bar
    return Candle(
        open_time_ms=bar * BAR_MS,
        open=price,
        high=price + 1.0,
        low=price - 1.0,
        close=price,
        volume=5.0,
    )


@dataclass
class ShelfVenue(Venue):
    """A venue that serves bars from a shelf; it fails as often as told and lacks some bars."""

    now_bar: int
    lacks: frozenset[int] = frozenset()
    failures: int = 0
    asked: list[tuple[int, int]] = field(default_factory=list)

    async def time_ms(self) -> int:
        """Return the open of the running bar, a little later."""
        return self.now_bar * BAR_MS + 17

    async def candles(
        self,
        symbol: str,
        timeframe: str,
        bar_ms: int,
        start_ms: int,
        end_ms: int,
        price: Price = "last",
    ) -> list[Candle]:
        """Serve what is on the shelf, or fail."""
        if self.failures > 0:
            self.failures -= 1
            raise VenueError("GET klines: found 503, expected 200")
        self.asked.append((start_ms // BAR_MS, end_ms // BAR_MS))
        bars = range(start_ms // BAR_MS, end_ms // BAR_MS)
        return [_candle(bar) for bar in bars if bar not in self.lacks]


def _settings() -> RunnerSettings:
    from pathlib import Path

    return desk_settings(Path("unused"), "http://127.0.0.1:1")


def _decided(
    venue: ShelfVenue, events: list[Candle | None], last_bar: int
) -> tuple[list[int], list[int], int]:
    """Return bars handed on, holes reported and duplicates dropped, from bar 1 to `last_bar`."""
    holes: list[int] = []
    duplicates: list[int] = []
    lane = Lane(
        symbol="BTCUSDT",
        settings=_settings(),
        venue=venue,
        backoff=FAST,
        rng=random.Random(0),
        on_hole=lambda at, _: holes.append(at // BAR_MS),
        on_duplicate=lambda: duplicates.append(1),
    )

    async def drain() -> list[int]:
        bars: list[int] = []
        for event in events:
            lane.put(event)
        async for batch in lane.batches(0):
            bars += [one.candle.open_time_ms // BAR_MS for one in batch]
            if bars[-1] == last_bar:
                return bars
        raise AssertionError

    return asyncio.run(asyncio.wait_for(drain(), HUNG_S)), holes, len(duplicates)


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_any_disorder_gives_each_bar_once_in_order(data: st.DataObject) -> None:
    """Dropped, doubled and shuffled bars, quiet spells and failing REST change nothing."""
    count = data.draw(st.integers(2, 30))
    bars = data.draw(st.lists(st.integers(1, count), max_size=60))
    events: list[Candle | None] = [
        SYNC if data.draw(st.booleans()) and bar % 7 == 0 else _candle(bar) for bar in bars
    ]
    lacks = frozenset(data.draw(st.sets(st.integers(1, count - 1), max_size=3)) - set(bars))
    venue = ShelfVenue(now_bar=count, lacks=lacks, failures=data.draw(st.integers(0, 4)))
    decided, holes, _ = _decided(venue, [*events, _candle(count)], count)
    assert decided == [bar for bar in range(1, count + 1) if bar not in lacks]
    assert sorted(holes) == sorted(lacks)


def test_backlog_is_one_batch() -> None:
    """Bars that wait together come together, so that they cost one look at the series."""
    venue = ShelfVenue(now_bar=50)
    decided, _, duplicates = _decided(venue, [*map(_candle, [1, 2, 3, 3, 2, 4])], 4)
    assert (decided, duplicates, venue.asked) == ([1, 2, 3, 4], 2, [])


def test_broken_candle_is_replaced_by_what_rest_has() -> None:
    """A candle that contradicts itself is not decided; the venue's own record is."""
    broken = _candle(1)._replace(high=1.0)
    venue = ShelfVenue(now_bar=3)
    assert _decided(venue, [broken, _candle(2)], 2)[:2] == ([1, 2], [])
    assert venue.asked == [(1, 2)]


@pytest.mark.parametrize(
    "message",
    ["", "{", "[]", '{"data": 1}', '{"data": {"k": {"x": true}}}', '{"data": {"k": {"x": false}}}'],
)
def test_unreadable_messages_are_left_to_the_repair(message: str) -> None:
    """What cannot be read as a closed bar is no bar; the gap it leaves is found later."""
    assert parse(message) is None


@pytest.mark.parametrize("at", ["1e400", "-1", "1" + 400 * "0", "1e18", "NaN", '"now"', "null"])
def test_a_bar_of_no_time_is_no_bar(at: str) -> None:
    """A time that no calendar holds is left to the repair, as any other broken message."""
    prices = '"o": "1", "h": "1", "l": "1", "c": "1", "v": "1"'
    message = f'{{"data": {{"k": {{"s": "B", "i": "1m", "x": true, "t": {at}, {prices}}}}}}}'
    assert parse(message) is None
    assert parse(message.replace(f'"t": {at}', '"t": 0')) is not None


def test_closed_kline_message_is_read() -> None:
    """The exchange's kline event gives symbol, interval and candle."""
    kline = {
        "s": "BTCUSDT",
        "i": "15m",
        "t": BAR_MS,
        "o": "1",
        "h": "3",
        "l": "0.5",
        "c": "2",
        "v": "7",
    }
    found = parse(json.dumps({"stream": "x", "data": {"k": {**kline, "x": True}}}))
    assert found == (
        "BTCUSDT",
        "15m",
        Candle(open_time_ms=BAR_MS, open=1.0, high=3.0, low=0.5, close=2.0, volume=7.0),
    )
