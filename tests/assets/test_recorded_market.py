"""Recorded years, and a generated crash like theirs, through every market check.

The recorded files are ../shared/data (see its README: public copies of exchange data), read in
place. What moved on 2025-10-10 is real: a check that calls it a fault would lose it.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kernel.bars import Bars
from market_data.quality.agreement import MOST_APART
from market_data.storage.lake import FOREVER_MS
from orchestration.partitions import month_key
from tests.assets.market_stage import (
    BAR_MS,
    BARS,
    DECEMBER_MS,
    FIRST_MS,
    REFERENCE,
    VENUE,
    Stage,
    check_of,
    failed,
    metadata_of,
    put_bars,
    staged,
)
from tests.assets.shown import shown
from tests.market_data.served_venue import walk

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_recorded = pytest.mark.skipif(
    not RECORDED.is_dir(), reason="the recorded files of ../shared/data are not here"
)
CRASH_MS = 1_760_130_900_000  # 2025-10-10 21:15 UTC
NEW_YEAR_MS = 1_767_225_600_000
CANDLES = ("open", "high", "low", "close", "volume")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Return a market that is at the end of the recordings."""
    with staged(tmp_path, NEW_YEAR_MS) as stage:
        stage.roads = {"recorded": {"adapter": "files", "path": str(RECORDED), "tables": FILES}}
        yield stage


FILES: dict[str, Any] = {
    "funding": {"files": "funding_{symbol}_8h_binance.parquet"},
    "fear_greed": {"files": "fear_greed.parquet"},
    "onchain": {
        "files": "onchain_{asset}_daily.parquet",
        "columns": {
            "exchange_net_flow": "FlowInExUSD - FlowOutExUSD",
            "mvrv": "CapMVRVCur",
            "active_addresses": "AdrActCnt",
            "transactions": "TxCnt",
            "hash_rate": "HashRate",
            "fees": "FeeTotNtv",
        },
    },
}
for _table in FILES.values():
    _table["columns"] = {"event_time_ms": "timestamp", **_table.get("columns", {})}


def recorded(name: str) -> pd.DataFrame:
    """Return recorded candles with our names; stamps are milliseconds UTC."""
    frame = pd.read_parquet(RECORDED / f"ohlcv_{name}.parquet")
    times = frame["timestamp"].dt.as_unit("ms").astype("int64")
    return frame[list(CANDLES)].assign(event_time_ms=times)


def in_quarters(five_minutes: pd.DataFrame) -> pd.DataFrame:
    """Return complete fifteen-minute candles of five-minute ones."""
    quarter = five_minutes["event_time_ms"] // BAR_MS * BAR_MS
    groups = five_minutes.groupby(quarter)
    merged = groups.agg(
        open=("open", "first"), high=("high", "max"), low=("low", "min"), close=("close", "last"),
        volume=("volume", "sum"), count=("close", "size"),
    )  # fmt: skip
    return merged[merged["count"] == 3].drop(columns="count").reset_index()


@pytest.mark.slow  # the generated crash below is judged alike
@needs_recorded
def test_three_recorded_years_pass_and_the_crash_is_in_them(stage: Stage):
    """BTC of 2023 to 2025 in 15m from one venue, held against another one through the crash, with
    daily metrics and two years of sentiment: not a row is lost, and the only red is what no file
    tells, the chain of ETH.
    """
    held = recorded("BTCUSDT_15m_okx-swap")
    stage.market.rows[VENUE, "candles", "BTCUSDT"] = held
    second = in_quarters(recorded("BTCUSDT_5m_binance-perp"))
    stage.market.rows[REFERENCE, "reference_candles", "BTCUSDT"] = second
    other = walk(NEW_YEAR_MS - BAR_MS * BARS, BARS)
    put_bars(stage.market, "ETHUSDT", other)
    put_bars(stage.market, "ETHUSDT", other, "reference_candles", REFERENCE)
    stage.origins = dict.fromkeys(("fear_greed", "onchain"), "recorded")
    names = ("candles", "reference_candles", "fear_greed", "onchain")
    result = stage.run(*names, months=("2023-01-01", "2025-12-01"))
    assert failed(result) == {"onchain_has_no_gaps"}
    gaps = shown(check_of(result, "onchain_has_no_gaps").metadata["first"])
    assert "ETHUSDT" in gaps
    assert "BTCUSDT" not in gaps
    stored = stage.lake.as_of("candles", "BTCUSDT", FOREVER_MS)
    assert len(stored) == len(held) == 105_216
    crash = stored[stored["event_time_ms"] == CRASH_MS].iloc[0]
    assert crash["low"] / crash["high"] < 0.92
    agreement = check_of(result, "prices_agree_with_the_reference")
    assert shown(agreement.metadata["bars"]) == 35_136 + BARS
    assert "2025-10-10 21:15" in shown(agreement.metadata["apart"])


@pytest.mark.slow  # ... and once more
@needs_recorded
def test_the_crash_passes_in_five_minutes(stage: Stage):
    """The same hours from the other venue, bar by bar, with five flat bars of that year."""
    stage.timeframe = "5m"
    for symbol in ("BTCUSDT", "ETHUSDT"):
        stage.market.rows[VENUE, "candles", symbol] = recorded(f"{symbol}_5m_binance-perp")
    result = stage.run("candles", months=("2025-10-01", "2025-12-01"))
    assert failed(result) == set()
    assert metadata_of(result, "candles")["dagster/row_count"] == 2 * 92 * 288


