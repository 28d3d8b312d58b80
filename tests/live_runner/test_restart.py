"""A runner that is killed, restarted, cut off and faulted decides what an untouched one would."""

import random
import sqlite3
from pathlib import Path

import numpy as np

from kernel.trading import fold
from tests.live_runner.bundles import TRADING
from tests.live_runner.stage import (
    BAR_MS,
    SYMBOLS,
    UNHURRIED_SPEED,
    RunnerProcess,
    assert_replays,
    differing_bytes,
    recorded,
    runner,
    truth,
    venue,
)

HISTORY_BARS = 1_100


def test_restart_after_sigkill_continues_as_if_never_killed(tmp_path: Path) -> None:
    """Six SIGKILLs at random moments leave no bar missed, none twice, no order lost or doubled."""
    rng = random.Random(1)
    with venue(speed=UNHURRIED_SPEED) as market, runner(tmp_path, market.url, HISTORY_BARS) as live:
        live.until_trading()
        for round_ in range(6):
            market.clock(step_bars=50)  # at which it is at work when it is killed
            live.until_decided(15 + 40 * round_ + rng.randrange(20))
            live.kill()
            live.start()
        live.until_decided(300)
        assert live.stop() == 0
    assert_replays(live.journal)
    for symbol in SYMBOLS:
        _assert_equals_truth(live, symbol)
        _assert_orders_match_decisions(live.journal, symbol)


def test_feed_faults_leave_no_gap_and_no_double(tmp_path: Path) -> None:
    """Dropped sockets, skipped, doubled and reordered bars and failing REST cost no bar."""
    with venue(speed=UNHURRIED_SPEED) as market, runner(tmp_path, market.url, HISTORY_BARS) as live:
        live.until_trading()
        live.follow(market, 10)
        for kind in ("skip", "duplicate", "reorder"):
            market.fault(kind=kind, rate=0.1)
        market.fault(kind="drop", count=3, channel="stream")
        market.fault(kind="http5xx", count=2, match="klines")
        market.fault(kind="truncate", count=2, match="klines")
        market.fault(kind="http429", count=2, match="openInterestHist")
        live.follow(market, 250)
        summaries = [live.get(f"/journal/summary?symbol={symbol}") for symbol in SYMBOLS]
        assert live.stop() == 0
    assert [(one["missed"], one["holes"]) for one in summaries] == [(0, 0), (0, 0)]
    assert sum(one["catch_up"] for one in summaries) > 10
    for symbol in SYMBOLS:
        _assert_equals_truth(live, symbol)


def test_long_outage_is_caught_up_with_what_was_known_at_each_close(tmp_path: Path) -> None:
    """After nine days away the backlog is decided in order from the series as of each bar."""
    with venue(speed=UNHURRIED_SPEED) as market, runner(tmp_path, market.url, HISTORY_BARS) as live:
        live.until_trading()
        live.next_bar(market)
        live.next_bar(market)
        live.kill()
        market.clock(step_bars=900)
        live.start()
        live.until_decided(902)
        assert live.stop() == 0
    for symbol in SYMBOLS:
        _assert_equals_truth(live, symbol)


def _assert_equals_truth(live: RunnerProcess, symbol: str) -> None:
    """Compare the journal with one uninterrupted batch fold of the market itself."""
    told = recorded(live.journal, symbol)
    opens = told["open_time_ms"]
    assert np.array_equal(opens, np.arange(opens[0], opens[-1] + 1, BAR_MS))
    start_ms = int(opens[0]) - HISTORY_BARS * BAR_MS
    expected = truth(symbol, start_ms, int(opens[0]), int(opens[-1]) + BAR_MS)
    assert differing_bytes(told["features"], expected.features[HISTORY_BARS:]) == 0
    rows = expected.rule_rows[HISTORY_BARS:]
    assert differing_bytes(told["row"], rows) == 0
    out, _ = fold(rows, TRADING)
    assert differing_bytes(told["out"], out) == 0
    print(f"{symbol}: {len(opens)} bars, 0 missed, 0 doubled, 0 differing bytes")


def _assert_orders_match_decisions(journal: Path, symbol: str) -> None:
    """Every entry and exit of the fold is one order, filled once."""
    told = recorded(journal, symbol)
    entries = int(np.count_nonzero(told["out"][:, 3]))
    exits = int(np.count_nonzero(told["out"][:, 6]))
    assert entries > 0
    with sqlite3.connect(journal) as db:
        filled = dict(
            db.execute(
                "SELECT kind = 'entry', count(*) FROM orders WHERE symbol = ? AND state = 'filled'"
                " GROUP BY 1",
                (symbol,),
            )
        )
        fills = db.execute(
            "SELECT count(*) FROM order_events e JOIN orders o ON o.id = e.order_id"
            " WHERE o.symbol = ? AND e.state = 'filled'",
            (symbol,),
        ).fetchone()[0]
    assert (filled[1], filled[0], fills) == (entries, exits, entries + exits)
