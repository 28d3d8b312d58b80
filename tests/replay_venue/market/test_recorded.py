"""Recorded files are served as they are: nothing filled, nothing invented, nothing early."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kernel.bars import Bars
from kernel.onchain_metrics import METRICS
from replay_venue.market.climate import Climate
from replay_venue.market.generator import EndlessHistory, GeneratedMarket, generate
from replay_venue.market.micro import Micro
from replay_venue.market.recorded import RecordedSource
from tests.replay_venue.served import BAR_MS, RECORDED, at, binance_usdm, serving

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
def market() -> GeneratedMarket:
    return generate(
        seed=21, symbol="BTCUSDT", edge=0.0, start_ms=START, end_ms=END, timeframe="15m"
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, market: GeneratedMarket) -> Path:
    """A folder as recorders leave it: a hole, jittered funding stamps, a day without a value."""
    folder = tmp_path_factory.mktemp("recorded")
    opens = market.bars.open_time_ms
    outside = (opens < HOLE[0]) | (opens >= HOLE[1])
    write_candles(folder / "ohlcv_BTCUSDT_15m_venue.parquet", market.bars, outside)
    write_candles(folder / "ohlcv_BTCUSDT_15m_small.parquet", market.bars, opens < START + BAR_MS)
    other = replace(market.bars, close=market.bars.close * 1.01)
    write_candles(folder / "ohlcv_BTCUSDT_5m_small.parquet", other, opens < START + BAR_MS)
    jitter = np.arange(len(market.funding.time_ms)) % 7
    write(
        folder / "funding_BTCUSDT_8h_venue.parquet",
        timestamp=market.funding.time_ms,
        funding_time=market.funding.time_ms + jitter,
        funding_rate=market.funding.value,
    )
    mvrv = market.onchain.value["CapMVRVCur"].copy()
    mvrv[3] = np.nan
    write(
        folder / "onchain_btc_daily.parquet",
        timestamp=market.onchain.time_ms,
        **{**market.onchain.value, "CapMVRVCur": mvrv},
    )
    write(
        folder / "fear_greed.parquet",
        timestamp=market.fear_greed.time_ms,
        fear_greed=market.fear_greed.value.astype(np.int16),
    )
    (folder / "README.md").write_text("not data")
    return folder


def test_recorded_bars_page_as_recorded_with_their_hole(
    folder: Path, market: GeneratedMarket
) -> None:
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
        query = {"assets": "btc", "metrics": "CapMVRVCur,TxCnt"}
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
    assert float(mvrv[4]["CapMVRVCur"]) == market.onchain.value["CapMVRVCur"][4]


def test_recorded_stream_sends_only_what_was_recorded(folder: Path) -> None:
    """A hole is silence on the stream, never an invented bar."""
    source = RecordedSource(folder, ("BTCUSDT",))
    assert len(source.bars("BTCUSDT", "15m", *HOLE)) == 0
    assert len(source.running_bar("BTCUSDT", "15m", HOLE[0], HOLE[0] + 60_000)) == 0


def test_recorded_coarse_candles_need_all_their_parts(
    folder: Path, market: GeneratedMarket
) -> None:
    """An hour with a missing quarter is absent; whole ones are the sums of their parts."""
    hours = RecordedSource(folder, ("BTCUSDT",)).bars("BTCUSDT", "1d", START, END)
    days = (hours.open_time_ms - START) // 86_400_000
    assert days.tolist() == [0, 1, 2, 5, 6, 7, 8, 9]
    quarter = market.bars.high.reshape(-1, 96).max(axis=1)
    assert np.array_equal(hours.high, quarter[days])
    assert len(RecordedSource(folder, ("BTCUSDT",)).bars("BTCUSDT", "1m", START, END)) == 0


def test_recorded_running_bar_knows_only_what_is_over(
    folder: Path, market: GeneratedMarket
) -> None:
    """Within the first quarter only the open is known; after it, that quarter's candle."""
    source = RecordedSource(folder, ("BTCUSDT",))
    early = source.running_bar("BTCUSDT", "1h", START, START + 60_000)
    assert early.high.tolist() == early.low.tolist() == [market.bars.open[0]]
    later = source.running_bar("BTCUSDT", "1h", START, START + BAR_MS)
    assert later.close.tolist() == [market.bars.close[0]]
    alone = source.running_bar("BTCUSDT", "15m", START, START + 60_000)
    assert alone.close.tolist() == [market.bars.open[0]]


