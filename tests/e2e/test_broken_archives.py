"""Archive files on a bad day: a broken file stops the run, a whole one in its place repairs it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kernel.errors import TidegateError
from market_data.ingest.ingestion import Ingest, ingest, quarantined_in, rows_in
from market_data.sources.catalogue import Sources
from market_data.storage.lake import FOREVER_MS, Lake
from market_data.universe import load_universe
from market_data.window import Window
from tests.market_data.sources.layouts import (
    FUNDING_HEADER,
    KLINE_HEADER,
    candles,
    kline_lines,
    publish_checksum,
    zipped,
)

SYMBOL = "BTCUSDT"
BAR_MS = 900_000
HOUR_MS = 3_600_000
MONTHS = ("2024-01", "2024-02", "2024-03")
PATHS = {
    "candles": "data/futures/um/monthly/klines/BTCUSDT/15m/BTCUSDT-15m-{}.zip",
    "funding": "data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-{}.zip",
}
UNIVERSE = """
symbols: [BTCUSDT]
timeframe: 15m
history_start: "2024-01-01"
sources: {{archive: {{adapter: binance_archive, path: "{}"}}}}
market:
  candles:       {{source: archive, publication_lag_ms: 0}}
  funding:       {{source: archive, publication_lag_ms: 60000}}
  open_interest: {{source: archive, publication_lag_ms: 60000}}
  fear_greed:    {{source: archive, publication_lag_ms: 0}}
  onchain:       {{source: archive, publication_lag_ms: 0}}
"""


def ms(text: str) -> int:
    return int(np.datetime64(text, "ms").astype(np.int64))


WINDOW = Window(SYMBOL, ms("2024-01-01"), ms("2024-04-01"))


def lines(table: str, month: str) -> tuple[list[str], str]:
    """Return the rows of a file and its header."""
    start = ms(month)
    end = int((np.datetime64(month, "M") + 1).astype("datetime64[ms]").astype(int))
    if table == "candles":
        return kline_lines(candles(start, (end - start) // BAR_MS)), KLINE_HEADER
    stamps = range(start, end, 8 * HOUR_MS)
    return [f"{at + 3},8,{1e-4 + at % 7 * 1e-5!r}" for at in stamps], FUNDING_HEADER


def publish(folder: Path, table: str, month: str, change: Callable[[list[str]], list[str]]) -> Path:
    """Write a file with its checksum, as whoever publishes it would."""
    rows, header = lines(table, month)
    path = zipped(folder / PATHS[table].format(month), change(rows), header)
    publish_checksum(path)
    return path


def published(folder: Path) -> None:
    """Write the whole archive."""
    for table in PATHS:
        for month in MONTHS:
            publish(folder, table, month, list)


def run(folder: Path, table: str, lake: Lake) -> Ingest | TidegateError:
    """Ingest the three months as a run of its own would."""
    (folder / "universe.yaml").write_text(UNIVERSE.format(folder))
    sources = Sources(folder=str(folder), venue_url="http://127.0.0.1:9")
    try:
        return ingest(table, sources, lake, [WINDOW], load_universe(folder))[0]
    except TidegateError as failure:
        return failure


@pytest.fixture(scope="module")
def digests(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the digest of each table when every file is whole."""
    folder = tmp_path_factory.mktemp("sound")
    published(folder)
    lake = Lake(root=str(folder / "lake"))
    for table in PATHS:
        report = run(folder, table, lake)
        assert isinstance(report, Ingest), report
        assert report.quarantined == 0
    return {table: lake.table_digest(table, SYMBOL, FOREVER_MS) for table in PATHS}


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def bad_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def unsigned(damage: Callable[[Path], None]) -> Callable[[Path], None]:
    """Return the damage to a file that has no checksum beside it."""

    def both(path: Path) -> None:
        path.with_name(f"{path.name}.CHECKSUM").unlink()
        damage(path)

    both.__name__ = f"{damage.__name__}_unsigned"
    return both


def empty(path: Path) -> None:
    path.write_bytes(b"")


def error_page(path: Path) -> None:
    path.write_text("<html>404</html>")


def other_checksum(path: Path) -> None:
    path.with_name(f"{path.name}.CHECKSUM").write_text(f"{'0' * 64}  {path.name}\n")


