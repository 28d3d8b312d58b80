"""MLflow: one parent run per retrain, a nested run per base model, and the model registry."""

import functools
import json
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar

import httpx

from kernel.errors import TidegateError
from kernel.text import plain
from market_data.storage.locks import only_one

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

State = Literal["pending", "approved", "declined", "champion", "retired", "rejected"]
EXPERIMENT = "tidegate"
EXPERIMENT_KIND = {"mlflow.experimentKind": "custom_model_development"}  # it opens on its runs
APPROVAL_TAG = "tidegate.approval"
ANSWER_TAG = "tidegate.answer"
ORIGIN_TAG = "tidegate.origin"
OF_TAG = "tidegate.of"
NOTE_TAG = "mlflow.note.content"
P = ParamSpec("P")
T = TypeVar("T")
UNDECIDED = ("pending", "rejected")  # states that a retrain may set; the others are a person's
PASSING_CODES = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED")
CHAMPION = "champion"
CHALLENGER = "challenger"
SERVING_REQUIREMENTS = ("numpy>=2.2", "onnxruntime>=1.31,<2")
MAX_TAG = 5000
MAX_DATASET_DIGEST = 36
MAX_PARAM = 6000


class TrackingUnreachableError(TidegateError):
    """Say that the MLflow server does not answer, or answers that it cannot now."""

    passing = True


class TrackingRefusedError(TidegateError):
    """Say what the MLflow server would not do; asked again it answers the same."""


class UnknownVersionError(TidegateError, LookupError):
    """Say that the registry has no version for what was asked."""


@dataclass(frozen=True, slots=True)
class RunLog:
    """Hold what one run shows; a metric with several values is a series over folds.

    `origin` names what wrote the run: writing it again goes on with the same run. Without one each
    writing is a run of its own. A further run of one name says in its name which attempt it is.
    `started_ms` is when its work began (milliseconds UTC), None for when it is first written; it
    ends when something was written last.
    """

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float | Iterable[float]] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    origin: str = ""
    started_ms: int | None = None
    dataset: "DatasetLog | None" = None


@dataclass(frozen=True, slots=True)
class DatasetLog:
    """Name what a run was trained on: where it lies, its digest, and how large it is."""

    name: str
    source: str
    digest: str
    rows: int
    features: int


@dataclass(frozen=True, slots=True)
class TaggedApproval:
    """Name a request that a person approved by setting `tidegate.approval` in the MLflow UI.

    `answer` is what was last said to a tag on this version, '' for nothing yet.
    """

    request_id: str
    approver: str
    model: str = field(default="", compare=False)
    version: str = field(default="", compare=False)
    answer: str = field(default="", compare=False)


def _reached(
    method: Callable[Concatenate["Tracking", P], T],
) -> Callable[Concatenate["Tracking", P], T]:
    """Turn what MLflow's client raises where its server or database is away into our error."""

    @functools.wraps(method)
    def asked(self: "Tracking", *args: P.args, **kwargs: P.kwargs) -> T:
        from mlflow.exceptions import MlflowException

        try:
            return method(self, *args, **kwargs)
        except MlflowException as error:
            if error.error_code not in PASSING_CODES:
                raise TrackingRefusedError(
                    f"MLflow at {self.uri}: found {str(error)[:300]!r} on {method.__name__}, "
                    "expected it done"
                ) from error
            raise TrackingUnreachableError(
                f"MLflow at {self.uri}: found {str(error)[:300]!r}, expected an answer; it is "
                "asked again, look at its log if this stays"
            ) from error

    return asked


