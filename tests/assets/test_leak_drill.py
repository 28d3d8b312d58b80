"""What features and training sets are made of: nothing known too early, nothing mostly missing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
import yaml

from market_data.storage.lake import Lake
from orchestration.definitions import code_location
from tests.assets.market_stage import check_of, materialized
from tests.assets.shown import shown
from tests.installation import CUTOFF_MS, SYMBOL, Installation, fill_lake, install, partition

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
MADE = (["features", "certificate"], ["labels", "triple_barrier"], ["datasets", "training_set"])
COVERED = "series_cover_every_fold_they_enter"
KNOWN = "observations_hold_only_what_was_known"
COVERAGE_CHECK = dg.AssetCheckKey(dg.AssetKey(MADE[-1]), COVERED)


@dataclass(frozen=True)
class RecentInterest:
    """A lake that takes open interest of the last days only, as a venue keeps it."""

    lake: Lake
    days: float

    def append(self, table: str, symbol: str, frame: pd.DataFrame, now_ms: int) -> None:
        """Append the rows, of open interest those of the last days."""
        if table == "open_interest":
            frame = frame[frame["event_time_ms"] >= CUTOFF_MS - self.days * DAY_MS]
        self.lake.append(table, symbol, frame, now_ms)


def run(
    installation: Installation, instance: dg.DagsterInstance, selection: dg.AssetSelection
) -> dg.ExecuteInProcessResult:
    """Run part of the whole code location over the week that the lake holds."""
    job = dg.Definitions(jobs=[dg.define_asset_job("part", selection=selection)])
    definitions = dg.Definitions.merge(code_location(installation.environment), job)
    return definitions.resolve_job_def("part").execute_in_process(
        tags={"dagster/partition": partition()}, instance=instance, raise_on_error=False
    )


def prepared(installation: Installation, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """Make features, their certificate, labels and training set, with their checks."""
    installation.make_features()
    return run(installation, instance, dg.AssetSelection.assets(*MADE))


@pytest.fixture
def instance() -> Any:
    """Return an instance that is forgotten."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def test_a_sound_market_passes_both(tmp_path: Path, instance: dg.DagsterInstance):
    """Twelve generated weeks: the join is what the slow look-up says, and every series is there."""
    installation = install(tmp_path)
    fill_lake(installation.lake)
    result = prepared(installation, instance)
    assert result.success
    assert check_of(result, KNOWN).passed
    table = shown(check_of(result, COVERED).metadata["coverage"])
    assert "| whole | 100.0% | 100.0% |" in table
    names = [cell.strip() for cell in table.splitlines()[0].split("|")]
    entered = {"funding_rate", "open_interest", "fear_greed", "exchange_net_flow", "mvrv"}
    assert entered == {name for name in names if name and "left out" not in name} - {"window"}


@pytest.mark.red(KNOWN)
def test_a_row_known_a_day_too_early_stops_the_retrain(
    tmp_path: Path, instance: dg.DagsterInstance
):
    """An on-chain day that counts as known two hours after it began never reaches a training set,
    and a lag that was set too short is found in the rows once the setting is right.
    """
    installation = install(tmp_path)
    fill_lake(installation.lake)
    day_ms = CUTOFF_MS - 20 * DAY_MS
    held = installation.lake.as_of("onchain", SYMBOL, CUTOFF_MS, day_ms, day_ms + 1)
    early = held.drop(columns="revision").assign(known_at_ms=day_ms + 2 * HOUR_MS, mvrv=9.0)
    early["event_time_ms"] = day_ms + 1  # no correction, which would count as known later
    installation.lake.append("onchain", SYMBOL, early, CUTOFF_MS)
    result = prepared(installation, instance)
    found = check_of(result, KNOWN)
    assert not found.passed
    leaks = shown(found.metadata["leaks"])
    assert f"known {2 * HOUR_MS - 1} ms after its event | at least {26 * HOUR_MS} ms" in leaks
    assert "datasets/training_set" not in materialized(result)


def test_a_series_of_five_days_stays_out_and_is_shown(tmp_path: Path, instance: dg.DagsterInstance):
    """Open interest that begins in the last week is left out; the table says of which windows."""
    installation = install(tmp_path)
    fill_lake(RecentInterest(installation.lake, 500 / 96))  # type: ignore[arg-type]
    result = prepared(installation, instance)
    found = check_of(result, COVERED)
    assert found.passed
    assert shown(found.metadata["left_out"]) == "oi_change"
    lines = shown(found.metadata["coverage"]).splitlines()
    names = [cell.strip() for cell in lines[0].split("|")[1:-1]]
    rows = [dict(zip(names, map(str.strip, line.split("|")[1:-1]), strict=True)) for line in lines]
    shares = {row["window"]: row["open_interest (left out)"] for row in rows[2:]}
    assert shares["fold 0 train"] == "0.0%"
    assert float(shares["whole"].rstrip("%")) < 10.0


@pytest.mark.red(COVERED)
def test_a_training_set_with_a_series_that_is_partly_missing_is_refused(
    tmp_path: Path, instance: dg.DagsterInstance
):
    """What entered under a laxer setting does not pass under the present one."""
    installation = install(tmp_path)
    validation = installation.environment.config_dir / "validation.yaml"
    strict = validation.read_text()
    validation.write_text(yaml.safe_dump(yaml.safe_load(strict) | {"min_coverage": 0.5}))
    fill_lake(RecentInterest(installation.lake, 52))  # type: ignore[arg-type]
    assert check_of(prepared(installation, instance), COVERED).passed
    validation.write_text(strict)
    found = check_of(run(installation, instance, dg.AssetSelection.checks(COVERAGE_CHECK)), COVERED)
    assert not found.passed
    assert "open_interest has" in str(found.description)
