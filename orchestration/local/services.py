"""The four services of a local Tidegate, and the settings they start with."""

import os
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from kernel.fills import PENDING_SIDE, SIDE, STATE_SIZE
from kernel.trading_settings import TradingSettings
from market_data.quality.lags import lags_of_runner
from market_data.sources.instruments import coin_of
from market_data.storage.parquet import replace_file
from market_data.universe import UniverseSettings
from orchestration.environments import Environment
from orchestration.local.instance import mlflow_database
from orchestration.local.processes import Service, free_port

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Ports:
    """Loopback ports of the services."""

    dagster: int = 3000
    mlflow: int = 5000
    runner: int = 8800
    venue: int = 8900

    @classmethod
    def free(cls) -> "Ports":
        """Return four ports that were free a moment ago."""
        return cls(*(free_port() for _ in range(4)))


@dataclass(frozen=True, slots=True)
class VenueMarket:
    """What the replay venue plays.

    `start` is "now" or an ISO time; `speed` is market milliseconds per real millisecond; `edge` is
    the drift planted per unit of signal, in standard deviations of a 15-minute return. Those of
    `symbols` that are in `exits_only` are watched by the runner until their position has left.
    """

    kind: str
    symbols: tuple[str, ...]
    start: str
    speed: float
    seed: int = 7
    edge: float = 0.3
    history_start: str = "2025-04-01"
    data: Path | None = None
    exits_only: tuple[str, ...] = ()


def held_symbols(journal: Path) -> list[str]:
    """Return the symbols of which a runner's journal has an open position or a waiting order."""
    if not journal.exists():
        return []
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as db:
        known = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'states'").fetchone()
        rows = db.execute("SELECT symbol, trader FROM states").fetchall() if known else []
    slots = [SIDE, PENDING_SIDE]
    states = {name: np.frombuffer(state) for name, state in rows}
    # An account of an earlier build has other slots: the runner brings it forward and looks itself.
    return sorted(n for n, one in states.items() if len(one) == STATE_SIZE and one[slots].any())


def child_environment(environment: Environment, ports: Ports) -> dict[str, str]:
    """Return the environment variables that every service starts with."""
    home = environment.home.resolve()
    return {
        **os.environ,
        "TIDEGATE_HOME": str(home),
        "TIDEGATE_CONFIGS": str(environment.config_dir.resolve()),
        "TIDEGATE_LAKE_URL": environment.lake_url,
        "TIDEGATE_WAREHOUSE_URL": environment.warehouse_url,
        "TIDEGATE_VENUE_URL": f"http://127.0.0.1:{ports.venue}",
        "TIDEGATE_RUNNER_URL": f"http://127.0.0.1:{ports.runner}",
        "TIDEGATE_MLFLOW_URL": f"http://127.0.0.1:{ports.mlflow}",
        "DAGSTER_HOME": str(home / "dagster"),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        # A sensor's tick or a launch that a busy machine delays is late, not lost; Dagster's own
        # minute would fail it. What is still being answered at the end gets that minute, as ever.
        "DAGSTER_GRPC_TIMEOUT_SECONDS": "600",
        "DAGSTER_GRPC_SHUTDOWN_GRACE_PERIOD": "60",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_BACKEND_STORE_URI": mlflow_store(environment),  # may hold a password: not in argv
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


def services(environment: Environment, ports: Ports, market: VenueMarket) -> list[Service]:
    """Return the services in the order in which they start."""
    home = environment.home.resolve()
    python = sys.executable
    return [
        Service("venue", _venue(python, home, ports, market), ports.venue, "/fapi/v1/ping"),
        Service("mlflow", _mlflow(python, environment, ports), ports.mlflow, "/health"),
        Service(
            "runner",
            (python, "-m", "live_runner", "--config", str(home / "runner" / "runner.yaml")),
            ports.runner,
            "/ready",  # not /health, which says 503 for as long as something keeps it from trading
        ),
        Service(
            "dagster",
            (
                *(python, "-m", "dagster", "dev", "-w", str(ROOT / "workspace.yaml")),
                *("-h", "127.0.0.1", "-p", str(ports.dagster)),
            ),
            ports.dagster,
            "/server_info",
        ),
    ]


def write_runner_config(
    environment: Environment,
    universe: UniverseSettings,
    trading: TradingSettings,
    ports: Ports,
    market: VenueMarket,
) -> Path:
    """Write the runner's settings file and return its path."""
    home = environment.home.resolve()
    venue = f"127.0.0.1:{ports.venue}"
    body = {
        "host": "127.0.0.1",
        "port": ports.runner,
        "symbols": list(market.symbols),
        "coins": {symbol: coin_of(universe, symbol) for symbol in market.symbols},
        "timeframe": universe.timeframe,
        "venue_rest": f"http://{venue}",
        "venue_ws": f"ws://{venue}",
        "bundles_dir": str(home / "bundles"),
        "journal": str(home / "runner" / "journal.sqlite"),
        "public_keys_dir": str(home / "keys" / "public"),
        "admin_token_file": str(home / "keys" / "admin.token"),
        "lags_ms": lags_of_runner(universe),
        "trading": trading.to_dict(),
        "history_bars": 3000,
        "health": {"api_errors_a_minute": 10, "latency_ms": 500, "slow_bars": 3},
        "recordings": str(environment.recordings_dir.resolve()),
        "exits_only": list(market.exits_only),
        "silent_bars": universe.market["candles"].silent_bars,
    }
    path = home / "runner" / "runner.yaml"
    replace_file(path, yaml.safe_dump(body, sort_keys=False).encode())
    return path


def mlflow_store(environment: Environment) -> str:
    """Return MLflow's backend store: SQLite under the home, or its own schema in PostgreSQL."""
    if environment.database_url is not None:
        return mlflow_database(environment.database_url)
    return f"sqlite:///{environment.home.resolve() / 'mlflow' / 'mlflow.db'}"


def _mlflow(python: str, environment: Environment, ports: Ports) -> tuple[str, ...]:
    home = environment.home.resolve()
    (home / "mlflow" / "artifacts").mkdir(parents=True, exist_ok=True)
    return (
        *(python, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(ports.mlflow)),
        *("--workers", "1", "--artifacts-destination", (home / "mlflow" / "artifacts").as_uri()),
    )


def _venue(python: str, home: Path, ports: Ports, market: VenueMarket) -> tuple[str, ...]:
    options: Mapping[str, str] = {
        "--host": "127.0.0.1",
        "--port": str(ports.venue),
        "--market": market.kind,
        "--symbols": ",".join(market.symbols),
        "--seed": str(market.seed),
        "--edge": str(market.edge),
        "--history-start": market.history_start,
        "--start": market.start,
        "--speed": str(market.speed),
        "--state": str(home / "venue" / "clock.json"),
        **({"--data": str(market.data.resolve())} if market.data else {}),
    }
    (home / "venue").mkdir(parents=True, exist_ok=True)
    return (python, "-m", "replay_venue", *(part for pair in options.items() for part in pair))
