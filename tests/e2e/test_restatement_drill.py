"""The restatement drill: a venue changes its past, and the old training set stays what it was."""

from pathlib import Path

import pytest

from kernel.errors import TidegateError
from market_data.storage.lake import FOREVER_MS, Lake
from tests.e2e.feeds import START_MS, SYMBOL, World, by_name, stored, world

CANDLES = by_name("binance-candles")
FUNDING = by_name("binance-funding")
BAR_MS = 900_000
WHILE_MS = 60_000


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(root=str(tmp_path / "lake"))


def ingested(venue: World, lake: Lake, *, reread: bool = False) -> int:
    """Bring candles and funding up to date, and return a moment by which all of it was learned.

    The venue stands still meanwhile, but reading it takes a while.
    """
    for feed in (CANDLES, FUNDING):
        report = venue.run(feed, lake, reread=reread)
        assert not isinstance(report, TidegateError), report
    return venue.venue.venue.clock.now_ms() + WHILE_MS


def moved(lake: Lake, table: str, before_ms: int, after_ms: int) -> list[tuple[int, str, float]]:
    """Return event time, column and new value of every cell that a reader sees differently."""
    rows = lake.diff(table, SYMBOL, before_ms, after_ms)
    known = rows[rows["before"].notna()]
    return [
        (int(row.event_time_ms), str(row.column), float(row.after)) for row in known.itertuples()
    ]


@pytest.mark.parametrize("reread", [True, False])
def test_restatement_drill(tmp_path: Path, lake: Lake, reread: bool) -> None:
    """A restated print and candle are new revisions: old digest as it was, the diff names them.

    Within three days of the present a plain run finds them; older ones take a reread.
    """
    with world(tmp_path) as venue:
        before_ms = ingested(venue, lake)
        old = lake.digest(SYMBOL, before_ms)
        prints = stored(lake, FUNDING)["event_time_ms"].tolist()
        print_ms = prints[1] if reread else prints[-1]
        bar_ms = START_MS + 96 * BAR_MS if reread else before_ms // BAR_MS * BAR_MS - 40 * BAR_MS
        venue.venue.control("clock", step_bars=1)
        ordered = {"symbol": SYMBOL, "time_ms": print_ms, "value": 0.0123}
        venue.venue.control("restatements", table="funding", **ordered)
        close = float(stored(lake, CANDLES).set_index("event_time_ms").loc[bar_ms, "close"])
        ordered = {"symbol": SYMBOL, "time_ms": bar_ms, "value": close * 2}
        venue.venue.control("restatements", table="candles", **ordered)
        after_ms = ingested(venue, lake, reread=reread)
        assert lake.digest(SYMBOL, before_ms) == old
        assert lake.digest(SYMBOL, after_ms) != old
        assert moved(lake, "funding", before_ms, after_ms) == [(print_ms, "funding_rate", 0.0123)]
        assert moved(lake, "candles", before_ms, after_ms) == [
            (bar_ms, "high", close * 2),
            (bar_ms, "close", close * 2),
        ]


def test_restatement_withdrawn_is_a_further_revision(tmp_path: Path, lake: Lake) -> None:
    """Taken back, the first value is a third revision; all three moments stay readable."""
    with world(tmp_path) as venue:
        moments = [ingested(venue, lake)]
        print_ms = int(stored(lake, FUNDING)["event_time_ms"].iloc[-1])
        first = float(stored(lake, FUNDING)["funding_rate"].iloc[-1])
        order = {"table": "funding", "symbol": SYMBOL, "time_ms": print_ms, "value": 0.0123}
        for restate in (True, False):
            venue.venue.control("clock", step_bars=1)
            if restate:
                venue.venue.control("restatements", **order)
            else:
                venue.clear()
            moments.append(ingested(venue, lake))
        history = lake.history("funding", SYMBOL, FOREVER_MS, print_ms, print_ms + 1)
        assert history["funding_rate"].tolist() == [first, 0.0123, first]
        assert history["revision"].tolist() == [0, 1, 2]
        seen = [lake.as_of("funding", SYMBOL, at, print_ms, print_ms + 1) for at in moments]
        assert [frame["funding_rate"].tolist() for frame in seen] == [[first], [0.0123], [first]]
