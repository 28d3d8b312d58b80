"""Everything a researcher changes without touching code, read strictly from `configs/`."""

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from kernel.bars import TIMEFRAME_MS
from kernel.features.registry import FEATURES
from kernel.observation import MAX_AGE_MS, SERIES
from kernel.trading_settings import TradingSettings
from research.strict_yaml import SettingsError, build, load, read, typed_fields

__all__ = ["WEEK_MS", "Settings", "SettingsError", "load_settings"]

WEEK_MS = 7 * 86_400_000


@dataclass(frozen=True, slots=True)
class SeriesSettings:
    """Where a series comes from, how long after its event it is known, and how long it stays
    usable.
    """

    source: str
    publication_lag_ms: int
    max_age_ms: int


@dataclass(frozen=True, slots=True)
class VenueSettings:
    """The exchange by its ccxt id, and the kind of market traded there."""

    exchange: str
    market: str


@dataclass(frozen=True, slots=True)
class UniverseSettings:
    """What is traded, from when, and the series read beside the candles."""

    symbols: tuple[str, ...]
    timeframe: str
    history_start: str
    venue: VenueSettings
    series: dict[str, SeriesSettings]

    @property
    def bar_ms(self) -> int:
        """Return the length of one bar in milliseconds."""
        return TIMEFRAME_MS[self.timeframe]

    @property
    def history_start_ms(self) -> int:
        """Return the first millisecond (UTC) of history."""
        return (
            int(datetime.fromisoformat(self.history_start).replace(tzinfo=UTC).timestamp()) * 1000
        )


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """Triple barrier: distances in ATR of the decision bar, horizon in bars after it."""

    take_profit_atr: float
    stop_loss_atr: float
    horizon_bars: int


@dataclass(frozen=True, slots=True)
class ValidationSettings:
    """The walk-forward pass: blocks are counted backwards from the cutoff."""

    first_train_weeks: int
    block_weeks: int
    gate_folds: int
    max_blocks: int
    max_train_weeks: int
    min_coverage: float
    recency_half_life_weeks: float


@dataclass(frozen=True, slots=True)
class RandomForestSettings:
    """Size of the forest; `max_samples` and `max_features` are shares."""

    trees: int
    max_depth: int
    min_samples_leaf: int
    max_samples: float
    max_features: float


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class MetaSettings:
    """Logistic meta-learner and isotonic curves, fitted on out-of-fold rows; priors count
    labels.
    """

    prior_labels: float
    fit_share: float
    isotonic_bins: int
    isotonic_prior_labels: float
    isotonic_min_step: float


@dataclass(frozen=True, slots=True)
class StackSettings:
    """Seed of every random choice, and the threads of each trainer."""

    seed: int
    n_jobs: int


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """The bases, the meta-learner, and what they share."""

    random_forest: RandomForestSettings
    xgboost: XGBoostSettings
    lightgbm: LightGBMSettings
    meta: MetaSettings
    stack: StackSettings


@dataclass(frozen=True, slots=True)
class GateSettings:
    """Thresholds; a value equal to its threshold passes."""

    min_fold_win_rate: float
    min_fold_profit_factor: float
    min_median_profit_factor: float
    min_fold_trades: int
    max_drawdown_above_champion: float
    max_drawdown_without_champion: float
    min_score_over_champion: float
    max_calibration_mae: float
    max_parity_error: float
    stress_cost_multiplier: float
    stress_delay_bars: int
    min_stress_return: float
    max_latency_p99_ms: float
    max_bundle_bytes: int


@dataclass(frozen=True, slots=True)
class Settings:
    """All of `configs/`, checked."""

    universe: UniverseSettings
    features: tuple[str, ...]
    labels: LabelSettings
    validation: ValidationSettings
    models: ModelSettings
    trading: TradingSettings
    gates: GateSettings


def load_settings(folder: Path) -> Settings:
    """Return the settings in `folder`; raise `SettingsError` on a missing file, or a missing,
    unknown or wrong key.
    """
    labels = load(LabelSettings, folder / "labels.yaml")
    _check_labels(labels, folder / "labels.yaml")
    models = {
        field.name: load(field_type, folder / "models" / f"{field.name}.yaml")
        for field, field_type in typed_fields(ModelSettings)
    }
    settings = Settings(
        universe=load(UniverseSettings, folder / "universe.yaml"),
        features=load(_FeatureList, folder / "features.yaml").features,
        labels=labels,
        validation=load(ValidationSettings, folder / "validation.yaml"),
        models=ModelSettings(**models),
        trading=_load_trading(folder / "trading.yaml", labels),
        gates=load(GateSettings, folder / "gates.yaml"),
    )
    _check(settings, folder)
    return settings


