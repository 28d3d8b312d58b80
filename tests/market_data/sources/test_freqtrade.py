"""A freqtrade folder gives back what freqtrade would have written into it."""

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kernel.errors import TidegateError
from market_data.sources.freqtrade import Freqtrade
from tests.market_data.sources.layouts import (
    DAY_MS,
    START_MS,
    candles,
    read,
    same,
    settings,
    wanted,
)

DAY = wanted("candles", START_MS, START_MS + DAY_MS)


def freqtrade(folder: Path, market: str = "perpetual") -> Freqtrade:
    return Freqtrade("mine", settings("freqtrade", market=market), str(folder))


def write(frame: pd.DataFrame, path: Path, suffix: str) -> None:
    """Write candles as freqtrade's handlers do: typed milliseconds, or rows of a JSON list."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path = path.with_name(f"{path.name}.{suffix}")
    frame = frame.rename(columns={"event_time_ms": "date"})
    if suffix.startswith("json"):
        text = json.dumps(frame.astype(object).to_numpy().tolist()).encode()
        path.write_bytes(gzip.compress(text) if suffix.endswith("gz") else text)
        return
    typed = frame.assign(date=pd.to_datetime(frame["date"], unit="ms", utc=True).dt.as_unit("ms"))
    if suffix == "feather":
        typed.to_feather(path, compression_level=9, compression="lz4")
    else:
        typed.to_parquet(path)


@pytest.mark.parametrize("suffix", ["feather", "parquet", "json", "json.gz"])
@pytest.mark.parametrize(
    ("market", "name"),
    [
        ("perpetual", "futures/BTC_USDT_USDT-15m-futures"),
        ("perpetual", "BTC_USDT_USDT-15m-futures"),
        ("spot", "BTC_USDT-15m"),
    ],
)
def test_candles_come_back_bit_by_bit(tmp_path: Path, suffix: str, market: str, name: str):
    """Perpetual and spot, in its own folder or beside, in every format freqtrade writes."""
    frame = candles(START_MS, 96)
    write(frame, tmp_path / name, suffix)
    assert same(read(freqtrade(tmp_path, market), DAY), frame)


def test_spot_never_stands_in_for_the_perpetual(tmp_path: Path):
    """Nor the other way round: prices of two markets are never mixed."""
    write(candles(START_MS, 96), tmp_path / "BTC_USDT-15m", "feather")
    assert len(read(freqtrade(tmp_path), DAY)) == 0
    assert len(read(freqtrade(tmp_path, "spot"), DAY)) == 96


def test_mark_price_needs_bars_of_its_own_length(tmp_path: Path):
    """freqtrade keeps the mark price by the hour; it is not passed off as quarters."""
    hours = candles(START_MS, 24, 3_600_000).assign(volume=0.0)
    write(hours, tmp_path / "futures/BTC_USDT_USDT-1h-mark", "feather")
    source = freqtrade(tmp_path)
    assert len(read(source, wanted("mark_candles", START_MS, START_MS + DAY_MS))) == 0
    hourly = wanted("mark_candles", START_MS, START_MS + DAY_MS, bar_ms=3_600_000)
    assert same(read(source, hourly), hours.drop(columns="volume"))


@pytest.mark.parametrize("timeframe", ["1h", "8h"])
def test_funding_rate_stands_in_the_open(tmp_path: Path, timeframe: str):
    """Settlements of newer and older downloads; the other columns of the file say nothing."""
    stamps = START_MS + 28_800_000 * np.arange(3, dtype=np.int64)
    frame = candles(START_MS, 3).assign(event_time_ms=stamps, open=[0.0001, -0.0002, 0.0003])
    write(frame, tmp_path / f"futures/BTC_USDT_USDT-{timeframe}-funding_rate", "feather")
    found = read(freqtrade(tmp_path), wanted("funding", START_MS, START_MS + DAY_MS))
    assert found["event_time_ms"].tolist() == stamps.tolist()
    assert found["funding_rate"].tolist() == [0.0001, -0.0002, 0.0003]


def test_all_files_of_a_series_are_read(tmp_path: Path):
    """A newer download beside an older one, of another format or timeframe: none is passed over."""
    frame = candles(START_MS, 96)
    write(frame[:40], tmp_path / "futures/BTC_USDT_USDT-15m-futures", "feather")
    write(frame[40:], tmp_path / "futures/BTC_USDT_USDT-15m-futures", "json")
    assert same(read(freqtrade(tmp_path), DAY), frame)
    stamps = START_MS + 28_800_000 * np.arange(3, dtype=np.int64)
    rates = candles(START_MS, 3).assign(event_time_ms=stamps, open=[0.0001, -0.0002, 0.0003])
    write(rates[:1], tmp_path / "futures/BTC_USDT_USDT-8h-funding_rate", "feather")
    write(rates[1:], tmp_path / "futures/BTC_USDT_USDT-1h-funding_rate", "feather")
    found = read(freqtrade(tmp_path), wanted("funding", START_MS, START_MS + DAY_MS))
    assert sorted(found["event_time_ms"]) == stamps.tolist()


def test_missing_file_is_named_with_what_lies_there(tmp_path: Path):
    """A path one level too high, or bars of another length: what was looked for is said."""
    write(candles(START_MS, 9), tmp_path / "binance/futures/BTC_USDT_USDT-5m-futures", "feather")
    said = freqtrade(tmp_path).searched(DAY)
    assert "looked for futures/BTC_USDT_USDT-15m-futures.{feather,parquet,json,json.gz}" in said
    assert "there are binance/futures/BTC_USDT_USDT-5m-futures.feather" in said
    write(candles(START_MS, 9), tmp_path / "futures/BTC_USDT_USDT-15m-futures", "feather")
    assert freqtrade(tmp_path).searched(DAY) == ""


@pytest.mark.parametrize("suffix", ["feather", "json.gz"])
def test_trades_have_their_side_and_id(tmp_path: Path, suffix: str):
    """Ids are text and sides are words in freqtrade's trades."""
    columns = ["timestamp", "id", "type", "side", "price", "amount", "cost"]
    rows = [
        [START_MS + 3, "900719925474099", None, "buy", 50_000.5, 0.01, 500.005],
        [START_MS + 9, "900719925474100", None, "sell", 50_000, 1, 50_000],
    ]
    path = tmp_path / f"futures/BTC_USDT_USDT-trades.{suffix}"
    path.parent.mkdir()
    if suffix == "feather":
        pd.DataFrame(rows, columns=columns).to_feather(path)
    else:
        path.write_bytes(gzip.compress(json.dumps(rows).encode()))
    found = read(freqtrade(tmp_path), wanted("trades", START_MS, START_MS + DAY_MS))
    assert found["trade_id"].tolist() == [900719925474099, 900719925474100]
    assert found["side"].tolist() == [1.0, -1.0]
    assert found[["price", "quantity"]].to_numpy().tolist() == [[50_000.5, 0.01], [50_000.0, 1.0]]
    assert found["event_time_ms"].tolist() == [START_MS + 3, START_MS + 9]


