"""A mirror of the exchange's data dump gives back exactly what was written into it."""

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from kernel.errors import TidegateError
from market_data.sources.binance_archive import DUMPS, BinanceArchive
from market_data.sources.columns import times_ms
from market_data.sources.stamps import WrongColumnError
from tests.market_data.sources.layouts import (
    AGG_HEADER,
    BAR_MS,
    BOOK_HEADER,
    DAY_MS,
    FUNDING_HEADER,
    KLINE_HEADER,
    METRICS_HEADER,
    START_MS,
    candles,
    kline_lines,
    publish_checksum,
    read,
    same,
    settings,
    wanted,
    zipped,
)

MONTH_MS = 31 * DAY_MS
UM = "data/futures/um"
JANUARY = f"{UM}/monthly/klines/BTCUSDT/15m/BTCUSDT-15m-2024-01.zip"


def archive(folder: Path, market: str = "perpetual") -> BinanceArchive:
    return BinanceArchive("dump", settings("binance_archive", market=market), str(folder))


def day(number: int) -> str:
    return f"{pd.Timestamp(START_MS + number * DAY_MS, unit='ms'):%Y-%m-%d}"


@pytest.mark.parametrize("header", ["", KLINE_HEADER])
@pytest.mark.parametrize("per_ms", [1, 1_000])
@pytest.mark.parametrize("above", ["data/spot/", "spot/", "", None])
def test_klines_come_back_bit_by_bit(tmp_path: Path, header: str, per_ms: int, above: str | None):
    """With and without a header, in ms and µs, mirrored or flat: the numbers are those written."""
    frame = candles(START_MS, 700)
    root = "" if above is None else f"{above}monthly/klines/BTCUSDT/15m"
    zipped(tmp_path / root / "BTCUSDT-15m-2024-01.zip", kline_lines(frame, per_ms), header)
    found = read(archive(tmp_path, "spot"), wanted("candles", START_MS, START_MS + MONTH_MS))
    assert same(found, frame)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 30 * 96 - 1),
            *[st.floats(5e-324, 1e300, allow_nan=False) for _ in range(5)],
        ),
        min_size=1,
        max_size=30,
    ),
    st.booleans(),
    st.sampled_from([1, 1_000]),
)
@hypothesis_settings(max_examples=40, deadline=None)
def test_any_number_survives_the_trip(tmp_path_factory, rows, headed: bool, per_ms: int):
    """Whatever doubles and in whatever order, doubled rows included: nothing is repaired here."""
    folder = tmp_path_factory.mktemp("dump")
    frame = pd.DataFrame(rows, columns=["event_time_ms", "open", "high", "low", "close", "volume"])
    frame["event_time_ms"] = START_MS + BAR_MS * frame["event_time_ms"]
    zipped(folder / JANUARY, kline_lines(frame, per_ms), KLINE_HEADER if headed else "")
    found = read(archive(folder), wanted("candles", START_MS, START_MS + MONTH_MS))
    assert same(found, frame)


def test_bars_are_taken_from_the_files_of_their_own_length(tmp_path: Path):
    """Minutes, quarters and the mark price lie in folders of their own and never mix."""
    quarters = candles(START_MS, 96)
    minutes = candles(START_MS, 1_440, 60_000, seed=2)
    marks = candles(START_MS, 96, seed=3).drop(columns="volume")
    below = tmp_path / UM / "daily"
    zipped(below / "klines/BTCUSDT/15m/BTCUSDT-15m-2024-01-01.zip", kline_lines(quarters))
    zipped(below / "klines/BTCUSDT/1m/BTCUSDT-1m-2024-01-01.zip", kline_lines(minutes))
    zipped(below / "markPriceKlines/BTCUSDT/15m/BTCUSDT-15m-2024-01-01.zip", kline_lines(marks))
    source = archive(tmp_path)
    held = {"candles": quarters, "minute_candles": minutes, "mark_candles": marks}
    for table, frame in held.items():
        assert same(read(source, wanted(table, START_MS, START_MS + DAY_MS)), frame)
    assert len(read(source, wanted("index_candles", START_MS, START_MS + DAY_MS))) == 0
    hours = wanted("candles", START_MS, START_MS + DAY_MS, bar_ms=3_600_000)
    assert len(read(source, hours)) == 0


