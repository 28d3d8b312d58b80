"""The market assets in real Dagster runs over a lake of their own and a source in memory."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import yaml

import assets.market as market_assets
from kernel.bars import Bars
from market_data.quality.data_docs import DataDocs
from market_data.sources.catalogue import Sources
from market_data.storage.lake import Lake
from market_data.tables import INGESTED
from orchestration.partitions import month_key
from orchestration.resources.research_settings import ResearchSettings
from tests.assets.red import evaluations
from tests.assets.shown import shown
from tests.assets.small_source import MARKETS, SmallMarket

CONFIGS = Path(__file__).parents[2] / "configs"
BAR_MS = 900_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
DECEMBER_MS = 1_764_547_200_000
BARS = 200
FIRST_MS = DECEMBER_MS - 100 * BAR_MS  # half of the bars before the month's turn
NOW_MS = FIRST_MS + BARS * BAR_MS
NOVEMBER = month_key("BTCUSDT", "2025-11-01")
DECEMBER = month_key("BTCUSDT", "2025-12-01")
VENUE = "venue"
REFERENCE = "reference"


@dg.asset(deps=[["market", name] for name in ("candles", "funding", "onchain")])
def downstream() -> dg.MaterializeResult:
    """Stand for everything that is built on raw tables."""
    return dg.MaterializeResult()


@dataclass
class Stage:
    """A market, a lake, settings and an instance that remembers what was made.

    `roads` are further sources by name, `origins` the tables that come from them.
    """

    folder: Path
    market: SmallMarket
    instance: dg.DagsterInstance
    lags_ms: dict[str, int] = field(default_factory=dict)
    tables: tuple[str, ...] = INGESTED
    starts: dict[str, str] = field(default_factory=dict)
    timeframe: str = "15m"
    roads: dict[str, dict[str, Any]] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)

    @property
    def lake(self) -> Lake:
        """Return the lake that the runs fill."""
        return Lake(root=str(self.folder / "lake"))

    @property
    def docs(self) -> DataDocs:
        """Return the data docs that the checks write."""
        return DataDocs(folder=str(self.folder / "data_docs"))

    def settings(self) -> ResearchSettings:
        """Return the settings of the repository with every table coming from memory."""
        configs = self.folder / "configs"
        shutil.copytree(CONFIGS, configs, dirs_exist_ok=True)
        universe = yaml.safe_load((CONFIGS / "universe.yaml").read_text())
        adapter = {"adapter": "tests.assets.small_source:SmallSource", "path": str(self.folder)}
        universe["sources"] = {VENUE: adapter, REFERENCE: adapter} | self.roads
        universe["timeframe"] = self.timeframe
        market = {name: universe["market"][name] for name in self.tables}
        for name, table in market.items():
            usual = REFERENCE if name == "reference_candles" else VENUE
            table["source"] = self.origins.get(name, usual)
            table["publication_lag_ms"] = self.lags_ms.get(name, table["publication_lag_ms"])
            table.pop("history_start", None)
            if name in self.starts:
                table["history_start"] = self.starts[name]
        universe["market"] = market
        (configs / "universe.yaml").write_text(yaml.safe_dump(universe))
        return ResearchSettings(folder=str(configs))

    def run(
        self, *names: str, key: str | None = None, months: tuple[str, str] | None = None,
        reread: bool = False,
    ) -> dg.ExecuteInProcessResult:  # fmt: skip
        """Materialize market assets (all without names), their checks and what stands on them."""
        first, last = months or ("2025-11-01", "2025-12-01")
        span = {
            "dagster/asset_partition_range_start": str(month_key("BTCUSDT", first)),
            "dagster/asset_partition_range_end": str(month_key("ETHUSDT", last)),
        }
        settings = self.settings()
        chosen = [dg.AssetKey(["market", name]) for name in names or INGESTED]
        selection = dg.AssetSelection.assets(*chosen, downstream)
        definitions = dg.Definitions(
            assets=[*dg.load_assets_from_modules([market_assets]), downstream],
            asset_checks=dg.load_asset_checks_from_modules([market_assets]),
            jobs=[dg.define_asset_job("run", selection=selection)],
            resources={
                "sources": Sources(folder=settings.folder, venue_url="http://127.0.0.1:1"),
                "lake": self.lake,
                "settings": settings,
                "data_docs": self.docs,
            },
        )
        config = {"config": {"reread": reread}}
        ops = {f"market__{name}": config for name in names or INGESTED}
        return definitions.resolve_job_def("run").execute_in_process(
            instance=self.instance,
            partition_key=key,
            tags=None if key else span,
            run_config={"ops": ops},
            raise_on_error=False,
        )


@contextmanager
def staged(folder: Path, now_ms: int = NOW_MS) -> Iterator[Stage]:
    """Set up an empty market over an empty lake."""
    market = SmallMarket(now_ms)
    MARKETS[str(folder)] = market
    with dg.DagsterInstance.ephemeral() as instance:
        yield Stage(folder, market, instance)
    del MARKETS[str(folder)]


def put_bars(
    market: SmallMarket, symbol: str, bars: Bars, table: str = "candles", source: str = VENUE
) -> None:
    """Hold candles as a source would send them."""
    columns = {one.name: getattr(bars, one.name) for one in fields(Bars)}
    columns["event_time_ms"] = columns.pop("open_time_ms")
    if table in {"mark_candles", "index_candles"}:
        del columns["volume"]
    market.put(source, table, symbol, **columns)


def put_values(
    market: SmallMarket, table: str, symbol: str, start_ms: int, step_ms: int, values: list[float]
) -> None:
    """Hold a slow series with one value at even steps."""
    times = start_ms + step_ms * np.arange(len(values), dtype=np.int64)
    column = {"funding": "funding_rate"}.get(table, table)
    market.put(VENUE, table, symbol, event_time_ms=times, **{column: np.array(values, float)})


def metadata_of(result: dg.ExecuteInProcessResult, name: str) -> dict[str, Any]:
    """Return the metadata of the latest materialization of a market asset."""
    event = result.asset_materializations_for_node(f"market__{name}")[-1]
    return {key: shown(value) for key, value in event.metadata.items()}


def failed(result: dg.ExecuteInProcessResult) -> set[str]:
    """Return the names of the checks that did not pass."""
    return {name for name, one in evaluations(result).items() if not one.passed}


def check_of(result: dg.ExecuteInProcessResult, name: str) -> dg.AssetCheckEvaluation:
    """Return what a check found."""
    return evaluations(result)[name]


def materialized(result: dg.ExecuteInProcessResult) -> set[str]:
    """Return the assets that the run made."""
    return {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}
