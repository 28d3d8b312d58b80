"""Which features a person might remove, by what models inside the earlier folds made of them.

The gate folds stay untouched: what selects features never sees a row that was not resolved before
the first of them began. Nothing is removed here; a person reads the proposals.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from kernel.features.registry import feature
from research.datasets.table import TrainingTable, blocks
from research.evaluation.paired import Difference, compare, holm
from research.graphs import fusion
from research.models.base import Base, FittedBase, TrainingRows, with_every_class
from research.models.threads import pinned_threads
from research.settings import WEEK_MS, Settings, ValidationSettings
from research.training.sides import with_even_sides
from research.training.stack import column_medians
from research.validation.folds import Fold, resolved_before

NEGLIGIBLE_SHAP = 0.001  # of the log-odds, as in the roadmap, 17.1
LEVEL = 0.05
REPEATS = 3  # fits of every set with other random draws: their luck is of the size of the effects
LEAST_PROBABILITY = 1e-6
Float64 = NDArray[np.float64]
Verdict = Literal["carries", "nothing shown", "harms"]


@dataclass(frozen=True, slots=True)
class Inner:
    """What selection may look at: rows resolved before `until_ms`, and the folds among them.

    `x` float32[n, F] and `y` int8[n] (0, 1, 2) ascend by `start_ms` int64[n]. `weights` are, fold
    by fold, those of its training rows by what was known when its test rows began.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int8]
    weights: tuple[Float64, ...]
    start_ms: NDArray[np.int64]
    names: tuple[str, ...]
    folds: tuple[Fold, ...]
    until_ms: int


@dataclass(frozen=True, slots=True)
class Strength:
    """One feature: mean |SHAP| over the folds' test rows, per fold and over all of them."""

    feature: str
    group: str
    by_fold: tuple[float, ...]
    mean: float

    @property
    def negligible(self) -> bool:
        """Return whether the feature is proposed for removal."""
        return self.mean < NEGLIGIBLE_SHAP


@dataclass(frozen=True, slots=True)
class Ablation:
    """What leaving features out does to the log-loss of rows that the models had not seen.

    `difference` is without minus with: above 0 the features are missed. `adjusted` is its p-value
    after Holm's correction over all groups.
    """

    group: str
    features: tuple[str, ...]
    difference: Difference
    adjusted: float

    @property
    def verdict(self) -> Verdict:
        """Return whether the group carries something, harms, or shows neither at 5 %."""
        if self.adjusted > LEVEL:
            return "nothing shown"
        return "carries" if self.difference.mean > 0.0 else "harms"


@dataclass(frozen=True, slots=True)
class Proposals:
    """What a person reads: each feature's strength, each group's ablation, and all at once.

    `removed` are the features proposed for removal and `together` what leaving all of them out
    does, None where that is none or all. `looks` counts the sets of features tried on the folds:
    each is a chance to be fooled.
    """

    base: str
    strengths: tuple[Strength, ...]
    ablations: tuple[Ablation, ...]
    removed: tuple[str, ...]
    together: Difference | None
    log_loss: float
    rows: int
    folds: int
    looks: int
    window_ms: tuple[int, int]

    def to_record(self) -> dict[str, Any]:
        """Return everything as plain values, with the verdict of each group."""
        return asdict(self) | {"verdicts": {one.group: one.verdict for one in self.ablations}}

    @classmethod
    def from_record(cls, raw: Mapping[str, Any]) -> Self:
        """Return the proposals that `to_record` wrote."""
        together = raw["together"]
        first_ms, until_ms = raw["window_ms"]
        return cls(
            base=raw["base"],
            strengths=tuple(
                Strength(
                    feature=one["feature"],
                    group=one["group"],
                    by_fold=tuple(one["by_fold"]),
                    mean=one["mean"],
                )
                for one in raw["strengths"]
            ),
            ablations=tuple(
                Ablation(
                    group=one["group"],
                    features=tuple(one["features"]),
                    difference=Difference(**one["difference"]),
                    adjusted=one["adjusted"],
                )
                for one in raw["ablations"]
            ),
            removed=tuple(raw["removed"]),
            together=None if together is None else Difference(**together),
            log_loss=raw["log_loss"],
            rows=raw["rows"],
            folds=raw["folds"],
            looks=raw["looks"],
            window_ms=(first_ms, until_ms),
        )

    def group_rows(self) -> list[dict[str, Any]]:
        """Return a record per group, and one of all proposals at once, log-loss in thousandths."""
        rows = [
            _record(one.group, len(one.features), one.difference, one.adjusted, one.verdict)
            for one in sorted(self.ablations, key=lambda one: -one.difference.mean)
        ]
        if self.together is not None:
            p = self.together.p_value
            rows.append(_record("all proposals", len(self.removed), self.together, p, ""))
        return rows

    def feature_rows(self) -> list[dict[str, Any]]:
        """Return a record per feature, the strongest first."""
        return [
            {
                "feature": one.feature,
                "group": one.group,
                "mean |SHAP|": one.mean,
                "least fold": min(one.by_fold),
                "most": max(one.by_fold),
                "proposed": "yes" if one.feature in self.removed else "",
            }
            for one in sorted(self.strengths, key=lambda one: -one.mean)
        ]