@dataclass(frozen=True, slots=True)
class _FeatureList:
    features: tuple[str, ...]


def _load_trading(path: Path, labels: LabelSettings) -> TradingSettings:
    """Return the trading settings: the file's keys and the barriers of the labels, which must not
    differ.
    """
    barriers = {field.name: getattr(labels, field.name) for field in fields(labels)}
    content = read(path)
    twice = sorted(set(content) & set(barriers))
    if twice:
        raise SettingsError(
            f"{path}: found {twice[0]}, expected it in labels.yaml only: remove it here"
        )
    try:
        return build(TradingSettings, content | barriers, path, "")
    except SettingsError:
        raise
    except ValueError as error:
        raise SettingsError(f"{path}: {error}") from error


def _check(settings: Settings, folder: Path) -> None:
    _check_universe(settings.universe, folder / "universe.yaml")
    _check_features(settings.features, folder / "features.yaml")
    validation, models = settings.validation, settings.models
    for path, part, name, low, high in (
        ("validation", validation, "first_train_weeks", 1, 1_000),
        ("validation", validation, "block_weeks", 1, 100),
        ("validation", validation, "gate_folds", 1, 100),
        ("validation", validation, "max_blocks", validation.gate_folds + 1, 1_000),
        ("validation", validation, "max_train_weeks", 1, 10_000),
        ("validation", validation, "min_coverage", 0.01, 1),
        ("validation", validation, "recency_half_life_weeks", 0.1, 10_000),
        ("models/meta", models.meta, "fit_share", 0.1, 0.9),
        ("models/meta", models.meta, "isotonic_bins", 1, 1_000),
        ("models/meta", models.meta, "isotonic_min_step", 0.001, 0.5),
        ("models/stack", models.stack, "n_jobs", 1, 1_024),
    ):
        found = getattr(part, name)
        expected = f"{low} to {high}"
        _require(low <= found <= high, folder / f"{path}.yaml", name, found, expected)


def _check_labels(labels: LabelSettings, path: Path) -> None:
    for name, low, high in (
        ("take_profit_atr", 0.01, 100),
        ("stop_loss_atr", 0.01, 100),
        ("horizon_bars", 1, 10_000),
    ):
        found = getattr(labels, name)
        _require(low <= found <= high, path, name, found, f"{low} to {high}")


def _check_universe(universe: UniverseSettings, path: Path) -> None:
    symbols, timeframe, series = universe.symbols, universe.timeframe, universe.series
    _require(len(symbols) > 0, path, "symbols", symbols, "at least one symbol")
    _require(timeframe in TIMEFRAME_MS, path, "timeframe", timeframe, sorted(TIMEFRAME_MS))
    _require(set(series) == set(SERIES), path, "series", sorted(series), sorted(SERIES))
    for name, one in series.items():
        kernel = f"{MAX_AGE_MS[name]}, as in kernel/observation.py"
        same = one.max_age_ms == MAX_AGE_MS[name]
        _require(same, path, f"series.{name}.max_age_ms", one.max_age_ms, kernel)
        lag = one.publication_lag_ms
        _require(lag >= 0, path, f"series.{name}.publication_lag_ms", lag, "at least 0")
    try:
        datetime.fromisoformat(universe.history_start)
    except ValueError as error:
        raise SettingsError(f"{path}: history_start: {error}, expected like 2025-04-01") from error


def _check_features(names: tuple[str, ...], path: Path) -> None:
    _require(len(names) > 0, path, "features", names, "at least one")
    for name in names:
        known = f"one of the registry's {len(FEATURES)} features"
        _require(name in FEATURES, path, "features", name, known)
        _require(names.count(name) == 1, path, "features", f"{name} twice", "each name once")


def _require(holds: bool, path: Path, key: str, found: object, expected: object) -> None:
    if not holds:
        raise SettingsError(f"{path}: {key} is {found}, expected {expected}")
