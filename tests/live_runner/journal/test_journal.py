"""The journal takes a bar whole or not at all, and once."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kernel.trading import INPUT_FIELDS, OUTPUT_FIELDS
from live_runner.candles import Candle
from live_runner.journal.journal import Decision, Journal, OrderChange, Swap, SymbolState

CANDLE = Candle(open_time_ms=900_000, open=1.0, high=2.0, low=0.5, close=1.5, volume=3.0)
DECISION = Decision(
    symbol="BTCUSDT",
    candle=CANDLE,
    epoch=0,
    digest="",
    settings_digest="s",
    observation=[1.0, float("nan")],
    features=[1.0, float("nan")],
    probabilities=[0.1, 0.8, 0.1],
    row=[0.0] * len(INPUT_FIELDS),
    out=[0.0] * len(OUTPUT_FIELDS),
    reason="",
    catch_up=False,
    latency_us=1,
    compute_us=1,
)
STATE = SymbolState(
    "BTCUSDT", 900_000, np.array([1.0, -0.0]), np.array([np.nan]), 3, "d", "pending"
)
ORDER = OrderChange(
    id="BTCUSDT-900000-entry",
    symbol="BTCUSDT",
    at_ms=1_800_000,
    side=1,
    quantity=2.0,
    kind="entry",
    state="open",
    filled_ms=0,
    price=0.0,
    reason="",
)


def _swap(epoch: int, digest: str, previous: str, outcome: str) -> Swap:
    return Swap(
        symbol="BTCUSDT",
        at_ms=1,
        bar_open_time_ms=2,
        epoch=epoch,
        digest=digest,
        previous=previous,
        outcome=outcome,
        reason="",
        pause_us=5,
    )


def test_state_survives_to_the_byte(tmp_path: Path) -> None:
    """What is read back after a restart is what was written, NaN and -0.0 included."""
    journal = Journal(tmp_path / "j.sqlite")
    journal.record(DECISION, [ORDER], STATE, 7)
    journal.close()
    found = Journal(tmp_path / "j.sqlite").state("BTCUSDT")
    assert found is not None
    assert found.trader.tobytes() == STATE.trader.tobytes()
    assert found.stream.tobytes() == STATE.stream.tobytes()
    assert replace(found, trader=STATE.trader, stream=STATE.stream) == STATE


def test_a_bar_is_decided_once(tmp_path: Path) -> None:
    """A second decision of one bar is refused and leaves nothing behind, not even its order."""
    journal = Journal(tmp_path / "j.sqlite")
    journal.record(DECISION, [], STATE, 7)
    with pytest.raises(sqlite3.IntegrityError):
        journal.record(DECISION, [ORDER], replace(STATE, epoch=9), 8)
    assert journal.all("SELECT * FROM orders") == []
    state = journal.state("BTCUSDT")
    assert state is not None
    assert state.epoch == 3


def test_order_moves_through_its_states_once(tmp_path: Path) -> None:
    """One order row holds the last state; its events hold every step."""
    journal = Journal(tmp_path / "j.sqlite")
    later = replace(DECISION, candle=CANDLE._replace(open_time_ms=1_800_000))
    filled = replace(ORDER, state="filled", filled_ms=1_800_000, price=1.6)
    journal.record(DECISION, [replace(ORDER, state="pending"), ORDER], STATE, 7)
    journal.record(later, [filled], STATE, 8)
    rows = journal.all("SELECT id, created_ms, state, filled_ms, price FROM orders")
    assert rows == [(ORDER.id, 1_800_000, "filled", 1_800_000, 1.6)]
    events = journal.all("SELECT state FROM order_events ORDER BY rowid")
    assert [row[0] for row in events] == ["pending", "open", "filled"]


def test_history_never_overwrites_what_was_seen(tmp_path: Path) -> None:
    """An observation that a decision used stays as it was."""
    journal = Journal(tmp_path / "j.sqlite")
    journal.record(DECISION, [], STATE, 7)
    journal.record_history("BTCUSDT", [(CANDLE, [9.0, 9.0])], 8)
    assert journal.observations("BTCUSDT", 0, 10)[0][1][0] == 1.0


def test_holes_and_observations_both_account_for_a_bar(tmp_path: Path) -> None:
    """A warm-up asks the venue only for bars that are neither."""
    journal = Journal(tmp_path / "j.sqlite")
    journal.record(DECISION, [], STATE, 7)
    journal.record_hole("BTCUSDT", 2_700_000, "venue has no bar", 8)
    assert journal.accounted_opens("BTCUSDT", 0, 10_000_000) == {900_000, 2_700_000}
    assert journal.accounted_opens("BTCUSDT", 900_000, 2_699_999) == set()


def test_holes_are_told_in_runs_within_a_span(tmp_path: Path) -> None:
    """Where each run ends and how long it is; another symbol's are its own."""
    journal = Journal(tmp_path / "j.sqlite")
    bar_ms = 900_000
    for bar in (1, 2, 3, 5, 8, 9):
        journal.record_hole("BTCUSDT", bar * bar_ms, "venue has no bar", 8)
    journal.record_hole("ETHUSDT", 9 * bar_ms, "venue has no bar", 8)
    found = journal.holes("BTCUSDT", 0, 10 * bar_ms, bar_ms)
    assert sorted(found) == [(3 * bar_ms, 3), (5 * bar_ms, 1), (9 * bar_ms, 2)]
    assert journal.holes("BTCUSDT", bar_ms, 4 * bar_ms, bar_ms) == [(3 * bar_ms, 2)]
    assert journal.holes("BTCUSDT", 9 * bar_ms, 20 * bar_ms, bar_ms) == []


def test_epoch_and_previous_model_follow_the_swaps(tmp_path: Path) -> None:
    """The highest epoch counts swaps alone; the previous model is that of the last change."""
    journal = Journal(tmp_path / "j.sqlite")
    assert (journal.highest_epoch("BTCUSDT"), journal.previous_model("BTCUSDT")) == (0, None)
    journal.record_swap(_swap(1, "a", "", "swapped"), STATE, 900_000)
    journal.record_swap(_swap(4, "b", "a", "swapped"), STATE, 900_000)
    journal.record_refusal(_swap(9, "c", "b", "refused"))
    assert journal.highest_epoch("BTCUSDT") == 4
    assert journal.previous_model("BTCUSDT") == ("a", 1)
    journal.record_swap(_swap(1, "a", "b", "rolled_back"), STATE, 900_000)
    assert journal.highest_epoch("BTCUSDT") == 4
    assert journal.previous_model("BTCUSDT") == ("b", 4)


def test_kill_switch_outlives_the_process(tmp_path: Path) -> None:
    """The last of kill and resume stands after a restart."""
    path = tmp_path / "j.sqlite"
    for kind, killed in (("kill", True), ("resume", False), ("kill", True)):
        journal = Journal(path)
        journal.record_event(kind, "", 1)
        journal.close()
        assert Journal(path).killed() is killed
