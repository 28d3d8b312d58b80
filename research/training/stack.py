# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# The model libraries ship no types; what leaves this file is typed.
"""One walk-forward pass: every row is predicted by models that knew no label ending after its
block began.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.decision import CLASSES
from research.datasets.table import TrainingTable, blocks
from research.graphs import fusion
from research.graphs import hull as hulls
from research.graphs.export import PROBABILITIES
from research.graphs.hull import Hull
from research.graphs.runtime import answers, outputs, row_cost
from research.models.base import Base, FittedBase, TrainingRows, with_every_class
from research.models.calibration import fit_meta
from research.models.threads import pinned_threads
from research.settings import WEEK_MS, Settings, StackSettings
from research.training import parity
from research.training.candidate import (
    Absence,
    BaseCost,
    BaseScore,
    Candidate,
    FoldModel,
    OutOfFold,
)
from research.training.earning import Earning, SeenRows, choose
from research.training.references import references
from research.training.sides import with_even_sides
from research.validation.folds import Fold, resolved_before, split_in_time

PARITY_ROWS = 20_000
COST_ROWS = 400
SHAP_ROWS = 500
TRIED_ROWS = 200
LARGEST_SUM_ERROR = 1e-3
Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Fitted:
    """Bases fitted on one set of rows, with that set's medians and hull; what failed is in
    `absent`.
    """

    medians: Float32
    bases: tuple[FittedBase, ...]
    hull: Hull | None
    cpu_s: dict[str, float]
    absent: tuple[Absence, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the bases in the order of the votes."""
        return tuple(base.name for base in self.bases)

    def graphs(self, names: Sequence[str]) -> list[bytes]:
        """Return the graphs of these bases, in their order."""
        found = {base.name: base.graph for base in self.bases}
        return [found[name] for name in names]


@dataclass(frozen=True, slots=True)
class Settled:
    """What is settled before a graph is fused: which bases stay, and what weighs their votes."""

    earning: Earning
    meta: fusion.Meta


@pinned_threads()
def train(table: TrainingTable, settings: Settings) -> Candidate:
    """Return the candidate of `table`; the same table and settings give the same graph bytes.

    Every graph is the one that its week would have shipped: what it is made of was known when its
    fold began, and its meta-learner has as many blocks to learn from as that of `signal`. A base
    that cannot be fitted takes no part from that block on. Raises ValueError where the history
    holds fewer blocks than the gate folds and one before them, or no base is left.
    """
    folds = blocks(table.start_ms, table.end_ms, settings.validation)
    _require_blocks(folds, settings)
    fits: list[Fitted] = []
    for fold in folds:
        absent = fits[-1].absent if fits else ()
        fits.append(fit_bases(table, fold.train, fold.test_start_ms, settings, absent))
    oof = _out_of_fold(table, folds, fits, settings)
    gate = range(len(folds) - settings.validation.gate_folds, len(folds))
    models = tuple(_gate_model(table, folds[j], fits[j], oof, settings) for j in gate)

    oldest = table.cutoff_ms - settings.validation.max_train_weeks * WEEK_MS
    known = resolved_before(table.end_ms, table.cutoff_ms) & (table.start_ms >= oldest)
    rows = np.flatnonzero(known)
    final = fit_bases(table, rows, table.cutoff_ms, settings, fits[-1].absent)
    decided = _decide(table, oof, table.cutoff_ms, settings, final.names)
    signal = fusion.fuse(
        final.medians, final.graphs(decided.earning.kept), decided.meta, final.hull
    )
    return _candidate(
        table=table,
        settings=settings,
        signal=signal,
        fits=(*fits, final),
        decided=decided,
        models=models,
        oof=oof,
    )


