"""MLflow on SQLite: what a retrain leaves there for people to compare, and who is champion."""

import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from onnx import TensorProto, helper

from orchestration.resources.tracking import (
    EXPERIMENT,
    DatasetLog,
    RunLog,
    TaggedApproval,
    Tracking,
    TrackingUnreachableError,
    model_name,
)
from tests.once import made_once

MODEL = model_name("BTCUSDT", "15m")


def graph() -> bytes:
    """Return a graph that passes its input through."""
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 3])]
        for name in ("input", "probabilities")
    ]
    node = helper.make_node("Identity", ["input"], ["probabilities"])
    model = helper.make_model(
        helper.make_graph([node], "signal", *ends), opset_imports=[helper.make_opsetid("", 15)]
    )
    model.ir_version = 8
    return model.SerializeToString()


@pytest.fixture(scope="session")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with MLflow's tables and nothing in them, which take seconds to make."""

    def make(folder: Path) -> None:
        uri = f"sqlite:///{folder}/mlflow.db"
        MlflowClient(tracking_uri=uri, registry_uri=uri).search_experiments()

    return made_once(tmp_path_factory, "mlflow", make) / "mlflow.db"


@pytest.fixture
def tracking(new_database: Path, tmp_path: Path) -> Tracking:
    shutil.copy(new_database, tmp_path)
    return Tracking(uri=f"sqlite:///{tmp_path}/mlflow.db", artifacts=str(tmp_path / "artifacts"))


@pytest.fixture
def client(tracking: Tracking) -> MlflowClient:
    return MlflowClient(tracking_uri=tracking.uri, registry_uri=tracking.uri)


def registered(tracking: Tracking, bundle: str) -> str:
    """Register a version that holds `bundle` under request `r-<bundle>`; return its version."""
    run_id = tracking.log(RunLog("BTCUSDT 2025-12-14"), [])
    tracking.register(run_id, MODEL, graph(), "pending", {})
    return tracking.tag_version(
        MODEL, run_id, {"bundle_digest": bundle, "request_id": f"r-{bundle}"}
    )


def test_log_writes_a_parent_run_with_nested_runs(tracking: Tracking, client: MlflowClient) -> None:
    """A retrain is one parent run with a nested run per base, its fold metrics and its figures."""
    parent = RunLog(
        "BTCUSDT 2025-12-14",
        params={"horizon_bars": 48},
        metrics={"win_rate": [0.5, 0.6, 0.7], "score": 1.5},
        tags={"symbol": "BTCUSDT", "week": "2025-12-14"},
        files={"reliability.png": b"png"},
    )
    run_id = tracking.log(parent, [RunLog("xgboost"), RunLog("lightgbm")])
    run = client.get_run(run_id)
    children = client.search_runs([run.info.experiment_id], f"tags.mlflow.parentRunId = '{run_id}'")
    assert run.info.status == "FINISHED"
    assert run.data.params == {"horizon_bars": "48"}
    assert [m.value for m in client.get_metric_history(run_id, "win_rate")] == [0.5, 0.6, 0.7]
    assert run.data.tags["week"] == "2025-12-14"
    files = [file.path for file in client.list_artifacts(run_id, "files")]
    assert files == ["files/reliability.png"]
    assert sorted(str(child.info.run_name) for child in children) == ["lightgbm", "xgboost"]
    assert client.get_experiment(run.info.experiment_id).name == EXPERIMENT


def test_a_log_that_is_written_again_is_the_same_run(
    tracking: Tracking, client: MlflowClient
) -> None:
    """A writer that was killed and repeated leaves one parent, one child, each value once."""
    parent = RunLog("BTCUSDT 2025-12-14", metrics={"win_rate": [0.5, 0.6]}, origin="run BTCUSDT")
    child = RunLog("xgboost", params={"rounds": 12}, origin="run BTCUSDT xgboost")
    ids = [tracking.log(parent, [child]) for _ in range(2)]
    run = client.get_run(ids[0])
    assert ids[0] == ids[1]
    assert len(client.search_runs([run.info.experiment_id])) == 2
    assert [m.value for m in client.get_metric_history(ids[0], "win_rate")] == [0.5, 0.6]
    assert tracking.log(replace(parent, origin="another run"), []) != ids[0]


def test_a_further_run_of_one_week_says_which_attempt_it_is(
    tracking: Tracking, client: MlflowClient
) -> None:
    """A week that is trained again is a run of its own, told from the first; its bases are not."""
    week = RunLog("BTCUSDT 2025-12-14", origin="first", started_ms=1_000)
    ids = [
        tracking.log(replace(week, origin=one), [RunLog("xgboost", origin=f"{one} xgboost")])
        for one in ("first", "second", "second")
    ]
    names = [client.get_run(one).info.run_name for one in ids]
    assert names == ["BTCUSDT 2025-12-14", *["BTCUSDT 2025-12-14 attempt 2"] * 2]
    found = client.search_runs([client.get_run(ids[0]).info.experiment_id])
    assert sorted(str(one.info.run_name) for one in found)[2:] == ["xgboost", "xgboost"]


