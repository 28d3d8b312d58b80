"""A lake of four days with everything in it that SQL must cope with, and its warehouse."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd

import assets.warehouse as warehouse_assets
from market_data.storage.lake import FOREVER_MS, Lake
from orchestration.io_managers import LakeIOManager
from orchestration.partitions import symbol_by_week, week_key
from orchestration.resources.warehouse import Warehouse
from tests.assets.red import evaluations
from tests.market_data.served_venue import BAR_MS, DAY_MS, walk

START_MS = 1_764_547_200_000  # 2025-12-01T00:00Z
MINUTE_MS = 60_000
BARS = 400
HELD = np.r_[0:300, 310:BARS]  # ten bars are missing
LATER_MS = START_MS + 9 * DAY_MS
LAGS_MS = np.r_[np.arange(97) * 100, 70_000, 70_000, 70_000]
PRICES = ("open", "high", "low", "close")
UNIVERSE = """
symbols: [BTCUSDT, ETHUSDT]
timeframe: {timeframe}
history_start: "2025-12-01"
sources:
  binance: {{adapter: ccxt, exchange: binanceusdm}}
  archive: {{adapter: binance_archive, url: public}}
  second: {{adapter: ccxt, exchange: coinbase}}
  chain: {{adapter: coinmetrics}}
  mood: {{adapter: fear_greed}}
  recorder: {{adapter: recordings}}
market:
  candles: {{source: binance, fallback: archive, publication_lag_ms: 0}}
  reference_candles: {{source: second, publication_lag_ms: 0}}
  minute_candles: {{source: binance, fallback: archive, publication_lag_ms: 0}}
  mark_candles: {{source: binance, publication_lag_ms: 0}}
  index_candles: {{source: binance, publication_lag_ms: 0}}
  funding: {{source: binance, publication_lag_ms: 60000}}
  open_interest: {{source: binance, publication_lag_ms: 60000}}
  fear_greed: {{source: mood, publication_lag_ms: 3600000}}
  onchain: {{source: chain, publication_lag_ms: 93600000}}
  trades: {{source: recorder, publication_lag_ms: 0}}
  depth: {{source: recorder, publication_lag_ms: 0}}
  arrivals: {{source: recorder, publication_lag_ms: 0}}
"""


def warehouse_on(lake: Lake, folder: Path, url: str = "", timeframe: str = "15m") -> Warehouse:
    """Return a warehouse on a lake, with a universe of its own."""
    configs = folder / "configs"
    configs.mkdir(parents=True, exist_ok=True)
    universe = configs / "universe.yaml"
    if not universe.exists():  # beside a lake that is shared, others read it
        universe.write_text(UNIVERSE.format(timeframe=timeframe))
    return Warehouse(
        path=str(folder / "warehouse" / "tidegate.duckdb"),
        project_dir=str(warehouse_assets.PROJECT),
        configs=str(configs),
        lake=lake,
        url=url,
    )


def build(
    warehouse: Warehouse, *names: str, instance: dg.DagsterInstance | None = None
) -> dg.ExecuteInProcessResult:
    """Build the named models, all of them and the documentation without a name, with checks."""
    chosen = [dg.AssetKey(["warehouse", name]) for name in names]
    selection = dg.AssetSelection.assets(*chosen) if chosen else dg.AssetSelection.all()
    definitions = dg.Definitions(
        assets=dg.load_assets_from_modules([warehouse_assets]),
        asset_checks=dg.load_asset_checks_from_modules([warehouse_assets]),
        jobs=[dg.define_asset_job("run", selection=selection)],
        resources={"warehouse": warehouse, "lake": warehouse.lake},
    )
    return definitions.resolve_job_def("run").execute_in_process(
        instance=instance or dg.DagsterInstance.ephemeral(), raise_on_error=False
    )


def build_and_keep(warehouse: Warehouse, folder: Path) -> None:
    """Build everything, and keep the run's events for `KeptRun`."""
    folder.mkdir()
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        assert build(warehouse, instance=instance).success


class KeptRun:
    """What a run of `build_and_keep` found and made, whichever process it ran in."""

    def __init__(self, folder: Path) -> None:
        with dg.DagsterInstance.local_temp(str(folder)) as instance:
            (run,) = instance.get_runs()
            self.success = run.is_success
            logs = instance.all_logs(run.run_id)
        self._events = [one.dagster_event for one in logs if one.dagster_event]

    def get_asset_check_evaluations(self) -> list[dg.AssetCheckEvaluation]:
        """Return what the checks found."""
        kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION
        found = [one for one in self._events if one.event_type is kind]
        return [one.asset_check_evaluation_data for one in found]

    def get_asset_materialization_events(self) -> list[dg.DagsterEvent]:
        """Return the events of tables that were made."""
        return [one for one in self._events if one.is_step_materialization]


def checks(result: "dg.ExecuteInProcessResult | KeptRun") -> dict[str, dg.AssetCheckEvaluation]:
    """Return the checks of a run by name."""
    return evaluations(result)


def rows(times: Any, known_after_ms: int, source: str = "binance", **values: Any) -> pd.DataFrame:
    """Return rows as a source offers them to the lake."""
    times = np.asarray(times, dtype=np.int64)
    return pd.DataFrame(
        {"event_time_ms": times, "known_at_ms": times + known_after_ms, "source": source, **values}
    )


def minutes(symbol: str) -> pd.DataFrame:
    """Return the minutes of all bars."""
    bars = walk(0, 15 * BARS, seed=len(symbol))
    times = START_MS + MINUTE_MS * np.arange(15 * BARS)
    values = {name: getattr(bars, name) for name in (*PRICES, "volume")}
    return rows(times, MINUTE_MS, **values)


