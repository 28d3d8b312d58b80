"""One market, laid out in every way that is read: the lake is the same to the byte."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from kernel.errors import TidegateError
from market_data.ingest.ingestion import Ingest, ingest
from market_data.sources.catalogue import Sources
from market_data.storage.lake import FOREVER_MS, Lake
from market_data.universe import load_universe
from market_data.window import Window
from tests.market_data.sources.layouts import (
    BAR_MS,
    KLINE_HEADER,
    START_MS,
    candles,
    kline_lines,
    publish_checksum,
    same,
    zipped,
)

RECORDED = Path(__file__).parents[4] / "shared/data/ohlcv_BTCUSDT_15m_okx-swap.parquet"
DAYS = 40  # the whole of January, and days of February
KLINES = "data/futures/um/{period}/klines/BTCUSDT/15m/BTCUSDT-15m-{stamp}.zip"
UNIVERSE = """
symbols: [BTCUSDT]
timeframe: 15m
history_start: "{start:%Y-%m-%d}"
sources:
  market: {settings}
market:
  candles: {{source: market, publication_lag_ms: 0}}
  funding: {{source: market, publication_lag_ms: 0}}
  open_interest: {{source: market, publication_lag_ms: 0}}
  fear_greed: {{source: market, publication_lag_ms: 0}}
  onchain: {{source: market, publication_lag_ms: 0}}
"""

needs_recorded = pytest.mark.skipif(
    not RECORDED.is_file(), reason="recorded data (../shared/data) is not on this machine"
)


def as_archive(frame: pd.DataFrame, folder: Path) -> str:
    """Lay out as the dump: whole months with a header in µs, the last one in days without in ms."""
    stamps = pd.to_datetime(frame["event_time_ms"], unit="ms")
    months = stamps.dt.strftime("%Y-%m")
    last = months.iloc[-1]
    for month, rows in frame.groupby(months.where(months != last)):
        path = folder / KLINES.format(period="monthly", stamp=month)
        publish_checksum(zipped(path, kline_lines(rows, 1_000), KLINE_HEADER))
    for day, rows in frame[months == last].groupby(stamps.dt.strftime("%Y-%m-%d")):
        zipped(folder / KLINES.format(period="daily", stamp=day), kline_lines(rows))
    return f"{{adapter: binance_archive, path: {folder}}}"


def as_freqtrade(frame: pd.DataFrame, folder: Path) -> str:
    """Lay out as freqtrade's feather."""
    moments = pd.to_datetime(frame["event_time_ms"], unit="ms", utc=True).dt.as_unit("ms")
    (folder / "futures").mkdir(parents=True)
    named = frame.drop(columns="event_time_ms")
    named.insert(0, "date", moments)
    path = folder / "futures/BTC_USDT_USDT-15m-futures.feather"
    named.reset_index(drop=True).to_feather(path, compression="lz4")
    return f"{{adapter: freqtrade, path: {folder}}}"


def as_parquet(frame: pd.DataFrame, folder: Path) -> str:
    """Lay out as parquet under names of one's own."""
    folder.mkdir(parents=True)
    frame.rename(columns={"event_time_ms": "t", "close": "c"}).to_parquet(folder / "BTC.parquet")
    described = '{files: "{base}.parquet", columns: {event_time_ms: t, close: c}, time_unit: ms}'
    return f"{{adapter: files, path: {folder}, tables: {{candles: {described}}}}}"


def as_csv(frame: pd.DataFrame, folder: Path) -> str:
    """Lay out as CSV files by day with text for times, the latest rows first."""
    (folder / "BTC").mkdir(parents=True)
    moments = pd.to_datetime(frame["event_time_ms"], unit="ms", utc=True)
    texts = frame.drop(columns="event_time_ms").assign(at=moments.dt.strftime("%Y-%m-%d %H:%M:%S"))
    for day, rows in texts[::-1].groupby(moments.dt.strftime("%Y-%m-%d")):
        rows.to_csv(folder / f"BTC/{day}.csv", index=False, sep=";")
    described = '{files: "{base}/*.csv", columns: {event_time_ms: at}}'
    return f"{{adapter: files, path: {folder}, tables: {{candles: {described}}}}}"


LAYOUTS: dict[str, Callable[[pd.DataFrame, Path], str]] = {
    "archive": as_archive,
    "freqtrade": as_freqtrade,
    "parquet": as_parquet,
    "csv": as_csv,
}