def test_flat_folder_gives_candles_but_never_a_mark_price(tmp_path: Path):
    """Mark and plain candles are named alike, so only a folder of theirs tells them apart."""
    zipped(tmp_path / "BTCUSDT-15m-2024-01.zip", kline_lines(candles(START_MS, 9)))
    source = archive(tmp_path)
    assert len(read(source, wanted("candles", START_MS, START_MS + DAY_MS))) == 9
    assert len(read(source, wanted("mark_candles", START_MS, START_MS + DAY_MS))) == 0


def test_days_fill_what_their_month_lacks(tmp_path: Path):
    """The month's file lacks the second; the day's file beside it has it, and February has days."""
    january = candles(START_MS, 31 * 96)
    february = candles(START_MS + MONTH_MS, 96, seed=4)
    zipped(tmp_path / JANUARY, kline_lines(january.drop(index=range(96, 192))))
    days = tmp_path / UM / "daily/klines/BTCUSDT/15m"
    zipped(days / "BTCUSDT-15m-2024-01-02.zip", kline_lines(january[96:192]))
    zipped(days / "BTCUSDT-15m-2024-02-01.zip", kline_lines(february))
    found = read(archive(tmp_path), wanted("candles", START_MS, START_MS + 2 * MONTH_MS))
    assert same(found, pd.concat([january, february], ignore_index=True))


def test_rows_in_which_two_files_disagree_come_together(tmp_path: Path):
    """The month's stands first, and both in one page: whoever judges them sees it."""
    january = candles(START_MS, 31 * 96)
    other = candles(START_MS, 96, seed=9)
    zipped(tmp_path / JANUARY, kline_lines(january))
    zipped(tmp_path / "BTCUSDT-15m-2024-01-01.zip", kline_lines(other))
    (page,) = archive(tmp_path).pages(wanted("candles", START_MS, START_MS + MONTH_MS))
    assert page["event_time_ms"].value_counts().tolist() == [2] * 96 + [1] * 30 * 96
    assert same(page.drop_duplicates("event_time_ms").reset_index(drop=True), january)


TREE = ("data", "futures", "um", "monthly", "klines", "BTCUSDT", "15m")


@pytest.mark.parametrize("below", range(len(TREE) + 1))
@pytest.mark.parametrize("above", ["", "backup/of 2024"])
def test_every_tail_of_the_tree_is_read(tmp_path: Path, below: int, above: str):
    """The whole tree, any part of it, the zips alone, and a path that is folders too high."""
    frame = candles(START_MS, 96)
    path = Path(above, *TREE[below:], "BTCUSDT-15m-2024-01.zip")
    zipped(tmp_path / path, kline_lines(frame))
    asked = wanted("candles", START_MS, START_MS + MONTH_MS)
    assert same(read(archive(tmp_path), asked), frame)
    assert archive(tmp_path).searched(asked) == ""


@pytest.mark.parametrize(
    "below",
    [
        "data/spot/monthly/klines/BTCUSDT/15m",
        "spot/monthly/klines/BTCUSDT/15m",
        "data/futures/cm/monthly/klines/BTCUSDT/15m",
        "monthly/markPriceKlines/BTCUSDT/15m",
        "premiumIndexKlines/BTCUSDT/15m",
    ],
)
def test_other_markets_and_kinds_in_the_tree_are_none_of_ours(tmp_path: Path, below: str):
    """A zip of the same name under another market's folder is another market's."""
    zipped(tmp_path / below / "BTCUSDT-15m-2024-01.zip", kline_lines(candles(START_MS, 9)))
    asked = wanted("candles", START_MS, START_MS + MONTH_MS)
    assert len(read(archive(tmp_path), asked)) == 0
    assert "BTCUSDT-15m-2024-01.zip" in archive(tmp_path).searched(asked)


