"""The generated market is a pure function with a planted edge of known size."""

import hashlib
import time
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kernel.bars import TIMEFRAME_MS, Bars
from kernel.onchain_metrics import METRICS
from replay_venue.market.climate import Climate
from replay_venue.market.generated import GeneratedSource
from replay_venue.market.generator import EndlessHistory, GeneratedMarket, generate
from replay_venue.market.instruments import instrument
from replay_venue.market.recent import Recent
from replay_venue.market.shocks import LEAD
from replay_venue.market.weather import BLOCK_MS, GENESIS_MS
from tests.replay_venue.served import BAR_MS, at
from tests.yardstick import yardstick_s

START = GENESIS_MS
DAY_MS = 86_400_000
BITCOIN_DIGEST = "fe7dd4d4e6c0cd2fc62b86d154f41151cacf124883806bd5e38a3d87f7fe5305"
NEW_METRICS = {"AdrActCnt", "TxCnt", "HashRate", "FeeTotNtv"}
LONG = START + 3 * BLOCK_MS


def columns(market: GeneratedMarket) -> dict[str, NDArray]:
    """Return every array of a market by its dotted name."""
    found = {
        f"{part.name}.{column.name}": getattr(getattr(market, part.name), column.name)
        for part in fields(market)
        for column in fields(getattr(market, part.name))
    }
    metrics = found.pop("onchain.value")
    return found | {f"onchain.{name}": values for name, values in metrics.items()}


def same_bytes(left: Bars, right: Bars) -> bool:
    return all(
        getattr(left, name).tobytes() == getattr(right, name).tobytes() for name in Bars.__slots__
    )


@pytest.fixture(scope="module")
def long() -> GeneratedMarket:
    return generate(
        seed=7, symbol="ETHUSDT", edge=0.12, start_ms=START, end_ms=LONG, timeframe="15m"
    )


