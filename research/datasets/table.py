"""The training table: warm rows, covered features and label spans, under one digest."""

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
from research.labels.weights import as_of
from research.settings import WEEK_MS, ValidationSettings
from research.validation.folds import Fold, walk_forward

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrainingTable:
    """Every warm bar of one symbol, oldest first; rows whose label is unresolved are there to be
    predicted.

    `x` float32[n,F'] may hold NaN; `y` int8[n] is 0, 1, 2 or -1; the label spans are int64[n]
    milliseconds; `closed_ms` int64[n] is when a label stopped to count against its neighbours, as
    `labels.weights` has it; `bar` int64[n] is the row's index in the bars.
    `coverage` is, for each feature asked for, its share of values in the whole table or in the
    poorest window of a fold, of its training or its test rows, whichever is lowest;
    `left_out` names those below the threshold.
    `cutoff_ms` is the close of the last bar. `let_out` counts rows that are not learned from
    because of a hole in the bars: they have no label and are worth nothing.
    """

    x: Float32
    y: NDArray[np.int8]
    start_ms: NDArray[np.int64]
    end_ms: NDArray[np.int64]
    closed_ms: NDArray[np.int64]
    bar: NDArray[np.int64]
    feature_names: tuple[str, ...]
    coverage: dict[str, float]
    left_out: tuple[str, ...]
    cutoff_ms: int
    let_out: int
    digest: str

    def worth(self, until_ms: int, half_life_weeks: float) -> Float64:
        """Return what each row was worth at `until_ms` in independent labels, float64[n]."""
        return as_of(until_ms, self.start_ms, self.end_ms, self.closed_ms, half_life_weeks)


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
    reach over one, is never learned from: its label is unresolved, and it is worth nothing.
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
    run_end = run_ends(bars.open_time_ms, bar_ms)
    cut_off = ~labels.valid & (run_end < len(bars))
    late = let_out(bars.open_time_ms, bar_ms, warm, silent_bars)
    unlearned = (late | cut_off)[rows]
    start = labels.start_ms[rows]
    end = np.where(unlearned, UNRESOLVED_MS, labels.end_ms[rows])
    # A label that a hole cut off never closes, and would count against its neighbours for ever.
    hole_ms = bars.open_time_ms[run_end - 1] + bar_ms
    closed = np.where(late[rows], start, np.where(cut_off[rows], hole_ms[rows], end))
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
    return TrainingTable(
        x=x,
        y=y,
        start_ms=start,
        end_ms=end,
        closed_ms=closed,
        bar=rows,
        feature_names=names,
        coverage=coverage,
        left_out=tuple(name for name in feature_names if name not in names),
        cutoff_ms=int(start[-1]),
        let_out=int(unlearned.sum()),
        digest=_digest(names, x, y, start, end, closed),
    )


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


def _digest(names: tuple[str, ...], *arrays: NDArray[np.generic]) -> str:
    digest = hashlib.sha256(canonical_json(list(names)))
    for array in arrays:
        digest.update(
            f"{array.dtype.str}{array.shape}".encode() + np.ascontiguousarray(array).tobytes()
        )
    return digest.hexdigest()
