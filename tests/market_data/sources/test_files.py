"""Plain files of any layout come in as universe.yaml describes them, bit by bit or not at all."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from kernel.errors import TidegateError
from market_data.sources.files import Files
from market_data.sources.forms import WrongFormError, parse
from market_data.universe import FilesSettings
from tests.market_data.sources.layouts import (
    BAR_MS,
    DAY_MS,
    START_MS,
    candles,
    read,
    same,
    settings,
    wanted,
)

DAY = wanted("candles", START_MS, START_MS + DAY_MS)
THEIRS = {"event_time_ms": "t", "open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"}


def files(folder: Path, table: str = "candles", **described: object) -> Files:
    tables = {table: FilesSettings(**described)}  # type: ignore[arg-type]
    return Files("mine", settings("files", tables=tables), str(folder))


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write a table in the format of the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".feather":
        frame.to_feather(path)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(frame.to_csv(index=False).encode()))
    else:
        frame.to_csv(path, index=False)


def theirs(frame: pd.DataFrame, stamp: str) -> pd.DataFrame:
    """Return the candles under other names and with stamps of another kind."""
    moments = pd.to_datetime(frame["event_time_ms"], unit="ms", utc=True)
    stamps = {
        "s": frame["event_time_ms"] // 1_000,
        "ms": frame["event_time_ms"],
        "us": frame["event_time_ms"] * 1_000,
        "ns": frame["event_time_ms"] * 1_000_000,
        "typed": moments,
        "iso": moments.dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "plain": moments.dt.strftime("%Y-%m-%d %H:%M:%S"),
    }
    named = frame.rename(columns=THEIRS).assign(t=stamps[stamp])
    return named[["c", "v", "t", "o", "h", "l"]]


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet", "feather"])
@pytest.mark.parametrize("stamp", ["s", "ms", "us", "ns", "typed", "iso", "plain"])
def test_candles_come_back_whatever_the_format_and_the_stamps(
    tmp_path: Path, suffix: str, stamp: str
):
    """Other names, another order of columns, any format and any kind of time: the same doubles."""
    frame = candles(START_MS, 96)
    write(theirs(frame, stamp), tmp_path / f"BTC/bars_15m.{suffix}")
    unit = stamp if stamp in {"s", "ms", "us", "ns"} else ""
    source = files(tmp_path, files="{base}/bars_{timeframe}.*", columns=THEIRS, time_unit=unit)
    assert same(read(source, DAY), frame)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 95), *[st.floats(allow_infinity=False, width=64) for _ in range(5)]
        ),
        min_size=1,
        max_size=20,
        unique_by=lambda row: row[0],
    ),
    st.sampled_from(["csv", "parquet", "feather"]),
)
@hypothesis_settings(max_examples=60, deadline=None)
def test_any_number_survives_the_trip(tmp_path_factory, rows, suffix: str):
    """Whatever doubles, NaN included: nothing is rounded, filled or judged here."""
    folder = tmp_path_factory.mktemp("files")
    frame = pd.DataFrame(rows, columns=["event_time_ms", "open", "high", "low", "close", "volume"])
    frame["event_time_ms"] = START_MS + 60_000 * frame["event_time_ms"]
    frame = frame.replace({np.nan: np.nan})  # one NaN of the many
    write(frame, folder / f"BTCUSDT.{suffix}")
    source = files(folder, "trades", files="{symbol}.*", time_unit="ms", columns={
        "trade_id": "event_time_ms", "price": "open", "quantity": "volume", "side": "close",
    })  # fmt: skip
    found = read(source, wanted("trades", START_MS, START_MS + DAY_MS))
    expected = pd.DataFrame(
        {"price": frame["open"], "quantity": frame["volume"], "side": frame["close"]}
    )
    assert same(found, expected)
    assert found["trade_id"].tolist() == frame["event_time_ms"].tolist()


def test_other_separators_and_marks_are_understood(tmp_path: Path):
    """Semicolons, tabs, quoted names and a byte order mark are common and harmless."""
    frame = candles(START_MS, 5)
    for name, separator in (("a", ";"), ("b", "\t"), ("c", ",")):
        text = frame.to_csv(index=False, sep=separator, quoting=2)
        (tmp_path / f"{name}.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
        source = files(tmp_path, files=f"{name}.csv", time_unit="ms")
        assert same(read(source, DAY), frame)


def test_many_files_are_one_series(tmp_path: Path):
    """A wildcard reads all that fit, by name, and the window cuts the rows."""
    frame = candles(START_MS, 192)
    write(frame[:96], tmp_path / "BTCUSDT/2024-01-01.parquet")
    write(frame[96:], tmp_path / "BTCUSDT/2024-01-02.parquet")
    source = files(tmp_path, files="{symbol}/*.parquet", time_unit="ms")
    noon = START_MS + DAY_MS // 2
    found = read(source, wanted("candles", noon, noon + DAY_MS))
    assert same(found, frame[48:144])


@pytest.mark.parametrize("stamp", ["ms", "typed", "iso"])
def test_parts_of_a_large_file_out_of_reach_are_not_read(tmp_path: Path, stamp: str):
    """A parquet file's own statistics say which of its parts matter; text for times has none."""
    frame = candles(START_MS, 10 * 96)
    path = tmp_path / "BTCUSDT.parquet"
    theirs(frame, stamp).to_parquet(path, row_group_size=96, compression=None)
    described = {
        "files": "*.parquet",
        "columns": THEIRS,
        "time_unit": "" if stamp == "iso" else "ms",
    }
    source = files(tmp_path, **described)
    fourth = wanted("candles", START_MS + 3 * DAY_MS, START_MS + 4 * DAY_MS)
    assert same(read(source, fourth), frame[288:384])
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + bytes(200) + whole[204:])  # the first day is unreadable
    if stamp == "iso":
        with pytest.raises(TidegateError):
            read(source, fourth)
    else:
        assert same(read(source, fourth), frame[288:384])
        with pytest.raises(TidegateError):
            read(source, DAY)


