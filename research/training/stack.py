# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# The model libraries ship no types; what leaves this file is typed.
"""One walk-forward pass: every row is predicted by models that knew no label ending after its
block began.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.decision import CLASSES
from research.datasets.table import TrainingTable, blocks
from research.graphs import fusion
from research.graphs import hull as hulls
from research.graphs.hull import Hull
from research.graphs.runtime import answers, row_cost
from research.models.base import FittedBase, TrainingRows, with_every_class
from research.models.calibration import fit_meta
from research.models.threads import pinned_threads
from research.settings import WEEK_MS, Settings
from research.training import parity
from research.training.candidate import BaseScore, Candidate, FoldModel, OutOfFold
from research.validation.folds import Fold, resolved_before, split_in_time

PARITY_ROWS = 20_000
COST_ROWS = 400
SHAP_ROWS = 500
Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Fitted:
    """Bases fitted on one set of rows, with that set's medians and hull."""

    medians: Float32
    bases: tuple[FittedBase, ...]
    hull: Hull | None

    @property
    def graphs(self) -> list[bytes]:
        """Return the bases' graphs in the order of the votes."""
        return [base.graph for base in self.bases]


@pinned_threads()
def train(table: TrainingTable, settings: Settings) -> Candidate:
    """Return the candidate of `table`; the same table and settings give the same graph bytes.

    Every graph is the one that its week would have shipped: what it is made of was known when its
    fold began, and its meta-learner has as many blocks to learn from as that of `signal`. Raises
    ValueError where the history holds fewer blocks than the gate folds and one before them.
    """
    folds = blocks(table.start_ms, table.end_ms, settings.validation)
    _require_blocks(folds, settings)
    fits = [fit_bases(table, fold.train, fold.test_start_ms, settings) for fold in folds]
    oof = _out_of_fold(table, folds, fits)
    gate = range(len(folds) - settings.validation.gate_folds, len(folds))
    models = tuple(_gate_model(table, folds[j], fits[j], oof, settings) for j in gate)

    oldest = table.cutoff_ms - settings.validation.max_train_weeks * WEEK_MS
    known = resolved_before(table.end_ms, table.cutoff_ms) & (table.start_ms >= oldest)
    final = fit_bases(table, np.flatnonzero(known), table.cutoff_ms, settings)
    meta = _fit_meta(table, oof, table.cutoff_ms, settings)
    signal = fusion.fuse(final.medians, final.graphs, meta, final.hull)
    return _candidate(
        table=table,
        settings=settings,
        signal=signal,
        final=final,
        meta=meta,
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
    fit = fit_bases(table, judged.train, judged.test_start_ms, settings)
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
    table: TrainingTable, rows: NDArray[np.intp], until_ms: int, settings: Settings
) -> Fitted:
    """Return every base fitted on the given rows, labelled by `until_ms` and weighed by what was
    known then, NaN imputed by their medians as in the graph.
    """
    x = table.x[rows]
    medians = column_medians(x)
    worth = table.worth(until_ms, settings.validation.recency_half_life_weeks)[rows]
    weights = with_even_sides(worth, table.y[rows])
    weights = weights / weights.mean()
    filled = fusion.impute(x, medians)
    training = with_every_class(TrainingRows(filled, table.y[rows], weights))
    stack = settings.models.stack
    fitted = tuple(base.fit(training, stack.seed, stack.n_jobs) for base in settings.models.bases)
    return Fitted(medians, fitted, hulls.fit(x, filled, stack.hull_rate))


def with_even_sides(weights: NDArray[np.float64], y: NDArray[np.int8]) -> NDArray[np.float64]:
    """Return the weights scaled so that SELL and BUY weigh the same.

    A few months hold a few hundred independent labels: which side won more often in them says next
    to nothing about the next four weeks, but a model would learn it as a constant lean.
    """
    sell = float(weights[y == 0].sum())
    buy = float(weights[y == 2].sum())
    if sell == 0.0 or buy == 0.0:
        return weights
    half = (sell + buy) / 2
    return weights * np.select([y == 0, y == 2], [half / sell, half / buy], 1.0)


