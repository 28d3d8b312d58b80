"""The example universe reads recorded files in place, each number as it was recorded."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kernel.errors import TidegateError
from market_data.sources.files import Files
from market_data.sources.protocol import Wanted
from market_data.universe import UniverseSettings, read_universe
from tests.market_data.sources.layouts import candles, read, same

EXAMPLE = Path(__file__).parents[3] / "configs/examples/recorded.universe.yaml"
RECORDED = Path(__file__).parents[4] / "shared/data"
DAY_MS = 86_400_000
CRASH_MS = 1_760_130_900_000  # 2025-10-10T21:15Z
OHLC = ("open", "high", "low", "close")

needs_recorded = pytest.mark.skipif(
    not RECORDED.is_dir(), reason="recorded data (../shared/data) is not on this machine"
)


def at(moment: str) -> int:
    return int(pd.Timestamp(moment, tz="UTC").timestamp()) * 1_000


@pytest.fixture(scope="module")
def universe() -> UniverseSettings:
    return read_universe(EXAMPLE)


def source_of(universe: UniverseSettings, table: str, folder: Path) -> Files:
    """Return the example's source of a table, reading below `folder`."""
    elsewhere = dict.fromkeys(("mark_candles", "minute_candles", "trades"), "binance")
    elsewhere["depth"] = "binance-spot"  # too short for the months that the example brings in
    name = elsewhere.get(table) or universe.market[table].source
    return Files(name, replace(universe.sources[name], path=str(folder)), str(folder))


def all_of(universe: UniverseSettings, table: str, folder: Path, **bounds: int) -> pd.DataFrame:
    """Return every row of a table, or those between `start_ms` and `end_ms`."""
    span = {"start_ms": 0, "end_ms": at("2027-01-01"), "bar_ms": universe.bar_ms} | bounds
    return read(source_of(universe, table, folder), Wanted(table, "BTCUSDT", **span))


def stamped(frame: pd.DataFrame, unit: str = "ms") -> pd.DataFrame:
    """Return the frame with typed stamps in place of numbers, as recorders write them."""
    moments = pd.to_datetime(frame["event_time_ms"], unit="ms", utc=True).dt.as_unit(unit)
    return frame.drop(columns="event_time_ms").assign(timestamp=moments)


START_MS = at("2025-10-01")
GENERATED = {
    "candles": ("ohlcv_BTCUSDT_15m_okx-swap.parquet", {}),
    "minute_candles": ("ohlcv_BTCUSDT_1m_binance-perp.parquet", {}),
    "funding": ("funding_BTCUSDT_8h_binance.parquet", {"funding_rate": [1e-4, -2e-4, 3e-4]}),
    "fear_greed": ("fear_greed.parquet", {"fear_greed": [10.0, 55.0, 90.0]}),
    "trades": (
        "trades_BTCUSDT_binance-perp_2020.parquet",
        {
            "id": [7, 8, 9],
            "side": ["buy", "sell", "buy"],
            "price": [1.5, 2.5, 3.5],
            "amount": [0.1, 0.2, 0.3],
        },
    ),
    "depth": (
        "depth100_BTCUSDT_6s_binance-spot.parquet",
        {
            "best_bid": [1.0, 2.0, 3.0],
            "best_ask": [1.1, 2.1, 3.1],
            "bid_qty_100lvl": [5.0, 6.0, 7.0],
            "ask_qty_100lvl": [8.0, 9.0, 1.0],
        },
    ),
    "onchain": (
        "onchain_btc_daily.parquet",
        {
            "FlowInExUSD": [5.0, 6.0, np.nan],
            "FlowOutExUSD": [7.0, 1.0, 1.0],
            "CapMVRVCur": [1.5, 2.5, 3.5],
            "AdrActCnt": [1.0, 2.0, 3.0],
            "TxCnt": [4.0, 5.0, 6.0],
            "HashRate": [7.0, 8.0, 9.0],
            "FeeTotNtv": [1.0, 2.0, 3.0],
        },
    ),
}
OURS = {
    "id": "trade_id",
    "amount": "quantity",
    "bid_qty_100lvl": "bid_quantity_100",
    "ask_qty_100lvl": "ask_quantity_100",
    "CapMVRVCur": "mvrv",
    "AdrActCnt": "active_addresses",
    "TxCnt": "transactions",
    "HashRate": "hash_rate",
    "FeeTotNtv": "fees",
}


def theirs(table: str) -> tuple[Path, pd.DataFrame]:
    """Return name and content of a generated file of the recorded layout."""
    name, columns = GENERATED[table]
    if not columns:
        step = 60_000 if table == "minute_candles" else 900_000
        return Path(name), candles(START_MS, 300, step)
    step = 28_800_003 if table == "funding" else DAY_MS
    times = START_MS + step * np.arange(3, dtype=np.int64)
    return Path(name), pd.DataFrame({"event_time_ms": times, **columns})


