"""The trial ledger on disk, per symbol: `trials/<symbol>/ledger.jsonl`, its head, and streams."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from market_data.storage.locks import only_one
from market_data.storage.parquet import replace_file
from orchestration.resources.clock import now_ms
from research.chain import Entry, following
from research.tuning.ledger import (
    BEGUN,
    FINISHED,
    BarReturns,
    LedgerError,
    Result,
    Trial,
    TrialRecord,
    TrialRow,
    begun_body,
    finished_body,
    read,
    rows,
    same_result,
)

LOG = "ledger.jsonl"
HEAD = "ledger.head"
LOCK = "ledger.lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialLedger:
    """Keep every trial of each symbol in `home/trials`, beside the audit log and like it.

    Processes take turns by a lock. An entry stands once its line is on disk; its head follows.
    """

    home: str
    clock: Callable[[], int] = field(default=now_ms, compare=False)

    def begin(self, trial: Trial) -> "BegunTrial":
        """Record a trial before its result is looked at; one that is there already goes on.

        Raises LedgerBrokenError where the symbol's ledger does not stand.
        """
        with self._session(trial.symbol) as session:
            row = rows(session.entries).get(trial.id)
            if row is None:
                session.append(BEGUN, begun_body(trial), self.clock())
                row = rows(session.entries)[trial.id]
        return BegunTrial(self, row)

    def finish(self, trial: Trial, result: Result) -> None:
        """Record what came of a trial, its stream first; the same result again changes nothing.

        Raises LedgerError for a trial that was not begun.
        """
        stream = result.stream.to_parquet() if result.stream is not None else None
        body = finished_body(trial.id, result, stream)
        with self._session(trial.symbol) as session:
            row = rows(session.entries).get(trial.id)
            if row is None:
                raise LedgerError(
                    f"trial {trial.id[:12]} of {trial.symbol}: found a result of what was never "
                    "begun, expected it on record before anybody looks: begin it first"
                )
            if any(same_result(record, body) for record in row.records):
                return
            if stream is not None:
                replace_file(self._stream(trial.symbol, body["stream"]), stream)
            session.append(FINISHED, body, self.clock())

    def symbols(self) -> list[str]:
        """Return the symbols of which anything was tried."""
        return sorted(path.parent.name for path in self._root.glob(f"*/{LOG}"))

    def rows(self, symbol: str) -> dict[str, TrialRow]:
        """Return every trial of a symbol by its id; raise LedgerBrokenError for a broken ledger.

        Who only looks at a home without one makes nothing there.
        """
        folder = self._root / symbol
        if not (folder / LOG).exists() and not (folder / HEAD).exists():
            return {}
        with only_one(folder / LOCK):
            return rows(_entries(folder))

    def stream(self, symbol: str, record: TrialRecord) -> BarReturns | None:
        """Return the bar returns of a result, None where it has none."""
        if not record.stream:
            return None
        return BarReturns.from_parquet(self._stream(symbol, record.stream).read_bytes())

    def anchor(self, symbol: str, trial_id: str) -> str:
        """Return the hash that a trial's row and everything before it comes to, '' for no row."""
        row = self.rows(symbol).get(trial_id)
        return row.anchor if row is not None else ""

    def fault(self, symbol: str, trial_id: str) -> str:
        """Return why a candidate may not go on, '' where its trial is on record in a sound
        ledger.
        """
        try:
            found = self.anchor(symbol, trial_id)
        except LedgerError as error:
            return str(error)
        if found:
            return ""
        return (
            f"no trial {trial_id[:12] or 'at all'} in the ledger of {symbol}: materialize "
            "training/stack and what follows again"
        )

    @property
    def _root(self) -> Path:
        return Path(self.home) / "trials"

    def _stream(self, symbol: str, digest: str) -> Path:
        return self._root / symbol / "streams" / f"{digest}.parquet"

    @contextmanager
    def _session(self, symbol: str) -> "Iterator[_Session]":
        """Hold the lock over a sound ledger; finish what a killed writer left half done."""
        folder = self._root / symbol
        with only_one(folder / LOCK):
            entries = _entries(folder)
            _mend(folder, entries)
            yield _Session(folder, entries)


@dataclass(frozen=True, slots=True)
class BegunTrial:
    """A trial that is on record, and the ledger that waits for its result."""

    ledger: TrialLedger
    row: TrialRow

    def finish(self, result: Result) -> None:
        """Record what came of it; the same result again changes nothing."""
        self.ledger.finish(self.row.trial, result)


@dataclass(frozen=True, slots=True)
class _Session:
    folder: Path
    entries: list[Entry]

    def append(self, kind: str, body: dict[str, Any], at_ms: int) -> None:
        """Write the next entry to disk, then the head that names it."""
        entry = following(self.entries, at_ms, kind, body)
        with (self.folder / LOG).open("ab") as file:
            file.write(entry.line())
            file.flush()
            os.fsync(file.fileno())
        self.entries.append(entry)
        _write_head(self.folder, entry)


def _entries(folder: Path) -> list[Entry]:
    log = folder / LOG
    head = folder / HEAD
    return read(
        folder.name,
        log.read_bytes() if log.exists() else b"",
        tuple(json.loads(head.read_bytes())) if head.exists() else None,
    )


def _mend(folder: Path, entries: list[Entry]) -> None:
    """Cut an unfinished last line, and name an entry whose head was not written."""
    log = folder / LOG
    size = sum(len(entry.line()) for entry in entries)
    if log.exists() and log.stat().st_size != size:
        os.truncate(log, size)
    if entries:
        _write_head(folder, entries[-1])


def _write_head(folder: Path, entry: Entry) -> None:
    sealed = json.dumps([entry.seq, entry.hash]).encode()
    path = folder / HEAD
    if not path.exists() or path.read_bytes() != sealed:
        replace_file(path, sealed)
