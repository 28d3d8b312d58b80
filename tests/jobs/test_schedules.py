"""What runs by itself, and for which partitions."""

from datetime import UTC, datetime

import dagster as dg
import pytest

from jobs.ingest import hourly_ingest_schedule, ingest_job, range_tags
from jobs.retrain import weekly_retrain_schedule
from market_data.sources.catalogue import Sources
from orchestration.partitions import symbol_by_month, symbol_by_week


class StoppedClock(Sources):
    """Sources of a market whose clock stands."""

    at: str

    def now_ms(self) -> int:
        return int(datetime.fromisoformat(self.at).timestamp()) * 1000


def requests_of(
    schedule: dg.ScheduleDefinition, at: datetime, **resources: object
) -> list[dg.RunRequest]:
    """Evaluate a schedule once."""
    found = schedule(dg.build_schedule_context(scheduled_execution_time=at, resources=resources))
    return [found] if isinstance(found, dg.RunRequest) else list(found)


@pytest.mark.parametrize(
    ("now", "months"),
    [
        ("2025-12-21T03:04+00:00", ("2025-12-01", "2025-12-01")),
        ("2026-01-02T03:04+00:00", ("2025-12-01", "2026-01-01")),
    ],
)
def test_hourly_ingest_is_one_run_over_the_months_that_the_venue_is_in(
    now: str, months: tuple[str, str]
) -> None:
    """The venue's clock names the month; early in a month the one before is looked at again."""
    found = requests_of(
        hourly_ingest_schedule,
        datetime(2026, 11, 21, 3, 5, tzinfo=UTC),
        market_clock=StoppedClock(folder="", venue_url="", at=now),
    )
    assert [request.tags for request in found] == [range_tags(*months)]
    assert found[0].run_key == "2026-11-21T03"


def test_ingest_range_covers_every_symbol_of_every_month() -> None:
    """The two corner keys of a range span all symbols between its months."""
    tags = range_tags("2025-11-01", "2025-12-01")
    keys = symbol_by_month.get_partition_keys_in_range(
        dg.PartitionKeyRange(
            tags["dagster/asset_partition_range_start"], tags["dagster/asset_partition_range_end"]
        )
    )
    assert sorted(keys) == [
        "2025-11-01|BTCUSDT",
        "2025-11-01|ETHUSDT",
        "2025-12-01|BTCUSDT",
        "2025-12-01|ETHUSDT",
    ]
    assert ingest_job.name == "ingest_job"


def test_weekly_retrain_asks_for_every_symbol_on_the_week_that_just_ended() -> None:
    """On Sunday at 02:00 UTC the week that ended at midnight is retrained, once per symbol."""
    found = requests_of(weekly_retrain_schedule, datetime(2025, 12, 14, 2, tzinfo=UTC))
    assert [str(request.partition_key) for request in found] == [
        "BTCUSDT|2025-12-07",
        "ETHUSDT|2025-12-07",
    ]
    assert len({request.run_key for request in found}) == 2
    assert all(symbol_by_week.has_partition_key(str(one.partition_key)) for one in found)


def test_schedules_keep_to_utc() -> None:
    """Ingest runs every hour and retraining on Sundays at two, both in UTC."""
    assert (hourly_ingest_schedule.cron_schedule, weekly_retrain_schedule.cron_schedule) == (
        "5 * * * *",
        "0 2 * * 0",
    )
    assert hourly_ingest_schedule.execution_timezone == "UTC"
    assert weekly_retrain_schedule.execution_timezone == "UTC"
