# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false
# pandas and Arrow ship no types for this; what leaves this file is typed.
"""The trial ledger: what was tried is on record before anybody knows what came of it.

A row is begun before its result is looked at and finished with it. One that was begun and never
finished was a look all the same, and counts. The rows of a symbol are one chain of entries: none
can be changed or taken out unseen.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from kernel.digest import canonical_json, sha256_hex
from kernel.errors import TidegateError
from kernel.trading import OPEN_TIME_MS
from research.backtest.run import BacktestResult
from research.backtest.walk_forward import WalkForward
from research.chain import Break, Entry, chained
from research.evaluation.metrics import bar_returns
from research.settings import Settings

SCHEMA = 1
BEGUN = "begun"
FINISHED = "finished"
REMEDY = "restore trials/ from a copy: what is missing there was tried all the same"

Kind = Literal["search", "study", "weekly"]
Outcome = Literal["complete", "pruned", "failed"]
Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]


class LedgerError(TidegateError):
    """Say what of a trial ledger does not stand."""


class LedgerBrokenError(LedgerError):
    """Refuse to go on from a ledger whose chain is broken; `.at` is the first broken entry."""

    def __init__(self, at: Break) -> None:
        super().__init__(f"{at}; {at.remedy}")
        self.at = at


@dataclass(frozen=True, slots=True)
class Trial:
    """What is about to be tried.

    `settings_digest` covers everything that decides the outcome beside the data, `data_digest` the
    rows that are learnt from. `span_ms` is the first decision and the end of what may be known.
    `name` is what people call it and `parent` the search or study that asked for it, '' for none;
    neither makes another trial of the same thing.
    """

    symbol: str
    kind: Kind
    name: str
    settings_digest: str
    data_digest: str
    seed: int
    span_ms: tuple[int, int]
    parent: str = ""

    @property
    def id(self) -> str:
        """Name the trial by what decides its outcome, so that trying it twice is one trial."""
        tried = asdict(self)
        del tried["name"], tried["parent"]
        return sha256_hex(canonical_json(tried))


@dataclass(frozen=True, slots=True)
class BarReturns:
    """What an account earned on rows that the models had not seen: the simple return float64[n] of
    the bars that opened at int64[n], ascending.
    """

    open_time_ms: Int64
    returns: Float64

    @classmethod
    def of_equity(cls, open_time_ms: Int64, equity: Float64) -> Self:
        """Return the returns of an account, float64[n] at the close of bars int64[n]."""
        return cls(open_time_ms=open_time_ms[1:], returns=bar_returns(equity))

    @classmethod
    def of_account(cls, result: BacktestResult) -> Self:
        """Return those of a backtest's account."""
        open_time_ms = result.rows[:, OPEN_TIME_MS].astype(np.int64)
        return cls.of_equity(open_time_ms, result.equity)

    def to_parquet(self) -> bytes:
        """Return the columns open_time_ms and bar_return; equal streams give equal bytes."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns: Any = {"open_time_ms": self.open_time_ms, "bar_return": self.returns}
        table: Any = pa.table(columns)
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        return buffer.getvalue()

    @classmethod
    def from_parquet(cls, content: bytes) -> Self:
        """Return the stream that `to_parquet` wrote."""
        import pandas as pd

        frame: Any = pd.read_parquet(io.BytesIO(content))
        return cls(
            open_time_ms=frame["open_time_ms"].to_numpy(np.int64),
            returns=frame["bar_return"].to_numpy(np.float64),
        )


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a trial: a score per fold of `objective`, and the stream of its bar returns.

    A pruned trial has the folds that it got to, a failed one may have none.
    """

    outcome: Outcome
    objective: str
    scores: tuple[float, ...]
    stream: BarReturns | None = None


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """What the ledger keeps of a result; `stream` is the digest of its parquet, '' for none."""

    outcome: Outcome
    objective: str
    scores: tuple[float, ...]
    stream: str
    bars: int
    total_return: float
    at_ms: int


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One trial of the ledger: `records` are its results, none while it is open.

    The same trial with another result, as after an upgrade, was looked at again: that is one more.
    `anchor` is the hash of the entry that begins it, and with it of everything before.
    """

    trial: Trial
    begun_ms: int
    anchor: str
    records: tuple[TrialRecord, ...] = ()

    @property
    def open(self) -> bool:
        """Return whether nobody has said what came of it."""
        return not self.records

    @property
    def looks(self) -> int:
        """Return how many trials it counts for."""
        return max(1, len(self.records))


class Begun(Protocol):
    """A trial on record."""

    @property
    def row(self) -> TrialRow:
        """Return what the ledger held of it when it was begun."""
        ...

    def finish(self, result: Result) -> None:
        """Record what came of it; the same result again changes nothing."""
        ...


class Ledger(Protocol):
    """Where trials go on record."""

    def begin(self, trial: Trial) -> Begun:
        """Record a trial before its result is looked at; one that is there already goes on."""
        ...


def settings_digest(settings: Settings, **more: Any) -> str:
    """Return the digest of what decides a trial beside the data, the gates' thresholds left out."""
    decided = {
        "timeframe": settings.timeframe,
        "silent_bars": settings.silent_bars,
        "features": list(settings.features),
        "labels": asdict(settings.labels),
        "validation": asdict(settings.validation),
        "models": asdict(settings.models),
        "trading": settings.trading.to_dict(),
    }
    return sha256_hex(canonical_json(decided | more))


