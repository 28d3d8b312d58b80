"""MLflow: one parent run per retrain, a nested run per base model, and the model registry."""

import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import dagster as dg
import httpx

from kernel.errors import TidegateError

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

State = Literal["pending", "approved", "declined", "champion", "retired", "rejected"]
EXPERIMENT = "tidegate"
APPROVAL_TAG = "tidegate.approval"
CHAMPION, CHALLENGER = "champion", "challenger"
SERVING_REQUIREMENTS = ("numpy>=2.2", "onnxruntime>=1.31,<2")
MAX_TAG = 5000
MAX_PARAM = 6000


class TrackingUnreachableError(TidegateError):
    """Say that the MLflow server does not answer."""


@dataclass(frozen=True, slots=True)
class RunLog:
    """Hold what one run shows; a metric with several values is a series over folds."""

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float | Iterable[float]] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaggedApproval:
    """Name a request that a person approved by setting `tidegate.approval` in the MLflow UI."""

    request_id: str
    approver: str


class Tracking(dg.ConfigurableResource):
    """Write to the MLflow at `uri`: an http(s) server, or a database (`sqlite:///…`).

    `artifacts` is where a database-backed experiment keeps its files; a server keeps its own.
    """

    uri: str
    artifacts: str

    def log(self, parent: RunLog, nested: Iterable[RunLog]) -> str:
        """Write a finished parent run with its nested runs; return the parent's run id."""
        run_id = self._run(parent, {})
        for child in nested:
            self._run(child, {"mlflow.parentRunId": run_id})
        return run_id

    def add(self, run_id: str, log: RunLog) -> None:
        """Add metrics, tags and files to a run that exists."""
        from mlflow.entities import Metric, Param, RunTag

        now_ms = time.time_ns() // 1_000_000
        metrics = [
            Metric(name, float(value), now_ms, step)
            for name, values in log.metrics.items()
            for step, value in enumerate(values if isinstance(values, Iterable) else [values])
        ]
        params = [Param(name, str(value)[:MAX_PARAM]) for name, value in log.params.items()]
        tags = [RunTag(name, value[:MAX_TAG]) for name, value in log.tags.items()]
        self._client.log_batch(run_id, metrics=metrics, params=params, tags=tags)
        if log.files:
            with tempfile.TemporaryDirectory() as folder:
                for name, content in log.files.items():
                    (Path(folder) / name).write_bytes(content)
                self._client.log_artifacts(run_id, folder, "files")

    def register(
        self, run_id: str, model: str, signal: bytes, state: State, tags: Mapping[str, str]
    ) -> str:
        """Register `signal` (an ONNX graph) as the next version of `model`; return the version."""
        import mlflow.onnx
        import onnx

        with tempfile.TemporaryDirectory() as folder:
            mlflow.onnx.save_model(
                onnx.load_from_string(signal),
                f"{folder}/model",
                pip_requirements=list(SERVING_REQUIREMENTS),
            )
            self._client.log_artifacts(run_id, f"{folder}/model", "model")
        self._ensure_model(model)
        version = self._client.create_model_version(
            model,
            source=f"{self._client.get_run(run_id).info.artifact_uri}/model",
            run_id=run_id,
            tags={"state": state, **{name: value[:MAX_TAG] for name, value in tags.items()}},
        )
        return str(version.version)

    def tag_version(self, model: str, run_id: str, tags: Mapping[str, str]) -> str:
        """Set tags on the version that a run registered and make it the challenger."""
        version = self._version(model, lambda found: found.run_id == run_id, f"run {run_id}")
        for name, value in tags.items():
            self._client.set_model_version_tag(model, version.version, name, value)
        self._client.set_registered_model_alias(model, CHALLENGER, version.version)
        return str(version.version)

    def set_state(self, model: str, bundle_digest: str, state: State) -> None:
        """Set the state of the version that holds a bundle."""
        version = self._holder(model, bundle_digest)
        self._client.set_model_version_tag(model, version.version, "state", state)

    def crown(self, model: str, bundle_digest: str, epoch: int) -> str:
        """Make a bundle's version champion and retire the one before; safe to repeat."""
        version = self._holder(model, bundle_digest)
        for other in self._versions(model):
            if other.tags.get("state") == "champion" and other.version != version.version:
                self._client.set_model_version_tag(model, other.version, "state", "retired")
        self._client.set_model_version_tag(model, version.version, "state", "champion")
        self._client.set_model_version_tag(model, version.version, "epoch", str(epoch))
        self._client.set_registered_model_alias(model, CHAMPION, version.version)
        return str(version.version)

    def tagged_approvals(self, models: Iterable[str]) -> list[TaggedApproval]:
        """Return the pending versions that carry an approver's name in `tidegate.approval`."""
        return [
            TaggedApproval(version.tags["request_id"], version.tags[APPROVAL_TAG])
            for model in models
            for version in self._versions(model)
            if version.tags.get(APPROVAL_TAG, "").strip()
            and version.tags.get("state") == "pending"
            and "request_id" in version.tags
        ]

    def _run(self, log: RunLog, tags: dict[str, Any]) -> str:
        run_id = self._client.create_run(self._experiment, run_name=log.name, tags=tags).info.run_id
        self.add(run_id, log)
        self._client.set_terminated(run_id)
        return str(run_id)

    def _holder(self, model: str, bundle_digest: str) -> "ModelVersion":
        return self._version(
            model, lambda v: v.tags.get("bundle_digest") == bundle_digest, f"bundle {bundle_digest}"
        )

    def _version(self, model: str, chosen: Any, what: str) -> "ModelVersion":
        versions = [version for version in self._versions(model) if chosen(version)]
        if not versions:
            raise LookupError(f"MLflow at {self.uri}: found no version of {model} for {what}")
        return max(versions, key=lambda version: int(version.version))

    def _versions(self, model: str) -> list["ModelVersion"]:
        return list(self._client.search_model_versions(f"name='{model}'"))

    def _ensure_model(self, model: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.get_registered_model(model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            self._client.create_registered_model(model)

    @cached_property
    def _client(self) -> "MlflowClient":
        if self.uri.startswith("http"):
            _require_answer(self.uri)
        from mlflow.tracking import MlflowClient

        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    @cached_property
    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        location = None if self.uri.startswith("http") else Path(self.artifacts).resolve().as_uri()
        tags = {"mlflow.experimentKind": "custom_model_development"}  # the UI opens on runs
        return str(
            self._client.create_experiment(EXPERIMENT, artifact_location=location, tags=tags)
        )


def model_name(symbol: str, timeframe: str) -> str:
    """Return the registered model that holds a symbol's versions."""
    return f"{symbol}-{timeframe}"


# A server that is away refuses the connection; one on a busy machine takes it, and answers late.
ANSWER_TIMEOUT = httpx.Timeout(120.0, connect=5.0)


def _require_answer(uri: str) -> None:
    """Ask once before the client starts its minutes of retries."""
    try:
        httpx.get(f"{uri}/health", timeout=ANSWER_TIMEOUT).raise_for_status()
    except httpx.HTTPError as error:
        raise TrackingUnreachableError(
            f"MLflow at {uri}: found {error!r}, expected it to answer; start it, or fix "
            "TIDEGATE_MLFLOW_URL"
        ) from error
