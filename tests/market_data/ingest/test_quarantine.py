"""Rows that break a rule are set aside, and counted like all others."""

import pandas as pd

from market_data.ingest.ingestion import quarantined_in, rows_in
from market_data.storage.lake import FOREVER_MS, Lake
from tests.market_data.given_source import Rows
from tests.market_data.ingest.one_window import (
    BARS,
    END_MS,
    WINDOW,
    candles,
    run,
    source,
    stored,
    without,
)


def test_bad_row_is_set_aside_and_let_go_when_it_is_put_right(lake: Lake):
    """A bar that breaks a rule is no candle; each run asks for it until it is one."""
    bad = candles()
    bad.loc[300, "high"] = 1.0
    report = run(lake, source(bad))
    aside = quarantined_in(lake, "candles", WINDOW)
    assert aside["event_time_ms"].tolist() == [BARS[300]]
    assert "ohlc_inconsistent" in aside["rule"][0]
    assert report.quarantined == 2  # asked once more at once, it was still bad
    assert stored(lake) == without(BARS[300]).tolist()
    one = source(candles())
    run(lake, one)
    assert one.asked[0].start_ms == BARS[300]
    assert len(quarantined_in(lake, "candles", WINDOW)) == 0
    assert stored(lake) == BARS.tolist()


def test_garbage_of_one_answer_is_healed_by_the_next(lake: Lake):
    """A value that is nonsense once is asked for again at once; its trace stays in the history."""

    def garbage(question: int, rows: Rows) -> Rows:
        return rows if question else rows.assign(close=rows["close"].where(rows.index != 300))

    run(lake, source(candles(), spoil=garbage))
    assert stored(lake) == BARS.tolist()
    assert len(quarantined_in(lake, "candles", WINDOW)) == 0
    assert lake.history("quarantine", "BTCUSDT", FOREVER_MS)["rule"].tolist()[1:] == [""]


def test_two_values_of_one_bar_are_both_shown(lake: Lake):
    """The first stands, the other is set aside: nobody has to guess which one was used."""
    twin = candles().loc[[300]].assign(close=candles()["close"][300] + 1.0)
    run(lake, source(pd.concat([candles(), twin], ignore_index=True), page=10_000))
    aside = quarantined_in(lake, "candles", WINDOW)
    assert aside["rule"].tolist() == ["duplicate"]
    assert rows_in(lake, "candles", WINDOW)["close"][300] == candles()["close"][300]


def test_every_row_that_came_is_accounted_for(lake: Lake):
    """Received is the sum of what became of the rows, copies and the running bar included."""
    bad = candles()
    bad.loc[300, "high"] = 1.0
    held = pd.concat([bad, candles().loc[[7, 8]]], ignore_index=True)
    report = run(lake, source(held, now_ms=END_MS - 1, page=10_000))
    assert report.received == len(BARS) + 2 + 1 + 1  # the bad bar, and the one after it, twice
    assert report.unfinished == 1
    assert report.received == (
        report.added + report.revised + report.unchanged + report.quarantined + report.unfinished
    )
