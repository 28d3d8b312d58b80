# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# arch ships no types for this; what leaves this file is typed.
"""A study: named variants of features, labels, models and thresholds, compared on the same bars.

The largest number of many is large by luck. What a study says is therefore which variants survive
the comparison of all with all (MCS) and whether any beats the benchmark (SPA), not which is first.
"""

import dataclasses
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from kernel.bars import Bars
from kernel.digest import canonical_json, sha256_hex
from kernel.observation import Series
from research.backtest.walk_forward import market_of
from research.datasets.matrix import Table, feature_values
from research.datasets.table import build
from research.evaluation.metrics import YEAR_MS, sharpe
from research.evaluation.paired import Difference, compare
from research.feature_sets import FeatureSets
from research.labels.triple_barrier import triple_barrier
from research.models.base import Base
from research.models.bases import load
from research.settings import LabelSettings, Settings
from research.strict import STRICT, read
from research.training.selection import memory_rows
from research.tuning import scoring
from research.tuning.ledger import BarReturns, Ledger, Result, Trial, settings_digest
from research.tuning.scoring import Ground
from research.tuning.spaces import TuningSettings, with_parameters

DAY_MS = 86_400_000
BLOCK_DAYS = 7  # regimes outlast the labels: days of one week are taken together
FEWEST_DAYS = 21
REPETITIONS = 1_000
CONFIDENCE_SIZE = 0.10
LEVEL = 0.05
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Number = float | int


@dataclass(frozen=True, slots=True, config=STRICT)
class Variant:
    """What differs from the settings of today; what is not named stays.

    `features` are the name of a set of features.yaml, or entries as they stand there.
    """

    base: str = "lightgbm"
    parameters: dict[str, float | int | str] = Field(default_factory=dict)
    features: str | tuple[str, ...] = ()
    labels: dict[str, Number] = Field(default_factory=dict)
    trading: dict[str, Number] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True, config=STRICT)