@pytest.mark.slow  # its generated twins are below
@needs_recorded
def test_a_recorded_hole_is_named_and_spot_agrees_with_its_perpetual(stage: Stage):
    """ETH's spot candles lack four months of 2024: the check says which, and nothing fills them.
    The year after it, crash included, agrees with the perpetual.
    """
    stage.market.rows[VENUE, "candles", "ETHUSDT"] = recorded("ETHUSDT_15m_binance-spot")
    perpetual = in_quarters(recorded("ETHUSDT_5m_binance-perp"))
    stage.market.rows[REFERENCE, "reference_candles", "ETHUSDT"] = perpetual
    other = walk(NEW_YEAR_MS - BAR_MS * BARS, BARS)
    put_bars(stage.market, "BTCUSDT", other)
    put_bars(stage.market, "BTCUSDT", other, "reference_candles", REFERENCE)
    result = stage.run("candles", months=("2024-01-01", "2025-12-01"))
    assert failed(result) == {"candles_have_no_gaps"}
    gaps = shown(check_of(result, "candles_have_no_gaps").metadata["first"])
    assert "| ETHUSDT | 2024-09-06 " in gaps
    assert "… 2024-12-31 " in gaps
    result = stage.run("reference_candles", months=("2025-01-01", "2025-12-01"))
    assert failed(result) == set()
    assert "+0.76%" in shown(check_of(result, "prices_agree_with_the_reference").metadata["apart"])


@needs_recorded
def test_four_recorded_years_of_settlements_pass(stage: Stage):
    """Stamps jitter by milliseconds and rates by two magnitudes: neither is a fault."""
    stage.origins = {"funding": "recorded"}
    result = stage.run("funding", months=("2023-01-01", "2025-12-01"))
    assert failed(result) == set()
    assert metadata_of(result, "funding")["dagster/row_count"] > 4_000


def crashing(seed: int, closes_apart: float = 0.0) -> Bars:
    """Return a walk in which one bar falls by 11 % and recovers half, as on 2025-10-10 21:15.

    `closes_apart` moves that bar's close within its range, as another venue's would be.
    """
    bars = walk(FIRST_MS, BARS, seed)
    fall = np.ones(BARS)
    fall[150:] = 0.94
    columns = {name: getattr(bars, name) * fall for name in ("open", "high", "low", "close")}
    columns["open"][150] = bars.open[150]
    columns["high"][150] = bars.open[150] * 1.001
    columns["low"][150] = bars.open[150] * 0.89
    columns["close"][150] *= 1.0 + closes_apart
    columns["open"][151] = columns["close"][150]
    columns["high"][151] = max(columns["high"][151], columns["open"][151])
    columns["low"][151] = min(columns["low"][151], columns["open"][151])
    volume = bars.volume.copy()
    volume[150] *= 60.0
    return replace(bars, volume=volume, **columns)


def test_a_generated_crash_passes_and_agrees_with_the_second_venue(tmp_path: Path):
    """Closes may part by more than half a percent while both venues race through one range."""
    with staged(tmp_path) as stage:
        first = crashing(5)
        second = crashing(5, closes_apart=0.0076)
        put_bars(stage.market, "BTCUSDT", first)
        put_bars(stage.market, "BTCUSDT", second, "reference_candles", REFERENCE)
        other = walk(FIRST_MS, BARS)
        put_bars(stage.market, "ETHUSDT", other)
        put_bars(stage.market, "ETHUSDT", other, "reference_candles", REFERENCE)
        result = stage.run("candles", "reference_candles")
        assert failed(result) == set()
        agreement = check_of(result, "prices_agree_with_the_reference")
        assert "| +0.76% | 0.00% |" in shown(agreement.metadata["apart"])
        assert second.close[150] / first.close[150] - 1 > MOST_APART
        stored = stage.lake.bars("BTCUSDT", FOREVER_MS)
        assert stored.low.tobytes() == first.low.tobytes()


def test_a_generated_hole_of_months_is_named(tmp_path: Path):
    """The twin of ETH's four months: the span is told to the bar."""
    first_ms = DECEMBER_MS - 61 * 86_400_000  # the first day of October
    with staged(tmp_path) as stage:
        bars = walk(first_ms, 65 * 96)
        stage.market.now_ms = first_ms + 65 * 86_400_000
        keep = np.r_[0 : 5 * 96 + 3, 62 * 96 : 65 * 96]
        held = Bars(*(getattr(bars, name)[keep] for name in Bars.__slots__))
        put_bars(stage.market, "BTCUSDT", held)
        for month in ("2025-11-01", "2025-10-01"):
            result = stage.run("candles", key=month_key("BTCUSDT", month))
        assert failed(result) == {"candles_have_no_gaps"}
        gaps = shown(check_of(result, "candles_have_no_gaps").metadata["first"])
        assert "| BTCUSDT | 2025-10-06 00:45 … 2025-11-01 00:00 | 2493 |" in gaps
