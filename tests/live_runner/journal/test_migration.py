"""A journal of an earlier version is brought forward, and trading goes on where it stood."""

import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from kernel.features import regime
from kernel.features.registry import FEATURES
from kernel.fills import SIDE
from kernel.observation import OBSERVATION_FIELDS
from kernel.trading import OUTPUT_FIELDS
from live_runner.desk import Desk as LiveDesk
from live_runner.journal.journal import Journal, JournalError, Swap
from live_runner.watch.summary import summary
from research.backtest.replay import replay
from tests.live_runner.inside import desk_settings
from tests.live_runner.journal.earlier import (
    MIGRATED_AT,
    SYMBOL,
    TABLES,
    WARM_UP,
    Desk,
    observations,
    write_version_2,
    write_version_5,
)

BARS = 200


def _query(path: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(statement).fetchall()


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a journal of this version, and of version 2, of the same market."""
    folder = tmp_path_factory.mktemp("journals")
    seen = observations(BARS).tolist()
    journal = Journal(folder / "today.sqlite")
    desk = Desk(journal)
    desk.warm_up(seen[:WARM_UP])
    desk.decide(seen[WARM_UP:MIGRATED_AT])
    journal.record_refusal(
        Swap(
            symbol=SYMBOL,
            at_ms=1,
            bar_open_time_ms=2,
            epoch=1,
            digest="d",
            previous="",
            outcome="refused",
            reason="why",
            pause_us=0,
        )
    )
    journal.close()
    write_version_2(folder / "version-2.sqlite", folder / "today.sqlite")
    write_version_5(folder / "version-5.sqlite", folder / "today.sqlite")
    return folder


@pytest.fixture(params=["version-2", "version-5"])
def earlier(stored: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Return a journal of an earlier version."""
    path = tmp_path / "journal.sqlite"
    path.write_bytes((stored / f"{request.param}.sqlite").read_bytes())
    return path


def _features(path: Path) -> np.ndarray:
    """Return the features of every decision but the regime, which earlier versions did not have."""
    told = _query(path, "SELECT features FROM decisions ORDER BY open_time_ms")
    return np.array([np.frombuffer(one) for (one,) in told])[:, : FEATURES.index("regime")]


def _streams(path: Path) -> np.ndarray:
    """Return the feature states, without what the regime remembers."""
    told = _query(path, "SELECT stream FROM states")
    return np.array([np.frombuffer(one) for (one,) in told])[:, : -regime.GROUP.state_size]


def test_nothing_is_lost_on_the_way_forward(stored: Path, earlier: Path) -> None:
    """Observations and trading rows are those that this version would have recorded, to the byte,
    and so is the account; the rest is as it was."""
    Journal(earlier).close()
    for statement in (
        "SELECT * FROM bars",
        "SELECT * FROM observations",
        "SELECT open_time_ms, row, out, probabilities, reason FROM decisions",
        "SELECT * FROM orders",
        "SELECT * FROM order_events",
        "SELECT * FROM swaps",
        "SELECT * FROM totals",
        "SELECT * FROM tallies",
        "SELECT * FROM trades",
        "SELECT trader, pending_order, open_time_ms FROM states",
    ):
        assert _query(earlier, statement) == _query(stored / "today.sqlite", statement), statement
    for part in (_features, _streams):
        assert part(earlier).tobytes() == part(stored / "today.sqlite").tobytes()
    (account,) = _query(earlier, "SELECT trader FROM accounts")
    assert np.frombuffer(account[0])[SIDE] != 0.0  # the position went through the upgrade


def test_what_follows_replays_to_the_byte(earlier: Path) -> None:
    """The runner goes on from the account and features that it had, each settlement is charged
    once, and the replay takes the bars since."""
    journal = Journal(earlier)
    Desk(journal).decide(observations(BARS)[MIGRATED_AT:].tolist())
    journal.close()
    (found,) = replay(earlier).symbols
    assert (found.decisions, found.feature_rows) == (BARS - MIGRATED_AT, BARS - MIGRATED_AT)
    assert found.trades > 3
    assert found.differing_bytes == 0


def test_the_way_forward_gives_what_an_uninterrupted_run_gives(
    stored: Path, earlier: Path, tmp_path: Path
) -> None:
    """An upgrade in the middle of a position changes no decision and no cent."""
    untouched = tmp_path / "untouched.sqlite"
    untouched.write_bytes((stored / "today.sqlite").read_bytes())
    for path in (earlier, untouched):
        journal = Journal(path)
        Desk(journal).decide(observations(BARS)[MIGRATED_AT:].tolist())
        journal.close()
    statement = "SELECT open_time_ms, row, out FROM decisions ORDER BY 1"
    assert _query(earlier, statement) == _query(untouched, statement)
    assert _features(earlier).tobytes() == _features(untouched).tobytes()


def test_the_summary_counts_what_came_before(earlier: Path, tmp_path: Path) -> None:
    """Bars, trades, profit and refusals of the earlier version are still told."""
    pnl = OUTPUT_FIELDS.index("pnl")
    profits = [np.frombuffer(out)[pnl] for (out,) in _query(earlier, "SELECT out FROM decisions")]
    journal = Journal(earlier)
    settings = desk_settings(tmp_path, "http://venue.test")
    client = httpx.AsyncClient(base_url=settings.venue_rest)  # is asked for nothing
    told = summary(LiveDesk(settings, journal, client, random.Random(1)), journal, SYMBOL)
    journal.close()
    assert (told["decided"], told["missed"]) == (MIGRATED_AT - WARM_UP, 0)
    assert told["trades"] == np.count_nonzero(profits) > 3
    assert told["pnl"] == pytest.approx(sum(profits))
    assert [one["reason"] for one in told["refusals"]] == ["why"]


def test_a_journal_of_version_1_goes_on_too(tmp_path: Path) -> None:
    """Its eleven observed values keep their names; what it never saw is unknown."""
    path = tmp_path / "journal.sqlite"
    seen = observations(3)
    earlier = seen[:, :11].copy()
    earlier[:, 6:] = [1e-4, 2.0, 30.0, 4.0, 5.0]
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript(TABLES)
        for row in earlier:
            db.execute("INSERT INTO bars VALUES (?,?,?,?,?,?,?,?)", (SYMBOL, *row[:6], 0))
            db.execute("INSERT INTO observations VALUES (?,?,?)", (SYMBOL, row[0], row.tobytes()))
        vectors = (np.arange(31.0), np.ones(3), np.r_[np.arange(10.0), 0.0], np.ones(19))
        blobs = [one.tobytes() for one in vectors]
        values = (SYMBOL, earlier[2, 0], 0, "", "", *blobs, "", 0, 1, 1)
        db.execute("INSERT INTO decisions VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)", values)
        db.execute("PRAGMA user_version=1")
    journal = Journal(path)
    found = np.array([obs for _, obs in journal.observations(SYMBOL, 0, 10)])
    journal.close()
    assert np.array_equal(found[:, :11], earlier)
    assert OBSERVATION_FIELDS[6:11] == (
        "funding_rate",
        "open_interest",
        "fear_greed",
        "exchange_net_flow",
        "mvrv",
    )
    assert np.isnan(found[:, 11:]).all()


@pytest.mark.parametrize("earlier", ["version-2"], indirect=True)
def test_a_file_that_is_none_is_left_as_it_was(earlier: Path) -> None:
    """A vector of another length ends the way forward before anything is changed."""
    with closing(sqlite3.connect(earlier)) as db, db:
        db.execute("UPDATE decisions SET row = x'00' WHERE open_time_ms % 7200000 = 0")
    before = _query(earlier, "SELECT * FROM observations")
    with pytest.raises(JournalError, match="row: found a vector of 1 bytes, expected 88"):
        Journal(earlier)
    assert _query(earlier, "SELECT * FROM observations") == before
    assert _query(earlier, "PRAGMA user_version") == [(2,)]


def test_a_journal_of_a_later_version_is_not_touched(tmp_path: Path) -> None:
    """Only the runner that made it knows how to go on."""
    path = tmp_path / "j.sqlite"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(JournalError, match="found version 99, expected 6 or an earlier one"):
        Journal(path)
