# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# The model libraries ship no types; what leaves this file is typed.
"""What a training run hands on: graphs, out-of-fold votes and what a person looks at, as files
without pickle.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.decision import CLASSES
from kernel.digest import canonical_json
from kernel.features.registry import FEATURES, feature_hash
from kernel.inference import RowCost
from kernel.manifest import HullBound
from research.training.earning import Earning
from research.training.parity import Parity

Float32 = NDArray[np.float32]
PROBABILITY_COLUMNS = [f"p_{name.lower()}" for name in CLASSES]


@dataclass(frozen=True, slots=True)
class FoldModel:
    """The model of one gate fold and what it said.

    `graph` was fitted on labels resolved by `start_ms`; its votes are those of `bases`, the ones
    that had earned their place by then. `probabilities` float32[m,3] belong to the table rows
    `rows`, all decided in [start_ms, end_ms); `bar` int64[m] are their indices in the bars.
    `abstain` int64[m] is why the graph would rather not decide them, 0 for no reason.
    """

    graph: bytes
    bases: tuple[str, ...]
    start_ms: int
    end_ms: int
    rows: NDArray[np.int64]
    bar: NDArray[np.int64]
    probabilities: Float32
    abstain: NDArray[np.int64]

    @property
    def decisions(self) -> Float32:
        """Return what decides, float32[m,3]."""
        return as_decided(self.probabilities, self.abstain)


def as_decided(probabilities: Float32, abstain: NDArray[np.int64]) -> Float32:
    """Return probabilities float32[n,3] with certain HOLD where the graph abstains: to stay out is
    a decision too, and another model is compared with it.
    """
    hold = np.array([0.0, 1.0, 0.0], np.float32)
    return np.where(abstain[:, None] != 0, hold, probabilities)


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """Votes float32[m, 3·bases] of every predicted row, by bases that knew no label ending after
    the row's block began; NaN of a base that took no part there.

    `bases` are their names in the order of the votes. `references` are what stands beside them
    without a vote, float32[m,3] by name.
    """

    rows: NDArray[np.int64]
    block: NDArray[np.int64]
    start_ms: NDArray[np.int64]
    y: NDArray[np.int8]
    votes: Float32
    bases: tuple[str, ...]
    references: dict[str, Float32]


@dataclass(frozen=True, slots=True)
class BaseScore:
    """Log-loss and accuracy of one base on the labelled rows of one block."""

    base: str
    block: int
    log_loss: float
    accuracy: float
    rows: int


@dataclass(frozen=True, slots=True)
class Absence:
    """A base that took no part in the blocks from `from_ms` on, and why."""

    base: str
    from_ms: int
    why: str


@dataclass(frozen=True, slots=True)
class BaseCost:
    """What a base costs: CPU seconds of all its fits, bytes of its final graph, CPU microseconds of
    a row.
    """

    base: str
    cpu_s: float
    graph_bytes: int
    row_us: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trained stack: `signal` is the graph for the live runner, `folds` what the gates judge.

    `shipped` are the bases whose votes `signal` has, by `earning`, which is None in candidates of
    before it was asked.
    `medians` float32[F'] are the final graph's; `importances` and `contributions` (mean |SHAP| of
    the boosters) are per base and feature. `cost` is measured on the training machine, one row, one
    thread.
    """

    signal: bytes
    folds: tuple[FoldModel, ...]
    oof: OutOfFold
    shipped: tuple[str, ...]
    earning: Earning | None
    absent: tuple[Absence, ...]
    base_costs: tuple[BaseCost, ...]
    feature_names: tuple[str, ...]
    medians: Float32
    scores: tuple[BaseScore, ...]
    parity: Parity
    importances: dict[str, dict[str, float]]
    contributions: dict[str, dict[str, float]]
    cost: RowCost
    table_digest: str
    training_window_ms: tuple[int, int]
    hull: HullBound | None = None

    @property
    def bases(self) -> tuple[str, ...]:
        """Return the names of the bases that voted out of fold, in the order of the votes."""
        return self.oof.bases


