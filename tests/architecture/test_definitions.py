"""The code location as a whole: it loads fast and light, and its names are its structure."""

import ast
import graphlib
import inspect
import json
import os
import subprocess
import sys
import textwrap
from collections import defaultdict
from pathlib import Path

import dagster as dg
import pytest

from orchestration.definitions import code_location
from orchestration.environments import Environment
from tests.hung import HUNG_S

ROOT = Path(__file__).resolve().parents[2]
STAGES = (
    "market",
    "warehouse",
    "features",
    "labels",
    "datasets",
    "training",
    "evaluation",
    "backtest",
    "gates",
    "bundles",
    "promotion",
    "monitoring",
)
# of the stages datasets and training: what a person asks for, beside what a retrain makes
FURTHER_FILES = {"feature_insight", "tuning"}
HEAVY = (
    "ccxt",
    "duckdb",
    "great_expectations",
    "lightgbm",
    "matplotlib",
    "mlflow",
    "numba",
    "onnx",
    "onnxruntime",
    "pandas",
    "psycopg2",
    "pyarrow",
    "scipy",
    "shap",
    "sklearn",
    "torch",
    "xgboost",
)
LOAD = f"""
import json, sys
from orchestration.definitions import defs
repository = defs().get_repository_def()
repository.load_all_definitions()
heavy = sorted(name for name in {HEAVY!r} if name in sys.modules)
print(json.dumps([heavy, len(repository.asset_graph.get_all_asset_keys())]))
"""


