"""The dbt project says what the platform's own descriptions say, and describes all it makes."""

import json
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from assets.warehouse import MANIFEST, PROJECT
from market_data.storage.lake import DERIVED_TABLES, Lake
from market_data.tables import TABLES
from market_data.universe import load_universe
from orchestration.cli.doctor import _manifest
from orchestration.resources.dbt_project import (
    OutdatedManifestError,
    ensure_manifest,
    outdated,
    raw_tables,
)
from orchestration.resources.warehouse import Warehouse

CONFIGS = PROJECT.parent / "configs"


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    return json.loads(MANIFEST.read_text())


def sources() -> dict[str, dict[str, Any]]:
    """Return the tables of sources.yml by source and name."""
    content = yaml.safe_load((PROJECT / "models" / "sources.yml").read_text())["sources"]
    return {source["name"]: {one["name"]: one for one in source["tables"]} for source in content}


def test_raw_sources_are_the_described_tables():
    """Each raw table is a source with its summary, its columns in order and their units."""
    declared = sources()["market"]
    assert {name: one["description"] for name, one in declared.items()} == {
        name: table.summary for name, table in TABLES.items()
    }
    for name, table in TABLES.items():
        columns = {one["name"]: one["description"] for one in declared[name]["columns"]}
        assert list(columns) == ["symbol", *table.kinds]
        units = {column: f"Unit: {value.unit}." for column, value in table.columns.items()}
        assert {column: columns[column] for column in units} == units


def test_derived_sources_are_the_tables_of_the_lake():
    """The other stages' tables have the columns that the lake gives an empty one."""
    found = {
        f"{source}/{name}": [column["name"] for column in table["columns"]]
        for source, tables in sources().items()
        for name, table in tables.items()
        if source != "market"
    }
    assert found == {name: list(columns) for name, columns in DERIVED_TABLES.items()}


def test_defaults_of_a_build_by_hand_are_those_of_the_universe():
    """What dbt_project.yml says of the raw tables is what the platform would pass."""
    project = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())
    assert project["vars"]["tables"] == raw_tables(load_universe(CONFIGS))


def test_every_raw_table_has_a_staging_model(manifest: dict[str, Any]):
    """Raw rows are read in staging, and in the marts that count rows or revisions only."""
    readers: dict[str, set[str]] = {name: set() for name in TABLES}
    for node in manifest["nodes"].values():
        for parent in node["depends_on"]["nodes"]:
            kind, _, *name = parent.split(".")
            if kind == "source" and name[0] == "market":
                readers[name[1]].add(node["name"])
    raw = {"coverage", "restatements"}
    assert {name: found - raw for name, found in readers.items()} == {
        name: {f"stg_{name}"} for name in TABLES
    }


def test_every_model_is_described_and_tested(manifest: dict[str, Any]):
    """Each model and column has a description, each table a test with a sentence for a name."""
    models = {n["name"]: n for n in manifest["nodes"].values() if n["resource_type"] == "model"}
    tests = [n for n in manifest["nodes"].values() if n["resource_type"] == "test"]
    for name, model in models.items():
        assert model["description"], name
        assert model["columns"], name
        assert all(column["description"] for column in model["columns"].values()), name
    tested = {parent.split(".")[2] for test in tests for parent in test["depends_on"]["nodes"]}
    views_of_ticks = {"stg_trades", "stg_depth", "stg_quarantine"}  # large, or judged elsewhere
    assert set(models) - tested == views_of_ticks
    generic = {test["test_metadata"]["name"] for test in tests}
    assert {"unique", "not_null", "accepted_values", "relationships", "holds"} <= generic
    assert [test["name"] for test in tests if test["name"].count("_") < 2] == []


def test_sql_is_the_same_for_both_databases():
    """What DuckDB and PostgreSQL say differently stands in macros, by database, and only there."""
    ours = ("qualify ", "arg_max(", "make_timestamp(", "epoch_ms(", "group by all", " // ")
    models = list(Path(PROJECT / "models").rglob("*.sql"))
    assert len(models) == 22
    for path in models:
        sql = path.read_text().replace("bar_ms // 60000", "").replace("_ms // ", "")
        assert [word for word in ours if word in sql.lower()] == [], path.name


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the project with a manifest of ours."""
    copy = tmp_path_factory.mktemp("parsed") / "dbt_project"
    shutil.copytree(PROJECT, copy, ignore=shutil.ignore_patterns("target", "logs"))
    ensure_manifest(copy)
    return copy


@pytest.fixture
def project(parsed: Path, tmp_path: Path) -> Path:
    """Return a copy of the project with the manifest that `dbt parse` would leave."""
    copy = tmp_path / "dbt_project"
    shutil.copytree(parsed, copy, ignore=shutil.ignore_patterns("manifest.digest"))
    return copy


def test_a_manifest_of_other_models_is_told_by_its_content(project: Path):
    """A manifest that is there is not enough: an edited, a new and a missing model are named."""
    assert outdated(project) == ""
    edited, *_ = sorted((project / "models" / "marts").glob("*.sql"))
    before = edited.read_text()
    edited.write_text(before + "-- another thought\n")
    assert edited.name in outdated(project)
    edited.write_text(before)
    (project / "models" / "marts" / "more.sql").write_text("SELECT 1 AS one")
    assert "more.sql" in outdated(project)
    edited.unlink()
    assert edited.name in outdated(project)
    shutil.rmtree(project / "target")
    assert outdated(project) == "no manifest"


def test_a_manifest_of_ours_knows_every_file_of_the_project(parsed: Path, tmp_path: Path):
    """Where we made it, a description that was edited counts; a later `dbt parse` makes up for
    it, as far as the models tell.
    """
    project = tmp_path / "dbt_project"
    shutil.copytree(parsed, project)
    manifest = project / "target" / "manifest.json"
    assert outdated(project) == ""
    sources = project / "models" / "sources.yml"
    sources.write_text(sources.read_text() + "# another thought\n")
    assert outdated(project) != ""
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    assert outdated(project) == ""


def test_an_edited_project_is_built_by_nobody(project: Path, tmp_path: Path):
    """A mart that was edited while services run ends a build with what to do, before dbt starts."""
    (project / "models" / "marts" / "more.sql").write_text("SELECT 1 AS one")
    warehouse = Warehouse(
        path=str(tmp_path / "warehouse" / "tidegate.duckdb"),
        project_dir=str(project),
        configs=str(CONFIGS),
        lake=Lake(root=str(tmp_path / "lake")),
    )
    with pytest.raises(OutdatedManifestError, match=r"more\.sql.*make manifest"):
        next(warehouse.build(dg.build_asset_context()))
    assert not (tmp_path / "warehouse").exists()


def test_the_doctor_says_that_the_manifest_is_another(project: Path):
    """The finding is red for an edited project and says what helps."""
    assert _manifest(project).well
    (project / "models" / "marts" / "more.sql").write_text("SELECT 1 AS one")
    found = _manifest(project)
    assert not found.well
    assert "make manifest" in found.remedy
