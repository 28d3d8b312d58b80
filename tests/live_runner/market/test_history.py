"""History that the venue answers badly: asked again, and a hole only where it is missing twice."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from live_runner.candles import Candle
from live_runner.journal.journal import Journal
from live_runner.market.history import History
from live_runner.market.series import SeriesBook
from live_runner.market.venue import Price
from tests.live_runner.inside import desk_settings
from tests.live_runner.market.test_series import CountingVenue
from tests.live_runner.stage import BAR_MS, START_MS

BARS = 20


@dataclass
class ForgetfulVenue(CountingVenue):
    """A venue each of whose answers lacks bars of its own."""

    forgets: list[set[int]] = field(default_factory=list)

    async def candles(
        self,
        symbol: str,
        timeframe: str,
        bar_ms: int,
        start_ms: int,
        end_ms: int,
        price: Price = "last",
    ) -> list[Candle]:
        """Leave out the bars that the next answer forgets."""
        found = await super().candles(symbol, timeframe, bar_ms, start_ms, end_ms, price)
        if (symbol, timeframe, price) != ("ETHUSDT", "15m", "last"):
            return found
        lost = self.forgets.pop(0) if self.forgets else set[int]()
        return [one for one in found if (one.open_time_ms - START_MS) // BAR_MS not in lost]


@pytest.mark.parametrize(
    ("forgets", "holes"),
    [
        ([], set()),
        ([{BARS - 1}], set()),
        ([{3, 7}, {7, 11}], {7}),
        ([set(range(BARS)), {0}], {0}),
    ],
)
def test_a_bar_is_a_hole_once_two_answers_lack_it(
    tmp_path: Path, forgets: list[set[int]], holes: set[int]
) -> None:
    """What one of two answers has is observed, in order of time."""
    settings = desk_settings(tmp_path, "http://127.0.0.1:1")
    venue = ForgetfulVenue(forgets=forgets)
    journal = Journal(settings.journal)
    series = SeriesBook("ETHUSDT", settings, venue)
    history = History(settings, venue, journal)
    asyncio.run(history.read("ETHUSDT", series, START_MS, START_MS + BARS * BAR_MS))
    observed = [(at - START_MS) // BAR_MS for at, _ in journal.observations("ETHUSDT", 0, BARS + 1)]
    assert observed == [bar for bar in range(BARS) if bar not in holes]
    runs = journal.holes("ETHUSDT", 0, START_MS + BARS * BAR_MS, BAR_MS)
    assert {(at - START_MS) // BAR_MS for at, _ in runs} == holes
    journal.close()
