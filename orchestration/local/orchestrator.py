"""How Dagster itself is: its daemons, its sensors, its last ingest; and how to load it anew."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from kernel.errors import TidegateError
from orchestration.environments import Environment
from orchestration.presentation.places import LOCATION

ANSWER_S = 5.0  # a person waits for it; a busy server is told as one that does not answer
_HEALTH = """
query($selector: RepositorySelector!) {
  instance { daemonHealth { allDaemonStatuses {
    daemonType required healthy lastHeartbeatTime lastHeartbeatErrors { message }
  } } }
  repositoryOrError(repositorySelector: $selector) {
    ... on Repository { sensors { name sensorState { status ticks(limit: 1) {
      status error { message }
    } } } }
  }
  runsOrError(filter: {pipelineName: "ingest_job"}, limit: 1) {
    ... on Runs { results { status startTime endTime } }
  }
}
"""
_RUN = """
query($id: ID!) {
  runOrError(runId: $id) {
    __typename
    ... on Run {
      jobName status startTime endTime tags { key value }
    }
  }
}
"""
_RELOAD = """
mutation($name: String!) { reloadRepositoryLocation(repositoryLocationName: $name) { __typename } }
"""


@dataclass(frozen=True, slots=True)
class Orchestrator:
    """What Dagster's own page says of itself; times are seconds UTC, None for never.

    `faults` holds a sentence for each daemon that is silent and each sensor whose last look failed.
    """

    heartbeat_s: float | None
    faults: tuple[str, ...]
    ingest_status: str
    ingested_s: float | None


@dataclass(slots=True)
class OfferedPartitions:
    """Have Dagster offer the weeks and months that a replayed market has come to, and no others.

    Partitions end where the market's clock stood when the code location loaded: `load_anew` has it
    loaded again. What it raises of a Dagster that does not answer is tried again at the next call.
    """

    environment: Environment
    load_anew: Callable[[], None]
    loaded: tuple[str, str] | None = None

    def follow(self) -> None:
        """Load the code location anew where the market's week or month is another one by now."""
        now_ms = self.environment.replayed_ms
        if now_ms is None:
            return
        now = week_and_month(now_ms)
        if self.loaded is not None and now != self.loaded:
            try:
                self.load_anew()
            except (httpx.HTTPError, OrchestratorError):
                return
        self.loaded = now


def week_and_month(moment_ms: int) -> tuple[str, str]:
    """Return the Sunday and the month of a moment, milliseconds UTC."""
    day = datetime.fromtimestamp(moment_ms / 1_000, UTC)
    return f"{day - timedelta(days=day.isoweekday() % 7):%Y-%m-%d}", f"{day:%Y-%m}"


def look(url: str) -> Orchestrator | None:
    """Return how the Dagster at `url` is, None where it does not answer."""
    selector = {"repositoryName": "__repository__", "repositoryLocationName": LOCATION}
    try:
        found = _ask(url, _HEALTH, selector=selector)
    except httpx.HTTPError:
        return None
    daemons = [
        one for one in found["instance"]["daemonHealth"]["allDaemonStatuses"] if one["required"]
    ]
    beats = [one["lastHeartbeatTime"] for one in daemons if one["lastHeartbeatTime"]]
    sensors = found["repositoryOrError"].get("sensors", [])
    last = next(iter(found["runsOrError"].get("results", [])), None)
    return Orchestrator(
        heartbeat_s=min(beats, default=None),
        faults=(*_silent(daemons), *_failing(sensors)),
        ingest_status=last["status"] if last else "",
        ingested_s=last["endTime"] if last else None,
    )


def run_of(url: str, run_id: str) -> dict[str, Any] | None:
    """Return a run's job, status, times and tags, None where there is no such run or no answer."""
    try:
        found = _ask(url, _RUN, id=run_id)["runOrError"]
    except httpx.HTTPError:
        return None
    return found if found["__typename"] == "Run" else None


def reload(url: str) -> None:
    """Have Dagster load the code location anew, as its partitions end later now."""
    _ask(url, _RELOAD, name=LOCATION)


def _ask(url: str, query: str, **variables: Any) -> dict[str, Any]:
    body = {"query": query, "variables": variables}
    answer = httpx.post(f"{url}/graphql", json=body, timeout=ANSWER_S).raise_for_status().json()
    if answer.get("errors"):
        raise OrchestratorError(f"Dagster at {url}: found {answer['errors'][0]['message']!r}")
    return answer["data"]


class OrchestratorError(TidegateError):
    """Say what Dagster would not answer."""


def _silent(daemons: list[Mapping[str, Any]]) -> list[str]:
    return [
        f"daemon {one['daemonType'].lower()} is silent"
        + "".join(f": {error['message'].splitlines()[0]}" for error in one["lastHeartbeatErrors"])
        for one in daemons
        if not one["healthy"]
    ]


def _failing(sensors: list[Mapping[str, Any]]) -> list[str]:
    return [
        f"{one['name']}: {tick['error']['message'].strip().splitlines()[-1]}"
        for one in sensors
        for tick in one["sensorState"]["ticks"]
        if tick["status"] == "FAILURE" and tick["error"]
    ]