def _record(
    name: str, features: int, cost: Difference, p_value: float, verdict: str
) -> dict[str, Any]:
    return {
        "without": name,
        "features": features,
        "log-loss ×1000": 1e3 * cost.mean,
        "from": 1e3 * cost.low,
        "to": 1e3 * cost.high,
        "p": p_value,
        "verdict": verdict,
    }


def inner(table: TrainingTable, validation: ValidationSettings) -> Inner:
    """Return the part of `table` that selection may look at: the folds before the gate folds.

    Raises ValueError where there is no such fold.
    """
    found = blocks(table.start_ms, table.end_ms, validation)
    earlier = found[: len(found) - validation.gate_folds]
    if not earlier:
        raise ValueError(
            f"history: found {len(found)} walk-forward blocks, expected more than the "
            f"{validation.gate_folds} of the gates"
        )
    until_ms = found[len(earlier)].test_start_ms
    rows = np.flatnonzero(resolved_before(table.end_ms, until_ms))
    folds = tuple(_among(fold, rows) for fold in earlier)
    return Inner(
        x=table.x[rows],
        y=table.y[rows],
        weights=tuple(
            table.worth(fold.test_start_ms, validation.recency_half_life_weeks)[fold.train]
            for fold in earlier
        ),
        start_ms=table.start_ms[rows],
        names=table.feature_names,
        folds=folds,
        until_ms=until_ms,
    )


def _among(fold: Fold, rows: NDArray[np.intp]) -> Fold:
    """Return the fold in positions among `rows`; rows that are not there are left out."""
    train, test = (
        np.searchsorted(rows, part[np.isin(part, rows)]) for part in (fold.train, fold.test)
    )
    return Fold(train, test, fold.test_start_ms, fold.test_end_ms)


