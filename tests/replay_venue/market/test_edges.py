"""Planted edges have the size that was asked for, by signals that anyone can compute."""

from collections.abc import Callable, Iterable

import numpy as np
import pytest
from numpy.typing import NDArray

from kernel.bars import Bars
from replay_venue.market.climate import Climate
from replay_venue.market.edges import FAMILIES, Edges, edges
from replay_venue.market.generator import EndlessHistory
from replay_venue.market.micro import Micro
from replay_venue.market.series import Points
from replay_venue.market.weather import BLOCK_MS, GENESIS_MS
from replay_venue.settings import parse

HOUR_MS = 3_600_000
END = GENESIS_MS + 12 * BLOCK_MS
BOOK_END = GENESIS_MS + BLOCK_MS
SEEDS = (11, 12, 13, 14)
IC = 0.06
FOLDED = [family for family in FAMILIES if family != "book"]  # the book only tells
Floats = NDArray[np.float64]


def history(seed: int, planted: Edges, symbol: str = "BTCUSDT") -> EndlessHistory:
    return EndlessHistory(Climate(seed), symbol, 0.0, planted)


def known(points: Points, lag_ms: int, bars: Bars) -> Floats:
    """Return the last value published at each bar's open, NaN before the first."""
    rows = np.searchsorted(points.time_ms + lag_ms, bars.open_time_ms, side="right") - 1
    return np.where(rows >= 0, points.value[rows], np.nan)


def of_open_interest(market: EndlessHistory, bars: Bars) -> Floats:
    held = np.log(market.open_interest(GENESIS_MS, END).value)
    return np.concatenate([np.full(17, np.nan), held[16:-1] - held[:-17]])


def of_funding(market: EndlessHistory, bars: Bars) -> Floats:
    return -np.sign(known(market.funding(GENESIS_MS, END), 60_000, bars) - 0.0001)


def of_momentum(market: EndlessHistory, bars: Bars) -> Floats:
    returns = np.log(bars.close / bars.open)
    sums, squares = (np.cumsum(np.append(0.0, one)) for one in (returns, returns**2))
    trend = (sums[16:-1] - sums[:-17]) / np.sqrt(squares[16:-1] - squares[:-17])
    return np.concatenate([np.full(16, np.nan), trend])


def of_onchain(market: EndlessHistory, bars: Bars) -> Floats:
    days = market.onchain(GENESIS_MS, END)
    net = Points(days.time_ms, days.value["FlowInExUSD"] - days.value["FlowOutExUSD"])
    return -np.sign(known(net, 26 * HOUR_MS, bars))


def of_sentiment(market: EndlessHistory, bars: Bars) -> Floats:
    return -np.sign(known(market.fear_greed(GENESIS_MS, END), HOUR_MS, bars) - 50.0)


def of_book(market: EndlessHistory, bars: Bars) -> Floats:
    micro = Micro(market)
    books = [micro.book(open_ms, 10) for open_ms in bars.open_time_ms.tolist()]
    sums = np.array([(one.bid_quantity.sum(), one.ask_quantity.sum()) for one in books if one])
    return (sums[:, 0] - sums[:, 1]) / sums.sum(axis=1)


SIGNALS: dict[str, Callable[[EndlessHistory, Bars], Floats]] = {
    "open_interest": of_open_interest,
    "funding": of_funding,
    "momentum": of_momentum,
    "onchain": of_onchain,
    "sentiment": of_sentiment,
    "book": of_book,
}


def information_coefficients(families: Iterable[str], ic: float, symbol: str) -> dict[str, Floats]:
    """Return by family, by seed, the correlation of the family's signal with the return of the bar
    that opens, in units of the volatility it was drawn with.

    All families look at one market of each seed; it has all their edges, of size `ic`.
    """
    found: dict[str, list[float]] = {family: [] for family in families}
    for seed in SEEDS:
        market = history(seed, edges(dict.fromkeys(found, ic) if ic else {}), symbol)
        for family, by_seed in found.items():
            if seed in seeds_of(family):
                by_seed.append(_information_coefficient(market, family))
    return {family: np.array(by_seed) for family, by_seed in found.items()}


def _information_coefficient(market: EndlessHistory, family: str) -> float:
    end = BOOK_END if family == "book" else END
    bars = market.bars(GENESIS_MS, end, "15m")
    moved = np.log(bars.close / bars.open) / market.volatility(GENESIS_MS, end).value
    signal = SIGNALS[family](market, bars)
    there = np.isfinite(signal)
    return float(np.corrcoef(signal[there], moved[there])[0, 1])