@dataclass(frozen=True, kw_only=True)  # no slots: the client is kept once it is made
class Tracking:
    """Write to the MLflow at `uri`: an http(s) server, or a database (`sqlite:///…`).

    `artifacts` is where a database-backed experiment keeps its files; a server keeps its own.
    """

    uri: str
    artifacts: str

    @_reached
    def log(self, parent: RunLog, nested: Iterable[RunLog]) -> str:
        """Write a finished parent run with its nested runs; return the parent's run id.

        Safe to repeat for logs with an origin.
        """
        run_id = self._run(parent, {})
        for child in nested:
            self._run(child, {"mlflow.parentRunId": run_id})
        return run_id

    @_reached
    def add(self, run_id: str, log: RunLog) -> None:
        """Add metrics, tags and files to a run that exists, which ends now; safe to repeat."""
        self._add(run_id, log)
        self._client.set_terminated(run_id)

    def _add(self, run_id: str, log: RunLog) -> None:
        from mlflow.entities import Metric, Param, RunTag

        # MLflow keeps a value once per name, step and time: the run's own start is the same time
        # whenever a killed writer is repeated.
        started_ms = self._client.get_run(run_id).info.start_time
        metrics = [
            Metric(name, float(value), started_ms, step)
            for name, values in log.metrics.items()
            for step, value in enumerate(values if isinstance(values, Iterable) else [values])
            if math.isfinite(value)
        ]
        params = [Param(name, str(value)[:MAX_PARAM]) for name, value in log.params.items()]
        tags = [RunTag(name, value[:MAX_TAG]) for name, value in log.tags.items()]
        self._client.log_batch(run_id, metrics=metrics, params=params, tags=tags)
        if log.dataset is not None:
            self._client.log_inputs(run_id, datasets=[_dataset_input(log.dataset)])
        if log.files:
            with tempfile.TemporaryDirectory() as folder:
                for name, content in log.files.items():
                    (Path(folder) / name).write_bytes(content)
                self._client.log_artifacts(run_id, folder, "files")

    @_reached
    def register(
        self, run_id: str, model: str, signal: bytes, state: State, tags: Mapping[str, str]
    ) -> str:
        """Register `signal` (an ONNX graph) as the version of `model` that a run holds; return it.

        Safe to repeat: a run has one version, and what a person has decided on it stands.
        """
        import mlflow.onnx
        import onnx

        with tempfile.TemporaryDirectory() as folder:
            mlflow.onnx.save_model(
                onnx.load_from_string(signal),
                f"{folder}/model",
                pip_requirements=list(SERVING_REQUIREMENTS),
                signature=_signature(signal),
            )
            self._client.log_artifacts(run_id, f"{folder}/model", "model")
        self._ensure_model(model)
        shown = {name: value[:MAX_TAG] for name, value in tags.items()}
        held = [one for one in self._versions(model) if one.run_id == run_id]
        if held:
            decided = held[0].tags.get("state") not in UNDECIDED
            shown |= {} if decided else {"state": state}
            self._tag(held[0], shown)
            return str(held[0].version)
        version = self._client.create_model_version(
            model,
            source=f"{self._client.get_run(run_id).info.artifact_uri}/model",
            run_id=run_id,
            tags={"state": state, **shown},
        )
        return str(version.version)

    @_reached
    def tag_version(self, model: str, run_id: str, tags: Mapping[str, str]) -> str:
        """Set tags on the version that a run registered and make it the challenger."""
        version = self._version(model, lambda found: found.run_id == run_id, f"run {run_id}")
        self._tag(version, tags)
        self._client.set_registered_model_alias(model, CHALLENGER, version.version)
        return str(version.version)

    @_reached
    def set_state(self, model: str, bundle_digest: str, state: State) -> None:
        """Set the state of the version that holds a bundle."""
        version = self._holder(model, bundle_digest)
        self._client.set_model_version_tag(model, version.version, "state", state)

    @_reached
    def crown(self, model: str, bundle_digest: str, epoch: int) -> str:
        """Make a bundle's version champion and retire the one before; safe to repeat.

        One that was crowned under a later epoch stays: a run that was slow to tell tells nothing.
        """
        version = self._holder(model, bundle_digest)
        crowned = [one for one in self._versions(model) if one.tags.get("state") == "champion"]
        if any(int(one.tags.get("epoch", 0)) > epoch for one in crowned):
            return str(version.version)
        for other in self._versions(model):
            if other.tags.get("state") == "champion" and other.version != version.version:
                self._client.set_model_version_tag(model, other.version, "state", "retired")
        self._tag(version, {"state": "champion", "epoch": str(epoch)})
        self._client.set_registered_model_alias(model, CHAMPION, version.version)
        return str(version.version)

    @_reached
    def tagged_approvals(
        self, models: Iterable[str], *, decided: bool = False
    ) -> list[TaggedApproval]:
        """Return the pending versions that carry an approver's name in `tidegate.approval`; where
        asked for also those that were decided on before.
        """
        return [
            TaggedApproval(
                request_id=version.tags["request_id"],
                approver=version.tags[APPROVAL_TAG],
                model=model,
                version=str(version.version),
                answer=version.tags.get(ANSWER_TAG, ""),
            )
            for model in models
            for version in self._versions(model)
            if version.tags.get(APPROVAL_TAG, "").strip()
            and (decided or version.tags.get("state") == "pending")
            and "request_id" in version.tags
        ]

    @_reached
    def answer(self, tagged: TaggedApproval, text: str, *, done: bool) -> None:
        """Say on a version what became of its approval tag; one that is `done` is taken off.

        What a person sets afterwards is then known to be new.
        """
        said = plain(text)[:MAX_TAG]
        if said != tagged.answer:
            self._client.set_model_version_tag(tagged.model, tagged.version, ANSWER_TAG, said)
        if done:
            self._client.delete_model_version_tag(tagged.model, tagged.version, APPROVAL_TAG)

    def _run(self, log: RunLog, tags: dict[str, Any]) -> str:
        begun = self._runs_of(log.origin)
        if begun:
            run_id = begun[0]
        else:
            named = tags | ({ORIGIN_TAG: log.origin, OF_TAG: log.name} if log.origin else {})
            run = self._client.create_run(
                self._experiment,
                run_name=log.name if tags else self._numbered(log.name),
                tags=named,
                start_time=log.started_ms,
            )
            run_id = str(run.info.run_id)
        self._add(run_id, log)
        self._client.set_terminated(run_id)
        return run_id

    def _numbered(self, name: str) -> str:
        """Return the name of a top-level run: that of a later attempt at the same says so."""
        wanted = f"tags.`{OF_TAG}` = '{name}'"
        before = len(self._client.search_runs([self._experiment], wanted))
        return f"{name} attempt {before + 1}" if before else name

    def page(self, run_id: str) -> str:
        """Return where a person sees a run, '' where no server shows it."""
        if not self._is_server:
            return ""
        return f"{self.uri}/#/experiments/{self._experiment}/runs/{run_id}"

    def _runs_of(self, origin: str) -> list[str]:
        """Return the ids of the runs that an origin has begun, none for no origin."""
        if not origin:
            return []
        found = self._client.search_runs([self._experiment], f"tags.`{ORIGIN_TAG}` = '{origin}'")
        return [str(run.info.run_id) for run in found]

    def _tag(self, version: "ModelVersion", tags: Mapping[str, str]) -> None:
        for name, value in tags.items():
            self._client.set_model_version_tag(version.name, version.version, name, value)

    def _holder(self, model: str, bundle_digest: str) -> "ModelVersion":
        return self._version(
            model, lambda v: v.tags.get("bundle_digest") == bundle_digest, f"bundle {bundle_digest}"
        )

    def _version(self, model: str, chosen: Any, what: str) -> "ModelVersion":
        versions = [version for version in self._versions(model) if chosen(version)]
        if not versions:
            raise UnknownVersionError(
                f"MLflow at {self.uri}: found no version of {model} for {what}"
            )
        return max(versions, key=lambda version: int(version.version))

    def _versions(self, model: str) -> list["ModelVersion"]:
        return list(self._client.search_model_versions(f"name='{model}'"))

    def _ensure_model(self, model: str) -> None:
        with _unless_it_exists():
            self._client.create_registered_model(model)

    @property
    def _is_server(self) -> bool:
        """Return whether a server keeps runs and artifacts, or this process does."""
        return self.uri.startswith("http")

    @cached_property
    def _client(self) -> "MlflowClient":
        from mlflow.tracking import MlflowClient

        if self._is_server:
            _require_answer(self.uri)
            return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
        # MLflow makes its tables on first use without a lock: two at once break each other.
        with only_one(Path(self.artifacts).parent / f".{Path(self.artifacts).name}.lock"):
            client = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
            client.search_registered_models(max_results=1)  # the registry opens on first use only
        return client

    @cached_property
    def _experiment(self) -> str:
        if (found := self._client.get_experiment_by_name(EXPERIMENT)) is None:
            folder = Path(self.artifacts).resolve().as_uri()
            with _unless_it_exists():
                self._client.create_experiment(
                    EXPERIMENT,
                    artifact_location=None if self._is_server else folder,
                    tags=EXPERIMENT_KIND,
                )
            found = self._client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            raise TrackingUnreachableError(
                f"MLflow at {self.uri}: found no experiment {EXPERIMENT!r} after making it, "
                "expected one: look whether somebody deletes it, then launch again"
            )
        return str(found.experiment_id)