def memory_rows(settings: Settings) -> int:
    """Return how many bars apart two log-losses are taken to be independent.

    A week: regimes last longer than the labels overlap. At least twice what a label spans. Where
    losses stay alike for longer, the test errs more often: at a half-life of one day 6 times in a
    hundred, at three days 17 times.
    """
    return max(WEEK_MS // settings.bar_ms, 2 * settings.labels.horizon_bars)


@pinned_threads()
def propose(data: Inner, base: Base, *, seed: int, n_jobs: int, memory_rows: int) -> Proposals:
    """Return the proposals of one base, fitted in every fold on all features and without each
    group.

    A feature is proposed when its mean |SHAP| is under 0.001, and so are all of a group whose
    absence is not shown to cost anything: "not shown" is not "useless", and two groups that stand
    in for each other are both proposed, which is what `together` is for. Every set is fitted with
    three seeds from `seed` on. `memory_rows` is that of `paired.compare`. Raises ValueError for a
    single group.
    """
    groups = members(data.names)
    if len(groups) < 2:
        raise ValueError(f"groups: found {sorted(groups)}, expected at least two to compare")
    trials = _Trials(data, base, seed, n_jobs)
    fits = trials.fits(data.names)
    whole = _mean_losses(fits)
    strengths = _strengths(data, fits)
    without = [trials.losses_without(names) for names in groups.values()]
    found = [compare(one - whole, memory_rows) for one in without]
    ablations = tuple(
        Ablation(group, names, difference, adjusted)
        for (group, names), difference, adjusted in zip(
            groups.items(), found, holm([one.p_value for one in found]), strict=True
        )
    )
    removed = _removed(data.names, strengths, ablations)
    some = 0 < len(removed) < len(data.names)
    together = compare(trials.losses_without(removed) - whole, memory_rows) if some else None
    return Proposals(
        base=base.name,
        strengths=strengths,
        ablations=ablations,
        removed=removed,
        together=together,
        log_loss=float(whole.mean()),
        rows=len(whole),
        folds=len(data.folds),
        looks=trials.looks,
        window_ms=(int(data.start_ms[0]), data.until_ms),
    )


def _removed(
    names: Sequence[str], strengths: Sequence[Strength], ablations: Sequence[Ablation]
) -> tuple[str, ...]:
    found = {one.feature for one in strengths if one.negligible}
    found |= {name for one in ablations if one.verdict != "carries" for name in one.features}
    return tuple(name for name in names if name in found)


def members(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the features of each group, both in the order of `names`."""
    groups: dict[str, tuple[str, ...]] = {}
    for name in names:
        group = feature(name).group
        groups[group] = (*groups.get(group, ()), name)
    return groups


@dataclass(frozen=True, slots=True)
class _Fit:
    """One fold's model and its test rows as the model reads them."""

    fitted: FittedBase
    x: NDArray[np.float32]
    y: NDArray[np.int8]


class _Trials:
    """Fits of one base in the same folds on changing columns, counted."""

    def __init__(self, data: Inner, base: Base, seed: int, n_jobs: int) -> None:
        self._data = data
        self._base = base
        self._seed = seed
        self._n_jobs = n_jobs
        self._seen: set[tuple[str, ...]] = set()

    @property
    def looks(self) -> int:
        """Return how many sets of features were tried."""
        return len(self._seen)

    def fits(self, names: Sequence[str]) -> list[list[_Fit]]:
        """Return, for each random draw, a model per fold of these features."""
        self._seen.add(tuple(names))
        columns = np.array([self._data.names.index(name) for name in names], np.intp)
        seeds = range(self._seed, self._seed + REPEATS)
        places = range(len(self._data.folds))
        return [[self._fit(place, columns, seed) for place in places] for seed in seeds]

    def losses_without(self, left_out: Sequence[str]) -> Float64:
        """Return the log-loss of every test row under models that lack these features."""
        return _mean_losses(self.fits([name for name in self._data.names if name not in left_out]))

    def _fit(self, place: int, columns: NDArray[np.intp], seed: int) -> _Fit:
        return _fitted(self._data, place, self._base, columns, seed=seed, n_jobs=self._n_jobs)


@pinned_threads()
def _fitted(
    data: Inner, place: int, base: Base, columns: NDArray[np.intp], *, seed: int, n_jobs: int
) -> _Fit:
    """Return a base fitted on the training rows of a fold, in these columns of theirs."""
    fold = data.folds[place]
    x = data.x[np.ix_(fold.train, columns)]
    y = data.y[fold.train]
    medians = column_medians(x)
    weights = with_even_sides(data.weights[place], y)
    chosen: list[int] = columns.tolist()
    names = tuple(data.names[column] for column in chosen)
    rows = TrainingRows(fusion.impute(x, medians), y, weights / weights.mean(), names)
    fitted = base.fit(with_every_class(rows), seed, n_jobs)
    unseen = fusion.impute(data.x[np.ix_(fold.test, columns)], medians)
    return _Fit(fitted, unseen, data.y[fold.test])


def probabilities(data: Inner, place: int, base: Base, *, seed: int, n_jobs: int) -> Float64:
    """Return what a base that learnt the training rows of the fold in a place says of its test
    rows, float64[m,3].
    """
    columns = np.arange(len(data.names))
    fit = _fitted(data, place, base, columns, seed=seed, n_jobs=n_jobs)
    return fit.fitted.native(fit.x)


def _mean_losses(fits: Sequence[Sequence[_Fit]]) -> Float64:
    """Return the log-loss of every test row, fold after fold, on average over the draws."""
    found = [[log_losses(fit.fitted.native(fit.x), fit.y) for fit in draw] for draw in fits]
    return np.mean([np.concatenate(draw) for draw in found], axis=0)


def _strengths(data: Inner, fits: Sequence[Sequence[_Fit]]) -> tuple[Strength, ...]:
    """Return each feature's mean |SHAP| over the test rows of models of all features."""
    found = np.mean([[_contributions(fit) for fit in one] for one in fits], axis=0)
    mean = np.average(found, axis=0, weights=[len(fit.y) for fit in fits[0]])
    return tuple(
        Strength(name, feature(name).group, tuple(map(float, found[:, at])), float(mean[at]))
        for at, name in enumerate(data.names)
    )


def _contributions(fit: _Fit) -> Float64:
    if fit.fitted.contributions is None:
        raise ValueError(f"base: found {fit.fitted.name}, expected one that gives SHAP values")
    return fit.fitted.contributions(fit.x)


def log_losses(probabilities: Float64, y: NDArray[np.int8]) -> Float64:
    """Return −ln of the probability given to what happened, float64[n], at most 13.8."""
    given = probabilities[np.arange(len(y)), y]
    return -np.log(np.maximum(given, LEAST_PROBABILITY))