def test_path_may_lead_into_the_folder_of_a_kind(tmp_path: Path):
    """The folder above says what the zips are: mark candles, and no plain ones."""
    marks = candles(START_MS, 9).drop(columns="volume")
    root = tmp_path / "data/futures/um/daily/markPriceKlines"
    zipped(root / "BTCUSDT/15m/BTCUSDT-15m-2024-01-01.zip", kline_lines(marks))
    assert same(read(archive(root), wanted("mark_candles", START_MS, START_MS + DAY_MS)), marks)
    assert len(read(archive(root), wanted("candles", START_MS, START_MS + DAY_MS))) == 0


def test_missing_files_are_named_with_what_lies_there(tmp_path: Path):
    """Five-minute files are no quarters, and whoever has only those is told so."""
    bars = kline_lines(candles(START_MS, 9, 300_000))
    zipped(tmp_path / "BTCUSDT/BTCUSDT-5m-2024-01.zip", bars)
    asked = wanted("candles", START_MS, START_MS + MONTH_MS)
    said = archive(tmp_path).searched(asked)
    assert "looked for BTCUSDT-15m-<month or day>.zip (klines) below" in said
    assert str(tmp_path) in said
    assert "there are BTCUSDT/BTCUSDT-5m-2024-01.zip" in said


def test_only_files_that_meet_the_window_are_opened(tmp_path: Path):
    """A broken file before or after the window disturbs nobody; within it, it is named."""
    days = tmp_path / UM / "daily/klines/BTCUSDT/15m"
    for number in range(3):
        rows = candles(START_MS + number * DAY_MS, 96)
        path = zipped(days / f"BTCUSDT-15m-{day(number)}.zip", kline_lines(rows))
        if number != 1:
            path.write_bytes(b"not an archive")
    source = archive(tmp_path)
    assert len(read(source, wanted("candles", START_MS + DAY_MS, START_MS + 2 * DAY_MS))) == 96
    with pytest.raises(TidegateError, match=r"2024-01-01\.zip: found a file that begins"):
        read(source, wanted("candles", START_MS, START_MS + 2 * DAY_MS))


def test_missing_month_has_no_rows_and_is_no_error(tmp_path: Path):
    """What the dump does not have is a gap that the checks show, not a failure of the run."""
    zipped(tmp_path / JANUARY, kline_lines(candles(START_MS, 96)))
    march = START_MS + 60 * DAY_MS
    assert len(read(archive(tmp_path), wanted("candles", march, march + MONTH_MS))) == 0
    assert len(read(archive(tmp_path), wanted("candles", START_MS, march, "ETHUSDT"))) == 0


def test_folder_or_market_that_is_not_there_is_refused(tmp_path: Path):
    """A misspelt path is no empty market."""
    for source in (archive(tmp_path / "nowhere"), archive(tmp_path, "options")):
        with pytest.raises(TidegateError, match="dump: found no folder"):
            read(source, wanted("candles", START_MS, START_MS + DAY_MS))


def test_spot_has_only_what_spot_has():
    """The dump has no funding, mark price or open interest of a spot market."""
    spot = archive(Path(), "spot").tables
    assert spot == {"candles", "reference_candles", "minute_candles", "trades"}
    assert archive(Path()).tables == set(DUMPS)


def test_funding_keeps_its_stamp(tmp_path: Path):
    """Settlements some milliseconds off the hour come as they are."""
    stamps = START_MS + np.array([0, 28_800_003, 57_600_011])
    lines = [
        f"{t},8,{rate}" for t, rate in zip(stamps, ("0.00010000", "-0.00025", ""), strict=True)
    ]
    path = f"{UM}/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2024-01.zip"
    zipped(tmp_path / path, lines, FUNDING_HEADER)
    found = read(archive(tmp_path), wanted("funding", START_MS, START_MS + MONTH_MS))
    assert found["event_time_ms"].tolist() == stamps.tolist()
    assert found["funding_rate"].tolist()[:2] == [0.0001, -0.00025]
    assert np.isnan(found["funding_rate"][2])


