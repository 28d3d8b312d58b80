"""The report and the proposals of a week, as a person finds them on the assets."""

import dataclasses
import json
from typing import Any

import dagster as dg
import pytest

from assets import datasets
from kernel.features.registry import FEATURES
from research.datasets.files import TrainingSet
from research.features.files import PicturedReport
from research.training.selection import Proposals
from tests.assets.red import answered
from tests.assets.shown import shown
from tests.installation import (
    EVERYTHING_PASSES,
    ROOT,
    Installation,
    fill_lake,
    install,
    partition,
)

VALIDATION = {"first_train_weeks": 2, "block_weeks": 1, "gate_folds": 1}
BEFORE = [["features", "certificate"], ["labels", "triple_barrier"], ["datasets", "training_set"]]


def training_set(installation: Installation) -> TrainingSet:
    return installation.stored(TrainingSet, "datasets", "training_set")


def run(installation: Installation, job: str, *keys: list[str]) -> dg.ExecuteInProcessResult:
    """Materialize these assets of a job for the one symbol and week."""
    return installation.job(job).execute_in_process(
        partition_key=partition(),
        instance=dg.DagsterInstance.ephemeral(),
        asset_selection=[dg.AssetKey(key) for key in keys],
    )


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Return an installation with a training set that has several folds before its gate fold."""
    settings = {**EVERYTHING_PASSES, "validation": VALIDATION}
    installation = install(tmp_path_factory.mktemp("insight"), gates=settings)
    fill_lake(installation.lake)
    installation.make_features()
    run(installation, "retrain_job", *BEFORE)
    return installation


def metadata(result: dg.ExecuteInProcessResult, name: str) -> dict[str, Any]:
    events = result.asset_materializations_for_node(f"datasets__feature_{name}")
    return {key: shown(one) for key, one in events[0].metadata.items()}


@pytest.fixture(scope="module")
def reported(prepared: Installation) -> dg.ExecuteInProcessResult:
    return run(prepared, "retrain_job", ["datasets", "feature_report"])


@pytest.fixture(scope="module")
def proposed(prepared: Installation) -> dg.ExecuteInProcessResult:
    return run(prepared, "feature_proposals_job", ["datasets", "feature_proposals"])


def test_report_shows_three_pictures_of_the_whole_catalogue(
    reported: dg.ExecuteInProcessResult,
) -> None:
    """Stability, likes and distributions of every registered feature are pictures on the asset."""
    found = metadata(reported, "report")
    assert found["features"] == len(FEATURES)
    for name in ("stability", "clusters", "distributions"):
        assert found[name].startswith(f"![{name}.png](data:image/png;base64,iVBOR")
    assert "…" in found["training_window"]


def test_report_rests_on_the_training_sets_rows(
    prepared: Installation, reported: dg.ExecuteInProcessResult
) -> None:
    """Its months hold as many rows as the training set, once per feature."""
    rows = len(training_set(prepared).table.y)
    months = prepared.stored(PicturedReport, "datasets", "feature_report").months
    assert metadata(reported, "report")["dagster/row_count"] == rows
    assert months.groupby("feature")["rows"].sum().to_dict() == dict.fromkeys(FEATURES, rows)


def test_report_is_checked_for_ranges_and_names_what_never_changes(
    prepared: Installation, reported: dg.ExecuteInProcessResult
) -> None:
    """Ranges hold; a feature without any input is listed as constant, which stops nothing."""
    (ranges,) = reported.get_asset_check_evaluations()
    still = prepared.stored(PicturedReport, "datasets", "feature_report").constants
    assert reported.success
    assert ranges.passed
    assert "basis" in set(still["feature"])
    assert "| basis | 0 |" in metadata(reported, "report")["constant"]


@pytest.mark.red("chosen_features_change_in_every_fold")
def test_a_chosen_feature_that_never_changes_stops_the_training(prepared: Installation) -> None:
    """A series filled with zeros in what a fold learns from fails the check, which blocks."""
    good = training_set(prepared)
    table = good.table
    x = table.x.copy()
    x[: 4 * 672, table.feature_names.index("oi_change")] = 0.0
    filled = dataclasses.replace(good, table=dataclasses.replace(table, x=x))
    settings = prepared.resources["settings"]
    found = answered(
        "chosen_features_change_in_every_fold",
        datasets.chosen_features_change_in_every_fold(settings=settings, training_set=filled),
    )
    assert not found.passed
    assert str(found.description).endswith(": oi_change")
    sound = datasets.chosen_features_change_in_every_fold(settings=settings, training_set=good)
    assert sound.passed


def test_proposals_are_for_a_person_and_change_nothing(
    prepared: Installation, proposed: dg.ExecuteInProcessResult
) -> None:
    """The record names verdicts, strengths and looks; the settings stay as they were."""
    found = prepared.stored(Proposals, "datasets", "feature_proposals")
    names = training_set(prepared).table.feature_names
    chosen = prepared.environment.config_dir / "features.yaml"
    assert [one.feature for one in found.strengths] == list(names)
    assert {one.verdict for one in found.ablations} <= {"carries", "nothing shown", "harms"}
    assert found.looks == len(found.ablations) + (2 if found.together else 1)
    assert Proposals.from_record(json.loads(json.dumps(found.to_record()))) == found
    assert chosen.read_bytes() == (ROOT / "configs" / "features.yaml").read_bytes()
    assert metadata(proposed, "proposals")["proposals"].startswith("![proposals](data:image/png")


def test_proposals_end_where_the_gate_fold_begins(
    prepared: Installation, proposed: dg.ExecuteInProcessResult
) -> None:
    """With one gate fold of a week, nothing of the last week was looked at."""
    table = training_set(prepared).table
    _, until_ms = prepared.stored(Proposals, "datasets", "feature_proposals").window_ms
    assert until_ms == table.cutoff_ms - 7 * 86_400_000