def column_medians(x: Float32) -> Float32:
    """Return the float32 median of the finite values of each column, 0 where a column has none."""
    finite = np.where(np.isfinite(x), x, np.nan)
    empty = np.isnan(finite).all(axis=0)
    finite[:, empty] = 0.0
    return np.nanmedian(finite, axis=0).astype(np.float32)


def _out_of_fold(table: TrainingTable, folds: list[Fold], fits: list[Fitted]) -> OutOfFold:
    rows = np.concatenate([fold.test for fold in folds])
    block = np.concatenate([np.full(len(fold.test), j) for j, fold in enumerate(folds)])
    votes = np.concatenate(
        [
            fusion.votes_of(fusion.votes_graph(fit.medians, fit.graphs), table.x[fold.test])
            for fold, fit in zip(folds, fits, strict=True)
        ]
    )
    return OutOfFold(rows, block, table.start_ms[rows], table.y[rows], votes)


def _gate_model(
    table: TrainingTable, fold: Fold, fit: Fitted, oof: OutOfFold, settings: Settings
) -> FoldModel:
    meta = _fit_meta(table, oof, fold.test_start_ms, settings)
    graph = fusion.fuse(fit.medians, fit.graphs, meta, fit.hull)
    probabilities, abstain = answers(graph, table.x[fold.test])
    return FoldModel(
        graph=graph,
        start_ms=fold.test_start_ms,
        end_ms=fold.test_end_ms,
        rows=fold.test,
        bar=table.bar[fold.test],
        probabilities=probabilities,
        abstain=abstain,
    )


def _fit_meta(
    table: TrainingTable, oof: OutOfFold, until_ms: int, settings: Settings
) -> fusion.Meta:
    """Fit meta and curves on out-of-fold rows resolved by `until_ms`: the curves on later rows
    than the meta.
    """
    known = _meta_rows(table, oof, until_ms, settings)
    start = oof.start_ms
    end = table.end_ms[oof.rows]
    earlier, later = split_in_time(start, end, known, settings.models.meta.fit_share)
    weights = table.worth(until_ms, settings.validation.recency_half_life_weeks)[oof.rows]
    y = table.y[oof.rows]
    parts = [
        TrainingRows(oof.votes[part], y[part], with_even_sides(weights[part], y[part]))
        for part in (earlier, later)
    ]
    return fit_meta(parts[0], parts[1], settings.models.meta)


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
    final: Fitted,
    meta: fusion.Meta,
    models: tuple[FoldModel, ...],
    oof: OutOfFold,
) -> Candidate:
    rng = np.random.default_rng(settings.models.stack.seed)
    trading = settings.trading
    recent = table.x[-COST_ROWS:]
    explained = fusion.impute(table.x[-SHAP_ROWS:], final.medians)
    return Candidate(
        signal=signal,
        folds=models,
        oof=oof,
        bases=tuple(base.name for base in final.bases),
        feature_names=table.feature_names,
        medians=final.medians,
        scores=tuple(_scores(oof, [base.name for base in final.bases])),
        parity=parity.check(
            signal,
            parity.Parts(final.medians, final.bases, meta, final.hull),
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


def _named(table: TrainingTable, values: NDArray[Any]) -> dict[str, float]:
    return {name: float(v) for name, v in zip(table.feature_names, values, strict=True)}


def _scores(oof: OutOfFold, names: Sequence[str]) -> list[BaseScore]:
    return [
        _score(name, j, oof.votes[at][:, 3 * k : 3 * k + 3], oof.y[at])
        for k, name in enumerate(names)
        for j in np.unique(oof.block).tolist()
        for at in [np.flatnonzero((oof.block == j) & (oof.y >= 0))]
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