def refit(table: TrainingTable, candidate: Candidate, fold: int, settings: Settings) -> bytes:
    """Return the graph of a gate fold, made again from `table` and the candidate's votes.

    The votes are of models that knew no label ending after the row's block began, so that all that
    a later label could move is made anew.
    """
    folds = blocks(table.start_ms, table.end_ms, settings.validation)
    judged = folds[len(folds) - settings.validation.gate_folds + fold]
    absent = tuple(one for one in candidate.absent if one.from_ms < judged.test_start_ms)
    fit = fit_bases(table, judged.train, judged.test_start_ms, settings, absent)
    return _gate_model(table, judged, fit, candidate.oof, settings).graph


def _require_blocks(folds: list[Fold], settings: Settings) -> None:
    validation = settings.validation
    needed = validation.gate_folds + 1
    if len(folds) < needed:
        weeks = validation.first_train_weeks + needed * validation.block_weeks
        raise ValueError(
            f"history: found {len(folds)} walk-forward blocks,"
            f" expected at least {needed} ({weeks} weeks of warm bars)"
        )


@pinned_threads()
def fit_bases(
    table: TrainingTable,
    rows: NDArray[np.intp],
    until_ms: int,
    settings: Settings,
    absent: tuple[Absence, ...] = (),
) -> Fitted:
    """Return every base that is not `absent` fitted on the given rows, labelled by `until_ms` and
    weighed by what was known then, NaN imputed by their medians as in the graph.

    A base that raises, says what is no probability, or takes longer than `max_fit_cpu_s` is added
    to the absent. Raises ValueError with every reason where none is left.
    """
    x = table.x[rows]
    medians = column_medians(x)
    worth = table.worth(until_ms, settings.validation.recency_half_life_weeks)[rows]
    weights = with_even_sides(worth, table.y[rows])
    filled = fusion.impute(x, medians)
    training = with_every_class(
        TrainingRows(
            x=filled,
            y=table.y[rows],
            weight=weights / weights.mean(),
            names=table.feature_names,
        )
    )
    fitted: list[FittedBase] = []
    cpu_s: dict[str, float] = {}
    gone = {one.base: one for one in absent}
    for base in settings.models.bases:
        if base.name in gone:
            continue
        began = time.process_time()
        found = _attempt(base, training, settings.models.stack)
        cpu_s[base.name] = time.process_time() - began
        if isinstance(found, FittedBase):
            fitted.append(found)
        if cpu_s[base.name] > settings.models.stack.max_fit_cpu_s:
            found = (
                f"a fit took {cpu_s[base.name]:.0f} CPU s, expected at most max_fit_cpu_s = "
                f"{settings.models.stack.max_fit_cpu_s:g} of stack.yaml"
            )
            fitted = [one for one in fitted if one.name != base.name]
        if isinstance(found, str):
            gone[base.name] = Absence(base.name, until_ms, found)
    if not fitted:
        raise ValueError(
            "bases: found none that could be fitted, expected one: "
            + "; ".join(f"{one.base}: {one.why}" for one in gone.values())
        )
    return Fitted(
        medians=medians,
        bases=tuple(fitted),
        hull=hulls.fit(x, filled, settings.models.stack.hull_rate),
        cpu_s=cpu_s,
        absent=tuple(gone.values()),
    )


@pinned_threads()
def _attempt(base: Base, training: TrainingRows, stack: StackSettings) -> FittedBase | str:
    """Return the fitted base, or why there is none."""
    try:
        fitted = base.fit(training, stack.seed, stack.n_jobs)
        said = outputs(fitted.graph, [PROBABILITIES], training.x[:TRIED_ROWS])[0]
    except Exception as error:  # noqa: BLE001 - libraries raise what they like; it is told by name
        return f"{type(error).__name__}: {error}"
    if not np.isfinite(said).all() or np.abs(said.sum(axis=1) - 1.0).max() > LARGEST_SUM_ERROR:
        return f"it diverged: found {said[~np.isfinite(said)].size} votes that are no number" + (
            "" if not np.isfinite(said).all() else f", and sums up to {said.sum(axis=1).max():.3g}"
        )
    return fitted


