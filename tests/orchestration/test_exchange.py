"""Unmodified ccxt and httpx against a served venue: whole pages, bad days, and giving up."""

import random
import socket
from itertools import pairwise

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.bars import Bars
from orchestration.resources.backoff import Backoff, SourceUnavailableError
from orchestration.resources.exchange import CANDLE_PAGE, Exchange
from orchestration.resources.onchain import OnChain as OnChainSource
from orchestration.resources.sentiment import Sentiment
from replay_venue.faults import Fault, Kind
from replay_venue.series import OnChain, Points
from tests.orchestration.served_venue import (
    BAR_MS,
    DAY_MS,
    SmallMarket,
    points,
    served,
    walk,
)

START_MS = 1_764_547_200_000  # 2025-12-01T00:00Z
COLUMNS = ("open", "high", "low", "close", "volume")


def exchange(url: str, attempts: int = 5) -> Exchange:
    """Return an exchange that does not wait long."""
    return Exchange(
        url=url, attempts=attempts, first_delay_s=0.001, longest_delay_s=0.01, timeout_s=5
    )


def rows(pages: "object") -> pd.DataFrame:
    """Return all pages as one frame."""
    return pd.concat(list(pages), ignore_index=True)


def same_bars(frame: pd.DataFrame, bars: Bars) -> bool:
    """Say whether the frame holds exactly these bars, bit by bit."""
    return np.array_equal(frame["event_time_ms"], bars.open_time_ms) and all(
        frame[name].to_numpy().tobytes() == getattr(bars, name).tobytes() for name in COLUMNS
    )


def test_candles_come_in_pages_past_the_limit_and_bit_by_bit():
    """A span of several pages arrives complete, in order, each number as the venue holds it."""
    bars = walk(START_MS, 3 * CANDLE_PAGE + 17)
    end_ms = START_MS + len(bars) * BAR_MS
    with served(SmallMarket({"BTCUSDT": bars}), end_ms) as venue:
        pages = list(exchange(venue.url).candle_pages("15m", "BTCUSDT", START_MS, end_ms))
    assert len(pages) == 4
    assert same_bars(rows(pages), bars)


def test_candles_skip_over_a_hole():
    """Missing bars end neither a page nor the reading."""
    bars = walk(START_MS, 1_200)
    left = np.r_[0:100, 1_000:1_200]
    holed = Bars(*(getattr(bars, name)[left] for name in Bars.__slots__))
    end_ms = START_MS + 1_200 * BAR_MS
    with served(SmallMarket({"BTCUSDT": holed}), end_ms) as venue:
        found = rows(exchange(venue.url).candle_pages("15m", "BTCUSDT", START_MS, end_ms))
    assert same_bars(found, holed)


@pytest.mark.parametrize("kind", ["drop", "http429", "http5xx", "truncate"])
def test_candles_survive_a_bad_day(kind: Kind):
    """Dropped connections, throttling, errors and half payloads cost time and not one number."""
    bars = walk(START_MS, 40)
    end_ms = START_MS + 40 * BAR_MS
    with served(SmallMarket({"BTCUSDT": bars}), end_ms) as venue:
        for path in ("exchangeInfo", "klines", "time"):
            venue.faults.arm(Fault(kind, count=1, match=path))
        source = exchange(venue.url)
        assert source.now_ms() == end_ms
        assert same_bars(rows(source.candle_pages("15m", "BTCUSDT", START_MS, end_ms)), bars)
        assert venue.faults.report()["injected"][kind] == 3


