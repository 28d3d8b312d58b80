"""Recorded files are served as they are: nothing filled, nothing invented, nothing early."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kernel.bars import Bars
from replay_venue.generator import Market, generate
from replay_venue.recorded import RecordedSource
from tests.replay_venue.serving import BAR_MS, RECORDED, at, binance_usdm, serving

START = at("2025-01-01")
END = at("2025-01-11")
HOLE = (at("2025-01-04 03:00"), at("2025-01-05 09:00"))


def write(path: Path, **columns: np.ndarray) -> None:
    """Write columns as parquet, stamps in UTC milliseconds."""
    stamps = {"timestamp", "funding_time"}
    arrays = {
        name: pa.array(values, pa.timestamp("ms", tz="UTC")) if name in stamps else values
        for name, values in columns.items()
    }
    pq.write_table(pa.table(arrays), path)


def write_candles(path: Path, bars: Bars, keep: np.ndarray) -> None:
    write(
        path,
        timestamp=bars.open_time_ms[keep],
        **{name: getattr(bars, name)[keep] for name in ("open", "high", "low", "close", "volume")},
    )


@pytest.fixture(scope="module")
def market() -> Market:
    return generate(21, "BTCUSDT", 0.0, START, END, "15m")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, market: Market) -> Path:
    """A folder as recorders leave it: a hole, jittered funding stamps, a day without a value."""
    folder = tmp_path_factory.mktemp("recorded")
    opens = market.bars.open_time_ms
    outside = (opens < HOLE[0]) | (opens >= HOLE[1])
    write_candles(folder / "ohlcv_BTCUSDT_15m_venue.parquet", market.bars, outside)
    write_candles(folder / "ohlcv_BTCUSDT_15m_small.parquet", market.bars, opens < START + BAR_MS)
    jitter = np.arange(len(market.funding.time_ms)) % 7
    write(
        folder / "funding_BTCUSDT_8h_venue.parquet",
        timestamp=market.funding.time_ms,
        funding_time=market.funding.time_ms + jitter,
        funding_rate=market.funding.value,
    )
    mvrv = market.onchain.mvrv.copy()
    mvrv[3] = np.nan
    write(
        folder / "onchain_btc_daily.parquet",
        timestamp=market.onchain.time_ms,
        FlowInExUSD=market.onchain.flow_in_usd,
        FlowOutExUSD=market.onchain.flow_out_usd,
        CapMVRVCur=mvrv,
    )
    write(
        folder / "fear_greed.parquet",
        timestamp=market.fear_greed.time_ms,
        fear_greed=market.fear_greed.value.astype(np.int16),
    )
    (folder / "README.md").write_text("not data")
    return folder


def test_recorded_bars_page_as_recorded_with_their_hole(folder: Path, market: Market) -> None:
    """ccxt pages across the hole and gets every recorded double and no other row."""
    with serving(
        *("--market", "recorded", "--data", str(folder), "--symbols", "BTCUSDT"),
        *("--start", "2025-02-01"),
    ) as served:
        client = binance_usdm(served.url)
        rows: list[list[float]] = []
        since = START
        while page := client.fetch_ohlcv("BTC/USDT:USDT", "15m", since=since, limit=200):
            rows += page
            since = int(page[-1][0]) + BAR_MS
        funding = client.fetch_funding_rate_history("BTC/USDT:USDT", since=START, limit=1_000)
        held = client.fetch_open_interest_history("BTC/USDT:USDT", "15m", since=START, limit=500)
        fear = served.get("/alternative/fng/", limit=0)["data"]
        query = {"assets": "btc", "metrics": "CapMVRVCur"}
        mvrv = served.get("/coinmetrics/v4/timeseries/asset-metrics", **query)["data"]
    bars = market.bars
    columns = (bars.open_time_ms, bars.open, bars.high, bars.low, bars.close, bars.volume)
    whole = [list(row) for row in zip(*(c.tolist() for c in columns), strict=True)]
    assert rows == [row for row in whole if not HOLE[0] <= row[0] < HOLE[1]]
    assert [row["fundingRate"] for row in funding] == market.funding.value.tolist()
    assert [row["timestamp"] % 28_800_000 for row in funding[:7]] == list(range(7))
    assert held == []
    assert [int(row["value"]) for row in fear[::-1]] == market.fear_greed.value.tolist()
    assert mvrv[3]["CapMVRVCur"] is None
    assert float(mvrv[4]["CapMVRVCur"]) == market.onchain.mvrv[4]


def test_recorded_stream_sends_only_what_was_recorded(folder: Path) -> None:
    """A hole is silence on the stream, never an invented bar."""
    source = RecordedSource(folder, ("BTCUSDT",))
    assert len(source.bars("BTCUSDT", "15m", *HOLE)) == 0
    assert len(source.running_bar("BTCUSDT", "15m", HOLE[0], HOLE[0] + 60_000)) == 0


def test_recorded_coarse_candles_need_all_their_parts(folder: Path, market: Market) -> None:
    """An hour with a missing quarter is absent; whole ones are the sums of their parts."""
    hours = RecordedSource(folder, ("BTCUSDT",)).bars("BTCUSDT", "1d", START, END)
    days = (hours.open_time_ms - START) // 86_400_000
    assert days.tolist() == [0, 1, 2, 5, 6, 7, 8, 9]
    quarter = market.bars.high.reshape(-1, 96).max(axis=1)
    assert np.array_equal(hours.high, quarter[days])
    assert len(RecordedSource(folder, ("BTCUSDT",)).bars("BTCUSDT", "1m", START, END)) == 0


def test_recorded_running_bar_knows_only_what_is_over(folder: Path, market: Market) -> None:
    """Within the first quarter only the open is known; after it, that quarter's candle."""
    source = RecordedSource(folder, ("BTCUSDT",))
    early = source.running_bar("BTCUSDT", "1h", START, START + 60_000)
    assert early.high.tolist() == early.low.tolist() == [market.bars.open[0]]
    later = source.running_bar("BTCUSDT", "1h", START, START + BAR_MS)
    assert later.close.tolist() == [market.bars.close[0]]
    alone = source.running_bar("BTCUSDT", "15m", START, START + 60_000)
    assert alone.close.tolist() == [market.bars.open[0]]