def test_rows_of_one_market_are_chosen_from_a_file_of_many(tmp_path: Path):
    """`where` keeps the rows whose columns hold these texts, placeholders filled in."""
    bitcoin = candles(START_MS, 96)
    ether = candles(START_MS, 96, seed=5)
    both = pd.concat([bitcoin.assign(market="BTC-USDT"), ether.assign(market="ETH-USDT")])
    write(both, tmp_path / "all.parquet")
    source = files(
        tmp_path, files="all.parquet", time_unit="ms", where={"market": "{base}-{quote}"}
    )
    assert same(read(source, DAY), bitcoin)
    assert same(read(source, wanted("candles", START_MS, START_MS + DAY_MS, "ETHUSDT")), ether)
    assert len(read(source, wanted("candles", START_MS, START_MS + DAY_MS, "SOLUSDT"))) == 0


@pytest.mark.parametrize("step_ms", [60_000, 300_000, 3_600_000])
def test_bars_of_another_length_are_refused(tmp_path: Path, step_ms: int):
    """An hour is no quarter with gaps, and every 15th minute is no quarter either."""
    write(candles(START_MS, 50, step_ms), tmp_path / "BTCUSDT.csv")
    source = files(tmp_path, files="{symbol}.csv", time_unit="ms")
    with pytest.raises(TidegateError) as failure:
        read(source, DAY)
    text = str(str(failure.value))
    assert "BTCUSDT.csv: found a file that cannot be read" in text
    assert f"found bars {step_ms} ms apart, expected {BAR_MS} for candles" in text


def test_holes_do_not_change_the_length_of_a_bar(tmp_path: Path):
    """A file with more gaps than anyone likes is still one of quarters."""
    frame = candles(START_MS, 96).drop(index=[*range(4, 20), *range(30, 60), 70, 90])
    write(frame, tmp_path / "BTCUSDT.csv")
    assert same(read(files(tmp_path, files="{symbol}.csv", time_unit="ms"), DAY), frame)


def test_side_is_read_from_words_or_worked_out(tmp_path: Path):
    """buy and sell are +1 and -1; a maker flag becomes them by arithmetic."""
    frame = pd.DataFrame(
        {
            "t": [START_MS, START_MS + 1],
            "id": [7, 8],
            "price": [1.5, 2.5],
            "amount": [1.0, 2.0],
            "side": ["buy", "SELL"],
            "maker": [False, True],
        }
    )
    asked = wanted("trades", START_MS, START_MS + DAY_MS)
    columns = {"event_time_ms": "t", "trade_id": "id", "quantity": "amount"}
    for suffix in ("csv", "parquet"):
        write(frame, tmp_path / f"BTCUSDT.{suffix}")
        for side in ("side", "1 - 2 * maker"):
            source = files(
                tmp_path, "trades", files=f"*.{suffix}", time_unit="ms",
                columns={**columns, "side": side},
            )  # fmt: skip
            found = read(source, asked)
            assert found["side"].tolist() == [1.0, -1.0]
            assert found["trade_id"].tolist() == [7, 8]


