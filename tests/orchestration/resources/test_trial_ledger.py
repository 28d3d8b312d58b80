"""The ledger on disk: processes race for it, kills cut it off, and nothing is lost or doubled."""

import dataclasses
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from orchestration.resources.trial_ledger import TrialLedger
from research.tuning.ledger import BarReturns, LedgerBrokenError, LedgerError, Result, Trial
from tests.hung import HUNG_S

SYMBOL = "BTCUSDT"
EACH = 12
PROCESSES = 4
RACE = """
import sys
from orchestration.resources.trial_ledger import TrialLedger
from tests.orchestration.resources.test_trial_ledger import EACH, result, trial
ledger = TrialLedger(home=sys.argv[1])
for number in range(EACH):
    for seed in (number, 1_000 + int(sys.argv[2]) * EACH + number):  # one of all, one of its own
        ledger.begin(trial(seed)).finish(result(seed))
"""
DIES = """
import os, signal, sys
from orchestration.resources.trial_ledger import TrialLedger
from tests.orchestration.resources.test_trial_ledger import trial
TrialLedger(home=sys.argv[1]).begin(trial(1))
os.kill(os.getpid(), signal.SIGKILL)
"""


def trial(seed: int) -> Trial:
    return Trial(
        symbol=SYMBOL,
        kind="search",
        name="lightgbm",
        settings_digest="s" * 64,
        data_digest="d" * 64,
        seed=seed,
        span_ms=(0, 900_000),
    )


def result(seed: int) -> Result:
    stream = BarReturns(np.arange(2) * 900_000, np.array([0.0, seed / 1e6]))
    return Result(outcome="complete", objective="log_loss", scores=(float(seed),), stream=stream)


def started(script: str, *arguments: object) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)])


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[TrialLedger]:
    yield TrialLedger(home=str(tmp_path), clock=lambda: 5)


def log_of(ledger: TrialLedger) -> Path:
    return Path(ledger.home) / "trials" / SYMBOL / "ledger.jsonl"


def test_processes_that_write_at_once_lose_and_double_nothing(ledger: TrialLedger) -> None:
    """Each trial of each process is one row with one result, whoever began it first."""
    racing = [started(RACE, ledger.home, number) for number in range(PROCESSES)]
    assert [one.wait(HUNG_S) for one in racing] == [0] * PROCESSES
    found = ledger.rows(SYMBOL)
    assert len(found) == EACH + PROCESSES * EACH
    assert all(len(row.records) == 1 for row in found.values())
    for row in found.values():
        stream = ledger.stream(SYMBOL, row.records[0])
        assert stream is not None
        assert stream.returns[1] == row.trial.seed / 1e6


def test_a_process_killed_within_a_trial_leaves_an_open_row(ledger: TrialLedger) -> None:
    """The look is counted; begun again, the same trial goes on and is finished once."""
    killed = started(DIES, ledger.home)
    assert killed.wait(HUNG_S) == -signal.SIGKILL
    (row,) = ledger.rows(SYMBOL).values()
    assert row.open
    assert row.looks == 1
    begun = ledger.begin(trial(1))
    assert begun.row.begun_ms == row.begun_ms
    begun.finish(result(1))
    begun.finish(result(1))
    (row,) = ledger.rows(SYMBOL).values()
    assert len(row.records) == 1


def test_a_line_that_was_cut_off_is_cut_away(ledger: TrialLedger) -> None:
    """Half a line of a killed writer is no row, and the next one follows the last whole one."""
    ledger.begin(trial(1))
    log = log_of(ledger)
    whole = log.read_bytes()
    log.write_bytes(whole + whole[: len(whole) // 2])
    assert len(ledger.rows(SYMBOL)) == 1
    ledger.begin(trial(2))
    assert [row.trial.seed for row in ledger.rows(SYMBOL).values()] == [1, 2]


def test_a_head_that_was_not_written_follows(ledger: TrialLedger) -> None:
    """A writer that died between line and head left a row; the next writer names it."""
    ledger.begin(trial(1))
    head = log_of(ledger).with_name("ledger.head")
    before = head.read_bytes()
    ledger.begin(trial(2))
    head.write_bytes(before)
    ledger.begin(trial(3))
    assert len(ledger.rows(SYMBOL)) == 3


def test_a_row_that_was_taken_out_is_found_and_stops_what_comes_after(ledger: TrialLedger) -> None:
    """Neither a look nor a trial nor a candidate goes on from a ledger that lacks one."""
    begun = [ledger.begin(trial(seed)) for seed in (1, 2)]
    log = log_of(ledger)
    first, _ = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(first)
    with pytest.raises(LedgerBrokenError, match="restore trials/"):
        ledger.rows(SYMBOL)
    with pytest.raises(LedgerBrokenError):
        ledger.begin(trial(3))
    assert "expected the entries up to 1" in ledger.fault(SYMBOL, begun[0].row.trial.id)


def test_a_result_of_what_was_never_begun_is_refused(ledger: TrialLedger) -> None:
    """Looking first and recording afterwards is what the ledger is there against."""
    with pytest.raises(LedgerError, match="begin it first"):
        ledger.finish(trial(1), result(1))
    assert ledger.rows(SYMBOL) == {}


def test_what_was_tried_before_a_trial_is_in_its_anchor(tmp_path: Path) -> None:
    """Two ledgers that differ in one earlier trial come to other anchors at the same trial."""
    anchors: list[str] = []
    for number, earlier in enumerate((1, 2)):
        ledger = TrialLedger(home=str(tmp_path / str(number)), clock=lambda: 5)
        ledger.begin(trial(earlier))
        anchors.append(ledger.begin(trial(9)).row.anchor)
    assert len(set(anchors)) == 2


def test_a_look_makes_nothing(ledger: TrialLedger) -> None:
    """A home in which nothing was tried stays empty when somebody asks."""
    assert ledger.symbols() == []
    assert ledger.rows(SYMBOL) == {}
    assert ledger.fault(SYMBOL, "x").startswith("no trial x")
    assert list(Path(ledger.home).iterdir()) == []


def test_rows_of_symbols_are_apart(ledger: TrialLedger) -> None:
    """Each symbol has its own chain."""
    ledger.begin(trial(1))
    ledger.begin(dataclasses.replace(trial(1), symbol="ETHUSDT"))
    assert ledger.symbols() == [SYMBOL, "ETHUSDT"]
    assert len(ledger.rows("ETHUSDT")) == 1