def test_recorded_names_what_is_missing(folder: Path) -> None:
    """A folder or symbol that is not there is an error naming it."""
    with pytest.raises(ValueError, match="found no folder"):
        RecordedSource(folder / "nowhere", ("BTCUSDT",))
    with pytest.raises(ValueError, match="DOGEUSDT"):
        RecordedSource(folder, ("DOGEUSDT",))


needs_recorded = pytest.mark.skipif(
    not RECORDED.is_dir(), reason="recorded data (../shared/data) is not on this machine"
)


@needs_recorded
def test_recorded_real_bitcoin_year_arrives_to_the_bit() -> None:
    """Three months of real candles, the crash of 2025-10-10 among them, survive the trip."""
    since, until = at("2025-09-01"), at("2025-12-01")
    with serving(
        *("--market", "recorded", "--data", str(RECORDED), "--symbols", "BTCUSDT,ETHUSDT"),
        *("--start", "2025-12-01"),
    ) as served:
        client = binance_usdm(served.url)
        rows: list[list[float]] = []
        while page := client.fetch_ohlcv(
            "BTC/USDT:USDT", "15m", since=since, limit=1_000, params={"until": until - 1}
        ):
            rows += page
            since = int(page[-1][0]) + BAR_MS
            if since >= until:
                break
    table = pq.read_table(RECORDED / "ohlcv_BTCUSDT_15m_okx-swap.parquet")
    stamps = table["timestamp"].cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64()).to_numpy()
    inside = (stamps >= at("2025-09-01")) & (stamps < until)
    assert [row[0] for row in rows] == stamps[inside].tolist()
    for position, name in enumerate(("open", "high", "low", "close", "volume"), start=1):
        assert [row[position] for row in rows] == table[name].to_numpy()[inside].tolist()
