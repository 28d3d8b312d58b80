"""docs/venue.md names every endpoint and stream."""

from pathlib import Path

import pytest

from replay_venue.market.intervals import INTERVALS
from replay_venue.serving import rest
from replay_venue.serving.streams.names import parse

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "venue.md").read_text()
STREAMS = ("aggTrade", "trade", "depth", "depth5", "depth20@500ms", "markPrice@1s", "miniTicker")


@pytest.mark.parametrize("path", rest.ANSWERS)
def test_every_endpoint_is_documented(path: str) -> None:
    """A path that is served is a path that the page names."""
    assert f"`{path}`" in PAGE


def test_every_interval_is_documented() -> None:
    """The page lists the intervals in their order."""
    assert " ".join(INTERVALS) in PAGE


@pytest.mark.parametrize("name", STREAMS)
def test_every_stream_is_documented(name: str) -> None:
    """A stream that can be joined is one that the page names."""
    assert parse(f"btcusdt@{name}", ("BTCUSDT",)).symbol == "BTCUSDT"
    assert f"`{name.partition('@')[0]}`" in PAGE
