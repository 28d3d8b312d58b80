"""A retrain from features to request: what it leaves when accepted, and when refused."""

import json
import math
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from kernel.bundle import verify_contents
from orchestration.resources.tracking import model_name
from research.bundles.seal import Sealed
from research.gates.accounts import Accounts
from research.gates.gates import GateReport
from research.training.candidate import Candidate
from sensors.failures import failed_check_sensor
from tests.assets.red import evaluations
from tests.assets.reported import all_green
from tests.installation import CUTOFF_MS, SYMBOL, WEEK, Installation, fill_lake, install, partition

JUDGED = (["backtest", "walk_forward"], ["gates", "report"], ["gates", "outcomes"],
          ["bundles", "bundle"], ["promotion", "request"])  # fmt: skip
MODEL = model_name(SYMBOL, "15m")


def client_of(installation: Installation) -> MlflowClient:
    uri = installation.tracking.uri
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def test_an_accepted_candidate_ends_as_a_pending_request(retrained: Installation) -> None:
    """The request names bundle, gate report, data and champion as they lie on disk."""
    (request,) = retrained.store.pending()
    found = retrained.resources["evidence"].derive(request)
    assert found.bundle == request.bundle_digest
    assert found.gate_report == request.gate_report_digest
    assert found.data == request.data_digest
    assert found.gates_accepted
    assert (request.week, request.as_of_ms, request.champion_digest) == (WEEK, CUTOFF_MS, "")


def test_the_bundle_ends_at_the_cutoff_and_names_its_evidence(retrained: Installation) -> None:
    """What a runner will read says where it comes from: cutoff, data, gate report; beside it stands
    the tracking run.
    """
    (request,) = retrained.store.pending()
    folder = retrained.home / "bundles" / request.bundle_digest
    manifest = verify_contents(folder, symbol=SYMBOL, timeframe="15m").manifest
    sealed = retrained.stored(Sealed, "bundles", "bundle")
    assert sealed.digest == request.bundle_digest
    assert manifest.cutoff_ms == CUTOFF_MS
    assert manifest.data_digest == request.data_digest
    assert manifest.gate_report_digest == request.gate_report_digest
    assert client_of(retrained).get_run(sealed.tracking_run).data.tags["week"] == WEEK


def test_mlflow_holds_a_parent_run_with_a_nested_run_per_base(retrained: Installation) -> None:
    """People compare weeks by parameters, fold metrics and four figures, and bases by block."""
    client = client_of(retrained)
    version = client.get_model_version_by_alias(MODEL, "challenger")
    run = client.get_run(version.run_id)
    children = client.search_runs(
        [run.info.experiment_id], f"tags.mlflow.parentRunId = '{version.run_id}'"
    )
    files = {Path(file.path).name for file in client.list_artifacts(version.run_id, "files")}
    bases = retrained.stored(Candidate, "training", "stack").bases
    assert sorted(str(child.info.run_name) for child in children) == sorted(bases)
    assert files == {
        "equity.png", "importances.png", "reliability.png", "shap_summary.png", "skill.png"
    }  # fmt: skip
    assert len(client.get_metric_history(version.run_id, "fold_win_rate")) == 3
    assert run.data.tags["gate"] == "accepted"
    assert version.tags["state"] == "pending"
    assert "labels.horizon_bars" in run.data.params


def test_gate_outcomes_are_a_row_each(retrained: Installation) -> None:
    """The table that SQL reads holds every outcome; a gate over all folds is of fold "all"."""
    report = retrained.stored(GateReport, "gates", "report")
    table = retrained.stored(pd.DataFrame, "gates", "outcomes")
    assert len(table) == len(report.outcomes)
    assert set(table["fold"]) == {"0", "1", "2", "all"}
    assert set(table["symbol"]) == {SYMBOL}


