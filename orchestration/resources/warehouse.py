"""The warehouse: a DuckDB file that dbt builds from the lake, one build at a time."""

import fcntl
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg

from orchestration.resources.lake import Lake


class Warehouse(dg.ConfigurableResource):
    """Build the models of `project_dir` on the lake into the DuckDB file `path`."""

    path: str
    project_dir: str
    lake: dg.ResourceDependency[Lake]

    def build(self, context: dg.AssetExecutionContext) -> Iterator[Any]:
        """Run `dbt build` for the run's models and yield what dagster-dbt makes of its events.

        Waits while another run builds: DuckDB takes one writer. Raises dagster Failure, through
        dagster-dbt, when a model or one of its tests fails.
        """
        from dagster_dbt import DbtCliResource

        folder = Path(self.path).parent
        folder.mkdir(parents=True, exist_ok=True)
        self.lake.ensure_sources()
        places = {"lake": self.lake.root, "warehouse": self.path}
        dbt = DbtCliResource(
            project_dir=self.project_dir,
            profiles_dir=self.project_dir,
            dbt_executable=_executable(),
        )
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            arguments = ["build", "--vars", json.dumps(places)]
            build = dbt.cli(arguments, context=context, target_path=folder / "target")
            yield from build.stream()

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query on the warehouse, read-only.

        Raises FileNotFoundError before the first build.
        """
        import duckdb

        if not Path(self.path).exists():
            raise FileNotFoundError(
                f"warehouse: found no {self.path}, expected a DuckDB file: materialize warehouse/*"
            )
        with duckdb.connect(self.path, read_only=True) as connection:
            return connection.execute(sql).fetchall()


def _executable() -> str:
    """Return the dbt beside the running interpreter; PATH may hold another or none."""
    beside = Path(sys.executable).with_name("dbt")
    return str(beside) if beside.exists() else "dbt"
