"""Launch Dagster runs and follow them through the webserver's GraphQL API."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from kernel.errors import TidegateError

LOCATION = "tidegate"
ANSWER_SECONDS = 600.0  # a service on a busy machine answers late, not never
FINISHED = frozenset({"SUCCESS", "FAILURE", "CANCELED"})

_LAUNCH = """
mutation($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on Error { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""
_RUN = """
query($id: ID!) {
  runOrError(runId: $id) {
    __typename
    ... on Run {
      runId jobName status startTime endTime tags { key value }
      stepStats { stepKey status startTime endTime }
      assetMaterializations {
        assetKey { path } partition
        metadataEntries {
          label
          ... on IntMetadataEntry { intValue }
          ... on FloatMetadataEntry { floatValue }
          ... on TextMetadataEntry { text }
        }
      }
    }
  }
}
"""
_EVENTS = """
query($id: ID!, $cursor: String) {
  logsForRun(runId: $id, afterCursor: $cursor, limit: 1000) {
    ... on EventConnection {
      cursor hasMore
      events {
        __typename
        ... on AssetCheckEvaluationEvent {
          evaluation { success severity checkName assetKey { path } description }
        }
        ... on ExecutionStepFailureEvent { stepKey error { message causes { message } } }
      }
    }
  }
}
"""
_RUNS = """
query($filter: RunsFilter, $limit: Int) {
  runsOrError(filter: $filter, limit: $limit) {
    ... on Runs { results { runId jobName status } }
  }
}
"""


class DagsterError(TidegateError):
    """Say what Dagster refused."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a run; times are seconds since the epoch, None while unknown."""

    key: str
    status: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Run:
    """A run as the webserver last told it."""

    id: str
    job: str
    status: str
    seconds: float | None
    steps: tuple[Step, ...]
    metadata: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return self.status in FINISHED


@dataclass(frozen=True, slots=True)
class Check:
    """One asset check evaluation."""

    asset: str
    name: str
    passed: bool
    description: str


class DagsterClient:
    """Talk to one webserver."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=ANSWER_SECONDS)

    def launch(
        self, job: str, *, tags: Mapping[str, str], config: Mapping[str, Any] | None = None
    ) -> str:
        """Launch `job` and return the run's id; raises DagsterError with Dagster's reason."""
        params = {
            "selector": {
                "repositoryName": "__repository__",
                "repositoryLocationName": LOCATION,
                "jobName": job,
            },
            "runConfigData": dict(config or {}),
            "executionMetadata": {
                "tags": [{"key": key, "value": value} for key, value in tags.items()]
            },
        }
        answer = self._query(_LAUNCH, params=params)["launchRun"]
        if answer["__typename"] != "LaunchRunSuccess":
            reasons = [e["message"] for e in answer.get("errors", [])] or [answer.get("message")]
            raise DagsterError(f"{job}: not launched: {answer['__typename']}: {reasons}")
        return str(answer["run"]["runId"])

    def run(self, run_id: str) -> Run:
        """Return the current state of a run."""
        answer = self._query(_RUN, id=run_id)["runOrError"]
        if answer["__typename"] != "Run":
            raise DagsterError(f"run {run_id}: found {answer['__typename']}, expected a run")
        return Run(
            id=answer["runId"],
            job=answer["jobName"],
            status=answer["status"],
            seconds=_span(answer["startTime"], answer["endTime"]),
            steps=tuple(
                Step(s["stepKey"], s["status"] or "", _span(s["startTime"], s["endTime"]))
                for s in answer["stepStats"]
            ),
            metadata={
                "/".join(m["assetKey"]["path"]): {
                    entry["label"]: _value(entry) for entry in m["metadataEntries"]
                }
                for m in answer["assetMaterializations"]
            },
        )

    def wait(self, run_id: str, on_step: Callable[[Run, Step], None]) -> Run:
        """Poll until the run ends, calling `on_step` once for each step that finished.

        However long it takes: Dagster itself fails a run whose process is gone or never starts.
        """
        seen: set[str] = set()
        while True:
            run = self.run(run_id)
            for step in run.steps:
                if step.status in {"SUCCESS", "FAILURE"} and step.key not in seen:
                    seen.add(step.key)
                    on_step(run, step)
            if run.finished:
                return run
            time.sleep(0.5)

    def checks(self, run_id: str) -> tuple[list[Check], list[str]]:
        """Return the check evaluations of a run and what its failed steps raised."""
        checks: list[Check] = []
        failures: list[str] = []
        for event in self._events(run_id):
            if event["__typename"] == "AssetCheckEvaluationEvent":
                e = event["evaluation"]
                asset = "/".join(e["assetKey"]["path"])
                checks.append(Check(asset, e["checkName"], e["success"], e["description"] or ""))
            elif event["__typename"] == "ExecutionStepFailureEvent":
                raised = [event["error"], *event["error"]["causes"]][-1]  # Dagster's own is first
                failures.append(f"{event['stepKey']}: {raised['message'].strip()}")
        return checks, failures

    def runs_of(self, job: str) -> list[str]:
        """Return ids of the runs of a job, newest first."""
        answer = self._query(_RUNS, filter={"pipelineName": job}, limit=50)["runsOrError"]
        return [str(run["runId"]) for run in answer["results"]]

    def _events(self, run_id: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            page = self._query(_EVENTS, id=run_id, cursor=cursor)["logsForRun"]
            events += page["events"]
            cursor = page["cursor"]
            if not page["hasMore"]:
                return events

    def _query(self, query: str, **variables: Any) -> dict[str, Any]:
        answer = self._http.post("/graphql", json={"query": query, "variables": variables})
        answer.raise_for_status()
        body = answer.json()
        if body.get("errors"):
            raise DagsterError(f"GraphQL: {body['errors'][0]['message']}")
        return body["data"]


def _span(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else end - start


def _value(entry: Mapping[str, Any]) -> Any:
    return next((entry[key] for key in ("intValue", "floatValue", "text") if key in entry), None)