def column_medians(x: Float32) -> Float32:
    """Return the float32 median of the finite values of each column, 0 where a column has none."""
    finite = np.where(np.isfinite(x), x, np.nan)
    empty = np.isnan(finite).all(axis=0)
    finite[:, empty] = 0.0
    return np.nanmedian(finite, axis=0).astype(np.float32)


def _out_of_fold(
    table: TrainingTable, folds: list[Fold], fits: list[Fitted], settings: Settings
) -> OutOfFold:
    names = fits[0].names  # what is absent once stays so: none comes later
    half_life_weeks = settings.validation.recency_half_life_weeks
    rows = np.concatenate([fold.test for fold in folds])
    beside = [references(table, fold, half_life_weeks) for fold in folds]
    return OutOfFold(
        rows=rows,
        block=np.concatenate([np.full(len(fold.test), j) for j, fold in enumerate(folds)]),
        start_ms=table.start_ms[rows],
        y=table.y[rows],
        bases=names,
        votes=np.concatenate(
            [_votes(fit, names, table.x[fold.test]) for fold, fit in zip(folds, fits, strict=True)]
        ),
        references={name: np.concatenate([one[name] for one in beside]) for name in beside[0]},
    )


def _votes(fit: Fitted, names: Sequence[str], x: Float32) -> Float32:
    """Return the votes float32[n, 3·names], NaN of those that are not there."""
    there = [name for name in names if name in fit.names]
    graph = fusion.votes_graph(fit.medians, fit.graphs(there))
    said = fusion.votes_of(graph, x)
    votes = np.full((len(x), len(CLASSES) * len(names)), np.nan, np.float32)
    votes[:, _vote_columns(names, there)] = said
    return votes


def _vote_columns(names: Sequence[str], chosen: Sequence[str]) -> NDArray[np.intp]:
    first = np.array([len(CLASSES) * list(names).index(name) for name in chosen], np.intp)
    return (first[:, None] + np.arange(len(CLASSES))).ravel()


def _gate_model(
    table: TrainingTable, fold: Fold, fit: Fitted, oof: OutOfFold, settings: Settings
) -> FoldModel:
    decided = _decide(table, oof, fold.test_start_ms, settings, fit.names)
    kept = decided.earning.kept
    graph = fusion.fuse(fit.medians, fit.graphs(kept), decided.meta, fit.hull)
    probabilities, abstain = answers(graph, table.x[fold.test])
    return FoldModel(
        graph=graph,
        bases=kept,
        start_ms=fold.test_start_ms,
        end_ms=fold.test_end_ms,
        rows=fold.test,
        bar=table.bar[fold.test],
        probabilities=probabilities,
        abstain=abstain,
    )


def _decide(
    table: TrainingTable, oof: OutOfFold, until_ms: int, settings: Settings, names: Sequence[str]
) -> Settled:
    """Choose among the bases `names`, and fit meta and curves on the votes of those that stay: on
    out-of-fold rows resolved by `until_ms`, the curves on later ones than the meta.
    """
    known = _meta_rows(table, oof, until_ms, settings)
    columns = _vote_columns(oof.bases, names)
    worth = table.worth(until_ms, settings.validation.recency_half_life_weeks)[oof.rows]
    y = table.y[oof.rows]
    start = oof.start_ms
    end = table.end_ms[oof.rows]
    seen = SeenRows(
        votes=oof.votes[known][:, columns],
        y=y[known],
        worth=worth[known],
        start_ms=start[known],
        end_ms=end[known],
    )
    earning = choose(names, seen, settings)
    kept = _vote_columns(oof.bases, earning.kept)
    earlier, later = split_in_time(start, end, known, settings.models.meta.fit_share)
    parts = [
        TrainingRows(oof.votes[part][:, kept], y[part], with_even_sides(worth[part], y[part]))
        for part in (earlier, later)
    ]
    return Settled(earning, fit_meta(parts[0], parts[1], settings.models.meta))


