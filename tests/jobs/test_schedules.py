"""What runs by itself, and for which partitions."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from jobs.ingest import hourly_ingest_schedule, ingest_job, warehouse_job
from jobs.monitor import daily_monitor_schedule
from jobs.retrain import weekly_retrain_schedule
from market_data.sources.catalogue import Sources
from market_data.storage.lake import Lake
from orchestration.definitions import code_location
from orchestration.environments import Environment
from orchestration.partitions import (
    symbol_by_live_week,
    symbol_by_month,
    symbol_by_week,
    week_key,
    week_of,
)
from orchestration.resources.journal import Journal

TICK = datetime(2026, 11, 21, 3, 5, tzinfo=UTC)


@dataclass(frozen=True)
class StoppedClock(Sources):
    """Sources of a market whose clock stands."""

    at: str = ""

    def now_ms(self) -> int:
        return int(datetime.fromisoformat(self.at).timestamp()) * 1000


def requests_of(
    schedule: dg.ScheduleDefinition, at: datetime, **resources: object
) -> list[dg.RunRequest]:
    """Evaluate a schedule once."""
    found = schedule(dg.build_schedule_context(scheduled_execution_time=at, resources=resources))
    return [found] if isinstance(found, dg.RunRequest) else list(found)


def keys_of(request: dg.RunRequest) -> list[str]:
    """Return the partitions that a run over a range is given."""
    tags = request.tags
    found = symbol_by_month.get_partition_keys_in_range(
        dg.PartitionKeyRange(
            tags["dagster/asset_partition_range_start"], tags["dagster/asset_partition_range_end"]
        )
    )
    return [str(key) for key in found]


def hourly(folder: Path, now: str, at: datetime = TICK) -> list[dg.RunRequest]:
    """Evaluate the hourly schedule over the lake in a folder while the market's clock stands."""
    clock = StoppedClock(folder="", venue_url="", at=now)
    lake = Lake(root=str(folder))
    return requests_of(hourly_ingest_schedule, at, market_clock=clock, lake=lake)


@pytest.mark.parametrize(
    ("now", "months"),
    [
        ("2025-12-21T03:04+00:00", ["2025-12-01"]),
        ("2026-01-02T03:04+00:00", ["2025-12-01", "2026-01-01"]),
        ("2023-01-02T03:04+00:00", ["2023-01-01"]),
    ],
)
def test_hourly_ingest_is_a_run_per_symbol_over_the_months_that_the_venue_is_in(
    now: str, months: list[str], tmp_path: Path
) -> None:
    """The venue's clock names the month; early in a month the one before is looked at again, and
    nothing is asked for before history starts.
    """
    found = hourly(tmp_path, now)
    assert [keys_of(request) for request in found] == [
        [f"{month}|{symbol}" for month in months] for symbol in ("BTCUSDT", "ETHUSDT")
    ]
    assert [request.run_key for request in found] == [
        "2026-11-21T03 BTCUSDT",
        "2026-11-21T03 ETHUSDT",
    ]


def test_after_a_break_the_hourly_ingest_goes_on_where_it_ended(tmp_path: Path) -> None:
    """Months that passed while nothing ran are asked for, per symbol since its last candle."""
    row = dict.fromkeys(("open", "high", "low", "close", "volume"), 1.0)
    at_ms = int(datetime(2025, 10, 28, 10, tzinfo=UTC).timestamp()) * 1000
    rows = pd.DataFrame([{"event_time_ms": at_ms, "known_at_ms": at_ms, "source": "a", **row}])
    Lake(root=str(tmp_path)).append("candles", "ETHUSDT", rows, at_ms)
    bitcoin, ether = hourly(tmp_path, "2025-12-05T10:05+00:00")
    assert keys_of(bitcoin) == ["2025-12-01|BTCUSDT"]
    assert keys_of(ether) == ["2025-10-01|ETHUSDT", "2025-11-01|ETHUSDT", "2025-12-01|ETHUSDT"]


def test_raw_data_is_ingested_apart_from_the_warehouse_that_rests_on_all_of_it() -> None:
    """A run of one symbol makes no table of all symbols."""
    made = {
        job.name: {
            key.path[0]
            for key in code_location(Environment.from_environ({}))
            .resolve_job_def(job.name)
            .asset_layer.executable_asset_keys
        }
        for job in (ingest_job, warehouse_job)
    }
    assert made == {"ingest_job": {"market", "features"}, "warehouse_job": {"warehouse"}}


def test_weekly_retrain_asks_for_every_symbol_on_the_week_that_just_ended() -> None:
    """On Sunday at 02:00 UTC the week that ended at midnight is retrained, once per symbol."""
    found = requests_of(weekly_retrain_schedule, datetime(2025, 12, 14, 2, tzinfo=UTC))
    assert [str(request.partition_key) for request in found] == [
        "BTCUSDT|2025-12-07",
        "ETHUSDT|2025-12-07",
    ]
    assert len({request.run_key for request in found}) == 2
    assert all(symbol_by_week.has_partition_key(str(one.partition_key)) for one in found)


@pytest.mark.parametrize(
    ("now", "week"),
    [
        ("2025-12-21T00:35+00:00", "2025-12-14"),
        ("2025-12-22T00:35+00:00", "2025-12-21"),
        ("2026-01-01T12:00+00:00", "2025-12-28"),
    ],
)
def test_daily_monitoring_is_a_run_per_symbol_on_the_week_of_the_markets_yesterday(
    tmp_path: Path, now: str, week: str
) -> None:
    """On a Sunday the week that ended is audited whole, on any other day the running one so far."""
    journal = tmp_path / "journal.sqlite"
    journal.touch()
    found = requests_of(
        daily_monitor_schedule,
        datetime(2026, 11, 21, 0, 35, tzinfo=UTC),
        market_clock=StoppedClock(folder="", venue_url="", at=now),
        journal=Journal(path=str(journal)),
    )
    assert [str(one.partition_key) for one in found] == [f"BTCUSDT|{week}", f"ETHUSDT|{week}"]
    assert len({one.run_key for one in found}) == 2


def test_monitoring_waits_for_a_runner_that_has_traded(tmp_path: Path) -> None:
    """Without a journal there is nothing to audit: the tick says so, and no run turns red."""
    context = dg.build_schedule_context(
        scheduled_execution_time=datetime(2026, 11, 21, 0, 35, tzinfo=UTC),
        resources={
            "market_clock": StoppedClock(folder="", venue_url="", at="2025-12-21T00:35+00:00"),
            "journal": Journal(path=str(tmp_path / "journal.sqlite")),
        },
    )
    found = daily_monitor_schedule(context)
    assert isinstance(found, dg.SkipReason)
    assert "no journal" in str(found.skip_message)


def test_the_running_week_can_be_monitored() -> None:
    """The week of this very moment is one of the keys, and the next one is not."""
    now_ms = int(datetime.now(UTC).timestamp()) * 1000
    weeks = [week_of(now_ms + days * 86_400_000) for days in (0, 7)]
    keys = [week_key("BTCUSDT", week) for week in weeks]
    assert [symbol_by_live_week.has_partition_key(key) for key in keys] == [True, False]


def test_schedules_keep_to_utc() -> None:
    """Ingest runs every hour and retraining on Sundays at two, both in UTC."""
    assert (hourly_ingest_schedule.cron_schedule, weekly_retrain_schedule.cron_schedule) == (
        "5 * * * *",
        "0 2 * * 0",
    )
    assert hourly_ingest_schedule.execution_timezone == "UTC"
    assert weekly_retrain_schedule.execution_timezone == "UTC"