@pytest.fixture(scope="module")
def location(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    home = tmp_path_factory.mktemp("home")
    return code_location(Environment.from_environ({"TIDEGATE_HOME": str(home)}))


def keys_of(location: dg.Definitions) -> list[dg.AssetKey]:
    return sorted(location.resolve_asset_graph().get_all_asset_keys())


def test_every_asset_key_can_be_materialized(location: dg.Definitions) -> None:
    """No phantom: a misspelt upstream key would appear here as an asset that nothing makes."""
    graph = location.resolve_asset_graph()
    phantoms = [key for key in keys_of(location) if not graph.get(key).is_materializable]
    assert phantoms == []


def test_every_stage_has_assets_and_a_blocking_check(location: dg.Definitions) -> None:
    """Twelve stages, each with something to hold and something that stops what is not fit."""
    graph = location.resolve_asset_graph()
    assets = defaultdict(list)
    blocking = defaultdict(list)
    for key in keys_of(location):
        assets[key.path[0]].append(key)
    for check in graph.asset_check_keys:
        if graph.get_check_spec(check).blocking:
            blocking[check.asset_key.path[0]].append(check.name)
    assert set(assets) == set(STAGES)
    assert [stage for stage in STAGES if not blocking[stage]] == []


def test_key_prefix_group_and_file_are_one_word(location: dg.Definitions) -> None:
    """`[stage, name]` is in group `stage`, and `assets/<stage>.py` is where to look for it."""
    graph = location.resolve_asset_graph()
    found = {(tuple(key.path[:-1]), graph.get(key).group_name) for key in keys_of(location)}
    files = {path.stem for path in (ROOT / "assets").glob("*.py")} - {"__init__"}
    assert found == {((stage,), stage) for stage in STAGES}
    assert files == set(STAGES) | FURTHER_FILES


def test_stages_follow_one_another(location: dg.Definitions) -> None:
    """The lineage of groups has no cycle: what a stage reads was made by stages before it."""
    graph = location.resolve_asset_graph()
    reads = {
        stage: {parent.path[0] for key in keys_of(location) if key.path[0] == stage
                for parent in graph.get(key).parent_keys} - {stage}
        for stage in STAGES
    }  # fmt: skip
    assert set(graphlib.TopologicalSorter(reads).static_order()) == set(STAGES)


def test_everything_that_runs_says_what_it_is_for(location: dg.Definitions) -> None:
    """A person who opens a job, a schedule or a sensor reads a sentence on it."""
    repository = location.get_repository_def()
    jobs = [job for job in repository.get_all_jobs() if job.name[0] != "_"]
    all_of_them = [*jobs, *repository.schedule_defs, *repository.sensor_defs]
    assert [one.name for one in all_of_them if len(one.description or "") < 20] == []


def test_asset_bodies_are_short() -> None:
    """An asset reads, calls, returns and describes: twenty statements at most."""
    import assets

    lengths: dict[str, int] = {}
    for definition in dg.load_assets_from_package_module(assets):
        assert isinstance(definition, dg.AssetsDefinition)
        body = getattr(definition.op.compute_fn, "decorated_fn", None)
        if body is None:
            continue
        (function,) = ast.parse(textwrap.dedent(inspect.getsource(body))).body
        inside = [node for node in ast.walk(function) if isinstance(node, ast.stmt)]
        lengths[definition.op.name] = len(inside) - 2  # less the definition and its docstring
    assert len(lengths) >= len(STAGES)
    assert {name: length for name, length in lengths.items() if length > 20} == {}


def test_checks_are_named_as_sentences(location: dg.Definitions) -> None:
    """A check's name says what is true when it passes; dbt names its own tests."""
    checks = location.resolve_asset_graph().asset_check_keys
    ours = [check.name for check in checks if check.asset_key.path[0] != "warehouse"]
    assert [name for name in ours if name.count("_") < 2] == []


def test_partitions_are_months_for_raw_data_and_weeks_for_retrains(
    location: dg.Definitions,
) -> None:
    """Raw data and features by symbol and month, what a retrain makes by symbol and week, the
    warehouse whole.
    """
    graph = location.resolve_asset_graph()
    grains: dict[str, set[str]] = defaultdict(set)
    for key in keys_of(location):
        partitions = graph.get(key).partitions_def
        names = partitions.partition_dimension_names if partitions else ["whole"]
        grains[key.path[0]].add(" ".join(sorted(names)))
    weekly = {stage: {"symbol week"} for stage in set(STAGES) - {"market", "warehouse"}}
    monthly = {"market": {"month symbol"}, "features": {"month symbol", "symbol week"}}
    assert grains == {**weekly, "warehouse": {"whole"}, **monthly}


def test_what_is_made_by_month_runs_with_the_ingest_and_by_week_with_the_retrain(
    location: dg.Definitions,
) -> None:
    """Features follow the raw data they are made of; a retrain reads them, and nothing that only a
    person asks for.
    """
    made = {
        job: {
            key.to_user_string()
            for key in location.resolve_job_def(job).asset_layer.executable_asset_keys
        }
        for job in ("ingest_job", "retrain_job")
    }
    assert "features/matrix" in made["ingest_job"] - made["retrain_job"]
    assert {"features/certificate", "datasets/feature_report"} <= made["retrain_job"]
    assert "datasets/feature_proposals" not in made["ingest_job"] | made["retrain_job"]


def test_the_code_location_is_the_one_that_was_agreed(location: dg.Definitions) -> None:
    """Keys, jobs, schedules and sensors change on purpose: edit `location.json` when they do."""
    repository = location.get_repository_def()
    found = {
        "assets": [key.to_user_string() for key in keys_of(location)],
        "jobs": sorted(job.name for job in repository.get_all_jobs() if job.name[0] != "_"),
        "schedules": sorted(schedule.name for schedule in repository.schedule_defs),
        "sensors": sorted(sensor.name for sensor in repository.sensor_defs),
        "running": sorted(
            one.name
            for one in [*repository.schedule_defs, *repository.sensor_defs]
            if one.default_status.value == "RUNNING"
        ),
    }
    agreed = json.loads((Path(__file__).parent / "location.json").read_text())
    assert found == agreed


def test_no_run_can_be_given_another_policy(location: dg.Definitions) -> None:
    """What a store, a gate or a client goes by is bound when the location loads: no Launchpad takes
    a longer validity, other thresholds, another runner or another file.
    """
    jobs = [job for job in location.get_repository_def().get_all_jobs() if job.name[0] != "_"]
    asked = {
        "promotion_store": {"approval_valid_hours": 100_000},
        "settings": {"folder": "elsewhere"},
        "runner": {"url": "http://elsewhere"},
        "io_manager": {"root": "elsewhere"},
    }
    for job in jobs:
        for name in set(asked) & set(job.resource_defs):
            given = {"resources": {name: {"config": asked[name]}}}
            with pytest.raises(dg.DagsterInvalidConfigError, match="unexpected config entry"):
                dg.validate_run_config(job, given)


def test_definitions_load_without_heavy_libraries(tmp_path: Path) -> None:
    """A fresh interpreter has the whole code location, and none of what only runs need.

    How long it takes, `make bench` says.
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOAD],
        env={**os.environ, "TIDEGATE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=HUNG_S,
    )
    heavy, assets = json.loads(done.stdout.splitlines()[-1])
    assert heavy == []
    assert assets > 0