def _dataset_input(dataset: DatasetLog) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    return DatasetInput(
        dataset=Dataset(
            name=dataset.name,
            digest=dataset.digest[:MAX_DATASET_DIGEST],
            source_type="tidegate lake",
            source=json.dumps({"uri": dataset.source}),
            profile=json.dumps({"num_rows": dataset.rows, "num_features": dataset.features}),
        ),
        tags=[InputTag("mlflow.data.context", "training")],
    )


def _signature(signal: bytes) -> Any:
    """Return what the graph takes and gives, tensor by tensor, for the page of its version."""
    import onnx
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    graph = onnx.load_from_string(signal).graph

    def schema(values: Any) -> Schema:
        return Schema(
            [
                TensorSpec(
                    onnx.helper.tensor_dtype_to_np_dtype(one.type.tensor_type.elem_type),
                    tuple(part.dim_value or -1 for part in one.type.tensor_type.shape.dim) or (-1,),
                    one.name,
                )
                for one in values
            ]
        )

    return ModelSignature(inputs=schema(graph.input), outputs=schema(graph.output))


def model_name(symbol: str, timeframe: str) -> str:
    """Return the registered model that holds a symbol's versions."""
    return f"{symbol}-{timeframe}"


# A server that is away refuses the connection; one on a busy machine takes it, and answers late.
ANSWER_TIMEOUT = httpx.Timeout(120.0, connect=5.0)


@contextmanager
def _unless_it_exists() -> Iterator[None]:
    """Let what another process has made a moment ago stand: looking first would not be enough."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _require_answer(uri: str) -> None:
    """Ask once before the client starts its minutes of retries."""
    try:
        httpx.get(f"{uri}/health", timeout=ANSWER_TIMEOUT).raise_for_status()
    except httpx.HTTPError as error:
        raise TrackingUnreachableError(
            f"MLflow at {uri}: found {error!r}, expected it to answer; start it, or fix "
            "TIDEGATE_MLFLOW_URL"
        ) from error
