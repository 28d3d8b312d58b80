"""Warehouse: what people ask of the lake in SQL; dbt's models and tests as assets and checks."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, dbt_assets

from kernel.errors import MissingError
from market_data.storage.lake import FOREVER_MS, Lake
from orchestration.resources.failures import PASSING_FAULTS, failures
from orchestration.resources.warehouse import Warehouse

GROUP = "warehouse"
PROJECT = Path(__file__).resolve().parents[1] / "dbt_project"
MANIFEST = PROJECT / "target" / "manifest.json"


class LakeTranslator(DagsterDbtTranslator):
    """Call a model `warehouse/<name>`, and a source by the asset that fills it."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """Return [stage, name]; what is set aside comes in with what is not."""
        if dbt_resource_props["resource_type"] == "source":
            stage = dbt_resource_props["source_name"]
            name = dbt_resource_props["name"]
            return dg.AssetKey([stage, "candles" if name == "quarantine" else name])
        return dg.AssetKey([GROUP, dbt_resource_props["name"]])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:  # noqa: ARG002
        """Return the one group of all models."""
        return GROUP


def manifest(path: Path) -> Path:
    """Return the path of dbt's manifest; raise MissingError that says how to make it."""
    if not path.exists():
        raise MissingError(
            f"dbt manifest: found no {path}, expected what `dbt parse` writes: run `make manifest`"
        )
    return path


@dbt_assets(
    manifest=manifest(MANIFEST),
    dagster_dbt_translator=LakeTranslator(
        DagsterDbtTranslatorSettings(
            enable_source_tests_as_checks=False,
            enable_duplicate_source_asset_keys=True,  # candles, and the quarantine that they fill
        )
    ),
    pool=GROUP,
    retry_policy=PASSING_FAULTS,
)
def models(
    context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]
) -> Iterator[Any]:
    """Build typed staging of every raw table and what people ask of it, each with its tests."""
    with failures():
        yield from warehouse.build(context)


@dg.asset(
    key=[GROUP, "documentation"],
    group_name=GROUP,
    deps=[models],
    pool=GROUP,
    retry_policy=PASSING_FAULTS,
)
@failures()
def documentation(warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
    """Describe every model and column on one page, with the graph of what is made of what."""
    page = warehouse.document()
    return dg.MaterializeResult(
        metadata={"page": dg.MetadataValue.path(page), "bytes": page.stat().st_size}
    )


@dg.asset_check(asset=[GROUP, "stg_candles"], blocking=True)
def staging_holds_every_candle_of_the_lake(
    warehouse: dg.ResourceParam[Warehouse], lake: dg.ResourceParam[Lake]
) -> dg.AssetCheckResult:
    """Staging has as many candles per symbol as the lake's own reader sees."""
    found = dict(warehouse.query("SELECT symbol, count(*) FROM stg_candles GROUP BY symbol"))
    expected = {symbol: len(lake.bars(symbol, FOREVER_MS)) for symbol in lake.symbols("candles")}
    return dg.AssetCheckResult(
        passed=found == expected,
        description=f"found {found} in stg_candles, expected {expected} as in the lake",
        metadata={"candles": sum(found.values()), "symbols": len(expected)},
    )