def _meta_rows(
    table: TrainingTable, oof: OutOfFold, until_ms: int, settings: Settings
) -> NDArray[np.intp]:
    """Return the out-of-fold rows that a meta-learner of `until_ms` learns from.

    As many blocks before it as the first gate fold has: the graph that is shipped would else rest
    on more than any graph that was judged.
    """
    validation = settings.validation
    learned = validation.max_blocks - validation.gate_folds
    oldest_ms = until_ms - learned * validation.block_weeks * WEEK_MS
    resolved = resolved_before(table.end_ms[oof.rows], until_ms)
    return np.flatnonzero(resolved & (oof.start_ms >= oldest_ms))


def _candidate(
    table: TrainingTable,
    settings: Settings,
    signal: bytes,
    fits: Sequence[Fitted],
    decided: Settled,
    models: tuple[FoldModel, ...],
    oof: OutOfFold,
) -> Candidate:
    rng = np.random.default_rng(settings.models.stack.seed)
    trading = settings.trading
    recent = table.x[-COST_ROWS:]
    final = fits[-1]
    kept = decided.earning.kept
    explained = fusion.impute(table.x[-SHAP_ROWS:], final.medians)
    return Candidate(
        signal=signal,
        folds=models,
        oof=oof,
        shipped=kept,
        earning=decided.earning,
        absent=final.absent,
        base_costs=tuple(_base_cost(base, fits, recent) for base in final.bases),
        feature_names=table.feature_names,
        medians=final.medians,
        scores=tuple(_scores(oof)),
        parity=parity.check(
            signal,
            parity.Parts(
                medians=final.medians,
                bases=[one for one in final.bases if one.name in kept],
                meta=decided.meta,
                hull=final.hull,
            ),
            parity.with_edge_rows(table.x, rng, PARITY_ROWS),
            trading.min_confidence,
            trading.min_prob_diff,
        ),
        importances={base.name: _named(table, base.importance) for base in final.bases},
        contributions={
            base.name: _named(table, base.contributions(explained))
            for base in final.bases
            if base.contributions is not None
        },
        cost=row_cost(signal, recent),
        hull=final.hull.bound(table.feature_names) if final.hull else None,
        table_digest=table.digest,
        training_window_ms=(int(table.start_ms[0]), table.cutoff_ms),
    )


def _base_cost(base: FittedBase, fits: Sequence[Fitted], recent: Float32) -> BaseCost:
    alone = fusion.votes_graph(fits[-1].medians, [base.graph])
    return BaseCost(
        base=base.name,
        cpu_s=sum(fit.cpu_s.get(base.name, 0.0) for fit in fits),
        graph_bytes=len(base.graph),
        row_us=1e3 * row_cost(alone, recent).cpu_ms,
    )


def _named(table: TrainingTable, values: NDArray[Any]) -> dict[str, float]:
    return {name: float(v) for name, v in zip(table.feature_names, values, strict=True)}


def _scores(oof: OutOfFold) -> list[BaseScore]:
    return [
        _score(name, j, votes[at], oof.y[at])
        for k, name in enumerate(oof.bases)
        for votes in [oof.votes[:, 3 * k : 3 * k + 3]]
        for j in np.unique(oof.block).tolist()
        for at in [np.flatnonzero((oof.block == j) & (oof.y >= 0) & np.isfinite(votes[:, 0]))]
        if len(at)
    ]


def _score(name: str, block: int, p: Float32, y: NDArray[np.int8]) -> BaseScore:
    from sklearn.metrics import accuracy_score, log_loss

    return BaseScore(
        base=name,
        block=block,
        log_loss=float(log_loss(y, p, labels=range(len(CLASSES)))),
        accuracy=float(accuracy_score(y, p.argmax(axis=1))),
        rows=len(y),
    )
