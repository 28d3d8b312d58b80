"""The warehouse: what dbt builds from the lake in DuckDB or PostgreSQL, one build at a time."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import dagster as dg

from kernel.errors import MissingError
from market_data.storage.lake import Lake
from market_data.storage.locks import only_one
from market_data.storage.objects import storage
from market_data.universe import load_universe
from orchestration.presentation.metadata import table
from orchestration.resources import postgres
from orchestration.resources.dbt_project import (
    OutdatedManifestError,
    accepted_rows,
    command,
    environment,
    outdated,
    raw_tables,
)

if TYPE_CHECKING:
    from dagster_dbt import DbtCliInvocation

SHOWN = 12  # rows of a table, or of what breaks a test, on its page in the UI
UNCACHED = {"use_listings_cache": False, "skip_instance_cache": True}  # others write meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class Warehouse:
    """Build the models of `project_dir` on the lake: into the DuckDB file `path`, or, with a `url`
    of PostgreSQL, into its schema `warehouse`.

    `configs` is the folder of universe.yaml. The folder of `path` keeps dbt's own files in either
    case. The password in `url` reaches dbt through its environment only.
    """

    path: str
    project_dir: str
    configs: str
    lake: Lake
    url: str = field(default="", repr=False)

    def build(self, context: dg.AssetExecutionContext) -> Iterator[Any]:
        """Run `dbt build` for the run's models and yield what dagster-dbt makes of its events.

        A table comes with its first rows, a broken test with the rows that break it. Waits while
        another run builds. Raises dagster Failure, through dagster-dbt, when a model or one of its
        tests fails; what was built before is still yielded. Raises OutdatedManifestError where the
        project was edited since its manifest was made: its events would name what nobody knows.
        """
        if found := outdated(Path(self.project_dir)):
            raise OutdatedManifestError(found)
        with self._only_builder():
            self.lake.ensure_sources()
            if self.url:
                files = postgres.copy_lake(storage(self.lake.root), self.url)
                context.log.info(f"warehouse: copied {files} files of the lake to PostgreSQL")
            build = self._dbt(["build"], context)
            yield from self._with_rows(build, list(build.stream()))
            error = build.get_error()
            if isinstance(error, dg.Failure):
                error.allow_retries = False  # what dbt found wrong, it finds wrong again
            if error:
                raise error

    def document(self) -> Path:
        """Return dbt's documentation as one page that needs no network, made anew if it must be."""
        page = self._folder / "documentation.html"
        marker = page.with_suffix(".digest")
        with self._only_builder():
            digest = self._described()
            if not (page.exists() and marker.exists() and marker.read_text() == digest):
                self._dbt(["docs", "generate", "--static"]).wait()
                (self._folder / "target" / "static_index.html").replace(page)
                marker.write_text(digest)
        return page

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query on the warehouse, read-only; tables need no schema.

        Waits while somebody builds: DuckDB lets nobody read a file that is being written. Raises
        MissingError before the first build into a file.
        """
        alone = nullcontext() if self.url else only_one(self._folder / ".lock")
        with alone:
            return self._fetch(sql)[1]

    def _fetch(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return the names of a query's columns, and its rows."""
        with self._reader() as cursor:
            cursor.execute(sql)
            return [column[0] for column in cursor.description], cursor.fetchall()

    @contextmanager
    def _reader(self) -> Iterator[Any]:
        """Give a cursor that cannot change anything."""
        if self.url:
            with postgres.connected(self.url) as connection:
                connection.set_session(readonly=True)
                yield connection.cursor()
            return
        import duckdb
        import fsspec

        if not Path(self.path).exists():
            raise MissingError(
                f"warehouse: found no {self.path}, expected a DuckDB file: materialize warehouse/*"
            )
        with duckdb.connect(self.path, read_only=True) as connection:
            if self._in_bucket:  # the staging views read the lake itself
                connection.register_filesystem(fsspec.filesystem("s3", **UNCACHED))
            yield connection

    def _with_rows(self, build: "DbtCliInvocation", events: list[Any]) -> Iterator[Any]:
        """Attach to each event the rows that a person would look at."""
        for event in events:
            if isinstance(event, dg.Output):
                name = str(event.output_name).removeprefix("warehouse__")
                yield event.with_metadata({**event.metadata, **self._first_rows(name)})
            elif isinstance(event, dg.AssetCheckResult) and not event.passed:
                rows = self._failing_rows(build, str(event.check_name))
                yield event._replace(metadata={**(event.metadata or {}), **rows})
            else:
                yield event

    def _first_rows(self, name: str) -> dict[str, Any]:
        """Return how many rows a mart has and the first of them; staging is a view of the lake."""
        if name.startswith("stg_"):
            return {}
        rows = self._fetch(f"SELECT count(*) FROM {name}")[1]  # noqa: S608  # a model's name
        return {"rows": rows[0][0], "first rows": self._shown(f"SELECT * FROM {name}")}  # noqa: S608

    def _failing_rows(self, build: "DbtCliInvocation", check: str) -> dict[str, Any]:
        """Return the rows that break a test, by running the SQL that dbt ran."""
        results = build.get_artifact("run_results.json")["results"]
        for result in results:
            if result["unique_id"].split(".")[2] == check and result["compiled_code"]:
                return {"rows that break it": self._shown(result["compiled_code"])}
        return {}

    def _shown(self, sql: str) -> dg.MetadataValue[Any]:
        names, rows = self._fetch(f"SELECT * FROM ({sql}) AS shown LIMIT {SHOWN}")  # noqa: S608
        return table(dict(zip(names, map(_legible, row), strict=True)) for row in rows)

    def _dbt(
        self, arguments: list[str], context: dg.AssetExecutionContext | None = None
    ) -> "DbtCliInvocation":
        """Start dbt on the project, with the variables of this installation."""
        dbt = command(self.project_dir, "postgres" if self.url else "local")
        secrets = postgres.variables(self.url) if self.url else {}
        # Of some models only, the tests that need no table beside them and what they are made of.
        with environment({"DBT_INDIRECT_SELECTION": "buildable", **secrets}):
            return dbt.cli(
                [*arguments, "--vars", json.dumps(self._variables())],
                context=context,
                target_path=self._folder / "target",
                raise_on_error=context is None,
            )

    def _variables(self) -> dict[str, Any]:
        """Return what dbt_project.yml leaves to the platform."""
        return {
            "lake": storage(self.lake.root).path("").rstrip("/"),
            "warehouse": self.path,
            "filesystems": [{"fs": "s3", **UNCACHED}] if self._in_bucket else [],
            "tables": raw_tables(load_universe(Path(self.configs))),
            "accepted": accepted_rows(self.lake),
        }

    def _described(self) -> str:
        """Return a digest of all that the documentation shows."""
        digest = hashlib.sha256(json.dumps([self._variables(), bool(self.url)]).encode())
        files = (Path(self.project_dir) / part for part in ("models", "macros", "tests"))
        for path in sorted(path for folder in files for path in folder.rglob("*.*")):
            digest.update(path.read_bytes())
        return digest.hexdigest()

    @contextmanager
    def _only_builder(self) -> Iterator[None]:
        """Wait for other builds: DuckDB takes one writer, and dbt's own files one user."""
        elsewhere: AbstractContextManager[None] = (
            postgres.only_builder(self.url) if self.url else nullcontext()
        )
        with only_one(self._folder / ".lock"), elsewhere:
            yield

    @property
    def _in_bucket(self) -> bool:
        return urlsplit(self.lake.root).scheme == "s3"

    @property
    def _folder(self) -> Path:
        return Path(self.path).parent


def _legible(value: Any) -> Any:
    """Return a number with the digits by which two prices can differ."""
    return f"{value:.12g}" if isinstance(value, float) else value
