"""Which base earns its place: what the stack would lose without it, on rows that no base had seen.

A base that is not missed is left out. The choice for a graph rests on rows that were resolved when
its fold began, so that a gate fold is judged with the bases that its week would have chosen.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kernel.decision import CLASSES
from research.evaluation.bootstrap import BLOCK_HORIZONS, Interval, draws, interval, means
from research.models.base import TrainingRows
from research.models.calibration import fit_logistic, geometric_mean
from research.settings import Settings
from research.training.sides import with_even_sides

PARTS = 3  # of the rows in time: what one part loses is told by meta-learners of the others
LEAST_ROWS = 300  # thinned rows of a part; fewer choose nothing
SHARE_OF_A_LABEL = 8  # rows are thinned to an eighth of the horizon: closer ones say the same
LEAST_PROBABILITY = 1e-6
SPREAD = 1e-12  # votes that never change correlate with nothing
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SeenRows:
    """Out-of-fold rows, ascending in time: votes float32[n, 3·bases], class, worth, and the span of
    the label.
    """

    votes: Float32
    y: NDArray[np.int8]
    worth: Float64
    start_ms: NDArray[np.int64]
    end_ms: NDArray[np.int64]

    def thinned(self, stride: int) -> Self:
        """Return every `stride`-th row, worth as much as all."""
        kept = slice(None, None, stride)
        return type(self)(
            votes=self.votes[kept],
            y=self.y[kept],
            worth=self.worth[kept] * stride,
            start_ms=self.start_ms[kept],
            end_ms=self.end_ms[kept],
        )


@dataclass(frozen=True, slots=True)
class BaseVerdict:
    """Whether a base stays, and why.

    `missed` is the log-loss without it minus the log-loss with it, among the bases that were left
    when it was asked: above 0 it is missed. None where it was not asked. `log_loss` is its own.
    """

    base: str
    stays: bool
    why: str
    missed: Interval | None
    log_loss: float | None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two bases: the share of rows in which their most likely classes differ, and the correlation
    of the probabilities that they missed what happened by.
    """

    one: str
    other: str
    disagreement: float
    error_correlation: float