def test_open_interest_is_taken_at_the_bars_open(tmp_path: Path):
    """Of the five-minute stamps those on the grid count; the last of a day is the next day's."""
    below = tmp_path / UM / "daily/metrics/BTCUSDT"
    for number in range(2):
        stamps = pd.date_range(day(number), periods=288, freq="5min") + pd.Timedelta("5min")
        lines = [f"{t:%Y-%m-%d %H:%M:%S},BTCUSDT,{k}.5,1,1,1,1,1" for k, t in enumerate(stamps)]
        zipped(below / f"BTCUSDT-metrics-{day(number)}.zip", lines, METRICS_HEADER)
    second = START_MS + DAY_MS
    found = read(archive(tmp_path), wanted("open_interest", second, second + DAY_MS))
    assert found["event_time_ms"].tolist() == list(range(second, second + DAY_MS, BAR_MS))
    assert found["open_interest"].tolist() == [287.5, *(k + 0.5 for k in range(2, 287, 3))]


LABELS_MOVED = int((pd.Timestamp("2026-06-25") - pd.Timestamp(START_MS, unit="ms")).days)


def metrics(folder: Path, number: int, first: int, last: int, late: int = 0) -> None:
    """Write a day of metrics with the five-minute labels `first` to `last`, counted from midnight.

    The value counts the five minutes since 1970 to the moment of measuring, `late` after the label.
    """
    start_ms = START_MS + number * DAY_MS
    lines = []
    for k in range(first, last + 1):
        label = pd.Timestamp(start_ms + k * 300_000, unit="ms")
        moment = (start_ms // 300_000 + k + late) % 1_000_000
        lines.append(f"{label:%Y-%m-%d %H:%M:%S},BTCUSDT,{moment},1,1,1,1,1")
    name = f"BTCUSDT-metrics-{day(number)}.zip"
    zipped(folder / UM / "daily/metrics/BTCUSDT" / name, lines, METRICS_HEADER)


@pytest.mark.parametrize(
    ("number", "first", "last", "late"),
    [
        (0, 1, 288, 0),  # 00:05 to 24:00: ends
        (0, 0, 287, 1),  # 00:00 to 23:55: beginnings, whatever the day
        (LABELS_MOVED, 1, 288, 0),
        (LABELS_MOVED, 0, 287, 1),
        (0, 5, 280, 0),  # neither end is there: the day says
        (LABELS_MOVED, 5, 280, 1),
        (0, 1, 200, 0),  # cut off
        (0, 0, 200, 1),
        (LABELS_MOVED - 1, 0, 288, 0),  # both ends: the day says
    ],
)
def test_open_interest_is_dated_when_it_was_measured(
    tmp_path: Path, number: int, first: int, last: int, late: int
):
    """Whether a file labels by the beginning or the end of five minutes is told by the file."""
    metrics(tmp_path, number, first, last, late)
    start_ms = START_MS + number * DAY_MS
    found = read(archive(tmp_path), wanted("open_interest", start_ms, start_ms + 2 * DAY_MS))
    assert len(found) > 60
    moments = found["event_time_ms"] // 300_000 % 1_000_000
    assert found["open_interest"].tolist() == moments.tolist()


def test_labels_that_move_from_one_day_to_the_next_leave_no_seam(tmp_path: Path):
    """The last end of one day and the first beginning of the next have one name and two moments."""
    metrics(tmp_path, LABELS_MOVED - 1, 1, 288)
    metrics(tmp_path, LABELS_MOVED, 0, 287, late=1)
    start_ms = START_MS + (LABELS_MOVED - 1) * DAY_MS
    found = read(archive(tmp_path), wanted("open_interest", start_ms, start_ms + 2 * DAY_MS))
    expected = range(start_ms + BAR_MS, start_ms + 2 * DAY_MS, BAR_MS)
    assert found["event_time_ms"].tolist() == list(expected)
    assert found["open_interest"].tolist() == [t // 300_000 % 1_000_000 for t in expected]


def test_metrics_that_are_on_no_grid_are_handed_over(tmp_path: Path):
    """Rows between bars were not asked for; one beside the dump's own grid is a fault to see."""
    lines = [f"2024-01-01 00:{m}:00,BTCUSDT,5,1,1,1,1,1" for m in ("05", "10", "12", "15", "20")]
    name = "BTCUSDT-metrics-2024-01-01.zip"
    zipped(tmp_path / name, lines, METRICS_HEADER)
    found = read(archive(tmp_path), wanted("open_interest", START_MS, START_MS + DAY_MS))
    assert ((found["event_time_ms"] - START_MS) // 60_000).tolist() == [12, 15]


@pytest.mark.parametrize(("header", "words"), [(AGG_HEADER, "true false"), ("", "True False")])
def test_trades_say_who_took(tmp_path: Path, header: str, words: str):
    """Where the buyer was the maker a seller took, and the other way round."""
    maker, taker = words.split()
    more = "" if header else ",True"
    lines = [
        f"9007199254740993,50000.5,0.010,200,201,{START_MS + 7},{maker}{more}",
        f"9007199254740994,50000.0,0.020,202,204,{START_MS + 7},{taker}{more}",
    ]
    path = f"{UM}/monthly/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2024-01.zip"
    zipped(tmp_path / path, lines, header)
    found = read(archive(tmp_path), wanted("trades", START_MS, START_MS + DAY_MS))
    assert found["trade_id"].tolist() == [9007199254740993, 9007199254740994]
    assert found["side"].tolist() == [-1.0, 1.0]
    assert found["event_time_ms"].tolist() == [START_MS + 7] * 2
    assert found[["price", "quantity"]].to_numpy().tolist() == [[50000.5, 0.01], [50000.0, 0.02]]


def test_book_ticker_is_depth_without_its_sums(tmp_path: Path):
    """Best bid and ask with quantities; what lies below them is not in the file and so is NaN."""
    lines = [f"9001,49999.9,1.5,50000.1,2.0,{START_MS + 123},{START_MS + 125}"]
    path = f"{UM}/daily/bookTicker/BTCUSDT/BTCUSDT-bookTicker-2024-01-01.zip"
    zipped(tmp_path / path, lines, BOOK_HEADER)
    row = read(archive(tmp_path), wanted("depth", START_MS, START_MS + DAY_MS)).iloc[0]
    assert row[["event_time_ms", "update_id"]].tolist() == [START_MS + 123, 9001]
    assert row[["best_bid", "best_bid_quantity"]].tolist() == [49999.9, 1.5]
    assert row[["best_ask", "best_ask_quantity"]].tolist() == [50000.1, 2.0]
    assert row[["bid_quantity_100", "ask_quantity_100"]].isna().all()


def test_checksum_is_verified_where_it_is_given(tmp_path: Path):
    """The published digest passes; a file that differs fails and names itself and both digests."""
    path = zipped(tmp_path / JANUARY, kline_lines(candles(START_MS, 96)))
    published = publish_checksum(path)
    source = archive(tmp_path)
    asked = wanted("candles", START_MS, START_MS + DAY_MS)
    assert len(read(source, asked)) == 96
    digest = published.read_text()[:64]
    zipped(path, kline_lines(candles(START_MS, 95)))
    with pytest.raises(TidegateError) as failure:
        read(source, asked)
    text = str(str(failure.value))
    assert text.startswith(f"{path}: found sha256 ")
    assert f"expected {digest} as in BTCUSDT-15m-2024-01.zip.CHECKSUM" in text
    assert text.count(digest) == 1


@pytest.mark.parametrize("text", ["", "no digest", "0" * 64 + "  ETHUSDT-15m-2024-01.zip"])
def test_checksum_file_that_says_nothing_is_refused(tmp_path: Path, text: str):
    """A checksum file that is empty, garbled or another file's is a failure, not a free pass."""
    path = zipped(tmp_path / JANUARY, kline_lines(candles(START_MS, 96)))
    path.with_name(f"{path.name}.CHECKSUM").write_text(text)
    with pytest.raises(TidegateError, match=r"CHECKSUM: found"):
        read(archive(tmp_path), wanted("candles", START_MS, START_MS + DAY_MS))


def test_no_row_of_a_damaged_archive_is_yielded(tmp_path: Path):
    """Cut anywhere or with one bit turned, an archive gives a failure before its first row."""
    path = zipped(tmp_path / JANUARY, kline_lines(candles(START_MS, 31 * 96)))
    whole = path.read_bytes()
    source = archive(tmp_path)
    asked = wanted("candles", START_MS, START_MS + MONTH_MS)
    damaged = [whole[:cut] for cut in (0, 3, 20, len(whole) // 2, len(whole) - 1)]
    damaged += [
        whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in (200, 5_000, 50_000)
    ]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(TidegateError, match=r"BTCUSDT-15m-2024-01\.zip: found"):
            next(source.pages(asked))
    path.write_bytes(whole)
    assert len(read(source, asked)) == 31 * 96


@pytest.mark.parametrize(
    ("lines", "header", "found"),
    [
        (["1704067200000,1,2,0.5,ten,1,1,1,1,1,1,0"], "", "ten"),
        (["1704067200000,1,2,0.5"], "", "expected also"),
        (["1704067200000,1,2"], "time,o,h", "found the columns time, o, h, expected also"),
        (["1704067200000,1,2,0.5,1,1,1,1,1,1,1,0", "1704067200000,1,2"], "", "column"),
        (["x" * 6_000_000], KLINE_HEADER, "a line of"),
        (["\x00\x01\x02"], "", "expected also"),
    ],
)
def test_file_of_another_layout_is_refused(
    tmp_path: Path, lines: list[str], header: str, found: str
):
    """Text where numbers belong, too few fields, or no table at all: the failure names the file."""
    zipped(tmp_path / JANUARY, lines, header)
    with pytest.raises(TidegateError) as failure:
        read(archive(tmp_path), wanted("candles", START_MS, START_MS + DAY_MS))
    text = str(str(failure.value))
    assert "BTCUSDT-15m-2024-01.zip: found a file that cannot be read" in text
    assert found in text


def test_empty_file_has_no_rows(tmp_path: Path):
    """A month in which a market did not trade is an empty file, with or without its header."""
    for header in ("", KLINE_HEADER):
        zipped(tmp_path / JANUARY, [], header)
        asked = wanted("candles", START_MS, START_MS + DAY_MS)
        assert len(read(archive(tmp_path), asked)) == 0


def test_large_file_arrives_in_small_pages(tmp_path: Path):
    """Some 100,000 trades come in several pages that together are the file."""
    count = 150_000
    lines = (f"{k},50000.5,0.010,{k},{k},{START_MS + k},true" for k in range(count))
    path = f"{UM}/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2024-01-01.zip"
    zipped(tmp_path / path, lines, AGG_HEADER)
    pages = list(archive(tmp_path).pages(wanted("trades", START_MS, START_MS + DAY_MS)))
    assert len(pages) > 1
    assert max(map(len, pages)) < 100_000
    ids = np.concatenate([page["trade_id"].to_numpy() for page in pages])
    assert np.array_equal(ids, np.arange(count))


def test_archive_reads_a_stored_entry_too(tmp_path: Path):
    """An archive whose entry is not compressed is as good."""
    frame = candles(START_MS, 96)
    path = tmp_path / "BTCUSDT-15m-2024-01-01.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        file.writestr("BTCUSDT-15m-2024-01-01.csv", "\n".join(kline_lines(frame)))
    found = read(archive(tmp_path), wanted("candles", START_MS, START_MS + DAY_MS))
    assert same(found, frame)


def test_stamps_of_every_kind_are_the_same_moment():
    """Numbers in any unit, typed stamps, dates and text with or without a zone agree."""
    import pyarrow as pa

    for unit, factor in (("s", 1), ("ms", 1_000), ("us", 10**6), ("ns", 10**9)):
        assert times_ms(pa.array([1_704_067_200 * factor]), unit).tolist() == [START_MS]
        typed = pa.array([1_704_067_200 * factor], pa.timestamp(unit, tz="UTC"))
        assert times_ms(typed).tolist() == [START_MS]
    day = "2024-01-01"
    for text in (day, f"{day} 00:00:00", f"{day}T01:00:00+01:00", f"{day}T00:00:00.000000000Z"):
        assert times_ms(pa.array([text])).tolist() == [START_MS]
    assert times_ms(pa.array([1_704_067_200.0]), "s").tolist() == [START_MS]
    with pytest.raises(WrongColumnError, match="found no stamp"):
        times_ms(pa.array([1_704_067_200_000, None]))
