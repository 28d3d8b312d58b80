"""A recorded week replays to the byte, and one wrong byte anywhere is found."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from research.backtest.replay import ReplayReport, replay
from tests.kernel.trading_rows import BAR_MS, MONDAY_MS
from tests.research.backtest.recorded_journal import DECIDED, SWAP_AT, WARM_UP, record

SPOILED_MS = MONDAY_MS + 90 * BAR_MS


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Return a recorded journal of two symbols."""
    path = tmp_path / "the journal.sqlite"
    record(path)
    return path


def change(journal: Path, statement: str, *values: object) -> ReplayReport:
    """Change a journal behind its runner's back and replay it."""
    with closing(sqlite3.connect(journal)) as db, db:
        assert db.execute(statement, values).rowcount > 0
    return replay(journal)


def flipped(journal: Path, column: str, byte: int) -> bytes:
    """Return a decision's blob with one low bit flipped."""
    with closing(sqlite3.connect(journal)) as db:
        (blob,) = db.execute(
            f"SELECT {column} FROM decisions WHERE symbol = 'ETHUSDT' AND open_time_ms = ?",
            (SPOILED_MS,),
        ).fetchone()
    spoiled = bytearray(blob)
    spoiled[byte] ^= 1
    return bytes(spoiled)


def test_a_recorded_week_replays_to_the_byte(journal: Path) -> None:
    """Through a swap, a restart and a rebuilt stream, all features, rows, trades and fills are the
    recorded ones."""
    report = replay(journal)
    assert report.differing_bytes == 0
    assert report.decisions == 2 * DECIDED
    assert [one.symbol for one in report.symbols] == ["BTCUSDT", "ETHUSDT"]
    for one in report.symbols:
        assert one.feature_rows == one.decisions == DECIDED
        assert one.trades > 5
        assert one.fills >= 2 * one.trades
        assert one.first_difference_ms is None
    assert report.trades == sum(one.trades for one in report.symbols)


def test_a_changed_output_is_found(journal: Path) -> None:
    """One flipped bit in what the account did is one differing byte, at its bar."""
    spoiled = flipped(journal, "out", 12 * 8)
    report = change(
        journal,
        "UPDATE decisions SET out = ? WHERE symbol = 'ETHUSDT' AND open_time_ms = ?",
        spoiled,
        SPOILED_MS,
    )
    clean, found = report.symbols
    assert clean.differing_bytes == 0
    assert found.differing_out_bytes == found.differing_bytes == 1
    assert found.first_difference_ms == SPOILED_MS


def test_a_changed_feature_is_found(journal: Path) -> None:
    """One flipped bit in a feature differs from the feature that its observations give."""
    spoiled = flipped(journal, "features", 0)
    report = change(
        journal,
        "UPDATE decisions SET features = ? WHERE symbol = 'ETHUSDT' AND open_time_ms = ?",
        spoiled,
        SPOILED_MS,
    )
    assert report.symbols[1].differing_feature_bytes == 1
    assert report.symbols[1].first_difference_ms == SPOILED_MS


def test_a_changed_row_is_found_in_the_row_and_in_what_follows(journal: Path) -> None:
    """A row that is not made of its bar shows as such, and the account that it leads to as well."""
    spoiled = flipped(journal, "row", 4 * 8)
    report = change(
        journal,
        "UPDATE decisions SET row = ? WHERE symbol = 'ETHUSDT' AND open_time_ms = ?",
        spoiled,
        SPOILED_MS,
    )
    assert report.symbols[1].differing_row_bytes == 1
    assert report.symbols[1].first_difference_ms == SPOILED_MS


def test_a_changed_bar_is_found(journal: Path) -> None:
    """A candle that was edited after the decision no longer gives the row that was decided on."""
    report = change(
        journal, "UPDATE bars SET close = close * 1.001 WHERE open_time_ms = ?", SPOILED_MS
    )
    assert all(one.differing_row_bytes > 0 for one in report.symbols)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE orders SET price = price + 1 WHERE rowid = 1",
        "DELETE FROM orders WHERE rowid = 1",
        "UPDATE orders SET state = 'pending' WHERE rowid = 1",
    ],
)
def test_a_lost_or_changed_fill_is_found(journal: Path, statement: str) -> None:
    """Orders must tell the same fills as the account: none lost, none added, none at another
    price."""
    assert change(journal, statement).symbols[0].differing_fill_bytes > 0


def test_wrong_settings_give_other_trades(journal: Path) -> None:
    """Replayed as if no swap had changed the settings, the trades differ: settings are part of the
    record."""
    report = change(
        journal,
        "UPDATE decisions SET settings_digest = (SELECT settings_digest FROM decisions LIMIT 1)",
    )
    assert report.symbols[0].differing_trade_bytes > 0
    assert report.symbols[0].first_difference_ms is not None
    assert report.symbols[0].first_difference_ms >= MONDAY_MS + SWAP_AT * BAR_MS


def test_without_a_stream_start_features_are_not_vouched_for(journal: Path) -> None:
    """Features that cannot be derived anew are not counted as equal: the report says how many were
    checked."""
    report = change(journal, "DELETE FROM streams WHERE open_time_ms = ?", MONDAY_MS)
    for one in report.symbols:
        assert one.feature_rows == DECIDED - (SWAP_AT - WARM_UP)
        assert one.differing_bytes == 0


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("DELETE FROM settings", "found settings .* in use"),
        ("DELETE FROM bars", "found bar and observation of 0 decisions"),
        ("UPDATE decisions SET out = x'00'", "found blobs of"),
        ("UPDATE settings SET body = replace(body, '4.0', '3.0')", "found settings of digest"),
    ],
)
def test_an_incomplete_journal_is_refused(journal: Path, statement: str, complaint: str) -> None:
    """What a decision refers to must be there; the error names what is not."""
    with pytest.raises(ValueError, match=complaint):
        change(journal, statement)


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    """Neither a missing file, nor text, nor an empty database is a journal, and none is created."""
    other = tmp_path / "notes.txt"
    other.write_text("not a database, only some text\n" * 50)
    for path in (tmp_path / "missing.sqlite", other):
        with pytest.raises(ValueError, match="expected a runner's journal"):
            replay(path)
    assert not (tmp_path / "missing.sqlite").exists()


def test_a_journal_without_decisions_replays_to_nothing(tmp_path: Path) -> None:
    """A runner that has decided nothing yet has nothing that could differ."""
    path = tmp_path / "journal.sqlite"
    record(path, symbols=())
    assert replay(path) == ReplayReport(())