@settings(max_examples=25, deadline=None)
@given(
    start_minute=st.integers(0, 3 * BLOCK_MS // 60_000),
    length_minute=st.integers(0, BLOCK_MS // 60_000),
)
def test_generate_window_equals_slice_of_longer_one(start_minute: int, length_minute: int) -> None:
    """Any window holds exactly the bytes that a longer run has stamped in it."""
    start = START + start_minute * 60_000
    end = min(start + length_minute * 60_000, LONG)
    whole = columns(
        generate(seed=7, symbol="ETHUSDT", edge=0.12, start_ms=START, end_ms=LONG, timeframe="15m")
    )
    part = columns(
        generate(seed=7, symbol="ETHUSDT", edge=0.12, start_ms=start, end_ms=end, timeframe="15m")
    )
    for name, values in part.items():
        series = name.partition(".")[0]
        stamps = whole[f"{series}.open_time_ms" if series == "bars" else f"{series}.time_ms"]
        expected = whole[name][(stamps >= start) & (stamps < end)]
        assert values.tobytes() == expected.tobytes(), name


def test_generate_repeats_itself_and_differs_by_seed(long: GeneratedMarket) -> None:
    """The same seed gives the same bytes; another seed another market."""
    again = generate(
        seed=7, symbol="ETHUSDT", edge=0.12, start_ms=START, end_ms=LONG, timeframe="15m"
    )
    other = generate(
        seed=8, symbol="ETHUSDT", edge=0.12, start_ms=START, end_ms=LONG, timeframe="15m"
    )
    assert same_bytes(long.bars, again.bars)
    assert not np.array_equal(long.bars.close, other.bars.close)


@pytest.mark.parametrize("timeframe", ["5m", "15m", "1h", "4h", "1d"])
def test_generate_coarse_candle_is_sum_of_its_minutes(timeframe: str) -> None:
    """A coarse candle has its minutes' first, highest, lowest, last and summed values."""
    end = START + 40 * 86_400_000
    minutes = generate(
        seed=3, symbol="BTCUSDT", edge=0.0, start_ms=START, end_ms=end, timeframe="1m"
    ).bars
    coarse = generate(
        seed=3, symbol="BTCUSDT", edge=0.0, start_ms=START, end_ms=end, timeframe=timeframe
    ).bars
    width = TIMEFRAME_MS[timeframe] // 60_000
    assert np.array_equal(coarse.open_time_ms, minutes.open_time_ms[::width])
    assert np.array_equal(coarse.open, minutes.open[::width])
    assert np.array_equal(coarse.high, minutes.high.reshape(-1, width).max(axis=1))
    assert np.array_equal(coarse.low, minutes.low.reshape(-1, width).min(axis=1))
    assert np.array_equal(coarse.close, minutes.close[width - 1 :: width])
    lots = np.rint(minutes.volume * 1_000).reshape(-1, width).sum(axis=1)
    assert np.array_equal(coarse.volume, lots / 1_000)


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    symbol=st.sampled_from(["BTCUSDT", "ETHUSDT", "SOLUSDT", "1000PEPEUSDT"]),
    edge=st.sampled_from([0.0, 0.13, 0.3]),
)
def test_generate_candles_are_consistent_and_on_the_tick(
    seed: int, symbol: str, edge: float
) -> None:
    """High and low hold open and close; all is positive and on the decimals published."""
    bars = generate(
        seed=seed,
        symbol=symbol,
        edge=edge,
        start_ms=START,
        end_ms=START + BLOCK_MS,
        timeframe="15m",
    ).bars
    what = instrument(symbol)
    assert np.all(bars.low <= np.minimum(bars.open, bars.close))
    assert np.all(bars.high >= np.maximum(bars.open, bars.close))
    assert np.all(bars.low > 0)
    assert np.all(bars.volume > 0)
    assert np.array_equal(bars.open[1:], bars.close[:-1])
    for price in np.concatenate([bars.open, bars.high, bars.low, bars.close]).tolist():
        assert float(f"{price:.{what.tick_decimals}f}") == price
    for volume in bars.volume.tolist():
        assert float(f"{volume:.{what.lot_decimals}f}") == volume


def test_generate_without_edge_keeps_the_noise() -> None:
    """Open interest, sentiment and volume do not depend on the edge; prices do."""
    flat = generate(
        seed=5, symbol="BTCUSDT", edge=0.0, start_ms=START, end_ms=LONG, timeframe="15m"
    )
    drifting = generate(
        seed=5, symbol="BTCUSDT", edge=0.13, start_ms=START, end_ms=LONG, timeframe="15m"
    )
    assert np.array_equal(flat.open_interest.value, drifting.open_interest.value)
    assert np.array_equal(flat.fear_greed.value, drifting.fear_greed.value)
    noise = np.diff(np.log(flat.bars.close))
    assert not np.array_equal(flat.bars.close, drifting.bars.close)
    assert np.corrcoef(noise, np.diff(np.log(drifting.bars.close)))[0, 1] > 0.98


def information_coefficient(market: GeneratedMarket, horizon_bars: int) -> float:
    """Return the correlation of oi_change over 4 h with the return of the bars that follow."""
    held = np.log(market.open_interest.value)
    change = held[16:] - held[:-16]
    opened = np.log(market.bars.open[16:])
    closed = np.log(market.bars.close[16:])
    count = len(change) - horizon_bars + 1
    forward = closed[horizon_bars - 1 :] - opened[:count]
    return float(np.corrcoef(change[:count], forward)[0, 1])


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
def test_generate_plants_the_edge_in_open_interest(symbol: str) -> None:
    """Open interest foretells the next bar by about the edge asked for; at edge 0, nothing."""
    end = at("2026-01-01")
    without = generate(seed=7, symbol=symbol, edge=0.0, start_ms=START, end_ms=end, timeframe="15m")
    planted = generate(
        seed=7, symbol=symbol, edge=0.13, start_ms=START, end_ms=end, timeframe="15m"
    )
    assert abs(information_coefficient(without, 1)) < 0.012
    assert abs(information_coefficient(without, 16)) < 0.05
    assert 0.07 < information_coefficient(planted, 1) < 0.15
    assert information_coefficient(planted, 16) > 0.25


def test_generate_symbols_move_together() -> None:
    """Bitcoin and ether returns correlate as majors do, and share fear & greed."""
    bitcoin = generate(
        seed=7, symbol="BTCUSDT", edge=0.12, start_ms=START, end_ms=LONG, timeframe="15m"
    )
    ether = generate(
        seed=7, symbol="ETHUSDT", edge=0.12, start_ms=START, end_ms=LONG, timeframe="15m"
    )
    returns = [np.diff(np.log(market.bars.close)) for market in (bitcoin, ether)]
    assert 0.6 < np.corrcoef(*returns)[0, 1] < 0.95
    assert np.array_equal(bitcoin.fear_greed.value, ether.fear_greed.value)


def test_generate_funding_follows_the_price() -> None:
    """Funding rises with the trailing return, within the exchange's bounds."""
    market = generate(
        seed=7,
        symbol="BTCUSDT",
        edge=0.12,
        start_ms=START,
        end_ms=at("2025-01-01"),
        timeframe="15m",
    )
    rate = market.funding.value[9:]
    close = np.log(market.bars.close)
    settled = (market.funding.time_ms[9:] - START) // BAR_MS
    trailing = close[settled - 1] - close[settled - 97]
    assert np.corrcoef(rate, trailing)[0, 1] > 0.5
    assert np.all(np.abs(rate) <= 0.003)
    assert set(np.diff(market.funding.time_ms).tolist()) == {28_800_000}


def test_generate_daily_series_stay_in_their_ranges(long: GeneratedMarket) -> None:
    """Fear & greed is whole and 0 to 100; flows and MVRV are positive; both are daily."""
    mood = long.fear_greed.value
    assert np.all((mood >= 0) & (mood <= 100) & (mood == np.rint(mood)))
    chain = dict(long.onchain.value)
    assert tuple(chain) == METRICS
    assert np.all(np.isnan(chain.pop("HashRate"))), "ether is not mined"
    assert all(np.all(values > 0) for values in chain.values())
    assert set(np.diff(long.onchain.time_ms).tolist()) == {86_400_000}


def test_generate_keeps_the_bitcoin_of_earlier_releases() -> None:
    """Worlds that results were published for stay as they were, to the byte.

    The digest was made with release 0.1 (commit 340de24) from the same columns.
    """
    market = generate(
        seed=7,
        symbol="BTCUSDT",
        edge=0.12,
        start_ms=START,
        end_ms=START + 200 * DAY_MS,
        timeframe="1m",
    )
    later = generate(
        seed=7,
        symbol="BTCUSDT",
        edge=0.12,
        start_ms=START + 1_000 * DAY_MS,
        end_ms=START + 1_400 * DAY_MS,
        timeframe="15m",
    )
    digest = hashlib.sha256()
    for one in (market, later):
        for name, values in columns(one).items():
            if name.partition(".")[2] not in NEW_METRICS:
                digest.update(np.ascontiguousarray(values).tobytes())
    assert digest.hexdigest() == BITCOIN_DIGEST


def test_generate_bitcoin_leads_the_others() -> None:
    """Six percent of Bitcoin's move reaches a led symbol a minute later, and nothing comes back."""
    span = (START, START + 365 * DAY_MS)
    climate = Climate(3)
    bitcoin, ether = (
        np.diff(np.log(EndlessHistory(climate, symbol, 0.0).bars(*span, "1m").close))
        for symbol in ("BTCUSDT", "ETHUSDT")
    )
    error = 1.0 / np.sqrt(len(bitcoin))
    found = [lagged(bitcoin, ether, minutes) for minutes in (-2, -1, 0, 1, 2, 3, 4)]
    expected = instrument("ETHUSDT").correlation * np.array([0, 0, *LEAD, 0])
    expected[[3, 4, 5]] *= 0.97  # of the spread of a minute that has its own jumps too
    assert np.allclose(found[:2] + found[3:], np.delete(expected, 2), atol=6 * error)
    assert 0.7 < found[2] < 0.8
    assert abs(lagged(ether, ether, 1)) < 6 * error
    assert abs(lagged(bitcoin, bitcoin, 1)) < 6 * error


def lagged(leader: NDArray, follower: NDArray, minutes: int) -> float:
    """Return the correlation of `leader` with `follower` so many minutes later."""
    if minutes < 0:
        return lagged(follower, leader, -minutes)
    return float(np.corrcoef(leader[: len(leader) - minutes], follower[minutes:])[0, 1])


def test_history_forgets_blocks_but_not_their_bytes() -> None:
    """With room for one block, windows read in any order are those of a market that keeps all."""
    span = (START + BLOCK_MS - 30 * BAR_MS, START + BLOCK_MS + 30 * BAR_MS)
    forgetful = EndlessHistory(Climate(7), "ETHUSDT", 0.12, recent=Recent(1))
    forgetful.bars(START + 4 * BLOCK_MS, START + 4 * BLOCK_MS + BAR_MS, "15m")
    expected = EndlessHistory(Climate(7), "ETHUSDT", 0.12)
    assert same_bytes(forgetful.bars(*span, "15m"), expected.bars(*span, "15m"))
    assert same_bytes(forgetful.mark_bars(*span, "5m"), expected.mark_bars(*span, "5m"))


def test_fifty_symbols_start_at_once_and_each_on_its_first_use() -> None:
    """A wide market costs nothing before it is used, and a fraction of a second a symbol then."""
    began = time.process_time()
    market = GeneratedSource(7, 0.12, tuple(f"COIN{number}USDT" for number in range(50)))
    names = {market.instrument(symbol).base for symbol in market.symbols}
    started = time.process_time() - began
    end = at("2026-01-01")
    first = market.bars("COIN0USDT", "15m", end - BLOCK_MS, end)
    began = time.process_time()
    second = market.bars("COIN1USDT", "15m", end - BLOCK_MS, end)
    spent = time.process_time() - began
    assert len(names) == 50
    assert not np.array_equal(first.close, second.close)
    assert started < 2 * yardstick_s(), f"found {started:.2f} s to start"
    assert spent < 60 * yardstick_s(), f"found {spent:.2f} s for three years of a symbol"


def test_generate_before_genesis_is_empty() -> None:
    """Nothing exists before 2023."""
    market = generate(
        seed=7,
        symbol="BTCUSDT",
        edge=0.12,
        start_ms=at("2022-01-01"),
        end_ms=at("2022-06-01"),
        timeframe="15m",
    )
    assert {len(values) for values in columns(market).values()} == {0}


@pytest.mark.parametrize(
    ("seed", "symbol", "timeframe"),
    [(-1, "BTCUSDT", "15m"), (1, "btcusdt", "15m"), (1, "BTCUSDT", "7m")],
)
def test_generate_refuses_what_it_does_not_know(seed: int, symbol: str, timeframe: str) -> None:
    """A negative seed, a lower-case symbol and an unknown timeframe are named in the error."""
    with pytest.raises(ValueError, match=r"found .* expected"):
        generate(
            seed=seed,
            symbol=symbol,
            edge=0.1,
            start_ms=START,
            end_ms=START + BAR_MS,
            timeframe=timeframe,
        )


def test_generate_three_years_at_once() -> None:
    """Three years of 15m candles, and the minutes under them, take a second of one core or two."""
    began = time.process_time()
    market = generate(
        seed=7,
        symbol="BTCUSDT",
        edge=0.12,
        start_ms=START,
        end_ms=at("2026-01-01"),
        timeframe="15m",
    )
    spent = time.process_time() - began
    assert len(market.bars) == 105_216
    allowed = 40 * yardstick_s()  # which are two seconds here, where it takes one
    assert spent < allowed, f"found {spent:.2f} s of processor time, expected under {allowed:.2f}"
