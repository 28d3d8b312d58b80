"""What leads to the rows may fail too: clocks, lists of markets, the venue, the right time."""

from pathlib import Path

import pytest

from kernel.errors import TidegateError
from market_data.storage.lake import Lake
from tests.e2e.feeds import (
    FEEDS,
    Feed,
    Sound,
    World,
    aside,
    by_name,
    digest,
    same,
    stored,
)

ROADS = {
    "/fapi/v1/time": by_name("binance-candles"),
    "/fapi/v1/exchangeInfo": by_name("binance-funding"),
    "/coinbase/v2/time": by_name("coinbase-reference_candles"),
    "/market/products": by_name("coinbase-reference_candles"),
    "info/exchangeStatus": by_name("hyperliquid-funding"),
    "info/meta": by_name("hyperliquid-reference_candles"),
}
HOUR_MS = 3_600_000
CLOCKS = [
    by_name(name)
    for name in (
        "binance-candles",
        "binance-funding",
        "coinbase-reference_candles",
        "hyperliquid-reference_candles",
        "coinmetrics-onchain",
    )
]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(root=str(tmp_path / "lake"))


@pytest.mark.parametrize("path", sorted(ROADS))
@pytest.mark.parametrize("kind", ["drop", "http418", "truncate"])
def test_a_road_that_fails_once_costs_nothing(
    venue: World, sound: dict[Feed, Sound], lake: Lake, path: str, kind: str
) -> None:
    """One bad answer about the clock or the markets is asked for again, and all is there."""
    feed = ROADS[path]
    before = venue.injected()
    venue.arm(kind, match=path, count=1, retry_after_s=0)
    outcome = venue.run(feed, lake)
    venue.clear()
    assert venue.injected() == before + 1
    assert not isinstance(outcome, TidegateError), outcome
    assert digest(lake, feed) == sound[feed].digest


@pytest.mark.parametrize("path", sorted(ROADS))
@pytest.mark.parametrize("kind", ["http5xx", "truncate", "skip_rows"])
def test_a_road_that_stays_bad_fails_visibly(
    venue: World, sound: dict[Feed, Sound], lake: Lake, path: str, kind: str
) -> None:
    """No clock and no markets is a failure with words, or harmless; never a lake with less."""
    feed = ROADS[path]
    venue.arm(kind, match=path, rate=1.0, rows=1_000)
    outcome = venue.run(feed, lake)
    venue.clear()
    if isinstance(outcome, TidegateError):
        assert "expected" in (str(outcome) or "")
    else:
        assert same(stored(lake, feed), sound[feed].rows)
    assert not isinstance(venue.run(feed, lake), TidegateError)
    assert digest(lake, feed) == sound[feed].digest


@pytest.mark.parametrize(
    "feed",
    [
        pytest.param(one, marks=[] if at % 3 == 0 else pytest.mark.slow)
        for at, one in enumerate(FEEDS)
    ],
    ids=str,
)
def test_a_venue_that_stops_is_a_failure_and_the_rest_comes_later(
    venue: World, sound: dict[Feed, Sound], lake: Lake, feed: Feed
) -> None:
    """A venue that answers nothing fails the run with what to do; the next run goes on."""
    venue.arm("drop", rate=1.0)
    outcome = venue.run(feed, lake)
    venue.clear()
    assert isinstance(outcome, TidegateError)
    assert "launch the run again" in (str(outcome) or "")
    assert not isinstance(venue.run(feed, lake), TidegateError)
    assert digest(lake, feed) == sound[feed].digest


@pytest.mark.parametrize("skew_ms", [-49 * HOUR_MS, -1_500, HOUR_MS, 49 * HOUR_MS])
@pytest.mark.parametrize(
    "feed", [CLOCKS[0], *(pytest.param(one, marks=pytest.mark.slow) for one in CLOCKS[1:])], ids=str
)
def test_a_wrong_clock_never_makes_an_unfinished_row_final(
    venue: World, sound: dict[Feed, Sound], lake: Lake, feed: Feed, skew_ms: int
) -> None:
    """A clock that is ahead shows no row that is not over, one behind only delays the latest."""
    expected = sound[feed].rows
    venue.arm("skew", skew_ms=skew_ms)
    assert not isinstance(venue.run(feed, lake), TidegateError)
    venue.clear()
    early = stored(lake, feed)
    assert same(early, expected.head(len(early)))
    assert skew_ms < 0 or len(early) == len(expected)
    assert not isinstance(venue.run(feed, lake), TidegateError)
    assert same(stored(lake, feed), expected)
    assert not len(aside(lake, feed))