@pytest.fixture(scope="module")
def refused(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Installation, dg.DagsterInstance, dg.ExecuteInProcessResult]:
    """Retrain a market without edge under a gate that asks for a win rate nobody has."""
    gates = {"gates": {"min_fold_win_rate": 0.99}}
    installation = install(tmp_path_factory.mktemp("refused"), gates=gates)
    fill_lake(installation.lake, edge=0.0)
    installation.make_features()
    instance = dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("instance")))
    result = installation.job("retrain_job").execute_in_process(
        partition_key=partition(), instance=instance, raise_on_error=False
    )
    return installation, instance, result


@pytest.mark.red("candidate_passes_every_gate")
def test_a_refused_candidate_goes_no_further(
    refused: tuple[Installation, dg.DagsterInstance, dg.ExecuteInProcessResult],
) -> None:
    """The blocking check fails with every reason; nothing is bundled, asked or signed."""
    installation, _, result = refused
    checks = evaluations(result)
    verdict = checks["candidate_passes_every_gate"]
    assert not result.success
    assert not verdict.passed
    assert str(verdict.description).count("fold_win_rate") == 3
    assert "bundle_verifies_before_anyone_signs_it" not in checks
    assert not (installation.home / "bundles").exists()
    assert installation.store.requests() == []


def test_a_refused_candidate_is_written_down(
    refused: tuple[Installation, dg.DagsterInstance, dg.ExecuteInProcessResult],
) -> None:
    """Report, outcomes and MLflow keep a refused candidate with its reasons, as rejected."""
    installation, _, _ = refused
    report = installation.stored(GateReport, "gates", "report")
    table = installation.stored(pd.DataFrame, "gates", "outcomes")
    (version,) = client_of(installation).search_model_versions(f"name='{MODEL}'")
    tags = client_of(installation).get_run(version.run_id).data.tags
    assert not report.accepted
    assert not table["passed"].all()
    assert version.tags["state"] == "rejected"
    assert tags["gate"] == "refused"
    assert "fold_win_rate" in tags["gate_reasons"]


def test_a_refused_candidate_is_told_to_people(
    refused: tuple[Installation, dg.DagsterInstance, dg.ExecuteInProcessResult],
) -> None:
    """The notifier says which check failed and why."""
    installation, instance, _ = refused
    notifier = installation.resources["notifier"]
    failed_check_sensor(dg.build_sensor_context(instance, resources={"notifier": notifier}))
    (line,) = Path(notifier.path).read_text().splitlines()
    told = json.loads(line)
    assert told["subject"] == f"gates/report candidate_passes_every_gate {partition()}"
    assert "fold_win_rate" in told["detail"]


def test_a_retrain_holds_the_candidate_against_the_champion_on_the_same_bars(
    copied: Installation,
) -> None:
    """With a champion published, its account over the same decisions is beside the candidate's."""
    (request,) = copied.store.pending()
    copied.store.decide(request.id, "approved", "Ada", "", 20)
    copied.store.publish(request.id, copied.resources["evidence"].derive, 30)
    instance = dg.DagsterInstance.ephemeral()
    all_green(instance)  # of the retrain that made what is judged anew
    copied.job("retrain_job").execute_in_process(
        partition_key=partition(),
        instance=instance,
        asset_selection=[dg.AssetKey(key) for key in JUDGED],
    )
    walk = copied.stored(Accounts, "backtest", "walk_forward")
    (again,) = copied.store.pending()
    assert again.champion_digest == request.bundle_digest
    assert walk.contest is not None
    assert walk.contest.share == 1.0
    assert walk.contest.champion == walk.contest.candidate == walk.whole
    assert math.isfinite(walk.whole.score)


def test_a_week_that_was_not_ingested_is_not_trained_on(copied: Installation) -> None:
    """The week after the lake's end stops at a check that names both moments."""
    result = copied.job("retrain_job").execute_in_process(
        partition_key=f"{SYMBOL}|2025-12-14",
        instance=dg.DagsterInstance.ephemeral(),
        raise_on_error=False,
    )
    failed = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert [check.check_name for check in failed] == ["training_set_reaches_the_cutoff"]
    assert "2025-12-14 00:00" in str(failed[0].description)
