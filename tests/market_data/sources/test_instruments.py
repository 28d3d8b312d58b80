"""What a symbol is made of and what sources call it: said, listed, and never guessed in silence."""

from pathlib import Path

import numpy as np
import pytest

from kernel.errors import SettingsError, TidegateError
from market_data.ingest.ingestion import Ingest, ingest
from market_data.sources.catalogue import Sources
from market_data.sources.instruments import Instrument, Instruments, from_market
from market_data.sources.spelling import spelled
from market_data.storage.lake import FOREVER_MS, Lake
from market_data.universe import InstrumentSettings, NameSettings, load_universe
from market_data.window import Window
from tests.market_data.sources.layouts import (
    BAR_MS,
    DAY_MS,
    START_MS,
    candles,
    kline_lines,
    same,
    wanted,
    zipped,
)

MARKET = """
market:
  candles: {source: prices, publication_lag_ms: 0}
  funding: {source: prices, publication_lag_ms: 0}
  open_interest: {source: prices, publication_lag_ms: 0}
  fear_greed: {source: prices, publication_lag_ms: 0}
  onchain: {source: chain, publication_lag_ms: 93600000}
"""


def universe(folder: Path, symbol: str, instruments: str = "") -> None:
    """Write a universe of one symbol: an archive of prices and a folder of on-chain data."""
    (folder / "universe.yaml").write_text(
        f"symbols: [{symbol}]\ntimeframe: 15m\nhistory_start: '2024-01-01'\nsources:\n"
        f"  prices: {{adapter: binance_archive, path: {folder}}}\n"
        f"  chain: {{adapter: coinmetrics_csv, path: {folder}}}\n{MARKET}"
        + (f"instruments: {instruments}\n" if instruments else "")
    )


def brought_in(folder: Path, table: str, symbol: str, days: int = 1) -> tuple[Ingest, Lake]:
    """Ingest some days of one table."""
    lake = Lake(root=str(folder / "lake"))
    sources = Sources(folder=str(folder), venue_url="")
    window = Window(symbol, START_MS, START_MS + days * DAY_MS)
    return ingest(table, sources, lake, [window], load_universe(folder))[0], lake


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("BTC", Instrument("BTC", "USDT")),
        ("1000SHIB", Instrument("SHIB", "USDT", 1_000)),
        ("1000000MOG", Instrument("MOG", "USDT", 1_000_000)),
        ("1MBABYDOGE", Instrument("BABYDOGE", "USDT", 1_000_000)),
        ("kPEPE", Instrument("PEPE", "USDT", 1_000)),
        ("1INCH", Instrument("1INCH", "USDT")),
        ("KAVA", Instrument("KAVA", "USDT")),
        ("100T", Instrument("100T", "USDT")),
    ],
)
def test_market_of_many_coins_is_of_that_coin(base: str, expected: Instrument):
    """A market of a thousand coins is called after the thousand; a coin with a number is not."""
    assert from_market(base, "USDT") == expected


def test_what_is_said_goes_before_what_is_listed_and_that_before_any_guess():
    """And where an exchange is asked and lists no such market, nothing is guessed."""
    said = {"LUNAUSDT": InstrumentSettings(base="LUNC", quote="USDT")}
    listed = {"LUNAUSDT": Instrument("LUNA", "USDT"), "BTCDOMUSDT": Instrument("BTCDOM", "USDT")}
    asked = Instruments(said, (listed.get,))
    assert asked.of("LUNAUSDT") == Instrument("LUNC", "USDT")
    assert asked.of("BTCDOMUSDT") == Instrument("BTCDOM", "USDT")
    with pytest.raises(TidegateError, match=r"no such market .*instruments: \{MATICUSDT: "):
        asked.of("MATICUSDT")


@pytest.mark.parametrize("symbol", ["BTCFDUSD", "ETHBUSD", "XBTZAR", "USDT"])
def test_symbol_that_splits_in_no_way_or_in_two_is_refused_with_the_remedy(symbol: str):
    """Without any exchange to ask only what is plain is believed."""
    with pytest.raises(TidegateError, match=rf"symbol {symbol}.*instruments: \{{{symbol}: "):
        Instruments().of(symbol)


def test_thousand_coins_find_the_data_of_the_coin(tmp_path: Path):
    """1000SHIBUSDT is made of SHIB, on whose chain things happen."""
    universe(tmp_path, "1000SHIBUSDT")
    (tmp_path / "shib.csv").write_text("time,AdrActCnt\n2024-01-01,9000\n")
    report, lake = brought_in(tmp_path, "onchain", "1000SHIBUSDT")
    assert report.received == 1
    rows = lake.as_of("onchain", "1000SHIBUSDT", FOREVER_MS)
    assert rows["active_addresses"].tolist() == [9_000.0]


def test_source_that_has_nothing_of_an_asset_says_so(tmp_path: Path):
    """What was looked for, of which symbol, where, and what there is."""
    universe(tmp_path, "BTCUSDT")
    (tmp_path / "eth.csv").write_text("time,AdrActCnt\n2024-01-01,9000\n")
    report, _ = brought_in(tmp_path, "onchain", "BTCUSDT")
    (said,) = report.searched
    assert said.startswith("chain: looked for btc.csv or btc.csv.gz, on-chain data of BTCUSDT,")
    assert f"below {tmp_path} and found none; there are eth.csv" in said
    (said,) = brought_in(tmp_path, "candles", "BTCUSDT")[0].searched
    assert said.startswith("prices: looked for BTCUSDT-15m-<month or day>.zip (klines) below")