def test_recorded_never_mixes_venues(folder: Path, market: GeneratedMarket) -> None:
    """Prices come from the venue that reaches furthest, or from the one asked for, at any width."""
    chosen = RecordedSource(folder, ("BTCUSDT",))
    assert chosen.venue("BTCUSDT") == "venue"
    assert len(chosen.bars("BTCUSDT", "5m", START, END)) == 0
    small = RecordedSource(folder, ("BTCUSDT",), "small")
    assert small.bars("BTCUSDT", "15m", START, END).close.tolist() == [market.bars.close[0]]
    assert small.bars("BTCUSDT", "5m", START, END).close.tolist() == [market.bars.close[0] * 1.01]
    with pytest.raises(ValueError, match=r"from \['small', 'venue'\], expected .*_nowhere.parquet"):
        RecordedSource(folder, ("BTCUSDT",), "nowhere")


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory, market: GeneratedMarket) -> Path:
    """A folder of everything with a price, of two venues, and open interest of three."""
    folder = tmp_path_factory.mktemp("prices")
    source = EndlessHistory(Climate(21), "BTCUSDT", 0.0)
    everything = np.ones(len(market.bars), bool)
    for venue in ("right-perp", "wrong-perp"):
        write_candles(folder / f"ohlcv_BTCUSDT_15m_{venue}.parquet", market.bars, everything)
        marks = source.mark_bars(START, END, "1h")
        shift = 1.0 if venue == "right-perp" else 1.01
        write(
            folder / f"mark_BTCUSDT_1h_{venue}.parquet",
            timestamp=marks.open_time_ms,
            **{name: getattr(marks, name) * shift for name in ("open", "high", "low", "close")},
        )
    made = Micro(source).trades(START, START + 60_000)
    write(
        folder / "trades_BTCUSDT_right-perp_2025.parquet",
        timestamp=made.time_ms,
        id=made.trade_id,
        side=np.where(made.side > 0, "buy", "sell"),
        price=made.price,
        amount=made.quantity,
    )
    write(
        folder / "bbo_BTCUSDT_right-perp_2025.parquet",
        timestamp=np.array([START, START + 500, START + 500]),
        bid_price=np.array([10.0, 11.0, 12.0]),
        bid_amount=np.array([1.0, 2.0, 3.0]),
        ask_price=np.array([10.5, 11.5, 12.5]),
        ask_amount=np.array([4.0, 5.0, 6.0]),
    )
    write(
        folder / "depth100_BTCUSDT_6s_right-perp.parquet",
        timestamp=np.array([START]),
        best_bid=np.array([10.0]),
    )
    hours = START + 3_600_000 * np.arange(4)
    write(
        folder / "open_interest_venues.parquet",
        timestamp=np.concatenate([hours[:1], hours[:3], hours]),
        venue=np.array(["right"] + ["short"] * 3 + ["long"] * 4),
        symbol=np.array(["BTC"] * 8),
        oi_usd=np.concatenate([[9e9], np.full(3, 5e9), np.full(4, 1e9)]),
    )
    return folder


def test_recorded_prices_are_those_of_one_venue(prices: Path) -> None:
    """Mark candles, trades and quotes come from the candles' venue; the book is one level deep."""
    right = RecordedSource(prices, ("BTCUSDT",), "right-perp")
    wrong = RecordedSource(prices, ("BTCUSDT",), "wrong-perp")
    source = EndlessHistory(Climate(21), "BTCUSDT", 0.0)
    made = Micro(source).trades(START, START + 60_000)
    marks = right.mark_bars("BTCUSDT", "4h", START, END)
    assert np.array_equal(marks.close, source.mark_bars(START, END, "4h").close)
    assert np.all(marks.volume == 0)
    assert wrong.mark_bars("BTCUSDT", "4h", START, END).close[0] == pytest.approx(
        marks.close[0] * 1.01
    )
    found = right.trades("BTCUSDT", START, END)
    for name in ("time_ms", "trade_id", "price", "quantity", "side"):
        assert np.array_equal(getattr(found, name), getattr(made, name))
    assert len(wrong.trades("BTCUSDT", START, END).price) == 0
    assert len(right.index_bars("BTCUSDT", "1h", START, END)) == 0


