"""Everything a researcher changes without touching code, read strictly from `configs/`."""

import dataclasses
from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from kernel.bars import TIMEFRAME_MS
from kernel.errors import SettingsError
from kernel.trading_settings import TradingSettings
from research import strict
from research.feature_sets import FeatureSets
from research.models.base import Base
from research.models.bases import load
from research.models.calibration import MetaSettings
from research.strict import STRICT, read

WEEK_MS = 7 * 86_400_000

Atr = Annotated[float, Field(ge=0.01, le=100)]
Share = Annotated[float, Field(ge=0.01, le=1)]
Weeks = Annotated[int, Field(ge=1, le=10_000)]


@dataclass(frozen=True, slots=True, config=STRICT)
class LabelSettings:
    """Triple barrier: distances in ATR of the decision bar, horizon in bars after it."""

    take_profit_atr: Atr
    stop_loss_atr: Atr
    horizon_bars: Annotated[int, Field(ge=1, le=10_000)]


@dataclass(frozen=True, slots=True, config=STRICT)
class ValidationSettings:
    """The walk-forward pass: blocks are counted backwards from the cutoff."""

    first_train_weeks: Annotated[int, Field(ge=1, le=1_000)]
    block_weeks: Annotated[int, Field(ge=1, le=100)]
    gate_folds: Annotated[int, Field(ge=1, le=100)]
    max_blocks: Annotated[int, Field(ge=2, le=1_000)]
    max_train_weeks: Weeks
    min_coverage: Share
    recency_half_life_weeks: Annotated[float, Field(ge=0.1, le=10_000)]

    def __post_init__(self) -> None:
        if self.max_blocks <= self.gate_folds:
            raise ValueError(
                f"max_blocks: found {self.max_blocks}, expected more than the "
                f"{self.gate_folds} of gate_folds: the first of them needs rows to learn from"
            )


@dataclass(frozen=True, slots=True, config=STRICT)
class StackSettings:
    """The names of the bases in the order of the graph's votes, and what they share: the seed of
    every random choice, and the threads of each trainer.

    `selector` is the base that datasets/feature_proposals asks; it need not be in the stack.
    `hull_rate` is the share of training rows that count as unlike the others: as far away, the
    graph abstains. A base stays in a graph where it is missed with `stay_confidence`, and takes no
    part in later blocks once a fit of it took more than `max_fit_cpu_s`.
    """

    bases: Annotated[tuple[str, ...], Field(min_length=1)]
    selector: str
    seed: int
    n_jobs: Annotated[int, Field(ge=1, le=1_024)]
    hull_rate: Annotated[float, Field(gt=0.0, le=0.5)]
    stay_confidence: Annotated[float, Field(gt=0.5, lt=1)]
    max_fit_cpu_s: Annotated[float, Field(gt=0)]

    def __post_init__(self) -> None:
        twice = sorted({name for name in self.bases if self.bases.count(name) > 1})
        if twice:
            raise ValueError(f"bases has {twice[0]} twice, expected each name once")


@dataclasses.dataclass(frozen=True, slots=True)
class ModelSettings:
    """The bases with their settings, in the order of the votes, the meta-learner, and what they
    share.
    """

    bases: tuple[Base, ...]
    selector: Base
    meta: MetaSettings
    stack: StackSettings

    def base(self, name: str) -> Base:
        """Return the base of that name; raise KeyError where the stack has none."""
        return {base.name: base for base in self.bases}[name]


@dataclass(frozen=True, slots=True, config=STRICT)
class GateSettings:
    """Thresholds; a value equal to its threshold passes.

    `accept_without_funding` names the symbols that a person accepts to be judged on results that
    exclude funding. A Sharpe ratio above `believable_sharpe` is noted and refuses nothing.
    """

    min_fold_win_rate: float
    min_fold_profit_factor: float
    min_median_profit_factor: float
    min_fold_trades: int
    max_drawdown_above_champion: float
    max_drawdown_without_champion: float
    min_score_over_champion: float
    min_shared_bars: Share
    max_calibration_mae: float
    max_parity_error: float
    stress_cost_multiplier: float
    stress_delay_bars: int
    min_stress_return: float
    max_inference_cpu_ms: float
    max_bundle_bytes: int
    accept_without_funding: tuple[str, ...] = ()
    believable_sharpe: float = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What a retrain reads of `configs/`, checked; `timeframe`, such as 15m, and `silent_bars` are
    the universe's.

    `features` are those of the signal model, in the order of its columns: the set that
    `features.yaml` chooses.
    """

    timeframe: str
    silent_bars: int
    features: tuple[str, ...]
    labels: LabelSettings
    validation: ValidationSettings
    models: ModelSettings
    trading: TradingSettings
    gates: GateSettings

    @property
    def bar_ms(self) -> int:
        """Return the length of one bar in milliseconds."""
        return TIMEFRAME_MS[self.timeframe]


def load_settings(folder: Path, timeframe: str, silent_bars: int = 0) -> Settings:
    """Return the settings in `folder` for bars of `timeframe`, of which the exchange may leave out
    `silent_bars` in a row where nothing trades.

    Raises `SettingsError` on a missing file, and on a missing, unknown or wrong key.
    """
    labels = read(LabelSettings, folder / "labels.yaml")
    chosen = read(FeatureSets, folder / "features.yaml")
    return Settings(
        timeframe=timeframe,
        silent_bars=silent_bars,
        features=chosen.sets[chosen.signal],
        labels=labels,
        validation=read(ValidationSettings, folder / "validation.yaml"),
        models=_models(folder / "models"),
        trading=_trading(folder / "trading.yaml", labels),
        gates=read(GateSettings, folder / "gates.yaml"),
    )


def _models(folder: Path) -> ModelSettings:
    stack = read(StackSettings, folder / "stack.yaml")
    return ModelSettings(
        bases=tuple(load(name, folder) for name in stack.bases),
        selector=load(stack.selector, folder),
        meta=read(MetaSettings, folder / "meta.yaml"),
        stack=stack,
    )


def load_feature_sets(folder: Path) -> FeatureSets:
    """Return the named sets of `features.yaml`; raise `SettingsError` as `load_settings`."""
    return read(FeatureSets, folder / "features.yaml")


def _trading(path: Path, labels: LabelSettings) -> TradingSettings:
    """Return the file's keys with the barriers of the labels, which must not differ."""
    content = strict.content(path)
    barriers = dataclasses.asdict(labels)
    twice = sorted(set(content) & set(barriers))
    if twice:
        raise SettingsError(
            f"{path}: found {twice[0]}, expected it in labels.yaml only: remove it here"
        )
    try:
        return TradingSettings.from_dict(content | barriers)
    except ValueError as error:
        raise SettingsError(f"{path}: {error}") from error
