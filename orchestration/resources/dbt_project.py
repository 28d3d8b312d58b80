"""How dbt is run on our project: its command, its environment, and what it is told."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernel.errors import TidegateError
from market_data.quality.acceptance import accepted_spans, standing
from market_data.storage.lake import Lake
from market_data.storage.locks import only_one
from market_data.storage.parquet import replace_file
from market_data.tables import TABLES, Table
from market_data.universe import UniverseSettings

if TYPE_CHECKING:
    from dagster_dbt import DbtCliResource

PROJECT = Path(__file__).resolve().parents[2] / "dbt_project"
MADE_BY_DBT = ("target", "logs", "dbt_packages")
REMEDY = "run make manifest"
KEPT = ("manifest.json", "partial_parse.msgpack")  # the second spares the next dbt its parsing


def ensure_manifest(project: Path = PROJECT) -> Path:
    """Return dbt's manifest of `project`; parse it anew where it was made of other files.

    Several processes at once parse once, and a reader meets the old manifest or the new one, whole.
    Raises CalledProcessError where dbt finds the project wrong; it has said why on its output.
    """
    target = project / "target"
    manifest = target / KEPT[0]
    marker = target / "manifest.digest"
    with only_one(target / ".lock"):
        digest = _digest(project)
        if _made_of(project) != digest:
            with tempfile.TemporaryDirectory(dir=target, prefix=".parse-") as folder:
                where = ["--project-dir", project, "--profiles-dir", project]
                made = ["--target-path", folder, "--log-path", folder]
                subprocess.run([_executable(), "parse", "--quiet", *where, *made], check=True)  # noqa: S603  # ours
                for name in KEPT:
                    (Path(folder) / name).replace(target / name)
            replace_file(marker, f"{digest} {_sha256(manifest)}".encode())
    return manifest


def outdated(project: Path = PROJECT) -> str:
    """Return in what the manifest differs from the project as it is now, '' where it does not.

    A manifest that `ensure_manifest` made is compared with every file of the project; one that
    somebody else made by `dbt parse`, with the models' SQL.
    """
    manifest = project / "target" / KEPT[0]
    if not manifest.exists():
        return "no manifest"
    if made_of := _made_of(project):
        same = made_of == _digest(project)
        return "" if same else "a manifest of other files than the project has now"
    parsed = {
        node["original_file_path"]: node["checksum"]["checksum"]
        for node in json.loads(manifest.read_bytes())["nodes"].values()
        if node["resource_type"] == "model"
    }
    present = {
        str(path.relative_to(project)): hashlib.sha256(path.read_text().strip().encode())
        for path in (project / "models").rglob("*.sql")
    }
    now = {name: digest.hexdigest() for name, digest in present.items()}
    names = sorted(name for name in {*parsed, *now} if parsed.get(name) != now.get(name))
    return f"a manifest that does not have {', '.join(names)} as now" if names else ""


class OutdatedManifestError(TidegateError):
    """The SQL project was edited since its manifest was made: nothing is built from the two."""

    def __init__(self, found: str) -> None:
        super().__init__(
            f"dbt project: found {found}, expected one of its files as they are; {REMEDY}, then "
            "reload the code location in Dagster (Deployment, Reload) or start Tidegate anew"
        )


def _made_of(project: Path) -> str:
    """Return the digest of the project that `ensure_manifest` made the manifest of.

    It is '' where there is no manifest, or one that somebody else has made since.
    """
    manifest, marker = project / "target" / KEPT[0], project / "target" / "manifest.digest"
    if not (manifest.exists() and marker.exists()):
        return ""
    digest, _, made = marker.read_text().partition(" ")
    return digest if made == _sha256(manifest) else ""


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _digest(project: Path) -> str:
    """Return a digest of what a manifest is made of: every file of the project, and dbt itself."""
    digest = hashlib.sha256(version("dbt-core").encode())
    for path in sorted(path for path in project.rglob("*") if path.is_file()):
        name = path.relative_to(project)
        if name.parts[0] not in MADE_BY_DBT:
            digest.update(f"{name}\n".encode() + path.read_bytes())
    return digest.hexdigest()


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


def accepted_rows(lake: Lake) -> list[dict[str, Any]]:
    """Return the variable `accepted`: the spans of events that a person took as missing, each
    moment once.
    """
    pairs = sorted({(one.table, one.symbol) for one in standing(lake)})
    return [
        {"table": table, "symbol": symbol, "start_ms": start_ms, "end_ms": end_ms}
        for table, symbol in pairs
        for start_ms, end_ms in accepted_spans(lake, table, symbol)
    ]


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
        "silent_bars": settings.silent_bars if settings else 0,
        "identity": list(table.identity),
    }


def _executable() -> str:
    """Return the dbt beside the running interpreter; PATH may hold another or none."""
    beside = Path(sys.executable).with_name("dbt")
    return str(beside) if beside.exists() else "dbt"


if __name__ == "__main__":
    ensure_manifest()