def base_rows(candidate: Candidate) -> list[dict[str, Any]]:
    """Return a line for each base that a person reads: in or out and why, how good it is alone, how
    like the others, what it costs.
    """
    earning = candidate.earning
    costs = {one.base: one for one in candidate.base_costs}
    rows = [
        {
            "base": one.base,
            "": "in" if one.stays else "out",
            "why": one.why,
            "log-loss alone": one.log_loss,
            "differs from the others": _mean(
                [pair.disagreement for pair in earning.pairs if one.base in (pair.one, pair.other)]
            ),
            "errors alike": _mean(
                [
                    pair.error_correlation
                    for pair in earning.pairs
                    if one.base in (pair.one, pair.other)
                ]
            ),
            "CPU s": costs[one.base].cpu_s,
            "bytes": costs[one.base].graph_bytes,
            "µs a row": costs[one.base].row_us,
        }
        for one in (earning.verdicts if earning else ())
        if earning
    ]
    nothing = dict.fromkeys(rows[0], "–") if rows else {}
    return rows + [
        nothing | {"base": one.base, "": "out", "why": f"{one.why} (from {one.from_ms} ms on)"}
        for one in candidate.absent
    ]


def _mean(values: list[float]) -> float | str:
    return sum(values) / len(values) if values else "–"


def to_files(candidate: Candidate) -> dict[str, bytes]:
    """Return the candidate as signal.onnx, fold-<k>.onnx, oof.parquet and candidate.json; graphs
    are not repeated.
    """
    files = {"signal.onnx": candidate.signal, "oof.parquet": _oof_parquet(candidate)}
    files |= {f"fold-{k}.onnx": fold.graph for k, fold in enumerate(candidate.folds)}
    summary = {
        "feature_names": list(candidate.feature_names),
        "feature_hash": feature_hash(candidate.feature_names),
        "medians": [float(value) for value in candidate.medians],
        "folds": [
            {"start_ms": fold.start_ms, "end_ms": fold.end_ms, "bases": list(fold.bases)}
            for fold in candidate.folds
        ],
        "shipped": list(candidate.shipped),
        "earning": candidate.earning.to_record() if candidate.earning else None,
        "absent": [asdict(one) for one in candidate.absent],
        "base_costs": [asdict(one) for one in candidate.base_costs],
        "references": list(candidate.oof.references),
        "bases": list(candidate.bases),
        "scores": [asdict(score) for score in candidate.scores],
        "parity": asdict(candidate.parity),
        "importances": candidate.importances,
        "contributions": candidate.contributions,
        "cost": asdict(candidate.cost),
        "table_digest": candidate.table_digest,
        "training_window_ms": list(candidate.training_window_ms),
        "hull": asdict(candidate.hull) if candidate.hull else None,
    }
    return files | {"candidate.json": canonical_json(summary)}


@dataclass(frozen=True, slots=True)
class Predecessor:
    """What a later candidate is held against: a stored one's graph, and what it said out of fold.

    `probabilities` float32[m,3] were said at the close `decided_ms` int64[m], ascending, by the
    graphs of its gate folds, which knew no label of those bars. `signal` was fitted on what was
    known by `cutoff_ms`. `feature_names` is empty where its features are of another catalogue:
    what is computed today under their names is not what it decides on.
    """

    signal: bytes
    feature_names: tuple[str, ...]
    cutoff_ms: int
    decided_ms: NDArray[np.int64]
    probabilities: Float32


def predecessor(files: Mapping[str, bytes]) -> Predecessor:
    """Return what a stored candidate, of this version or an older one, can be held against by."""
    import pandas as pd

    summary = json.loads(files["candidate.json"])
    names = tuple(summary["feature_names"])
    todays = set(names) <= set(FEATURES) and summary.get("feature_hash") == feature_hash(names)
    stored: Any = pd.read_parquet(io.BytesIO(files["oof.parquet"]))
    judged = (stored["fold"] >= 0).to_numpy()
    said: Any = stored[judged].sort_values("start_ms")
    return Predecessor(
        signal=files["signal.onnx"],
        feature_names=names if todays else (),
        cutoff_ms=summary["training_window_ms"][1],
        decided_ms=said["start_ms"].to_numpy(np.int64),
        probabilities=as_decided(said[PROBABILITY_COLUMNS].to_numpy(np.float32), _abstain(said)),
    )