def test_asset_is_taken_by_the_name_that_is_said(tmp_path: Path):
    """Coin Metrics calls some coins otherwise than their markets do."""
    universe(tmp_path, "BTCUSDT", "{BTCUSDT: {names: {chain: btc_new}}}")
    (tmp_path / "btc.csv").write_text("time,AdrActCnt\n2024-01-01,1\n")
    (tmp_path / "btc_new.csv").write_text("time,AdrActCnt\n2024-01-01,2\n")
    _, lake = brought_in(tmp_path, "onchain", "BTCUSDT")
    assert lake.as_of("onchain", "BTCUSDT", FOREVER_MS)["active_addresses"].tolist() == [2.0]


def test_two_files_of_one_asset_are_refused_by_name(tmp_path: Path):
    """Which of them is the newer one only a person knows."""
    universe(tmp_path, "BTCUSDT")
    (tmp_path / "csv").mkdir()
    for path in (tmp_path / "btc.csv", tmp_path / "csv/btc.csv"):
        path.write_text("time,AdrActCnt\n2024-01-01,1\n")
    with pytest.raises(TidegateError, match=r"btc\.csv and .*csv/btc\.csv, expected one file"):
        brought_in(tmp_path, "onchain", "BTCUSDT")


def test_renamed_market_is_one_series(tmp_path: Path):
    """MATICUSDT up to a day, POLUSDT since: each is asked for its own time only."""
    frame = candles(START_MS, 192)
    names = "[{name: MATICUSDT}, {name: POLUSDT, since: '2024-01-02'}]"
    universe(tmp_path, "POLUSDT", f"{{POLUSDT: {{names: {{prices: {names}}}}}}}")
    strange = candles(START_MS, 192, seed=7)
    zipped(tmp_path / "MATICUSDT-15m-2024-01-01.zip", kline_lines(frame[:96]))
    zipped(tmp_path / "POLUSDT-15m-2024-01-01.zip", kline_lines(strange[:96]))
    zipped(tmp_path / "POLUSDT-15m-2024-01-02.zip", kline_lines(frame[96:]))
    zipped(tmp_path / "MATICUSDT-15m-2024-01-02.zip", kline_lines(strange[96:]))
    _, lake = brought_in(tmp_path, "candles", "POLUSDT", days=2)
    assert same(lake.as_of("candles", "POLUSDT", FOREVER_MS), frame)


def test_prices_of_one_coin_become_those_of_a_thousand(tmp_path: Path):
    """A source that counts single coins gives the same market: price up, volume down."""
    frame = candles(START_MS, 96)
    names = "[{name: SHIBUSDT, multiplier: 1}]"
    described = f"{{base: SHIB, quote: USDT, multiplier: 1000, names: {{prices: {names}}}}}"
    universe(tmp_path, "1000SHIBUSDT", f"{{1000SHIBUSDT: {described}}}")
    zipped(tmp_path / "SHIBUSDT-15m-2024-01-01.zip", kline_lines(frame))
    _, lake = brought_in(tmp_path, "candles", "1000SHIBUSDT")
    found = lake.as_of("candles", "1000SHIBUSDT", FOREVER_MS)
    assert np.array_equal(found["close"], frame["close"] * 1_000)
    assert np.array_equal(found["volume"], frame["volume"] / 1_000)


def test_parts_by_name_cover_what_is_wanted_once():
    """Before its first name's day a symbol is called as we call it."""
    names = (NameSettings("OLD", "2024-01-02"), NameSettings("NEW", "2024-01-03"))
    asked = wanted("candles", START_MS, START_MS + 5 * DAY_MS)
    renamed = InstrumentSettings(names={"one": names})
    parts = spelled(asked, renamed, "one")
    assert [(part.called, (part.end_ms - part.start_ms) // DAY_MS) for part in parts] == [
        ("BTCUSDT", 1),
        ("OLD", 1),
        ("NEW", 3),
    ]
    assert [part.start_ms for part in parts[1:]] == [part.end_ms for part in parts[:-1]]
    late = wanted("candles", START_MS + 3 * DAY_MS, START_MS + 3 * DAY_MS + BAR_MS)
    assert [
        part.called for part in spelled(late, InstrumentSettings(names={"one": names}), "one")
    ] == ["NEW"]
    assert spelled(asked, InstrumentSettings(), "one") == [asked]


@pytest.mark.parametrize(
    ("instruments", "found"),
    [
        ("{ETHUSDT: {base: ETH, quote: USDT}}", "instruments: found ETHUSDT"),
        ("{BTCUSDT: {base: BTC}}", "expected both"),
        ("{BTCUSDT: {multiplier: 1000}}", "expected base and quote"),
        ("{BTCUSDT: {names: {nobody: XBT}}}", "found source nobody"),
        ("{BTCUSDT: {names: {prices: [{name: A, since: '2024-02-01'}, {name: B}]}}}", "order"),
        ("{BTCUSDT: {quotes: USDT}}", "unknown key"),
    ],
)
def test_instrument_that_cannot_be_is_refused(tmp_path: Path, instruments: str, found: str):
    """Every mistake is named."""
    universe(tmp_path, "BTCUSDT", instruments)
    with pytest.raises(SettingsError, match=found):
        load_universe(tmp_path)
