"""When a series cannot be read, bars go on without new entries, and say why."""

import sqlite3
from pathlib import Path

from kernel.decision import Abstain
from tests.live_runner.stage import SYMBOLS, assert_replays, call, recorded, runner, until, venue


def test_unreadable_series_bars_entries_with_the_reason_recorded(tmp_path: Path) -> None:
    """While open interest fails every bar is decided as stale; trading resumes by itself."""
    with venue(speed=1_500) as market, runner(tmp_path, market.url) as live:
        live.until_decided(3)
        market.fault(kind="http5xx", rate=1.0, match="openInterestHist")
        stale = Abstain.STALE_DATA

        def abstained(code: Abstain) -> bool:
            return all(
                int(recorded(live.journal, symbol)["row"][-1, -1]) == code for symbol in SYMBOLS
            )

        until(lambda: abstained(stale), "stale bars")
        call(f"{market.url}/control/faults", method="DELETE")
        until(lambda: abstained(Abstain.NONE), "fresh bars")
        summaries = [live.get(f"/journal/summary?symbol={symbol}") for symbol in SYMBOLS]
        assert live.stop() == 0
    assert [one["missed"] for one in summaries] == [0, 0]
    assert_replays(live.journal)
    with sqlite3.connect(live.journal) as db:
        reasons = {row[0] for row in db.execute("SELECT reason FROM decisions")}
    named = "stale open_interest: GET /futures/data/openInterestHist: found 5"
    assert any(reason.startswith(named) for reason in reasons), reasons
    assert "no bundle: rules decide" in reasons