def added_up(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the bars that a venue makes of minutes: volume is a decimal number, as it prints."""
    bars = frame.groupby(frame["event_time_ms"] // BAR_MS * BAR_MS)
    made = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    frame = bars.agg(made).round({"volume": 3})
    return rows(frame.index, BAR_MS, **{name: frame[name].to_numpy() for name in made})


def candles(symbol: str) -> pd.DataFrame:
    """Return the candles of a symbol, with ten bars missing."""
    return added_up(minutes(symbol)).iloc[HELD].reset_index(drop=True)


def settlements(rates: list[float], shift_ms: int = 0) -> pd.DataFrame:
    """Return funding every eight hours, stamped a few milliseconds off the hour."""
    times = START_MS + 28_800_000 * np.arange(len(rates))
    return rows(times, MINUTE_MS, stamp_ms=times + shift_ms, funding_rate=rates)


def outcomes(week: str, passed: bool) -> pd.DataFrame:
    """Return the verdict of two gates."""
    return pd.DataFrame(
        {
            "symbol": "BTCUSDT",
            "week": week,
            "gate": ["win_rate", "calibration"],
            "fold": ["1", "all"],
            "value": [0.6, 0.02],
            "threshold": [0.55, 0.05],
            "passed": [passed, True],
            "reason": ['found 0.6, "expected" at least 0.55', "found 0.02,\nexpected less"],
        }
    )


def live_trades(pnl: list[float]) -> pd.DataFrame:
    """Return closed trades, two a day."""
    exits = START_MS + DAY_MS // 2 * np.arange(len(pnl), dtype=np.int64)
    values = {"side": 1, "quantity": 0.1, "entry_price": 100.0, "exit_price": 101.0}
    costs = {"fees": 0.5, "funding": 0.25, "pnl": pnl, "exit_reason": 1}
    times = {"entry_time_ms": exits - BAR_MS, "exit_time_ms": exits}
    return pd.DataFrame({"symbol": "BTCUSDT", **times, **values, **costs})


def store(lake: Lake, key: list[str], frame: pd.DataFrame, week: str) -> None:
    """Store a derived table as its asset would."""
    stored = dg.asset(key=key, partitions_def=symbol_by_week)(lambda: frame)
    dg.materialize(
        [stored],
        partition_key=week_key("BTCUSDT", week),
        resources={"io_manager": LakeIOManager(root=lake.root)},
    )


def fill(lake: Lake) -> None:
    """Put every raw table and every derived one into a lake.

    BTCUSDT has a corrected candle, settlements that jitter and one of them restated, a minute
    missing, days without a metric; ETHUSDT a candle that the second source of its table saw
    differently, later.
    """
    for symbol in ("BTCUSDT", "ETHUSDT"):
        lake.append("candles", symbol, candles(symbol), FOREVER_MS)
    seen = candles("ETHUSDT").iloc[[3]].assign(source="archive", volume=1.0)
    lake.append("candles", "ETHUSDT", seen, LATER_MS)
    corrected = candles("BTCUSDT").iloc[[200]].assign(volume=777.0)
    lake.append("candles", "BTCUSDT", corrected, LATER_MS)
    for table, frame in _series().items():
        lake.append(table, "BTCUSDT", frame, FOREVER_MS)
    restated = settlements([5e-4], shift_ms=-4)
    lake.append("funding", "BTCUSDT", restated, START_MS + 3_600_000)
    store(lake, ["gates", "outcomes"], outcomes("2025-11-23", passed=False), "2025-11-23")
    store(lake, ["gates", "outcomes"], outcomes("2025-11-30", passed=True), "2025-11-30")
    store(lake, ["monitoring", "live_trades"], live_trades([5.0, -2.0, 4.0]), "2025-11-30")


def _series() -> Mapping[str, pd.DataFrame]:
    bars = candles("BTCUSDT")
    far = bars["close"] * np.where(np.arange(len(bars)) == 5, 1.01, 1.0004)
    second = bars.assign(source="second", close=far, high=np.maximum(bars["high"], far))
    days = START_MS + DAY_MS * np.arange(3)
    ticks = START_MS + 10 * np.arange(50)

    return {
        "reference_candles": second,
        "minute_candles": minutes("BTCUSDT").head(96 * 15).drop(index=15 * 5 + 7),
        "mark_candles": bars.drop(columns="volume"),
        "index_candles": bars.drop(columns="volume"),
        "funding": settlements([1e-4, 3e-4, 2e-4], shift_ms=-4),
        "open_interest": rows(bars["event_time_ms"], MINUTE_MS, open_interest=1000.0),
        "fear_greed": rows(days, 3_600_000, "mood", fear_greed=[10.0, 50.0, 90.0]),
        "onchain": rows(
            days,
            93_600_000,
            "chain",
            exchange_net_flow=[1.5, np.nan, -2.5],
            mvrv=[2.0, 2.1, 2.2],
            **dict.fromkeys(("active_addresses", "transactions", "hash_rate", "fees"), np.nan),
        ),
        "trades": rows(
            ticks, 50, "recorder", trade_id=np.arange(50), price=5e4, quantity=0.1, side=-1.0
        ),
        "depth": rows(
            ticks,
            50,
            "recorder",
            update_id=np.arange(50),
            best_bid=5e4,
            best_ask=50_005.0,
            best_bid_quantity=1.0,
            best_ask_quantity=np.nan,
            bid_quantity_100=10.0,
            ask_quantity_100=11.0,
        ),
        "arrivals": rows(
            ticks.repeat(2) + np.arange(100) % 2, 0, "recorder", series="funding", lag_ms=LAGS_MS
        ),
        "quarantine": rows(
            [START_MS], BAR_MS, series="candles", rule="out_of_bounds", found="-1", expected="> 0"
        ),
    }