def test_publication_time_is_taken_where_it_is_named(tmp_path: Path):
    """A file that says when a row was received gives `known_at_ms`; others have no such column."""
    frame = pd.DataFrame({"t": [START_MS], "got": [START_MS + 5], "rate": [0.0001]})
    write(frame, tmp_path / "BTCUSDT.csv")
    columns = {"event_time_ms": "t", "funding_rate": "rate"}
    asked = wanted("funding", START_MS, START_MS + DAY_MS)
    received = {**columns, "known_at_ms": "got"}
    known = files(tmp_path, "funding", files="*.csv", time_unit="ms", columns=received)
    assert read(known, asked)["known_at_ms"].tolist() == [START_MS + 5]
    plain = files(tmp_path, "funding", files="*.csv", time_unit="ms", columns=columns)
    assert "known_at_ms" not in read(plain, asked)


def test_optional_column_may_be_missing_and_a_required_one_may_not(tmp_path: Path):
    """A metric the file lacks is NaN, never 0; a candle without a close is no candle."""
    frame = pd.DataFrame({"day": ["2024-01-01"], "CapMVRVCur": [2.0]})
    write(frame, tmp_path / "btc.csv")
    columns = {"event_time_ms": "day", "mvrv": "CapMVRVCur"}
    source = files(tmp_path, "onchain", files="{asset}.csv", columns=columns)
    found = read(source, wanted("onchain", START_MS, START_MS + DAY_MS))
    assert found["mvrv"].tolist() == [2.0]
    assert found["fees"].isna().all()
    write(candles(START_MS, 9).drop(columns="close"), tmp_path / "BTCUSDT.csv")
    own = "BTCUSDT.csv: .*the columns event_time_ms, open, high, low, volume, expected also close"
    with pytest.raises(TidegateError, match=own):
        read(files(tmp_path, files="{symbol}.csv", time_unit="ms"), DAY)


@pytest.mark.parametrize(
    ("described", "found"),
    [
        ({"files": "{pair}.csv"}, "'{pair}.csv'"),
        ({"files": "/etc/passwd"}, "'/etc/passwd'"),
        ({"files": "*.csv", "columns": {"klose": "c"}}, "['klose']"),
        ({"files": "*.csv", "columns": {"close": "open()"}}, "open()"),
        ({"files": "*.csv", "columns": {"close": "2 + 2"}}, "names no column"),
        ({"files": "*.csv", "where": {"market": "BTC"}}, "expected also market"),
        (
            {"files": "*.csv", "columns": {"event_time_ms": "t"}},
            "found the columns event_time_ms, ",
        ),
        ({"files": "*.txt"}, "a name that ends in"),
    ],
)
def test_description_that_cannot_be_is_refused(tmp_path: Path, described: dict, found: str):
    """Every mistake in the settings is named with what was found; none means an empty market."""
    frame = candles(START_MS, 9)
    frame.to_parquet(tmp_path / "a.parquet")
    write(frame, tmp_path / "a.csv")
    write(frame, tmp_path / "a.txt")
    with pytest.raises(TidegateError) as failure:
        read(files(tmp_path, **{"time_unit": "ms", **described}), DAY)
    assert found in str(str(failure.value))


def test_missing_file_has_no_rows_and_a_missing_folder_is_refused(tmp_path: Path):
    """No file for a symbol is a gap; no folder is a misspelt path."""
    assert len(read(files(tmp_path, files="{symbol}.csv"), DAY)) == 0
    with pytest.raises(TidegateError, match="mine: found no folder"):
        read(files(tmp_path / "nowhere", files="{symbol}.csv"), DAY)