def bring_in(settings: str, frame: pd.DataFrame, home: Path) -> tuple[Ingest, Lake]:
    """Ingest the frame's days from the source with these settings into the lake below `home`."""
    (home / "configs").mkdir(parents=True, exist_ok=True)
    first_ms = int(frame["event_time_ms"].min())
    last_ms = int(frame["event_time_ms"].max())
    text = UNIVERSE.format(start=pd.Timestamp(first_ms, unit="ms"), settings=settings)
    (home / "configs/universe.yaml").write_text(text)
    universe = load_universe(home / "configs")
    sources = Sources(folder=str(home / "configs"), venue_url="")
    lake = Lake(root=str(home / "lake"))
    window = Window("BTCUSDT", first_ms, last_ms + BAR_MS)
    (report,) = ingest("candles", sources, lake, [window], universe)
    return report, lake


def stored(lake: Lake) -> pd.DataFrame:
    return lake.as_of("candles", "BTCUSDT", FOREVER_MS)


def check_every_layout(frame: pd.DataFrame, folder: Path) -> None:
    """Every layout's lake holds the frame bit by bit; all digests are one; again adds nothing."""
    digests = set()
    for name, lay_out in LAYOUTS.items():
        settings = lay_out(frame, folder / name / "files")
        report, lake = bring_in(settings, frame, folder / name)
        assert (report.added, report.revised, report.quarantined) == (len(frame), 0, 0), name
        assert same(stored(lake), frame), name
        digests.add(lake.table_digest("candles", "BTCUSDT", FOREVER_MS))
        again, lake = bring_in(settings, frame, folder / name)
        assert (again.received, again.added) == (0, 0), name
    assert len(digests) == 1


def test_every_layout_of_a_market_is_the_same_lake(tmp_path: Path):
    """A crash of a third within one bar included: nothing on the way takes it for an error."""
    frame = candles(START_MS, DAYS * 96)
    frame.loc[3_000, ["low", "close"]] = frame.loc[3_000, "open"] * 0.66
    check_every_layout(frame, tmp_path)


@needs_recorded
def test_every_layout_of_the_recorded_crash_is_the_same_lake(tmp_path: Path):
    """The liquidation cascade of 2025-10-10 survives every road into the lake."""
    frame = pd.read_parquet(RECORDED)
    stamps = frame.pop("timestamp").dt.as_unit("ms").astype("int64")
    frame.insert(0, "event_time_ms", stamps)
    month = frame[stamps.between(1_758_326_400_000, 1_761_955_199_999)].reset_index(drop=True)
    assert month["low"].min() < 102_000
    assert month["high"].max() > 126_000
    check_every_layout(month, tmp_path)


def test_damaged_archive_fails_the_run_and_the_next_one_repairs_it(tmp_path: Path):
    """A file that differs from its checksum leaves no row; fetched again, nothing is missing."""
    frame = candles(START_MS, DAYS * 96)
    settings = as_archive(frame, tmp_path / "files")
    january = tmp_path / "files" / KLINES.format(period="monthly", stamp="2024-01")
    whole = january.read_bytes()
    january.write_bytes(whole[:-100])
    with pytest.raises(TidegateError, match=r"BTCUSDT-15m-2024-01\.zip: found sha256"):
        bring_in(settings, frame, tmp_path)
    january.write_bytes(whole)
    report, lake = bring_in(settings, frame, tmp_path)
    assert report.quarantined == 0
    assert same(stored(lake), frame)


def test_missing_month_is_a_gap_and_comes_when_its_file_does(tmp_path: Path):
    """Nothing is invented for a month without a file, and nothing is forgotten either."""
    frame = candles(START_MS, 70 * 96)
    settings = as_archive(frame, tmp_path / "files")
    february = tmp_path / "files" / KLINES.format(period="monthly", stamp="2024-02")
    aside = february.rename(february.with_suffix(".aside"))
    _, lake = bring_in(settings, frame, tmp_path)
    missing = pd.to_datetime(frame["event_time_ms"], unit="ms").dt.month == 2
    assert same(stored(lake), frame[~missing])
    aside.rename(february)
    _, lake = bring_in(settings, frame, tmp_path)
    assert same(stored(lake), frame)