def test_recorded_book_is_the_quote_of_the_minute_before(prices: Path) -> None:
    """The last quote of a moment counts; sums of 100 levels make no book, and an old quote none."""
    right = RecordedSource(prices, ("BTCUSDT",), "right-perp")
    early, later = (right.book("BTCUSDT", START + ms, 5) for ms in (499, 600))
    assert early is not None
    assert later is not None
    assert early.bid_price.tolist() == [10.0]
    assert (later.bid_price.tolist(), later.ask_quantity.tolist()) == ([12.0], [6.0])
    assert later.update_id > early.update_id
    assert right.book("BTCUSDT", START - 1, 5) is None
    assert right.book("BTCUSDT", START + 60_501, 5) is None
    assert RecordedSource(prices, ("BTCUSDT",), "wrong-perp").book("BTCUSDT", START, 5) is None


def test_recorded_open_interest_is_of_one_venue_in_base(
    prices: Path, market: GeneratedMarket
) -> None:
    """A snapshot is no history; the longest one is served, in base by the last candle's close."""
    source = RecordedSource(prices, ("BTCUSDT",), "right-perp")
    held = source.open_interest("BTCUSDT", START, END)
    assert held.time_ms.tolist() == [START + 3_600_000 * hour for hour in (1, 2, 3)]
    before = np.searchsorted(market.bars.open_time_ms, held.time_ms) - 1
    assert np.array_equal(held.value, np.around(1e9 / market.bars.close[before], 3))


def test_recorded_chain_without_a_metric_has_no_value_for_it(
    tmp_path: Path, market: GeneratedMarket
) -> None:
    """A column that the file lacks is NaN on every day, and an unknown asset has no days."""
    candles = np.ones(len(market.bars), bool)
    write_candles(tmp_path / "ohlcv_BTCUSDT_15m_venue.parquet", market.bars, candles)
    days = market.onchain
    write(
        tmp_path / "onchain_btc_daily.parquet",
        timestamp=days.time_ms,
        TxCnt=days.value["TxCnt"],
    )
    source = RecordedSource(tmp_path, ("BTCUSDT",))
    found = source.onchain("BTC", START, END)
    assert tuple(found.value) == METRICS
    assert np.array_equal(found.value["TxCnt"], days.value["TxCnt"])
    assert np.isnan(found.value["HashRate"]).all()
    assert len(source.onchain("ETH", START, END).time_ms) == 0


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


@needs_recorded
def test_recorded_binance_serves_everything_it_recorded() -> None:
    """Of the real files, those of one venue are served together: 1m, 5m, mark, trades, quotes."""
    source = RecordedSource(RECORDED, ("BTCUSDT", "ETHUSDT"), "binance-perp")
    everything = (0, at("2027-01-01"))
    assert len(source.bars("BTCUSDT", "5m", *everything)) == 105_408
    assert len(source.bars("BTCUSDT", "15m", *everything)) == 105_408 // 3
    assert len(source.mark_bars("ETHUSDT", "1h", *everything)) == 8_784
    trades = source.trades("BTCUSDT", *everything)
    assert len(trades.price) == 9_999
    book = source.book("BTCUSDT", int(trades.time_ms[50]), 5)
    assert book is not None
    assert 0 < book.ask_price[0] - book.bid_price[0] < 10
    held = source.open_interest("BTCUSDT", *everything)
    assert 15_000 < np.median(held.value) < 30_000
    assert held.time_ms[-1] <= at("2026-01-01")
    assert RecordedSource(RECORDED, ("BTCUSDT",)).venue("BTCUSDT") == "okx-swap"


@pytest.mark.parametrize(
    ("price", "decimals"), [(1.129e-05, 8), (0.00012345, 8), (0.5, 4), (1.0e-10, 10)]
)
def test_recorded_prices_have_the_tick_that_they_need(
    tmp_path: Path, price: float, decimals: int
) -> None:
    """Python writes a price below 0.0001 with an exponent; its decimals count all the same."""
    prices = {name: np.full(9, price) for name in ("open", "high", "low", "close")}
    write(
        tmp_path / "ohlcv_BONKUSDT_15m_binance-spot.parquet",
        timestamp=START + BAR_MS * np.arange(9),
        **prices,
        volume=np.full(9, 1e9),
    )
    found = RecordedSource(tmp_path, ("BONKUSDT",)).instrument("BONKUSDT")
    assert found.tick_decimals == decimals
    assert float(found.tick) == 10.0**-decimals
