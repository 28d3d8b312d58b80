"""A retrain from features to request: what it leaves when accepted, and when refused."""

import json
import math
import re
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from kernel.bundle import verify_contents
from orchestration.definitions import code_location
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
    named = {"labels.horizon_bars", "gates.min_fold_trades", "thresholds_digest", "feature_set"}
    assert named | {"cutoff", "span", "rows", "git"} <= set(run.data.params)
    assert run.data.params["cutoff"] == "2025-12-14 00:00"
    shown = {"score", "worst_fold_profit_factor", "max_drawdown", "calibration_mae", "refused"}
    assert shown <= set(run.data.metrics)
    assert [one.dataset.name for one in run.inputs.dataset_inputs] == [f"{SYMBOL} training set"]
    assert version.tags["request_id"] in run.data.tags["mlflow.note.content"]


def test_mlflow_holds_no_figure_twice_and_no_nan(retrained: Installation) -> None:
    """Two names for one number, or one that is none, would have a person compare for nothing."""
    client = client_of(retrained)
    version = client.get_model_version_by_alias(MODEL, "challenger")
    metrics = client.get_run(version.run_id).data.metrics
    assert [name for name, value in metrics.items() if not math.isfinite(value)] == []
    prefixes = ("gate.", "candidate_")
    assert [name for name in metrics if name.startswith(prefixes)] == []


def test_the_request_opens_with_what_a_person_decides_by(retrained: Installation) -> None:
    """It carries the thresholds and the figures that the gate passed, and the log their digest."""
    (request,) = retrained.store.pending()
    report = retrained.stored(GateReport, "gates", "report")
    assert request.thresholds == report.thresholds
    walk = retrained.stored(Accounts, "backtest", "walk_forward")
    assert request.figures["score"] == walk.whole.score
    (entry,) = [one for one in retrained.store.entries() if one.kind == "requested"]
    assert entry.body["thresholds_digest"] == report.thresholds_digest
    curves = walk.curves
    assert set(curves.equity) == {"candidate"}
    assert len(curves.at_ms) == len(curves.equity["candidate"]) > 20


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
    """The run is green and says that it was refused; nothing is bundled, asked or signed."""
    installation, instance, result = refused
    checks = evaluations(result)
    verdict = checks["candidate_passes_every_gate"]
    assert result.success
    assert instance.get_run_by_id(result.run_id).tags["tidegate/gate"] == "refused"
    assert not verdict.passed
    assert verdict.severity is dg.AssetCheckSeverity.WARN
    assert str(verdict.description).startswith(f"{SYMBOL} {WEEK} refused: ")
    assert str(verdict.description).count("fold_win_rate") == 3
    assert "bundle_verifies_before_anyone_signs_it" not in checks
    assert not (installation.home / "bundles").exists()
    assert installation.store.requests() == []


def test_no_page_shows_what_nobody_reads(
    refused: tuple[Installation, dg.DagsterInstance, dg.ExecuteInProcessResult],
) -> None:
    """No figure has fifteen digits, none is no number, no moment is in milliseconds, no digest is
    longer than twelve, and no table hides behind a button.
    """
    _, _, result = refused
    shown = [
        (event.asset_key.to_user_string(), event.materialization.metadata)
        for event in result.get_asset_materialization_events()
    ]
    shown += [(one.check_name, one.metadata) for one in result.get_asset_check_evaluations()]
    found = [
        f"{where} {name}: {value.value!r}"[:200]
        for where, metadata in shown
        for name, value in metadata.items()
        if hard_to_read(name, value)
    ]
    assert found == []


def hard_to_read(name: str, value: dg.MetadataValue) -> bool:
    if isinstance(value, dg.FloatMetadataValue):
        number = value.value
        return number is None or not math.isfinite(number) or len(f"{number:.15g}") > 12
    if isinstance(value, dg.IntMetadataValue):
        return (value.value or 0) > 10**11
    if isinstance(value, dg.MarkdownMetadataValue):
        return not str(value.value).startswith("![")
    if isinstance(value, dg.TextMetadataValue):
        return name != "tracking_run" and bool(re.search(r"[0-9a-f]{13,}", str(value.value)))
    return False


@pytest.mark.parametrize(
    ("asset", "told"),
    [
        ("bundles/bundle", f"{SYMBOL} {WEEK} refused: fold_win_rate"),
        ("promotion/request", "materialize bundles/bundle"),
    ],
)
def test_what_rests_on_a_refused_candidate_is_not_made_by_hand(
    refused: tuple[Installation, dg.DagsterInstance, dg.ExecuteInProcessResult],
    asset: str,
    told: str,
) -> None:
    """Asked for in a run of its own, the bundle fails by the gate's own sentence, and the request
    by the bundle that there is none of.
    """
    installation, instance, _ = refused
    location = code_location(installation.environment)
    chosen = dg.AssetSelection.assets(dg.AssetKey.from_user_string(asset))
    job = dg.define_asset_job("by_hand", selection=chosen, executor_def=dg.in_process_executor)
    result = (
        dg.Definitions.merge(location, dg.Definitions(jobs=[job]))
        .resolve_job_def("by_hand")
        .execute_in_process(partition_key=partition(), instance=instance, raise_on_error=False)
    )
    (failed, *_) = result.get_step_failure_events()
    assert told in failed.step_failure_data.error.to_string()
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
    assert tags["verdict"].startswith(f"{SYMBOL} {WEEK} refused: fold_win_rate of fold 0 ")
    assert "promotes nothing" in tags["mlflow.note.content"]


def test_a_refused_candidate_is_told_to_people(
    refused: tuple[Installation, dg.DagsterInstance, dg.ExecuteInProcessResult],
) -> None:
    """The notifier says of which symbol and week, and why, and calls it no failed check."""
    installation, instance, _ = refused
    notifier = installation.resources["notifier"]
    failed_check_sensor(dg.build_sensor_context(instance, resources={"notifier": notifier}))
    (line,) = Path(notifier.path).read_text().splitlines()
    told = json.loads(line)
    assert (told["kind"], told["subject"]) == ("candidate_refused", f"{SYMBOL} {WEEK}")
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
    assert walk.curves.equity["champion"] == walk.curves.equity["candidate"]
    assert again.figures["score_delta"] == 0.0
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
