"""Everything a researcher changes without touching code, read strictly from `configs/`."""

from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path

from kernel.bars import TIMEFRAME_MS
from kernel.trading_settings import TradingSettings
from research.feature_sets import load_feature_sets
from research.strict_yaml import SettingsError, build, load, read, typed_fields

__all__ = ["WEEK_MS", "Settings", "SettingsError", "load_settings", "load_universe"]

WEEK_MS = 7 * 86_400_000
NEEDED_TABLES = ("candles", "funding", "open_interest", "fear_greed", "onchain")


@dataclass(frozen=True, slots=True)
class FilesSettings:
    """Where one table lies in a folder of plain files, and what the files call its columns.

    `files` is a name or glob with placeholders such as {symbol}; `columns` maps our column to
    theirs or to arithmetic on theirs; `where` keeps the rows with these texts; `time_unit` (s, ms,
    us, ns) is that of stamps that are bare numbers.
    """

    files: str
    columns: dict[str, str] = field(default_factory=dict[str, str])
    where: dict[str, str] = field(default_factory=dict[str, str])
    time_unit: str = ""


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """A road to raw data: the adapter that speaks to it, and what the adapter needs to know.

    `exchange` is the ccxt id. `url` empty is the installation's venue, "public" the adapter's own
    address. `path` is a folder of files, `market` ("perpetual" or "spot") which of an archive's
    markets is read, and `tables` describes files of a layout of one's own.
    """

    adapter: str
    exchange: str = ""
    url: str = ""
    path: str = ""
    market: str = "perpetual"
    tables: dict[str, FilesSettings] = field(default_factory=dict[str, FilesSettings])


@dataclass(frozen=True, slots=True)
class TableSettings:
    """Where a raw table comes from, and how long after its event a row is known.

    `fallback` names a further source of the same venue, asked for what `source` lacks. Months
    before `history_start` are not read; empty is the universe's.
    """

    source: str
    publication_lag_ms: int
    fallback: str = ""
    history_start: str = ""


@dataclass(frozen=True, slots=True)
class UniverseSettings:
    """What is traded, from when, and where every raw table comes from."""

    symbols: tuple[str, ...]
    timeframe: str
    history_start: str
    sources: dict[str, SourceSettings]
    market: dict[str, TableSettings]

    @property
    def bar_ms(self) -> int:
        """Return the length of one bar in milliseconds."""
        return TIMEFRAME_MS[self.timeframe]

    @property
    def history_start_ms(self) -> int:
        """Return the first millisecond (UTC) of history."""
        return _midnight_ms(self.history_start)

    def table_start_ms(self, table: str) -> int:
        """Return the first millisecond (UTC) that is read of a table."""
        return _midnight_ms(self.market[table].history_start or self.history_start)


def _midnight_ms(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1000


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
    """All of `configs/`, checked.

    `features` are those of the signal model, in the order of its columns: the set that
    `features.yaml` chooses.
    """

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
    chosen = load_feature_sets(folder / "features.yaml")
    settings = Settings(
        universe=load_universe(folder),
        features=chosen.sets[chosen.signal],
        labels=labels,
        validation=load(ValidationSettings, folder / "validation.yaml"),
        models=ModelSettings(**models),
        trading=_load_trading(folder / "trading.yaml", labels),
        gates=load(GateSettings, folder / "gates.yaml"),
    )
    _check(settings, folder)
    return settings


def load_universe(folder: Path) -> UniverseSettings:
    """Return what `universe.yaml` in `folder` says; raise `SettingsError` as `load_settings`."""
    path = folder / "universe.yaml"
    universe = load(UniverseSettings, path)
    _check_universe(universe, path)
    return universe


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
    symbols, timeframe, sources = universe.symbols, universe.timeframe, universe.sources
    _require(len(symbols) > 0, path, "symbols", symbols, "at least one symbol")
    for name in symbols:
        sound = name.isascii() and name.isalnum() and name.isupper() and symbols.count(name) == 1
        _require(sound, path, "symbols", name, "capitals and digits such as BTCUSDT, each once")
    _require(timeframe in TIMEFRAME_MS, path, "timeframe", timeframe, sorted(TIMEFRAME_MS))
    needed = set(NEEDED_TABLES)
    found = sorted(universe.market)
    _require(needed <= set(found), path, "market", found, f"at least {sorted(needed)}")
    starts = {"history_start": universe.history_start}
    for name, table in universe.market.items():
        for key in filter(None, (table.source, table.fallback)):
            _require(key in sources, path, f"market.{name}", key, f"one of {sorted(sources)}")
        lag = table.publication_lag_ms
        _require(lag >= 0, path, f"market.{name}.publication_lag_ms", lag, "at least 0")
        if table.history_start:
            starts[f"market.{name}.history_start"] = table.history_start
    for key, start in starts.items():
        try:
            datetime.fromisoformat(start)
        except ValueError as error:
            raise SettingsError(f"{path}: {key}: {error}, expected like 2025-04-01") from error


def _require(holds: bool, path: Path, key: str, found: object, expected: object) -> None:
    if not holds:
        raise SettingsError(f"{path}: {key} is {found}, expected {expected}")