def weekly_trial(
    *, symbol: str, week: str, settings: Settings, table_digest: str, window_ms: tuple[int, int]
) -> Trial:
    """Return the trial that a weekly candidate is."""
    return Trial(
        symbol=symbol,
        kind="weekly",
        name=week,
        settings_digest=settings_digest(settings),
        data_digest=table_digest,
        seed=settings.models.stack.seed,
        span_ms=window_ms,
    )


def traded(walk: WalkForward) -> Result:
    """Return what came of a candidate that was traded: each gate fold's Sharpe ratio after costs,
    and the one account through all of them.
    """
    return Result(
        outcome="complete",
        objective="sharpe",
        scores=tuple(fold.sharpe for fold in walk.folds),
        stream=BarReturns.of_account(walk.result),
    )


def begun_body(trial: Trial) -> dict[str, Any]:
    """Return what the entry of a trial that begins holds."""
    return {"schema": SCHEMA, "trial": trial.id, **asdict(trial), "span_ms": list(trial.span_ms)}


def finished_body(trial_id: str, result: Result, stream: bytes | None) -> dict[str, Any]:
    """Return what the entry of a result holds, with its stream as parquet."""
    earned = result.stream.returns if result.stream is not None else np.zeros(0)
    return {
        "schema": SCHEMA,
        "trial": trial_id,
        "outcome": result.outcome,
        "objective": result.objective,
        "scores": list(result.scores),
        "stream": sha256_hex(stream) if stream is not None else "",
        "bars": len(earned),
        "total_return": float(np.prod(1.0 + earned) - 1.0),
    }


def read(symbol: str, log: bytes, head: tuple[int, str] | None) -> list[Entry]:
    """Return the entries of a symbol's ledger; raise LedgerBrokenError for the first that is bad.

    `head` names the last entry that was written to its end, so that a log whose end was cut off is
    known. One entry may stand beyond it: a writer may die between the two.
    """
    entries, broken = chained(log)
    found = broken or _head_break(entries, head)
    if found is not None:
        named = Break(
            found.seq, found.found, found.expected, remedy=REMEDY, log=f"trial ledger of {symbol}"
        )
        raise LedgerBrokenError(named)
    return entries


def _head_break(entries: Sequence[Entry], head: tuple[int, str] | None) -> Break | None:
    sealed = -1 if head is None else head[0]
    if sealed >= len(entries):
        return Break(len(entries), "no entry", f"the entries up to {sealed} that the head names")
    if head is not None and entries[sealed].hash != head[1]:
        return Break(sealed, f"hash {entries[sealed].hash!r}", f"the hash {head[1]!r} of the head")
    if len(entries) - 1 - sealed > 1:
        return Break(sealed + 1, f"{len(entries) - 1 - sealed} entries beyond the head", "one")
    return None


def rows(entries: Iterable[Entry]) -> dict[str, TrialRow]:
    """Return the row of each trial by its id, in the order in which they were begun.

    Raises LedgerError for an entry of a later build, and for a result of nothing that was begun.
    """
    found: dict[str, TrialRow] = {}
    for entry in entries:
        body = _upgraded(entry)
        trial_id = body["trial"]
        if entry.kind == BEGUN:
            found.setdefault(trial_id, _begun(body, entry))
        elif trial_id in found:
            row = found[trial_id]
            records = (*row.records, _record(body, entry.at_ms))
            found[trial_id] = TrialRow(row.trial, row.begun_ms, row.anchor, records)
        else:
            raise LedgerError(
                f"trial ledger: entry {entry.seq} finishes {trial_id[:12]}, expected a trial that "
                f"was begun; {REMEDY}"
            )
    return found


def _upgraded(entry: Entry) -> Mapping[str, Any]:
    """Return an entry's body as today's build reads it; the chain keeps it as it was written."""
    schema = entry.body["schema"]
    if schema > SCHEMA:
        raise LedgerError(
            f"trial ledger: entry {entry.seq} has schema {schema}, expected at most {SCHEMA}: it "
            "was written by a later build; go on with that one"
        )
    return entry.body


def _begun(body: Mapping[str, Any], entry: Entry) -> TrialRow:
    start_ms, end_ms = body["span_ms"]
    trial = Trial(
        symbol=body["symbol"],
        kind=body["kind"],
        name=body["name"],
        settings_digest=body["settings_digest"],
        data_digest=body["data_digest"],
        seed=body["seed"],
        span_ms=(start_ms, end_ms),
        parent=body["parent"],
    )
    return TrialRow(trial=trial, begun_ms=entry.at_ms, anchor=entry.hash)


def _record(body: Mapping[str, Any], at_ms: int) -> TrialRecord:
    return TrialRecord(
        outcome=body["outcome"],
        objective=body["objective"],
        scores=tuple(body["scores"]),
        stream=body["stream"],
        bars=body["bars"],
        total_return=body["total_return"],
        at_ms=at_ms,
    )


def same_result(record: TrialRecord, body: Mapping[str, Any]) -> bool:
    """Return whether an entry would record what a row holds already."""
    return record == _record(body, record.at_ms)