DAMAGES = (half, bad_byte, unsigned(half), unsigned(bad_byte), empty, unsigned(error_page))


@pytest.mark.parametrize("damage", [*DAMAGES, other_checksum], ids=lambda one: one.__name__)
@pytest.mark.parametrize("table", sorted(PATHS))
def test_a_broken_file_stops_the_run_and_a_whole_one_repairs_it(
    tmp_path: Path,
    digests: dict[str, str],
    table: str,
    damage: Callable[[Path], None],
) -> None:
    """The failure names the file; no row of it is stored; fetched again, all is there."""
    month = MONTHS[1]
    published(tmp_path)
    path = tmp_path / PATHS[table].format(month)
    damage(path)
    lake = Lake(root=str(tmp_path / "lake"))
    outcome = run(tmp_path, table, lake)
    assert isinstance(outcome, TidegateError)
    assert path.name in (str(outcome) or "")
    stored = rows_in(lake, table, WINDOW)["event_time_ms"]
    assert not len(stored) or int(stored.max()) < ms(month)
    publish(tmp_path, table, month, list)
    assert isinstance(run(tmp_path, table, lake), Ingest)
    assert lake.table_digest(table, SYMBOL, FOREVER_MS) == digests[table]


@pytest.mark.parametrize("month", MONTHS)
@pytest.mark.parametrize("table", sorted(PATHS))
def test_a_missing_file_is_read_once_it_is_there(
    tmp_path: Path, digests: dict[str, str], table: str, month: str
) -> None:
    """A month without a file is a hole, not history that was read."""
    published(tmp_path)
    (tmp_path / PATHS[table].format(month)).unlink()
    lake = Lake(root=str(tmp_path / "lake"))
    assert isinstance(run(tmp_path, table, lake), Ingest)
    publish(tmp_path, table, month, list)
    assert isinstance(run(tmp_path, table, lake), Ingest)
    assert lake.table_digest(table, SYMBOL, FOREVER_MS) == digests[table]


def without_three(rows: list[str]) -> list[str]:
    return [row for at, row in enumerate(rows) if at not in {20, 21, 40}]


def doubled(rows: list[str]) -> list[str]:
    return [row for row in rows for _ in range(2)]


def backwards(rows: list[str]) -> list[str]:
    return rows[::-1]


def garbage(rows: list[str]) -> list[str]:
    """Put nonsense in place of the first value of two rows: one no number, one absurd."""
    cells = [row.split(",") for row in rows]
    at = 1 if len(cells[0]) > 3 else 2
    cells[20][at] = "NaN"
    cells[40][at] = "1e300"
    return [",".join(row) for row in cells]


@pytest.mark.parametrize("spoil", [without_three, doubled, backwards, garbage])
@pytest.mark.parametrize("table", sorted(PATHS))
def test_a_spoiled_file_is_repaired_by_its_correction(
    tmp_path: Path,
    digests: dict[str, str],
    table: str,
    spoil: Callable[[list[str]], list[str]],
) -> None:
    """Rows that are not in a file, or no values, are read from the file that takes its place."""
    published(tmp_path)
    publish(tmp_path, table, "2024-02", spoil)
    lake = Lake(root=str(tmp_path / "lake"))
    outcome = run(tmp_path, table, lake)
    aside = quarantined_in(lake, table, WINDOW)
    assert isinstance(outcome, TidegateError) or len(aside) == (2 if spoil is garbage else 0)
    if spoil in {doubled, backwards}:
        assert lake.table_digest(table, SYMBOL, FOREVER_MS) == digests[table]
    publish(tmp_path, table, "2024-02", list)
    assert isinstance(run(tmp_path, table, lake), Ingest)
    assert lake.table_digest(table, SYMBOL, FOREVER_MS) == digests[table]
    assert not len(quarantined_in(lake, table, WINDOW))


def test_an_archive_that_is_whole_is_read_once(tmp_path: Path) -> None:
    """The second run of the same files reads nothing."""
    published(tmp_path)
    lake = Lake(root=str(tmp_path / "lake"))
    reports = [run(tmp_path, "candles", lake) for _ in range(2)]
    assert [report.read_ms for report in reports if isinstance(report, Ingest)][1] == ()
