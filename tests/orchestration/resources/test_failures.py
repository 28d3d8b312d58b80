"""What may pass is tried again, and what may not is not."""

from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from kernel.errors import TidegateError
from orchestration.resources.failures import PASSING_FAULTS, failures
from orchestration.resources.postgres import PostgresUnreachableError
from orchestration.resources.runner_client import RunnerUnreachableError
from orchestration.resources.tracking import RunLog, Tracking, TrackingUnreachableError
from research.promotion.records import DecisionRefusedError

FAULTS = {
    error.__name__: error("found this, expected that")
    for error in (
        TrackingUnreachableError,
        RunnerUnreachableError,
        PostgresUnreachableError,
        ConnectionResetError,
        TimeoutError,
        DecisionRefusedError,
        TidegateError,
        KeyError,
    )
}
MAY_PASS = list(FAULTS)[:5]


@dataclass(frozen=True, kw_only=True)
class ShakyTracking(Tracking):
    """An MLflow that is away the first `down` times it is asked for a log.

    It counts in a file: a retry may come in another process.
    """

    down: int
    fault: str

    def log(self, parent: RunLog, nested: object) -> str:
        asked = Path(self.artifacts)
        asked.write_text(asked.read_text() + "x")
        if len(asked.read_text()) <= self.down:
            raise FAULTS[self.fault]
        return "a-run"


@dg.asset(retry_policy=PASSING_FAULTS)
@failures()
def tracked(tracking: dg.ResourceParam[ShakyTracking]) -> dg.MaterializeResult:
    """Stand for an asset that tells MLflow."""
    return dg.MaterializeResult(metadata={"run": tracking.log(RunLog("one"), [])})


def materialized(folder: Path, fault: str) -> tuple[dg.ExecuteInProcessResult, int]:
    """Materialize with a tracker that fails twice; return the run and how often it was asked."""
    asked = folder / "asked"
    asked.touch()
    tracking = ShakyTracking(uri="", artifacts=str(asked), down=2, fault=fault)
    result = dg.materialize(
        [tracked],
        resources={"tracking": tracking},
        instance=dg.DagsterInstance.ephemeral(),
        raise_on_error=False,
    )
    return result, len(asked.read_text())


def test_a_fault_that_passes_costs_two_retries(tmp_path: Path) -> None:
    """MLflow is away twice and then there: the third try succeeds, and the run is green."""
    result, asked = materialized(tmp_path, "TrackingUnreachableError")
    assert result.success
    assert asked == 3


@pytest.mark.parametrize("fault", [name for name in FAULTS if name not in MAY_PASS])
def test_a_refusal_or_a_defect_is_not_retried(tmp_path: Path, fault: str) -> None:
    """What comes back each time is asked once, and says what it found."""
    result, asked = materialized(tmp_path, fault)
    (event,) = result.get_step_failure_events()
    assert "found this, expected that" in event.step_failure_data.error.to_string()
    assert asked == 1


@pytest.mark.parametrize("fault", MAY_PASS)
def test_services_that_are_away_may_come_back(fault: str) -> None:
    """Each error of a service that does not answer allows a retry."""
    with pytest.raises(dg.Failure) as raised, failures():
        raise FAULTS[fault]
    assert raised.value.allow_retries