def seeds_of(family: str) -> tuple[int, ...]:
    return SEEDS[:2] if family == "book" else SEEDS  # a book takes a millisecond


def standard_error(family: str) -> float:
    """Return that of the mean over seeds of a correlation of independent bars."""
    end = BOOK_END if family == "book" else END
    return float(1.0 / np.sqrt(len(seeds_of(family)) * (end - GENESIS_MS) / 900_000))


@pytest.mark.parametrize("family", [*FOLDED, pytest.param("book", marks=pytest.mark.slow)])
def test_edge_has_the_size_asked_for(family: str) -> None:
    """Over several seeds the mean information coefficient is the stated one, within its error.

    Signals that last days have few independent values: their own spread counts beside that of
    the bars, and three percent of the size for what the drift does to the signal.
    """
    size = 0.15 if family == "book" else IC  # fewer bars, so larger
    found = information_coefficients([family], size, "BTCUSDT")[family]
    spread = found.std(ddof=1) / np.sqrt(len(found))
    allowed = 3.0 * max(standard_error(family), spread) + 0.03 * size
    print(f"{family}: {found.mean():.4f} of {size}, by seed {np.round(found, 4).tolist()}")
    assert abs(found.mean() - size) < allowed
    assert allowed < 0.5 * size


@pytest.mark.parametrize(
    ("symbol", "families"),
    [
        ("BTCUSDT", FOLDED),
        ("ETHUSDT", FOLDED),
        pytest.param("BTCUSDT", ["book"], marks=pytest.mark.slow),
        pytest.param("ETHUSDT", ["book"], marks=pytest.mark.slow),
    ],
)
def test_nothing_foretells_a_market_without_edge(symbol: str, families: list[str]) -> None:
    """Without an edge every information coefficient is 0 within its standard error."""
    for family, found in information_coefficients(families, 0.0, symbol).items():
        spread = found.std(ddof=1) / np.sqrt(len(found))
        print(f"{symbol} {family}: {found.mean():+.4f}, error {standard_error(family):.4f}")
        assert abs(found.mean()) < 3.0 * max(standard_error(family), spread), family


def test_book_edge_leaves_prices_as_they_were() -> None:
    """The book is told what comes; the market itself is the same."""
    told = history(5, Edges(book=0.2))
    plain = history(5, Edges())
    window = (GENESIS_MS, GENESIS_MS + BLOCK_MS, "15m")
    assert told.bars(*window).close.tobytes() == plain.bars(*window).close.tobytes()


@pytest.mark.parametrize("family", ["funding", "momentum", "onchain", "sentiment"])
def test_folded_edges_of_a_window_are_those_of_the_whole(family: str) -> None:
    """A market whose drift looks back is still a pure function of time, across blocks too."""
    planted = edges({family: IC})
    whole = history(9, planted).bars(GENESIS_MS, GENESIS_MS + 3 * BLOCK_MS, "15m")
    start = GENESIS_MS + 2 * BLOCK_MS - 50 * 900_000
    part = history(9, planted).bars(start, start + 100 * 900_000, "15m")
    first = int(np.searchsorted(whole.open_time_ms, start))
    assert part.close.tobytes() == whole.close[first : first + 100].tobytes()


def test_edges_are_read_from_the_command_line() -> None:
    """Families are given with their size; the others have none."""
    settings = parse(["--edges", "momentum=0.05,book=0.1"])
    assert settings.edges == Edges(momentum=0.05, book=0.1)
    assert parse([]).edges == Edges()


@pytest.mark.parametrize(
    ("text", "message"),
    [("weather=0.1", "found families"), ("momentum=0.6", "at most 0.5"), ("funding", "as in")],
)
def test_edges_refuse_what_cannot_be_planted(
    text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown family, too large a size and a missing one are named."""
    with pytest.raises(SystemExit):
        parse(["--edges", text])
    assert message in capsys.readouterr().err


def test_venue_is_for_recorded_markets(capsys: pytest.CaptureFixture[str]) -> None:
    """A venue's name means nothing to a generated market."""
    with pytest.raises(SystemExit):
        parse(["--venue", "binance-perp"])
    assert "--venue needs --market recorded" in capsys.readouterr().err