@pytest.mark.parametrize(
    ("kind", "found"), [("http5xx", "Internal error"), ("truncate", "no whole JSON")]
)
def test_exchange_that_stays_away_fails_the_run_in_words(kind: Kind, found: str):
    """After the last attempt the failure names what was asked, what came, and what to do."""
    with served(SmallMarket({"BTCUSDT": walk(START_MS, 4)}), START_MS + 4 * BAR_MS) as venue:
        venue.faults.arm(Fault(kind, count=9, match="klines"))
        pages = exchange(venue.url, attempts=3).candle_pages(
            "15m", "BTCUSDT", START_MS, START_MS + BAR_MS
        )
        with pytest.raises(dg.Failure) as failure:
            list(pages)
    text = str(failure.value.description)
    assert text.startswith(f"candles of BTCUSDT from {venue.url}: found no answer in 3 attempts")
    assert found in text
    assert "tidegate doctor" in text
    assert failure.value.metadata["attempts"].value == 3


def test_exchange_that_is_not_there_fails_the_run_in_words():
    """A refused connection is retried and then reported like any other silence."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(dg.Failure) as failure:
        exchange(url, attempts=2).now_ms()
    assert f"the exchange's clock from {url}: found no answer in 2 attempts" in str(
        failure.value.description
    )


def test_symbol_that_is_not_listed_is_refused_at_once():
    """No retry makes a market appear; the failure names those there are."""
    with (
        served(SmallMarket({"BTCUSDT": walk(START_MS, 4)}), START_MS) as venue,
        pytest.raises(dg.Failure) as failure,
    ):
        list(exchange(venue.url).candle_pages("15m", "SOLUSDT", START_MS, START_MS + BAR_MS))
    assert "found no market SOLUSDT" in str(failure.value.description)
    assert "BTCUSDT" in str(failure.value.description)


def test_funding_keeps_the_stamp_it_was_given():
    """Settlement stamps some milliseconds off the hour are data, not noise to round away."""
    stamps = START_MS + np.array([3, 28_800_000, 57_600_011], dtype=np.int64)
    settled = Points(stamps, np.array([0.0001, -0.00025, 0.00012345]))
    market = SmallMarket({"BTCUSDT": walk(START_MS, 4)}, settlements={"BTCUSDT": settled})
    with served(market, START_MS + DAY_MS) as venue:
        found = rows(exchange(venue.url).funding_pages("BTCUSDT", START_MS, START_MS + DAY_MS))
    assert found["event_time_ms"].tolist() == stamps.tolist()
    assert found["funding_rate"].tolist() == settled.value.tolist()


def test_funding_pages_past_the_limit():
    """More settlements than one answer holds arrive once each."""
    settled = points(START_MS, 60_000, [k / 1e6 for k in range(2_300)])
    market = SmallMarket({"BTCUSDT": walk(START_MS, 4)}, settlements={"BTCUSDT": settled})
    end_ms = START_MS + 2_300 * 60_000
    with served(market, end_ms) as venue:
        found = rows(exchange(venue.url).funding_pages("BTCUSDT", START_MS, end_ms))
    assert found["event_time_ms"].tolist() == settled.time_ms.tolist()


def test_open_interest_begins_where_it_begins():
    """A venue that kept nothing at first is read on; one that keeps nothing yields nothing."""
    late_ms = START_MS + 700 * BAR_MS
    interest = points(late_ms, BAR_MS, [80_000.5 + k for k in range(60)])
    candles = {"BTCUSDT": walk(START_MS, 900), "ETHUSDT": walk(START_MS, 900)}
    end_ms = START_MS + 900 * BAR_MS
    with served(SmallMarket(candles, interest={"BTCUSDT": interest}), end_ms) as venue:
        source = exchange(venue.url)
        found = rows(source.open_interest_pages("15m", "BTCUSDT", START_MS, end_ms))
        none = list(source.open_interest_pages("15m", "ETHUSDT", START_MS, end_ms))
    assert found["event_time_ms"].tolist() == interest.time_ms.tolist()
    assert found["open_interest"].tolist() == interest.value.tolist()
    assert none == []


def test_onchain_nets_the_flows_and_leaves_gaps():
    """Net flow is dollars in minus dollars out; what a day lacks is NaN; ETH has no days at all."""
    times = START_MS + DAY_MS * np.arange(3, dtype=np.int64)
    nan = float("nan")
    days = OnChain(
        times, np.array([5e8, 4e8, nan]), np.array([2e8, 6e8, 1e8]), np.array([2.0, nan, 2.5])
    )
    candles = {"BTCUSDT": walk(START_MS, 4), "ETHUSDT": walk(START_MS, 4)}
    with served(SmallMarket(candles, days={"BTC": days}), START_MS + 9 * DAY_MS) as venue:
        source = OnChainSource(url=f"{venue.url}/coinmetrics/v4", first_delay_s=0.001)
        venue.faults.arm(Fault("truncate", count=2, match="asset-metrics"))
        found = rows(source.pages("BTCUSDT", START_MS, START_MS + 9 * DAY_MS))
        none = rows(source.pages("ETHUSDT", START_MS, START_MS + 9 * DAY_MS))
    assert found["event_time_ms"].tolist() == times.tolist()
    assert found["exchange_net_flow"].tolist()[:2] == [3e8, -2e8]
    assert np.isnan(found["exchange_net_flow"][2])
    assert np.isnan(found["mvrv"][1])
    assert len(none) == 0


def test_sentiment_comes_in_order_and_within_the_span():
    """The index, served latest first and as a whole, arrives ascending and cut to the span."""
    mood = points(START_MS, DAY_MS, [10.0, 20.0, 30.0, 40.0])
    market = SmallMarket({"BTCUSDT": walk(START_MS, 4)}, mood=mood)
    with served(market, START_MS + 9 * DAY_MS) as venue:
        source = Sentiment(url=f"{venue.url}/alternative", first_delay_s=0.001)
        venue.faults.arm(Fault("http5xx", count=2, match="fng"))
        span = (START_MS + DAY_MS, START_MS + 3 * DAY_MS)
        found = rows(source.pages("BTCUSDT", *span))
    assert found["fear_greed"].tolist() == [20.0, 30.0]


def test_daily_source_that_refuses_is_not_asked_again():
    """An answer that no retry can change fails at once, with what the source said."""
    with served(SmallMarket({"BTCUSDT": walk(START_MS, 4)}), START_MS) as venue:
        source = OnChainSource(url=f"{venue.url}/coinmetrics/v4", first_delay_s=0.001)
        with pytest.raises(dg.Failure) as failure:
            list(source.pages("DOGEUSDT", START_MS, START_MS + DAY_MS))
    assert "HTTP 400" in str(failure.value.description)
    assert "doge" in str(failure.value.description)


@given(st.integers(2, 12), st.floats(0.01, 2.0), st.floats(2.0, 30.0), st.integers(0, 2**32))
def test_pauses_grow_within_their_bounds_and_end(
    attempts: int, first_s: float, longest_s: float, seed: int
):
    """Each pause is half to all of its step, never above the longest, none at the end."""
    pauses: list[float] = []

    def ask() -> int:
        raise SourceUnavailableError("closed")

    with pytest.raises(dg.Failure):
        Backoff(attempts, first_s, longest_s).call(ask, "it", random.Random(seed), pauses.append)
    steps = [min(longest_s, first_s * 2**k) for k in range(attempts - 1)]
    assert len(pauses) == attempts - 1
    assert all(step / 2 <= pause <= step for pause, step in zip(pauses, steps, strict=True))
    assert all(earlier <= later * 2 for earlier, later in pairwise(pauses))


def test_pause_respects_what_the_source_asks_for():
    """A Retry-After longer than the step is kept, up to the longest pause."""
    pauses: list[float] = []
    answers = iter([3.0, 500.0])

    def ask() -> str:
        wait_s = next(answers, None)
        if wait_s is not None:
            raise SourceUnavailableError("429", retry_after_s=wait_s)
        return "here"

    assert Backoff(5, 0.1, 10.0).call(ask, "it", random.Random(1), pauses.append) == "here"
    assert pauses == [3.0, 10.0]
