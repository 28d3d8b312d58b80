"""Everything a researcher changes without touching code, read strictly from `configs/`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from kernel.bars import TIMEFRAME_MS
from kernel.errors import SettingsError
from kernel.trading_settings import TradingSettings
from research.feature_sets import FeatureSets

WEEK_MS = 7 * 86_400_000
# Read as JSON, where a strict validator takes a list for a tuple and a mapping for a dataclass.
STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
Kind = TypeVar("Kind")

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
class RandomForestSettings:
    """Size of the forest; `max_samples` and `max_features` are shares."""

    trees: int
    max_depth: int
    min_samples_leaf: int
    max_samples: float
    max_features: float


@dataclass(frozen=True, slots=True, config=STRICT)
class XGBoostSettings:
    """Histogram gradient boosting, level-wise."""

    rounds: int
    max_depth: int
    learning_rate: float
    min_child_weight: float
    subsample: float
    colsample: float
    reg_lambda: float
    max_bin: int


@dataclass(frozen=True, slots=True, config=STRICT)
class LightGBMSettings:
    """Histogram gradient boosting, leaf-wise."""

    rounds: int
    leaves: int
    learning_rate: float
    min_child_samples: int
    subsample: float
    colsample: float
    reg_lambda: float
    max_bin: int


@dataclass(frozen=True, slots=True, config=STRICT)
class MetaSettings:
    """Logistic meta-learner and isotonic curves, fitted on out-of-fold rows; priors count
    labels.
    """

    prior_labels: float
    fit_share: Annotated[float, Field(ge=0.1, le=0.9)]
    isotonic_bins: Annotated[int, Field(ge=1, le=1_000)]
    isotonic_prior_labels: float
    isotonic_min_step: Annotated[float, Field(ge=0.001, le=0.5)]


@dataclass(frozen=True, slots=True, config=STRICT)
class StackSettings:
    """Seed of every random choice, and the threads of each trainer."""

    seed: int
    n_jobs: Annotated[int, Field(ge=1, le=1_024)]


@dataclass(frozen=True, slots=True, config=STRICT)
class ModelSettings:
    """The bases, the meta-learner, and what they share."""

    random_forest: RandomForestSettings
    xgboost: XGBoostSettings
    lightgbm: LightGBMSettings
    meta: MetaSettings
    stack: StackSettings


@dataclass(frozen=True, slots=True, config=STRICT)
class GateSettings:
    """Thresholds; a value equal to its threshold passes.

    `accept_without_funding` names the symbols that a person accepts to be judged on results that
    exclude funding.
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


@dataclass(frozen=True, slots=True)
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
    labels = _read(LabelSettings, folder / "labels.yaml")
    chosen = _read(FeatureSets, folder / "features.yaml")
    models = folder / "models"
    return Settings(
        timeframe=timeframe,
        silent_bars=silent_bars,
        features=chosen.sets[chosen.signal],
        labels=labels,
        validation=_read(ValidationSettings, folder / "validation.yaml"),
        models=ModelSettings(
            random_forest=_read(RandomForestSettings, models / "random_forest.yaml"),
            xgboost=_read(XGBoostSettings, models / "xgboost.yaml"),
            lightgbm=_read(LightGBMSettings, models / "lightgbm.yaml"),
            meta=_read(MetaSettings, models / "meta.yaml"),
            stack=_read(StackSettings, models / "stack.yaml"),
        ),
        trading=_trading(folder / "trading.yaml", labels),
        gates=_read(GateSettings, folder / "gates.yaml"),
    )


def load_feature_sets(folder: Path) -> FeatureSets:
    """Return the named sets of `features.yaml`; raise `SettingsError` as `load_settings`."""
    return _read(FeatureSets, folder / "features.yaml")


def _trading(path: Path, labels: LabelSettings) -> TradingSettings:
    """Return the file's keys with the barriers of the labels, which must not differ."""
    content = _content(path)
    barriers = asdict(labels)
    twice = sorted(set(content) & set(barriers))
    if twice:
        raise SettingsError(
            f"{path}: found {twice[0]}, expected it in labels.yaml only: remove it here"
        )
    try:
        return TradingSettings.from_dict(content | barriers)
    except ValueError as error:
        raise SettingsError(f"{path}: {error}") from error


def _read(kind: type[Kind], path: Path) -> Kind:
    """Return what the file says; raise `SettingsError` naming the file, the key and what is due."""
    content = _content(path)
    try:
        return TypeAdapter(kind).validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        raise SettingsError.of(path, error.errors()) from error


def _content(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise SettingsError(f"{path}: found no such file, expected a YAML mapping: restore it")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise SettingsError(
            f"{path}: found text that is not YAML ({error}), expected a mapping"
        ) from error
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: found {type(content).__name__}, expected a mapping of keys")
    return cast("dict[str, Any]", content)