def test_a_run_begins_with_its_work_and_ends_with_what_was_added_last(
    tracking: Tracking, client: MlflowClient
) -> None:
    """Its duration is that of the retrain and not of the writing; what is no number is left out."""
    run_id = tracking.log(RunLog("BTCUSDT 2025-12-14", started_ms=1_000), [])
    first = client.get_run(run_id).info
    metrics = {"score": [1.0, math.nan], "skill": math.nan}
    data = DatasetLog(name="BTCUSDT", source="datasets", digest="ab" * 32, rows=9, features=3)
    tracking.add(run_id, RunLog("", metrics=metrics, dataset=data))
    run = client.get_run(run_id)
    assert (first.start_time, run.info.start_time) == (1_000, 1_000)
    assert run.info.end_time >= first.end_time
    assert run.data.metrics == {"score": 1.0}
    (held,) = run.inputs.dataset_inputs
    assert held.dataset.digest == ("ab" * 32)[:36]


def test_a_version_says_what_its_graph_takes_and_gives(
    tracking: Tracking, client: MlflowClient
) -> None:
    """The signature names each tensor with its type and shape."""
    registered(tracking, "aa")
    (run,) = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
    model = Path(client.download_artifacts(run.info.run_id, "model/MLmodel")).read_text()
    assert "input" in model and "float32" in model and "probabilities" in model


def test_register_again_is_the_same_version_and_leaves_a_decision_alone(
    tracking: Tracking, client: MlflowClient
) -> None:
    """A run holds one version; judged again it may change its mind until a person has spoken."""
    version = registered(tracking, "aa")
    run_id = str(client.get_model_version(MODEL, version).run_id)
    assert tracking.register(run_id, MODEL, graph(), "rejected", {"reasons": "x"}) == version
    assert client.get_model_version(MODEL, version).tags["state"] == "rejected"
    tracking.set_state(MODEL, "aa", "approved")
    assert tracking.register(run_id, MODEL, graph(), "pending", {}) == version
    assert client.get_model_version(MODEL, version).tags["state"] == "approved"


def test_add_extends_a_finished_run(tracking: Tracking, client: MlflowClient) -> None:
    """A later stage adds its verdict to the run that training began."""
    run_id = tracking.log(RunLog("BTCUSDT 2025-12-14"), [])
    tracking.add(run_id, RunLog("", metrics={"max_drawdown": 0.1}, tags={"gate": "refused"}))
    run = client.get_run(run_id)
    assert run.data.metrics == {"max_drawdown": 0.1}
    assert run.data.tags["gate"] == "refused"


def test_register_stores_a_graph_that_mlflow_can_load(
    tracking: Tracking, client: MlflowClient
) -> None:
    """The registered version is the very graph, and asks for no more than serving takes."""
    run_id = tracking.log(RunLog("BTCUSDT 2025-12-14"), [])
    version = tracking.register(run_id, MODEL, graph(), "rejected", {"reasons": "win rate"})
    stored = client.get_model_version(MODEL, version)
    folder = Path(client.download_artifacts(run_id, "model"))
    assert stored.tags == {"state": "rejected", "reasons": "win rate"}
    assert (folder / "model.onnx").read_bytes() == graph()
    requirements = (folder / "requirements.txt").read_text()
    assert "onnxruntime" in requirements
    assert "torch" not in requirements


def test_crown_moves_the_alias_and_retires_the_champion_before(
    tracking: Tracking, client: MlflowClient
) -> None:
    """There is one champion at a time, also when crowning is repeated after a kill."""
    old, new = registered(tracking, "aa"), registered(tracking, "bb")
    tracking.crown(MODEL, "aa", epoch=1)
    for _ in range(2):
        assert tracking.crown(MODEL, "bb", epoch=2) == new
    assert client.get_model_version_by_alias(MODEL, "champion").version == int(new)
    assert client.get_model_version(MODEL, old).tags["state"] == "retired"
    assert client.get_model_version(MODEL, new).tags["epoch"] == "2"


def test_tagged_approvals_are_the_pending_versions_that_name_an_approver(
    tracking: Tracking, client: MlflowClient
) -> None:
    """A tag set in the MLflow UI is an answer only while the version waits for one."""
    first, _ = registered(tracking, "aa"), registered(tracking, "bb")
    client.set_model_version_tag(MODEL, first, "tidegate.approval", "Ada")
    assert tracking.tagged_approvals([MODEL, "ETHUSDT-15m"]) == [TaggedApproval("r-aa", "Ada")]
    tracking.set_state(MODEL, "aa", "approved")
    assert tracking.tagged_approvals([MODEL]) == []


def test_a_bundle_that_was_never_registered_is_named(tracking: Tracking) -> None:
    """Crowning an unknown bundle says which model was searched and for what."""
    registered(tracking, "aa")
    with pytest.raises(LookupError, match="BTCUSDT-15m for bundle cc"):
        tracking.crown(MODEL, "cc", epoch=1)


def test_a_server_that_is_down_is_named_at_once() -> None:
    """A dead server costs one refused connection, not minutes of retries."""
    tracking = Tracking(uri="http://127.0.0.1:9", artifacts="")
    with pytest.raises(TrackingUnreachableError, match=r"127\.0\.0\.1:9"):
        tracking.log(RunLog("BTCUSDT 2025-12-14"), [])
