"""How dbt is run on our project: its command, its environment, and what it is told."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from market_data.tables import TABLES, Table
from market_data.universe import UniverseSettings

if TYPE_CHECKING:
    from dagster_dbt import DbtCliResource


def raw_tables(universe: UniverseSettings) -> dict[str, dict[str, Any]]:
    """Return the variable `tables` of dbt_project.yml: per raw table its sources, the first to be
    believed first, and its lag and grid in milliseconds.
    """
    return {name: _described(table, universe) for name, table in TABLES.items()}


def command(project_dir: str, target: str) -> "DbtCliResource":
    """Return dagster-dbt's way to start dbt, without the two things that cost it seconds a run.

    It would ask `dbt --version`, which looks for newer ones on the internet and hangs where there
    is none, and would open the database itself for what we do not ask of it.
    """
    from importlib.metadata import version

    from dagster_dbt import DbtCliResource
    from packaging.version import Version

    class Command(DbtCliResource):
        @cached_property
        def _cli_version(self) -> Version:
            return Version(version("dbt-core"))

        def _initialize_dbt_core_adapter(self, args: Any) -> None:  # type: ignore[override]
            """Open nothing."""

    return Command(
        project_dir=project_dir,
        profiles_dir=project_dir,
        target=target,
        dbt_executable=_executable(),
    )


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for what is started meanwhile, and put back what was there."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


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


def _executable() -> str:
    """Return the dbt beside the running interpreter; PATH may hold another or none."""
    beside = Path(sys.executable).with_name("dbt")
    return str(beside) if beside.exists() else "dbt"
