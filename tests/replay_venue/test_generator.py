"""The generated market is a pure function with a planted edge of known size."""

import time
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kernel.bars import TIMEFRAME_MS, Bars
from replay_venue.generator import Market, generate
from replay_venue.instruments import instrument
from replay_venue.weather import BLOCK_MS, GENESIS_MS
from tests.replay_venue.serving import BAR_MS, at

START = GENESIS_MS
LONG = START + 3 * BLOCK_MS


def columns(market: Market) -> dict[str, NDArray]:
    """Return every array of a market by its dotted name."""
    return {
        f"{part.name}.{column.name}": getattr(getattr(market, part.name), column.name)
        for part in fields(market)
        for column in fields(getattr(market, part.name))
    }


def same_bytes(left: Bars, right: Bars) -> bool:
    return all(
        getattr(left, name).tobytes() == getattr(right, name).tobytes() for name in Bars.__slots__
    )


@pytest.fixture(scope="module")
def long() -> Market:
    return generate(7, "ETHUSDT", 0.12, START, LONG, "15m")


@settings(max_examples=25, deadline=None)
@given(
    start_minute=st.integers(0, 3 * BLOCK_MS // 60_000),
    length_minute=st.integers(0, BLOCK_MS // 60_000),
)
def test_generate_window_equals_slice_of_longer_one(start_minute: int, length_minute: int) -> None:
    """Any window holds exactly the bytes that a longer run has stamped in it."""
    start = START + start_minute * 60_000
    end = min(start + length_minute * 60_000, LONG)
    whole = columns(generate(7, "ETHUSDT", 0.12, START, LONG, "15m"))
    part = columns(generate(7, "ETHUSDT", 0.12, start, end, "15m"))
    for name, values in part.items():
        series = name.partition(".")[0]
        stamps = whole[f"{series}.open_time_ms" if series == "bars" else f"{series}.time_ms"]
        expected = whole[name][(stamps >= start) & (stamps < end)]
        assert values.tobytes() == expected.tobytes(), name


def test_generate_repeats_itself_and_differs_by_seed(long: Market) -> None:
    """The same seed gives the same bytes; another seed another market."""
    again = generate(7, "ETHUSDT", 0.12, START, LONG, "15m")
    other = generate(8, "ETHUSDT", 0.12, START, LONG, "15m")
    assert same_bytes(long.bars, again.bars)
    assert not np.array_equal(long.bars.close, other.bars.close)


@pytest.mark.parametrize("timeframe", ["5m", "15m", "1h", "4h", "1d"])
def test_generate_coarse_candle_is_sum_of_its_minutes(timeframe: str) -> None:
    """A coarse candle has its minutes' first, highest, lowest, last and summed values."""
    end = START + 40 * 86_400_000
    minutes = generate(3, "BTCUSDT", 0.0, START, end, "1m").bars
    coarse = generate(3, "BTCUSDT", 0.0, START, end, timeframe).bars
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
    bars = generate(seed, symbol, edge, START, START + BLOCK_MS, "15m").bars
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
    flat = generate(5, "BTCUSDT", 0.0, START, LONG, "15m")
    drifting = generate(5, "BTCUSDT", 0.13, START, LONG, "15m")
    assert np.array_equal(flat.open_interest.value, drifting.open_interest.value)
    assert np.array_equal(flat.fear_greed.value, drifting.fear_greed.value)
    noise = np.diff(np.log(flat.bars.close))
    assert not np.array_equal(flat.bars.close, drifting.bars.close)
    assert np.corrcoef(noise, np.diff(np.log(drifting.bars.close)))[0, 1] > 0.98


def information_coefficient(market: Market, horizon_bars: int) -> float:
    """Return the correlation of oi_change over 4 h with the return of the bars that follow."""
    held = np.log(market.open_interest.value)
    change = held[16:] - held[:-16]
    opened, closed = np.log(market.bars.open[16:]), np.log(market.bars.close[16:])
    count = len(change) - horizon_bars + 1
    forward = closed[horizon_bars - 1 :] - opened[:count]
    return float(np.corrcoef(change[:count], forward)[0, 1])


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
def test_generate_plants_the_edge_in_open_interest(symbol: str) -> None:
    """Open interest foretells the next bar by about the edge asked for; at edge 0, nothing."""
    end = at("2026-01-01")
    without = generate(7, symbol, 0.0, START, end, "15m")
    planted = generate(7, symbol, 0.13, START, end, "15m")
    assert abs(information_coefficient(without, 1)) < 0.012
    assert abs(information_coefficient(without, 16)) < 0.05
    assert 0.07 < information_coefficient(planted, 1) < 0.15
    assert information_coefficient(planted, 16) > 0.25


def test_generate_has_the_stylised_facts() -> None:
    """Returns have fat tails and clustered volatility, no linear memory, and a busy afternoon."""
    bars = generate(11, "BTCUSDT", 0.0, START, at("2026-01-01"), "15m").bars
    returns = np.diff(np.log(bars.close))
    size = np.abs(returns)
    assert 0.003 < returns.std() < 0.0042
    assert ((returns - returns.mean()) ** 4).mean() / returns.var() ** 2 > 6
    assert abs(np.corrcoef(returns[1:], returns[:-1])[0, 1]) < 0.02
    assert np.corrcoef(size[96:], size[:-96])[0, 1] > 0.1
    hour = bars.open_time_ms[1:] // 3_600_000 % 24
    assert size[hour == 15].mean() > 1.4 * size[hour == 4].mean()
    assert bars.volume[1:][hour == 15].mean() > 1.5 * bars.volume[1:][hour == 4].mean()


def test_generate_symbols_move_together() -> None:
    """Bitcoin and ether returns correlate as majors do, and share fear & greed."""
    bitcoin = generate(7, "BTCUSDT", 0.12, START, LONG, "15m")
    ether = generate(7, "ETHUSDT", 0.12, START, LONG, "15m")
    returns = [np.diff(np.log(market.bars.close)) for market in (bitcoin, ether)]
    assert 0.6 < np.corrcoef(*returns)[0, 1] < 0.95
    assert np.array_equal(bitcoin.fear_greed.value, ether.fear_greed.value)


def test_generate_funding_follows_the_price() -> None:
    """Funding rises with the trailing return, within the exchange's bounds."""
    market = generate(7, "BTCUSDT", 0.12, START, at("2025-01-01"), "15m")
    rate = market.funding.value[9:]
    close = np.log(market.bars.close)
    settled = (market.funding.time_ms[9:] - START) // BAR_MS
    trailing = close[settled - 1] - close[settled - 97]
    assert np.corrcoef(rate, trailing)[0, 1] > 0.5
    assert np.all(np.abs(rate) <= 0.003)
    assert set(np.diff(market.funding.time_ms).tolist()) == {28_800_000}


def test_generate_daily_series_stay_in_their_ranges(long: Market) -> None:
    """Fear & greed is whole and 0 to 100; flows and MVRV are positive; both are daily."""
    mood = long.fear_greed.value
    assert np.all((mood >= 0) & (mood <= 100) & (mood == np.rint(mood)))
    assert np.all(long.onchain.flow_in_usd > 0)
    assert np.all(long.onchain.flow_out_usd > 0)
    assert np.all(long.onchain.mvrv > 0)
    assert set(np.diff(long.onchain.time_ms).tolist()) == {86_400_000}


def test_generate_before_genesis_is_empty() -> None:
    """Nothing exists before 2023."""
    market = generate(7, "BTCUSDT", 0.12, at("2022-01-01"), at("2022-06-01"), "15m")
    assert {len(values) for values in columns(market).values()} == {0}


@pytest.mark.parametrize(
    ("seed", "symbol", "timeframe"),
    [(-1, "BTCUSDT", "15m"), (1, "btcusdt", "15m"), (1, "BTCUSDT", "7m")],
)
def test_generate_refuses_what_it_does_not_know(seed: int, symbol: str, timeframe: str) -> None:
    """A negative seed, a lower-case symbol and an unknown timeframe are named in the error."""
    with pytest.raises(ValueError, match=r"found .* expected"):
        generate(seed, symbol, 0.1, START, START + BAR_MS, timeframe)


def test_generate_three_years_within_a_second() -> None:
    """Three years of 15m candles, and the minutes under them, take under a second of one core."""
    began = time.process_time()
    market = generate(7, "BTCUSDT", 0.12, START, at("2026-01-01"), "15m")
    spent = time.process_time() - began
    assert len(market.bars) == 105_216
    assert spent < 1.0, f"found {spent:.2f} s of processor time, expected under 1 s"