@dataclass(frozen=True, slots=True)
class Earning:
    """The verdict on each base, in the order of the votes, each pair, and the rows asked."""

    verdicts: tuple[BaseVerdict, ...]
    pairs: tuple[Pair, ...]
    rows: int

    @property
    def kept(self) -> tuple[str, ...]:
        """Return the names of the bases that stay."""
        return tuple(one.base for one in self.verdicts if one.stays)

    @classmethod
    def from_record(cls, raw: dict[str, Any]) -> Self:
        """Return what `asdict` made of an earning."""
        verdicts = (
            BaseVerdict(**one | {"missed": Interval(**one["missed"]) if one["missed"] else None})
            for one in raw["verdicts"]
        )
        pairs = (Pair(**one) for one in raw["pairs"])
        return cls(verdicts=tuple(verdicts), pairs=tuple(pairs), rows=raw["rows"])

    def to_record(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return asdict(self)


def choose(names: Sequence[str], seen: SeenRows, settings: Settings) -> Earning:
    """Return which of `names`, the voters of `seen`, earn their place; at least one does.

    Of the bases that are not missed with the confidence of `stay_confidence`, the least missed
    leaves, and the others are asked again: of two that say the same, one stays.
    """
    horizon = settings.labels.horizon_bars
    stride = max(1, horizon // SHARE_OF_A_LABEL)
    rows = seen.thinned(stride)
    asked = _Asked(rows, tuple(names), settings)
    pairs = tuple(_pair(rows, names, one, other) for one, other in combinations(names, 2))
    if len(names) == 1 or len(rows.y) < PARTS * LEAST_ROWS:
        why = "alone" if len(names) == 1 else f"{len(rows.y)} rows are too few to choose by"
        verdicts = {name: BaseVerdict(name, True, why, None, asked.own(name)) for name in names}
    else:
        block_rows = BLOCK_HORIZONS * horizon // stride
        drawn = draws(len(rows.y), block_rows, settings.models.stack.seed)
        verdicts = _eliminate(asked, drawn, settings.models.stack.stay_confidence)
    return Earning(tuple(verdicts[name] for name in names), pairs, len(rows.y))


def _eliminate(asked: "_Asked", drawn: Float64, confidence: float) -> dict[str, BaseVerdict]:
    """Return a verdict on every base."""
    left = list(asked.names)
    verdicts: dict[str, BaseVerdict] = {}
    losses = asked.losses(left)
    while len(left) > 1:
        without = {name: asked.losses([one for one in left if one != name]) for name in left}
        missed = {
            name: interval(
                float((loss - losses).mean()), means(loss - losses, drawn), 2 * confidence - 1
            )
            for name, loss in without.items()
        }
        for name in left:
            verdicts[name] = _verdict(name, asked, missed[name], stays=True)
        losing = [name for name in left if missed[name].low <= 0.0]
        if not losing:
            return verdicts
        out = min(losing, key=lambda name: missed[name].value)
        verdicts[out] = _verdict(out, asked, missed[out], stays=False)
        losses = without[out]
        left.remove(out)
    (last,) = left
    verdicts[last] = BaseVerdict(last, True, "the last one left", None, asked.own(last))
    return verdicts


def _verdict(name: str, asked: "_Asked", missed: Interval, *, stays: bool) -> BaseVerdict:
    told = f"{1e3 * missed.value:+.2f} ({1e3 * missed.low:+.2f} to {1e3 * missed.high:+.2f})"
    why = f"without it the log-loss ×1000 changes by {told}"
    return BaseVerdict(name, stays, why, missed, asked.own(name))


class _Asked:
    """Log-losses of sets of bases on the same rows, each part by meta-learners of the others."""

    def __init__(self, rows: SeenRows, names: tuple[str, ...], settings: Settings) -> None:
        self.names = names
        self._rows = rows
        self._prior_labels = settings.models.meta.prior_labels
        self._parts = np.array_split(np.arange(len(rows.y)), PARTS)

    def own(self, name: str) -> float:
        """Return the log-loss of the base alone, as it voted."""
        p = self._rows.votes[:, self._columns([name])]
        return float(_log_losses(p, self._rows.y).mean())

    def losses(self, names: Sequence[str]) -> Float64:
        """Return the log-loss of each row under stacks of these bases."""
        votes = self._rows.votes[:, self._columns(names)]
        found = np.empty(len(self._rows.y))
        for part in self._parts:
            others = self._apart_from(part)
            y = self._rows.y[others]
            weights = with_even_sides(self._rows.worth[others], y)
            fitted = fit_logistic(
                TrainingRows(votes[others], y, weights),
                geometric_mean(votes.shape[1]),
                self._prior_labels,
            )
            found[part] = _log_losses(fitted.predict(votes[part]), self._rows.y[part])
        return found

    def _apart_from(self, part: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the rows whose labels do not meet the labels of the part."""
        rows = self._rows
        before = rows.end_ms <= rows.start_ms[part[0]]
        after = rows.start_ms >= rows.end_ms[part].max()
        return np.flatnonzero(before | after)

    def _columns(self, names: Sequence[str]) -> NDArray[np.intp]:
        first = [len(CLASSES) * self.names.index(name) for name in names]
        return np.concatenate([np.arange(at, at + len(CLASSES)) for at in first])


def _pair(rows: SeenRows, names: Sequence[str], one: str, other: str) -> Pair:
    votes = rows.votes.reshape(len(rows.y), len(names), len(CLASSES))
    p, q = votes[:, names.index(one)], votes[:, names.index(other)]
    at = np.arange(len(rows.y))
    first: Float64 = 1.0 - p[at, rows.y].astype(np.float64)
    second: Float64 = 1.0 - q[at, rows.y].astype(np.float64)
    spread = float(first.std()) * float(second.std())
    shared = float((first - first.mean()) @ (second - second.mean())) / len(at)
    same = shared / spread if spread > SPREAD else 0.0
    return Pair(one, other, float((p.argmax(axis=1) != q.argmax(axis=1)).mean()), same)


def _log_losses(p: NDArray[Any], y: NDArray[np.int8]) -> Float64:
    given = p[np.arange(len(y)), y].astype(np.float64)
    return -np.log(np.maximum(given, LEAST_PROBABILITY))