def test_missing_file_is_named_with_what_lies_there(tmp_path: Path):
    """What was looked for, where, and what is there instead."""
    write(candles(START_MS, 9), tmp_path / "more/ETHUSDT.csv")
    source = files(tmp_path, files="{symbol}_{timeframe}.csv")
    said = source.searched(DAY)
    assert f"looked for BTCUSDT_15m.csv below {tmp_path}" in said
    assert "there are more/ETHUSDT.csv" in said
    write(candles(START_MS, 9), tmp_path / "BTCUSDT_15m.csv")
    assert source.searched(DAY) == ""


@pytest.mark.parametrize(
    ("stamp", "after_ms"), [("open", 0), ("close", BAR_MS - 1), ("end", BAR_MS)]
)
def test_stamp_of_a_bar_means_what_the_setting_says(tmp_path: Path, stamp: str, after_ms: int):
    """Open, last millisecond, or end: the event is the bar's open."""
    frame = candles(START_MS, 96)
    stamped = frame.assign(event_time_ms=frame["event_time_ms"] + after_ms)
    for suffix in ("csv", "parquet"):
        write(stamped, tmp_path / f"{suffix}.{suffix}")
        source = files(tmp_path, files=f"*.{suffix}", time_unit="ms", stamp=stamp)
        assert same(read(source, DAY), frame)


@pytest.mark.parametrize(("stamp", "before_ms"), [("open", BAR_MS), ("close", 1), ("end", 0)])
def test_stamp_of_a_measurement_means_what_the_setting_says(
    tmp_path: Path, stamp: str, before_ms: int
):
    """Open interest is measured at the end of the period that its row describes."""
    times = START_MS + BAR_MS * np.arange(1, 9)
    write(pd.DataFrame({"t": times - before_ms, "oi": 5.0}), tmp_path / "oi.csv")
    columns = {"event_time_ms": "t", "open_interest": "oi"}
    source = files(tmp_path, "open_interest", files="*.csv", stamp=stamp, columns=columns)
    found = read(source, wanted("open_interest", START_MS, START_MS + DAY_MS))
    assert found["event_time_ms"].tolist() == times.tolist()


def test_stamp_of_a_settlement_has_no_meaning_but_its_own(tmp_path: Path):
    """An interval that may change has no length by which a stamp could be moved."""
    write(pd.DataFrame({"event_time_ms": [START_MS], "funding_rate": [1e-4]}), tmp_path / "f.csv")
    source = files(tmp_path, "funding", files="*.csv", stamp="open")
    with pytest.raises(TidegateError, match="found stamp: open for funding, expected none"):
        read(source, wanted("funding", START_MS, START_MS + DAY_MS))


def test_closes_are_not_taken_for_opens(tmp_path: Path):
    """Stamps a millisecond before a bar's end are refused, with the setting that they need."""
    frame = candles(START_MS, 9)
    write(frame.assign(event_time_ms=frame["event_time_ms"] + BAR_MS - 1), tmp_path / "a.csv")
    with pytest.raises(TidegateError, match="say `stamp: close` beside `files`"):
        read(files(tmp_path, files="a.csv"), DAY)


@pytest.mark.parametrize("suffix", ["parquet", "feather", "csv.gz", "csv"])
def test_truncated_file_is_refused_by_name(tmp_path: Path, suffix: str):
    """Half a file is no shorter history."""
    path = tmp_path / f"BTCUSDT.{suffix}"
    write(candles(START_MS, 96), path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(
        TidegateError, match=rf"BTCUSDT\.{suffix}: found a file that cannot be read"
    ):
        read(files(tmp_path, files="BTCUSDT.*", time_unit="ms"), DAY)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_forms_follow_the_rules_of_arithmetic(a: float, b: float):
    """Products before sums, brackets first, a division by zero is no error."""
    columns = {"a": np.array([a]), "b": np.array([b])}
    for text in ("a - b", "1 - 2 * a", "(a + b) / 2", "-a * b + 0.5", "a / b"):
        found = parse(text).value(columns)[0]
        with np.errstate(all="ignore"):
            expected = eval(text, {}, {name: np.float64(v[0]) for name, v in columns.items()})
        assert found == expected or (np.isnan(found) and np.isnan(expected))


@pytest.mark.parametrize("text", ["a ** b", "a if b else c", "f(a)", "a.b", "a[0]", "'x' + a", "3"])
def test_forms_are_arithmetic_and_nothing_else(text: str):
    """No call, attribute, index or text: a settings file computes and never runs."""
    with pytest.raises(WrongFormError):
        parse(text)