class Study:
    """Variants by name over the weeks, each a Sunday, whose inner folds they are compared on."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,60}$")]
    symbol: str
    weeks: Annotated[tuple[str, ...], Field(min_length=1)]
    benchmark: str
    variants: Annotated[dict[str, Variant], Field(min_length=2)]

    def __post_init__(self) -> None:
        if self.benchmark not in self.variants:
            raise ValueError(
                f"benchmark is {self.benchmark}, expected one of {', '.join(self.variants)}"
            )

    @property
    def id(self) -> str:
        """Name the study by its name and everything that it says."""
        return f"{self.name}-{sha256_hex(canonical_json(asdict(self)))[:12]}"

    @property
    def same_labels(self) -> bool:
        """Return whether log-losses of all variants are of the same labels, so comparable."""
        return len({canonical_json(one.labels) for one in self.variants.values()}) == 1


def load_study(path: Path) -> Study:
    """Return the study in a file; raise `SettingsError` as every reader of settings."""
    return read(Study, path)


@dataclasses.dataclass(frozen=True, slots=True)
class KnownMarket:
    """What was known of a symbol at the end of a week: bars, series, and `matrix`, the stored rows
    of every feature that a variant asks for and of `atr_14`.
    """

    bars: Bars
    series: Mapping[str, Series]
    matrix: Table


@dataclasses.dataclass(frozen=True, slots=True)
class Tried:
    """A variant with the settings that it comes to."""

    base: Base
    settings: Settings
    tuning: TuningSettings


def tried(variant: Variant, settings: Settings, tuning: TuningSettings, folder: Path) -> Tried:
    """Return a variant on the settings of today in `folder`.

    Raises SettingsError, ValueError or TypeError for what no such setting may be.
    """
    changed: dict[str, Any] = asdict(settings.labels) | variant.labels
    labels = LabelSettings(**changed)
    own = {name: variant.trading[name] for name in _TRADED if name in variant.trading}
    trading = {k: v for k, v in variant.trading.items() if k not in own}
    return Tried(
        base=with_parameters(load(variant.base, folder / "models"), variant.parameters),
        settings=replace(
            settings,
            features=_features(variant, settings, folder),
            labels=labels,
            trading=replace(settings.trading, **asdict(labels) | trading),
        ),
        tuning=replace(tuning, **{name: float(value) for name, value in own.items()}),
    )


_TRADED = ("min_confidence", "min_prob_diff")


def _features(variant: Variant, settings: Settings, folder: Path) -> tuple[str, ...]:
    if not variant.features:
        return settings.features
    if isinstance(variant.features, str):
        sets = read(FeatureSets, folder / "features.yaml").sets
        if variant.features not in sets:
            raise ValueError(f"features: found {variant.features}, expected one of {sorted(sets)}")
        return sets[variant.features]
    return FeatureSets(signal="own", sets={"own": variant.features}).sets["own"]


def ground_of(study: Study, week: str, one: Tried, seen: KnownMarket) -> Ground:
    """Return what a variant is judged on: its features and labels, on inner folds of the week.

    Raises ValueError where the history is too short for its features.
    """
    chosen = one.settings
    market = market_of(seen.bars, seen.series, seen.matrix, chosen.bar_ms)
    table = build(
        bars=seen.bars,
        features=feature_values(seen.matrix, chosen.features),
        labels=triple_barrier(seen.bars, market.atr, chosen.labels, chosen.bar_ms),
        feature_names=chosen.features,
        settings=chosen.validation,
        bar_ms=chosen.bar_ms,
        silent_bars=chosen.silent_bars,
    )
    return scoring.ground(
        symbol=study.symbol,
        week=week,
        table=table,
        market=market,
        settings=chosen,
        tuning=one.tuning,
    )


@dataclasses.dataclass(frozen=True, slots=True)
class VariantPart:
    """What one variant came to in one week: the log-loss of the rows decided at the close of bars
    that opened at int64[m], and its account bar by bar.
    """

    open_time_ms: Int64
    losses: Float64
    stream: BarReturns

    def to_bytes(self) -> bytes:
        """Return the arrays as npz."""
        buffer = io.BytesIO()
        np.savez(
            buffer,
            open_time_ms=self.open_time_ms,
            losses=self.losses,
            traded_ms=self.stream.open_time_ms,
            returns=self.stream.returns,
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "VariantPart":
        """Return what `to_bytes` wrote."""
        with np.load(io.BytesIO(content)) as found:
            return cls(
                open_time_ms=found["open_time_ms"],
                losses=found["losses"],
                stream=BarReturns(found["traded_ms"], found["returns"]),
            )


class PartStore(Protocol):
    """Where a study keeps what its variants came to, by trial."""

    def read(self, trial_id: str) -> bytes | None:
        """Return what was kept, None where nothing is."""
        ...

    def write(self, trial_id: str, content: bytes) -> None:
        """Keep it."""
        ...


Prepare = Callable[[str, str], tuple[Ground, Base]]


def run(
    study: Study, prepare: Prepare, *, ledger: Ledger, parts: PartStore, told: Callable[[str], None]
) -> dict[str, list[VariantPart]]:
    """Return what every variant came to in every week, each on record before it is looked at.

    `prepare(variant, week)` gives what it is judged on. What was finished before a kill is read
    back; `told` hears of each that was tried now.
    """
    found: dict[str, list[VariantPart]] = {name: [] for name in study.variants}
    for week in study.weeks:
        for name in study.variants:
            ground, base = prepare(name, week)
            trial = _trial(study, name, week, ground, base)
            begun = ledger.begin(trial)
            kept = parts.read(trial.id) if begun.row.records else None
            if kept is None:
                told(f"{name}, week {week}")
                part, result = _judged(ground, base)
                parts.write(trial.id, part.to_bytes())  # first: a finished row has its part
                begun.finish(result)
            else:
                part = VariantPart.from_bytes(kept)
            found[name].append(part)
    return found


def _trial(study: Study, name: str, week: str, ground: Ground, base: Base) -> Trial:
    settings = ground.settings
    alone = replace(settings, models=replace(settings.models, bases=(base,), selector=base))
    return Trial(
        symbol=study.symbol,
        kind="study",
        name=f"{study.name}: {name}, {week}",
        settings_digest=settings_digest(alone),
        data_digest=ground.digest,
        seed=settings.models.stack.seed,
        span_ms=ground.span_ms,
        parent=study.id,
    )


def _judged(ground: Ground, base: Base) -> tuple[VariantPart, Result]:
    folds = list(scoring.scored(ground, base))
    stream = scoring.stream(ground, folds)
    bar = np.concatenate([one.bar for one in folds])
    part = VariantPart(
        open_time_ms=ground.market.bars.open_time_ms[bar],
        losses=np.concatenate([one.losses for one in folds]),
        stream=stream,
    )
    scores = tuple(float(one.losses.mean()) for one in folds)
    return part, Result(outcome="complete", objective="log_loss", scores=scores, stream=stream)


Measure = Literal["log-loss", "return"]


@dataclasses.dataclass(frozen=True, slots=True)
class VariantComparison:
    """All variants by one measure, day by day, as losses: less is better.

    `better_than_benchmark` is Hansen's test (2005) that no variant beats the benchmark, its
    consistent p-value. `survivors` are the model confidence set (Hansen, Lunde, Nason, 2011): with
    90 % confidence the best one is among them. `same` are variants that equal another one.
    """

    measure: Measure
    days: int
    p_value: float | None
    beat: tuple[str, ...]
    survivors: tuple[str, ...]
    same: Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class VariantLine:
    """One variant beside the benchmark, on the bars that all variants have.

    Differences are paired: in log-loss benchmark minus variant, in return per bar variant minus
    benchmark; above 0 the variant is better, each with its 95 % interval alone.
    """

    name: str
    log_loss: float
    log_loss_gain: Difference | None
    sharpe: float
    total_return: float
    return_gain: Difference | None


@dataclasses.dataclass(frozen=True, slots=True)
class Findings:
    """What a study found: a line per variant, the comparisons of all, and each one's account.

    `equity` float64[n] per variant is the compounded return over the bars int64[n] of all.
    """

    study: Study
    lines: tuple[VariantLine, ...]
    comparisons: tuple[VariantComparison, ...]
    open_time_ms: Int64
    equity: Mapping[str, Float64]


def findings(
    study: Study, parts: Mapping[str, Sequence[VariantPart]], settings: Settings
) -> Findings:
    """Return the comparison of all variants on the bars that all of them have.

    Where weeks overlap, a bar's losses and returns are averaged. Raises ValueError where there are
    no such bars.
    """
    losses_ms, losses = _aligned({name: _losses(one) for name, one in parts.items()})
    traded_ms, returns = _aligned({name: _returns(one) for name, one in parts.items()})
    memory = memory_rows(settings)
    lines = tuple(
        VariantLine(
            name=name,
            log_loss=float(losses[name].mean()),
            log_loss_gain=_gain(losses[study.benchmark] - losses[name], memory)
            if study.same_labels
            else None,
            sharpe=sharpe(returns[name], YEAR_MS / settings.bar_ms),
            total_return=float(np.prod(1.0 + returns[name]) - 1.0),
            return_gain=_gain(returns[name] - returns[study.benchmark], memory),
        )
        for name in study.variants
    )
    comparisons = [_compared(study, "return", traded_ms, {k: -v for k, v in returns.items()})]
    if study.same_labels:
        comparisons.append(_compared(study, "log-loss", losses_ms, losses))
    return Findings(
        study=study,
        lines=lines,
        comparisons=tuple(comparisons),
        open_time_ms=traded_ms,
        equity={name: _compounded(one) for name, one in returns.items()},
    )


def _compounded(returns: Float64) -> Float64:
    return np.asarray(np.cumprod(1.0 + returns), np.float64)


def _losses(parts: Sequence[VariantPart]) -> tuple[Int64, Float64]:
    return _merged([(one.open_time_ms, one.losses) for one in parts])


def _returns(parts: Sequence[VariantPart]) -> tuple[Int64, Float64]:
    return _merged([(one.stream.open_time_ms, one.stream.returns) for one in parts])


def _merged(pieces: Sequence[tuple[Int64, Float64]]) -> tuple[Int64, Float64]:
    """Return the mean of a bar's values over the weeks that have it, by bar, ascending."""
    at = np.concatenate([times for times, _ in pieces])
    values = np.concatenate([found for _, found in pieces])
    bars, inverse, counts = np.unique(at, return_inverse=True, return_counts=True)
    return bars, np.bincount(inverse, weights=values) / counts


