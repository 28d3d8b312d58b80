"""A small Tidegate in a folder: twelve generated weeks of one symbol, MLflow on SQLite."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
import pandas as pd
import yaml

from kernel.onchain_metrics import in_our_columns
from market_data.storage.lake import Lake
from market_data.window import Window
from orchestration.definitions import code_location, resources
from orchestration.environments import Environment
from orchestration.partitions import week_key
from orchestration.resources.promotion_store import PromotionStore, ensure_keys
from orchestration.resources.tracking import Tracking
from replay_venue.market.generator import generate

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[1]
SYMBOL = "BTCUSDT"
WEEK = "2025-12-07"  # its end, Sunday 2025-12-14 00:00 UTC, is the cutoff
WEEK_MS = 7 * 86_400_000
CUTOFF_MS = 1_765_670_400_000
HISTORY_WEEKS = 12
SMALL: Mapping[str, Mapping[str, Any]] = {
    "validation": {"first_train_weeks": 3, "block_weeks": 1, "gate_folds": 3},
    "trading": {"min_confidence": 0.4, "min_prob_diff": 0.02},
}
SMALL_BASES: Mapping[str, int] = {"trees": 8, "rounds": 12}
EVERYTHING_PASSES: Mapping[str, Mapping[str, Any]] = {
    "gates": {
        "min_fold_win_rate": 0.0,
        "min_fold_profit_factor": 0.0,
        "min_median_profit_factor": 0.0,
        "min_fold_trades": 0,
        "max_drawdown_without_champion": 1.0,
        "max_drawdown_above_champion": 1.0,
        "min_score_over_champion": -1.0e6,
        "max_calibration_mae": 1.0,
        "min_stress_return": -1.0,
    },
}


@dataclass(frozen=True)
class Installation:
    """The folder, and the resources that the code location would use there."""

    environment: Environment
    resources: dict[str, Any]

    @property
    def store(self) -> PromotionStore:
        return self.resources["promotion_store"]

    @property
    def tracking(self) -> Tracking:
        return self.resources["tracking"]

    @property
    def lake(self) -> Lake:
        return self.resources["lake"]

    def make_features(self) -> None:
        """Compute the features of every month that the lake holds, as an ingest does."""
        whole = Window(SYMBOL, CUTOFF_MS - HISTORY_WEEKS * WEEK_MS, CUTOFF_MS)
        self.resources["feature_store"].write([whole], 900_000)

    def stored(self, kind: type[T], *key: str) -> T:
        """Return what the lake holds of an asset for the symbol and week."""
        return self.resources["io_manager"].read(dg.AssetKey(key), partition(), kind)

    @property
    def home(self) -> Path:
        return self.environment.home

    def job(self, name: str) -> dg.JobDefinition:
        """Return a job of the whole code location, bound to this installation."""
        return code_location(self.environment).resolve_job_def(name)

    def moved_to(self, home: Path) -> "Installation":
        """Return the installation whose folder was copied to `home`."""
        mlflow = f"sqlite:///{home}/mlflow.db"
        environment = replace(
            self.environment, home=home, mlflow_uri=mlflow, config_dir=home / "configs"
        )
        return Installation(environment, resources(environment))


def install(
    home: Path, *, gates: Mapping[str, Mapping[str, Any]] = EVERYTHING_PASSES, mlflow: str = ""
) -> Installation:
    """Return an installation under `home` with keys and settings, and an empty lake."""
    configs = home / "configs"
    shutil.copytree(ROOT / "configs", configs)
    for name, changes in {**SMALL, **gates}.items():
        path = configs / f"{name}.yaml"
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | dict(changes)))
    for path in (configs / "models").iterdir():
        content = yaml.safe_load(path.read_text())
        kept = {name: size for name, size in SMALL_BASES.items() if name in content}
        path.write_text(yaml.safe_dump(content | kept))
    ensure_keys(home)
    return installed(home, mlflow=mlflow)


def installed(home: Path, *, mlflow: str = "") -> Installation:
    """Return the installation that lies under `home`."""
    environment = Environment(
        home=home,
        venue_url="http://127.0.0.1:9",
        runner_url="http://127.0.0.1:9",
        mlflow_uri=mlflow or f"sqlite:///{home}/mlflow.db",
        database_url=None,
        config_dir=home / "configs",
    )
    return Installation(environment, resources(environment))


def fill_lake(lake: Lake, *, seed: int = 7, edge: float = 0.12) -> None:
    """Put twelve generated weeks up to the cutoff into the lake, with publication lags."""
    for name, frame in generated_tables(CUTOFF_MS - HISTORY_WEEKS * WEEK_MS, seed, edge).items():
        lake.append(name, SYMBOL, frame, CUTOFF_MS)


def generated_tables(start_ms: int, seed: int, edge: float) -> dict[str, pd.DataFrame]:
    """Return the raw tables of a generated market from `start_ms` to the cutoff."""
    market = generate(
        seed=seed, symbol=SYMBOL, edge=edge, start_ms=start_ms, end_ms=CUTOFF_MS, timeframe="15m"
    )
    bars = market.bars
    onchain = market.onchain
    lag = {"funding": 60_000, "open_interest": 60_000, "fear_greed": 3_600_000}
    candles = {name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")}
    return {
        "candles": _table(bars.open_time_ms, 900_000, candles),
        "funding": _points(market.funding, "funding_rate", lag["funding"]),
        "open_interest": _points(market.open_interest, "open_interest", lag["open_interest"]),
        "fear_greed": _points(market.fear_greed, "fear_greed", lag["fear_greed"]),
        "onchain": _table(
            onchain.time_ms, 93_600_000, in_our_columns(onchain.value, len(onchain.time_ms))
        ),
    }


def partition() -> str:
    """Return the partition key of the symbol and week that the lake holds."""
    return week_key(SYMBOL, WEEK)


def _points(points: Any, name: str, lag_ms: int) -> pd.DataFrame:
    return _table(points.time_ms, lag_ms, {name: points.value})


def _table(time_ms: Any, lag_ms: int, values: Mapping[str, Any]) -> pd.DataFrame:
    times = {"event_time_ms": time_ms, "known_at_ms": time_ms + lag_ms}
    return pd.DataFrame({**times, "source": "generated", **values})
