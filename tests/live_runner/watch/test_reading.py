"""Whoever looks, however many and after however long, costs the loop that decides nothing."""

import asyncio
import sqlite3
import time
from itertools import pairwise
from pathlib import Path

import pytest

from live_runner.api.pace import Gate
from live_runner.journal.reading import JournalReader
from live_runner.market.venue import VenueError
from live_runner.models.model import RULES_WARM_UP
from live_runner.watch.page import cards
from live_runner.watch.summary import model_info, summary
from tests.live_runner.scene import SYMBOL
from tests.live_runner.watch.onlookers import Onlookers

LOOKS = (
    "/",
    "/cards",
    "/page.css",
    "/page.js",
    "/favicon.svg",
    "/ready",
    "/health",
    "/metrics",
    "/model/info",
    f"/journal/summary?symbol={SYMBOL}",
)


def test_looking_asks_nothing_of_the_journal_that_decides(tmp_path: Path) -> None:
    """Every view is answered from another connection; the one that writes bars is not asked."""
    one = Onlookers(tmp_path, bars=3)
    before = one.journal.asked
    answers = asyncio.run(one.ask(*LOOKS))
    assert {answer.status_code for answer in answers} == {200, 503}  # the other symbol starts
    assert one.journal.asked == before


def test_a_crowd_that_asks_at_once_reads_once(tmp_path: Path) -> None:
    """Fifty people who open the page between two bars see one and the same drawing."""
    one = Onlookers(tmp_path, bars=3)
    answers = asyncio.run(one.ask(*["/cards"] * 50))
    assert len({answer.text for answer in answers}) <= 2  # a second may pass between two of them


def test_what_is_read_follows_the_journal_at_once(tmp_path: Path) -> None:
    """A bar that was decided is in the next answer, not only when a second has passed."""
    one = Onlookers(tmp_path, bars=3)

    async def told() -> int:
        (answer,) = await one.ask(f"/journal/summary?symbol={SYMBOL}")
        return int(answer.json()["decided"])

    assert asyncio.run(told()) == 3
    one.scene.bar()
    assert asyncio.run(told()) == 4


def test_the_gate_lets_one_in_at_a_time() -> None:
    """However many wait, between two of them the loop is free for as long as was asked for."""

    async def passes() -> list[float]:
        gate = Gate(spacing_s=0.01)
        clock = asyncio.get_running_loop()
        passed: list[float] = []

        async def come() -> None:
            await gate.passed()
            passed.append(clock.time())

        await asyncio.gather(*(come() for _ in range(20)))
        return passed

    passed = asyncio.run(passes())
    gaps = [later - earlier for earlier, later in pairwise(passed)]
    assert min(gaps) >= 0.0099


def _steps(journal: Path, one: Onlookers) -> int:
    """Return how many instructions SQLite takes to tell everything about a symbol."""
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    with JournalReader.opened(journal) as reading:
        reading._db.set_progress_handler(count, 1)
        summary(one.desk, reading, SYMBOL)
        model_info(one.desk, reading, SYMBOL)
        cards(one.desk, reading)
    return steps


def test_what_is_read_costs_the_same_after_years(tmp_path: Path) -> None:
    """Ten times as many bars and trades take no more work to tell of, a few tree levels aside."""
    one = Onlookers(tmp_path, bars=450)  # more than the page draws
    path = one.desk.settings.journal
    few = _steps(path, one)
    with sqlite3.connect(path) as db:
        db.execute(
            "INSERT INTO decisions SELECT symbol, open_time_ms - 900000 * 500 * n, epoch,"
            " bundle_digest, settings_digest, features, probabilities, row, out, reason, catch_up,"
            " latency_us, compute_us FROM decisions, (WITH RECURSIVE k(n) AS (SELECT 1 UNION ALL"
            " SELECT n + 1 FROM k WHERE n < 10) SELECT n FROM k)"
        )
        db.execute(
            "INSERT INTO trades WITH RECURSIVE k(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM k"
            " WHERE n < 5000) SELECT ?, n, 1, 1.0, 0, 1.0, 1.0, 1, 0.0, 0.0, 1.0 FROM k",
            (SYMBOL,),
        )
    assert _steps(path, one) < few * 1.2


def test_totals_are_those_of_the_decisions(tmp_path: Path) -> None:
    """What is kept as bars are written is what a count over all of them gives."""
    one = Onlookers(tmp_path, bars=40)
    with JournalReader.opened(one.desk.settings.journal) as journal:
        told = summary(one.desk, journal, SYMBOL)
        decided, first, last = journal.one(
            "SELECT count(*), min(open_time_ms), max(open_time_ms) FROM decisions"
        )
    assert (told["decided"], told["first_open_time_ms"], told["last_open_time_ms"]) == (
        decided,
        first,
        last,
    )
    assert told["abstained"]["not_warm"] == {"bars": 40, "last_open_time_ms": last}
    assert told["abstained"]["killed"] == {"bars": 0, "last_open_time_ms": None}
    assert told["missed"] == 0


def test_a_dead_feed_halts_by_the_clock_of_the_market(tmp_path: Path) -> None:
    """Two bars after the last close nothing is well any more, also while the venue is silent; a
    replay that closed them a moment ago is only quick.
    """
    one = Onlookers(tmp_path, bars=RULES_WARM_UP)

    def told() -> tuple[str, str]:
        (answer,) = asyncio.run(one.ask("/health"))
        symbol = answer.json()["symbols"][SYMBOL]
        return symbol["status"], symbol["abstain"]

    one.market_says(minutes_after_close=29)
    assert told() == ("trading", "none")
    one.market_says(minutes_after_close=31)
    assert told() == ("trading", "none")
    one.scene.loop.last_decided_s = time.monotonic() - 60.0
    assert told() == ("halted", "silent")
    one.silent = True
    with pytest.raises(VenueError):
        asyncio.run(one.desk.clock.look())
    assert told() == ("halted", "silent")