def _aligned(
    series: Mapping[str, tuple[Int64, Float64]],
) -> tuple[Int64, dict[str, Float64]]:
    """Return the bars that every variant has, and each one's values there."""
    common: Int64 | None = None
    for times, _ in series.values():
        common = times if common is None else np.intersect1d(common, times)
    if common is None or not len(common):
        raise ValueError("study: found no bar that every variant predicts, expected some")
    return common, {
        name: values[np.searchsorted(times, common)] for name, (times, values) in series.items()
    }


def _gain(differences: Float64, memory: int) -> Difference | None:
    return compare(differences, memory) if len(differences) > 3 * memory else None


def _compared(
    study: Study, measure: Measure, times_ms: Int64, losses: Mapping[str, Float64]
) -> VariantComparison:
    days, day = np.unique(times_ms // DAY_MS, return_inverse=True)
    daily = {name: _summed(day, one) for name, one in losses.items()}
    same: dict[str, str] = {}
    own: dict[str, Float64] = {}
    ordered = (study.benchmark, *(name for name in daily if name != study.benchmark))
    for name in ordered:
        twin = next((k for k, one in own.items() if np.array_equal(one, daily[name])), None)
        if twin is None:
            own[name] = daily[name]
        else:
            same[name] = twin
    if len(own) < 2 or len(days) < FEWEST_DAYS:
        return VariantComparison(
            measure=measure,
            days=len(days),
            p_value=None,
            beat=(),
            survivors=tuple(own),
            same=same,
        )
    p_value, beat = _superior(own, study.benchmark)
    return VariantComparison(
        measure=measure,
        days=len(days),
        p_value=p_value,
        beat=beat,
        survivors=_confidence_set(own),
        same=same,
    )


def _summed(day: NDArray[np.intp], values: Float64) -> Float64:
    return np.asarray(np.bincount(day, weights=values), np.float64)


def _superior(losses: Mapping[str, Float64], benchmark: str) -> tuple[float, tuple[str, ...]]:
    """Return SPA's p-value, and the variants that beat the benchmark at 5 % in spite of it."""
    from arch.bootstrap import SPA

    names = [name for name in losses if name != benchmark]
    test: Any = SPA(
        losses[benchmark],
        np.column_stack([losses[name] for name in names]),
        block_size=BLOCK_DAYS,
        reps=REPETITIONS,
        seed=0,
    )
    test.compute()
    p_value = float(test.pvalues["consistent"])
    beat = test.better_models(pvalue=LEVEL) if p_value <= LEVEL else ()
    return p_value, tuple(names[int(at)] for at in beat)


def _confidence_set(losses: Mapping[str, Float64]) -> tuple[str, ...]:
    from arch.bootstrap import MCS

    names = list(losses)
    test: Any = MCS(
        np.column_stack([losses[name] for name in names]),
        size=CONFIDENCE_SIZE,
        reps=REPETITIONS,
        block_size=BLOCK_DAYS,
        seed=0,
    )
    test.compute()
    return tuple(names[int(at)] for at in sorted(test.included))
