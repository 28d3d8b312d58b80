"""What dbt is told: where the lake lies, and what is known of every raw table."""

from typing import Any

from orchestration.resources.tables import TABLES, Table
from research.settings import UniverseSettings


def raw_tables(universe: UniverseSettings) -> dict[str, dict[str, Any]]:
    """Return the variable `tables` of dbt_project.yml: per raw table its sources, the first to be
    believed first, and its lag and grid in milliseconds.
    """
    return {name: _described(table, universe) for name, table in TABLES.items()}


def _described(table: Table, universe: UniverseSettings) -> dict[str, Any]:
    settings = universe.market.get(table.name)
    sources = (settings.source, settings.fallback) if settings else ()
    return {
        "sources": [source for source in sources if source],
        "lag_ms": settings.publication_lag_ms if settings else 0,
        "period_ms": table.period(universe.bar_ms),
        "step_ms": table.step(universe.bar_ms),
        "dense": table.dense,
        "silence_ms": table.longest_silence_ms,
        "identity": list(table.identity),
    }