def from_files(files: Mapping[str, bytes]) -> Candidate:
    """Return the candidate written by `to_files`; raise KeyError when a file is missing."""
    import pandas as pd

    summary = json.loads(files["candidate.json"])
    frame = pd.read_parquet(io.BytesIO(files["oof.parquet"]))
    votes = frame[[name for name in frame.columns if name.startswith("vote_")]].to_numpy(np.float32)
    oof = OutOfFold(
        rows=frame["row"].to_numpy(),
        block=frame["block"].to_numpy(),
        start_ms=frame["start_ms"].to_numpy(),
        y=frame["y"].to_numpy(),
        votes=votes,
        bases=_bases(summary),
        references={
            name: frame[_columns_of(name)].to_numpy(np.float32)
            for name in summary.get("references", [])
        },
    )
    folds = [
        _fold(frame[frame["fold"] == k], files[f"fold-{k}.onnx"], {"bases": oof.bases} | fold)
        for k, fold in enumerate(summary["folds"])
    ]
    start, end = summary["training_window_ms"]
    return Candidate(
        signal=files["signal.onnx"],
        folds=tuple(folds),
        oof=oof,
        shipped=tuple(summary.get("shipped", oof.bases)),
        earning=Earning.from_record(summary["earning"]) if summary.get("earning") else None,
        absent=tuple(Absence(**one) for one in summary.get("absent", [])),
        base_costs=tuple(BaseCost(**one) for one in summary.get("base_costs", [])),
        feature_names=tuple(summary["feature_names"]),
        medians=np.array(summary["medians"], np.float32),
        scores=tuple(BaseScore(**score) for score in summary["scores"]),
        parity=Parity(**summary["parity"]),
        importances=summary["importances"],
        contributions=summary["contributions"],
        cost=_cost(summary),
        table_digest=summary["table_digest"],
        training_window_ms=(start, end),
        hull=_hull(summary.get("hull")),
    )


def _hull(stored: Mapping[str, Any] | None) -> HullBound | None:
    """Return the bound of a stored candidate; those of before there was one have none."""
    if stored is None:
        return None
    return HullBound(
        features=tuple(stored["features"]),
        distance=stored["distance"],
        target_rate=stored["target_rate"],
    )


def _abstain(stored: Any) -> NDArray[np.int64]:
    """Return why the rows of a stored candidate's folds stay out; older graphs had no reason."""
    if "abstain" not in stored:
        return np.zeros(len(stored), np.int64)
    return stored["abstain"].to_numpy(np.int64)


def _bases(summary: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the votes; candidates of before they were listed scored them in order."""
    if "bases" in summary:
        return tuple(summary["bases"])
    return tuple(dict.fromkeys(score["base"] for score in summary["scores"]))


def _cost(summary: Mapping[str, Any]) -> RowCost:
    """Return what a row costs; candidates stored before CPU time was measured have the wall clock
    for an upper bound.
    """
    if "cost" in summary:
        return RowCost(**summary["cost"])
    waited_ms = float(summary["latency_p99_ms"])
    return RowCost(cpu_ms=waited_ms, wall_p99_ms=waited_ms)


def _columns_of(reference: str) -> list[str]:
    return [f"{reference}_{name.lower()}" for name in CLASSES]


def _fold(frame: Any, graph: bytes, summary: Mapping[str, Any]) -> FoldModel:
    return FoldModel(
        graph=graph,
        bases=tuple(summary["bases"]),
        start_ms=summary["start_ms"],
        end_ms=summary["end_ms"],
        rows=frame["row"].to_numpy(),
        bar=frame["bar"].to_numpy(),
        probabilities=frame[PROBABILITY_COLUMNS].to_numpy(np.float32),
        abstain=_abstain(frame),
    )


def _oof_parquet(candidate: Candidate) -> bytes:
    """Return the out-of-fold rows, and beside them the fold, bar and probabilities of what the
    gates judge.
    """
    import pandas as pd

    oof = candidate.oof
    frame = pd.DataFrame(
        {"row": oof.rows, "block": oof.block, "start_ms": oof.start_ms, "y": oof.y}
    )
    for j in range(oof.votes.shape[1]):
        frame[f"vote_{j}"] = oof.votes[:, j]
    for reference, p in oof.references.items():
        frame[_columns_of(reference)] = p
    fold = np.full(len(frame), -1, np.int64)
    bar = np.full(len(frame), -1, np.int64)
    p = np.full((len(frame), len(CLASSES)), np.nan, np.float32)
    abstain = np.zeros(len(frame), np.int64)
    for k, model in enumerate(candidate.folds):
        at = np.searchsorted(oof.rows, model.rows)
        fold[at] = k
        bar[at] = model.bar
        p[at] = model.probabilities
        abstain[at] = model.abstain
    frame["fold"] = fold
    frame["bar"] = bar
    frame["abstain"] = abstain
    for k, name in enumerate(PROBABILITY_COLUMNS):
        frame[name] = p[:, k]
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()