def test_whole_prices_in_json_are_numbers_too(tmp_path: Path):
    """A column of 50000 and 50000.5 is one of doubles."""
    path = tmp_path / "BTC_USDT-15m.json"
    path.write_text(
        json.dumps([[START_MS, 1, 2, 1, 2, 0], [START_MS + 900_000, 2, 2.5, 1, 2, None]])
    )
    found = read(freqtrade(tmp_path, "spot"), DAY)
    assert found["high"].tolist() == [2.0, 2.5]
    assert np.isnan(found["volume"][1])
    path.write_text("[]")
    assert len(read(freqtrade(tmp_path, "spot"), DAY)) == 0


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        ("json", b"[[1, 2"),
        ("json", b'{"a": 1}'),
        ("json", b"[[1, 2]]"),
        ("json.gz", gzip.compress(b"[]")[:-3]),
        ("feather", b"ARROW1"),
        ("parquet", b"PAR1"),
    ],
    # gzip writes the time into its header: an id made of the content differs between workers
    ids=[
        "json cut off",
        "json object",
        "json rows too short",
        "gzip cut off",
        "feather",
        "parquet",
    ],
)
def test_broken_file_is_refused_by_name(tmp_path: Path, suffix: str, content: bytes):
    """Half a file, or one of another layout, is a failure that names it."""
    (tmp_path / f"BTC_USDT-15m.{suffix}").write_bytes(content)
    with pytest.raises(
        TidegateError, match=rf"BTC_USDT-15m\.{suffix}: found a file that cannot be"
    ):
        read(freqtrade(tmp_path, "spot"), DAY)


def test_missing_folder_and_unknown_market_are_refused(tmp_path: Path):
    """A misspelt setting is no empty market."""
    for source in (freqtrade(tmp_path / "nowhere"), freqtrade(tmp_path, "spott")):
        with pytest.raises(TidegateError, match="mine: found no folder"):
            read(source, DAY)