@pytest.mark.parametrize("table", sorted(GENERATED))
def test_generated_files_of_the_recorded_layout_come_back(
    tmp_path: Path, universe: UniverseSettings, table: str
):
    """Every table of the example, from files as the recorders write them, bit by bit."""
    name, frame = theirs(table)
    stamped(frame).to_parquet(tmp_path / name)
    found = all_of(universe, table, tmp_path)
    expected = frame.rename(columns=OURS)
    if table == "onchain":
        flows = expected.pop("FlowInExUSD") - expected.pop("FlowOutExUSD")
        expected["exchange_net_flow"] = flows
    if table == "trades":
        expected["side"] = [1.0, -1.0, 1.0]
    assert same(found, expected)
    if table == "depth":
        assert found["update_id"].tolist() == frame["event_time_ms"].tolist()
        assert found["best_bid_quantity"].isna().all()


def test_generated_hours_are_no_quarters(tmp_path: Path, universe: UniverseSettings):
    """A mark price of hours is refused to a universe of quarters and serves one of hours."""
    hours = candles(START_MS, 48, 3_600_000).drop(columns="volume")
    stamped(hours).to_parquet(tmp_path / "mark_BTCUSDT_1h_binance-perp.parquet")
    with pytest.raises(TidegateError, match="found bars 3600000 ms apart, expected 900000"):
        all_of(universe, "mark_candles", tmp_path)
    assert same(all_of(universe, "mark_candles", tmp_path, bar_ms=3_600_000), hours)


def test_generated_crash_passes_through_unharmed(tmp_path: Path, universe: UniverseSettings):
    """A candle that falls by a third is a candle: no source filters what it does not believe."""
    frame = candles(START_MS, 96)
    frame.loc[50, ["low", "close"]] = frame.loc[50, "open"] * 0.66
    stamped(frame).to_parquet(tmp_path / "ohlcv_BTCUSDT_15m_okx-swap.parquet")
    assert same(all_of(universe, "candles", tmp_path), frame)


@needs_recorded
@pytest.mark.parametrize(
    ("table", "rows", "columns"),
    [
        ("candles", 105_216, {name: name for name in (*OHLC, "volume")}),
        ("minute_candles", 73_138, {name: name for name in (*OHLC, "volume")}),
        ("funding", 4_383, {"funding_rate": "funding_rate"}),
        ("fear_greed", 2_887, {"fear_greed": "fear_greed"}),
        ("trades", 9_999, {"trade_id": "id", "price": "price", "quantity": "amount"}),
        ("depth", 10_352, {"best_bid": "best_bid", "bid_quantity_100": "bid_qty_100lvl"}),
        ("onchain", 2_192, {"mvrv": "CapMVRVCur", "fees": "FeeTotNtv"}),
    ],
)
def test_recorded_files_come_in_whole(
    universe: UniverseSettings, table: str, rows: int, columns: dict[str, str]
):
    """As many rows as were recorded, in their order, every number to the bit."""
    settings = source_of(universe, table, RECORDED).settings.tables[table]
    pattern = settings.files.replace("{symbol}", "BTCUSDT").replace("{asset}", "btc")
    (path,) = RECORDED.glob(pattern)
    recorded = pd.read_parquet(path)
    found = all_of(universe, table, RECORDED)
    stamps = recorded["timestamp"].dt.as_unit("ms").astype("int64")
    assert len(found) == rows
    assert found["event_time_ms"].tolist() == stamps.tolist()
    expected = pd.DataFrame({ours: recorded[name] for ours, name in columns.items()})
    assert same(found, expected)
    if table == "trades":
        assert (found["side"] == recorded["side"].map({"buy": 1.0, "sell": -1.0})).all()
    if table == "onchain":
        flow = recorded["FlowInExUSD"] - recorded["FlowOutExUSD"]
        assert same(found, pd.DataFrame({"exchange_net_flow": flow}))


@needs_recorded
def test_recorded_hours_are_no_quarters(universe: UniverseSettings):
    """The real mark price is refused to 15-minute bars."""
    with pytest.raises(TidegateError, match="found bars 3600000 ms apart, expected 900000"):
        all_of(universe, "mark_candles", RECORDED)
    assert len(all_of(universe, "mark_candles", RECORDED, bar_ms=3_600_000)) == 8_784


@needs_recorded
def test_recorded_crash_passes_through_unharmed(universe: UniverseSettings):
    """The liquidation cascade of 2025-10-10 arrives with every one of its bars and its low."""
    start_ms = CRASH_MS - DAY_MS
    found = all_of(universe, "candles", RECORDED, start_ms=start_ms, end_ms=start_ms + 2 * DAY_MS)
    assert len(found) == 192
    crash = found[found["event_time_ms"] == CRASH_MS].iloc[0]
    around = found["low"].min()
    assert around < 0.92 * found["high"].max()
    assert crash["high"] / crash["low"] > 1.03
