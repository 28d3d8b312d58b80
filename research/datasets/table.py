"""The training table: warm rows, covered features, label spans and weights, under one digest."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernel.bars import Bars
from kernel.digest import canonical_json
from kernel.features.registry import feature, warmup_bars
from kernel.holes import let_out, run_ends
from research.datasets.coverage import windows
from research.labels.triple_barrier import UNRESOLVED_MS, Labels
from research.settings import WEEK_MS, ValidationSettings
from research.validation.folds import Fold, walk_forward

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrainingTable:
    """Every warm bar of one symbol, oldest first; rows whose label is unresolved are there to be
    predicted.

    `x` float32[n,F'] may hold NaN; `y` int8[n] is 0, 1, 2 or -1; the label spans are int64[n]
    milliseconds; `bar` int64[n] is the row's index in the bars; `weights` float64[n] are those of
    `row_weights`. `coverage` is, for each feature asked for, its share of values in the whole
    table or in the poorest window of a fold, of its training or its test rows, whichever is lowest;
    `left_out` names those below the threshold.
    `cutoff_ms` is the close of the last bar. `let_out` counts rows that are not learned from
    because of a hole in the bars: they have no label and weigh nothing.
    """

    x: Float32
    y: NDArray[np.int8]
    start_ms: NDArray[np.int64]
    end_ms: NDArray[np.int64]
    bar: NDArray[np.int64]
    weights: Float64
    feature_names: tuple[str, ...]
    coverage: dict[str, float]
    left_out: tuple[str, ...]
    cutoff_ms: int
    let_out: int
    digest: str


def build(
    bars: Bars,
    features: Float64,
    labels: Labels,
    feature_names: Sequence[str],
    settings: ValidationSettings,
    *,
    bar_ms: int,
    silent_bars: int,
) -> TrainingTable:
    """Return the table of `bars` with their features, float64[n, F] of the columns named.

    Its rows begin where every named feature is warm, in a history that begins with the first bar.
    A row that follows a hole as closely as the runner would not decide it, or whose label would
    reach over one, is never learned from: its label is unresolved, its weight 0.
    A feature without a value in more than 1 - min_coverage of the rows, in the whole table or in
    the training or test rows of any one fold of the walk-forward pass, is left out. Raises
    ValueError when no row is warm or no feature is covered.
    """
    expected = (len(bars), len(feature_names))
    if features.shape != expected:
        raise ValueError(f"features: found shape {features.shape}, expected {expected}")
    warm = warmup_bars(feature_names)
    rows = np.arange(min(warm, len(bars)), len(bars))
    if len(rows) == 0:
        raise ValueError(f"bars: found {len(bars)}, expected more than the {warm} of the warm-up")
    unlearned = _near_holes(bars, labels, warm=warm, bar_ms=bar_ms, silent_bars=silent_bars)[rows]
    start = labels.start_ms[rows]
    end = np.where(unlearned, UNRESOLVED_MS, labels.end_ms[rows])
    chosen = features[rows].astype(np.float32)
    coverage = _coverage(chosen, feature_names, blocks(start, end, settings))
    kept = [i for i, name in enumerate(feature_names) if coverage[name] >= settings.min_coverage]
    if not kept:
        raise ValueError(
            f"features: found coverage {coverage}, expected one of at least {settings.min_coverage}"
        )
    names = tuple(feature_names[i] for i in kept)
    x = np.ascontiguousarray(chosen[:, kept])
    y = np.where(unlearned, -1, labels.label[rows]).astype(np.int8)
    weights = np.zeros(len(rows))
    # An open label counts against its neighbours' uniqueness to the end; one that a hole cut off
    # never closes, and would for ever.
    weights[~unlearned] = row_weights(
        start[~unlearned], end[~unlearned], settings.recency_half_life_weeks
    )
    return TrainingTable(
        x=x,
        y=y,
        start_ms=start,
        end_ms=end,
        bar=rows,
        weights=weights,
        feature_names=names,
        coverage=coverage,
        left_out=tuple(name for name in feature_names if name not in names),
        cutoff_ms=int(start[-1]),
        let_out=int(unlearned.sum()),
        digest=_digest(names, x, y, start, end, weights),
    )


def _near_holes(
    bars: Bars, labels: Labels, *, warm: int, bar_ms: int, silent_bars: int
) -> NDArray[np.bool_]:
    """Return bool[n]: bars that follow a hole too closely, or have no label for one to come."""
    cut_off = ~labels.valid & (run_ends(bars.open_time_ms, bar_ms) < len(bars))
    return let_out(bars.open_time_ms, bar_ms, warm, silent_bars) | cut_off


def blocks(
    start_ms: NDArray[np.int64], end_ms: NDArray[np.int64], settings: ValidationSettings
) -> list[Fold]:
    """Return the walk-forward blocks of the rows; the last one ends at the last decision.

    A block that has nothing before it to learn from, or less than half of the rows that others
    have because it lies in a hole, is none.
    """
    stop_ms = int(start_ms[-1])
    block_ms = settings.block_weeks * WEEK_MS
    trained_ms = int(start_ms[0]) + settings.first_train_weeks * WEEK_MS
    found = walk_forward(
        start_ms,
        end_ms,
        first_test_ms=max(trained_ms, stop_ms - settings.max_blocks * block_ms),
        stop_ms=stop_ms,
        block_ms=block_ms,
        max_train_ms=settings.max_train_weeks * WEEK_MS,
    )
    most = max((len(fold.test) for fold in found), default=0)
    return [fold for fold in found if len(fold.train) and 2 * len(fold.test) >= most > 0]


def _coverage(x: Float32, names: Sequence[str], folds: Sequence[Fold]) -> dict[str, float]:
    """Return the lowest share of a window's rows in which each feature has a value, or in which
    there was nothing for it to measure.
    """
    present = np.isfinite(x) | np.array([feature(name).missing == "absent" for name in names])
    shares = [present[rows].mean(axis=0) for _, rows in windows(len(x), folds)]
    lowest = np.min(shares, axis=0)
    return {name: float(share) for name, share in zip(names, lowest, strict=True)}


def row_weights(
    start_ms: NDArray[np.int64], end_ms: NDArray[np.int64], half_life_weeks: float
) -> Float64:
    """Return what each row is worth in independent labels: recency × mean uniqueness, 0 unresolved.

    Not the uniqueness of the row itself: it depends on the outcome. A HOLD spans the whole horizon
    and would weigh half of a quick BUY, so that models would learn HOLD to be rarer than it is
    (found 5.5 % for 8.5 %).
    """
    resolved = end_ms < UNRESOLVED_MS
    own = uniqueness(start_ms, end_ms)[resolved]
    worth = float(own.mean()) if len(own) else 0.0
    return np.where(resolved, worth * recency(start_ms, half_life_weeks), 0.0)


def uniqueness(start_ms: NDArray[np.int64], end_ms: NDArray[np.int64]) -> Float64:
    """Return each label's mean share of the bars it spans, 0 for an unresolved label.

    A bar spanned by c labels counts 1/c for each (López de Prado, Advances in Financial Machine
    Learning, 4.4). `start_ms` ascends by decision; a label's bars are the decisions in [start,
    end). Labels that are open at some time count there whatever becomes of them, so the weight of
    a label knows nothing after its own end.
    """
    first = np.arange(len(start_ms))
    last = np.searchsorted(start_ms, end_ms, side="left")
    change = np.zeros(len(start_ms) + 1)
    np.add.at(change, first, 1.0)
    np.add.at(change, last, -1.0)
    share = 1.0 / np.maximum(np.cumsum(change[:-1]), 1.0)
    total = np.concatenate([[0.0], np.cumsum(share)])
    mean = (total[last] - total[first]) / np.maximum(last - first, 1)
    return np.where(end_ms < UNRESOLVED_MS, mean, 0.0)


def recency(start_ms: NDArray[np.int64], half_life_weeks: float) -> Float64:
    """Return weights that halve with every half-life before the last row, which has 1."""
    age_weeks = (start_ms[-1] - start_ms) / WEEK_MS
    return np.exp2(-age_weeks / half_life_weeks)


def _digest(names: tuple[str, ...], *arrays: NDArray[np.generic]) -> str:
    digest = hashlib.sha256(canonical_json(list(names)))
    for array in arrays:
        digest.update(
            f"{array.dtype.str}{array.shape}".encode() + np.ascontiguousarray(array).tobytes()
        )
    return digest.hexdigest()
