"""What runs by itself, and for which partitions."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from jobs.ingest import hourly_ingest_schedule, ingest_job, warehouse_job
from jobs.monitor import TRADES, daily_monitor_schedule
from jobs.retrain import REPORT, weekly_retrain_schedule
from market_data.sources.catalogue import Sources
from market_data.storage.lake import Lake, ReadSpan
from orchestration.definitions import code_location
from orchestration.environments import Environment
from orchestration.partitions import (
    CAUGHT_UP_WEEKS,
    symbol_by_live_week,
    symbol_by_month,
    symbol_by_week,
    week_key,
    week_of,
)
from orchestration.resources.journal import JournalFile

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
    """Evaluate a schedule once, with an instance that knows of nothing."""
    with (
        dg.instance_for_test() as instance,
        dg.build_schedule_context(
            instance=instance, scheduled_execution_time=at, resources=resources
        ) as context,
    ):
        found = schedule(context)
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


def test_a_table_that_stayed_behind_is_asked_for_from_where_it_was_read(tmp_path: Path) -> None:
    """A source that was away over the end of a month is asked for the old month again, although
    the candles went on; what a recorder brings is asked of nobody.
    """
    lake = Lake(root=str(tmp_path))
    day = {month: ms(f"2025-{month}-28T00:00+00:00") for month in ("08", "11")}
    lake.mark_read("funding", "ETHUSDT", [ReadSpan("binance", 0, day["11"])])
    lake.mark_read("trades", "ETHUSDT", [ReadSpan("recorder", 0, day["08"])])
    lake.mark_read("candles", "ETHUSDT", [ReadSpan("binance", 0, ms("2025-12-19T00:00+00:00"))])
    bitcoin, ether = hourly(tmp_path, "2025-12-20T10:05+00:00")
    assert keys_of(bitcoin) == ["2025-12-01|BTCUSDT"]
    assert keys_of(ether) == ["2025-11-01|ETHUSDT", "2025-12-01|ETHUSDT"]


def ms(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp()) * 1000


def stored(instance: dg.DagsterInstance, asset: dg.AssetKey, symbol: str, week: str) -> None:
    """Put on record that an asset was made of a week."""
    partition = str(week_key(symbol, week))
    instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=partition))


def asked(
    instance: dg.DagsterInstance, schedule: dg.ScheduleDefinition, at: str, **resources: object
) -> list[dg.RunRequest]:
    """Evaluate a schedule once, with the past of an instance; the market goes with ours."""
    resources = {"market_clock": StoppedClock(folder="", venue_url="", at=at)} | resources
    with dg.build_schedule_context(
        instance=instance,
        scheduled_execution_time=datetime.fromisoformat(at),
        resources=resources,
    ) as context:
        found = schedule(context)
    assert isinstance(found, list)
    return found


def test_weeks_missed_while_the_machine_was_off_are_retrained_once_in_order() -> None:
    """Per symbol since its last gate report; what is under way or done is not asked for again,
    what failed is, and comes first.
    """
    sunday = "2025-12-28T02:00+00:00"

    @dg.job
    def standing_in() -> None:
        """Do nothing."""

    with dg.instance_for_test() as instance:
        stored(instance, REPORT, "BTCUSDT", "2025-11-30")
        stored(instance, REPORT, "ETHUSDT", "2025-12-14")
        first = asked(instance, weekly_retrain_schedule, sunday)
        assert [str(one.partition_key) for one in first] == [
            "BTCUSDT|2025-12-07",
            "BTCUSDT|2025-12-14",
            "BTCUSDT|2025-12-21",
            "ETHUSDT|2025-12-21",
        ]
        ends = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS)
        for one, end in zip(first, ends, strict=False):
            instance.create_run_for_job(standing_in, status=end, tags=one.tags)
        later = asked(instance, weekly_retrain_schedule, "2027-01-03T02:00+00:00")
        bitcoin = [one for one in later if str(one.partition_key).startswith("BTC")]
        again = asked(instance, weekly_retrain_schedule, sunday)
    assert len({one.run_key for one in first}) == 4
    assert len(bitcoin) == CAUGHT_UP_WEEKS
    # At the same moment the failed one still waits, and the one that went through is left alone.
    assert [str(one.partition_key) for one in again] == [
        "BTCUSDT|2025-12-21",
        "ETHUSDT|2025-12-21",
    ]


def test_weeks_that_were_not_audited_are_audited_in_order(tmp_path: Path) -> None:
    """After an outage the week that was cut off is audited again, then those after it."""
    journal = tmp_path / "journal.sqlite"
    journal.touch()
    now = "2025-12-24T00:35+00:00"
    with dg.instance_for_test() as instance:
        stored(instance, TRADES, "BTCUSDT", "2025-12-07")
        stored(instance, TRADES, "ETHUSDT", "2025-12-21")
        found = asked(
            instance,
            daily_monitor_schedule,
            now,
            market_clock=StoppedClock(folder="", venue_url="", at=now),
            journal=JournalFile(path=str(journal)),
        )
    assert [str(one.partition_key) for one in found] == [
        "BTCUSDT|2025-12-07",
        "BTCUSDT|2025-12-14",
        "BTCUSDT|2025-12-21",
        "ETHUSDT|2025-12-21",
    ]
    assert len({one.run_key for one in found}) == 4


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
    """On Sunday at 02:00 UTC the week that ended at midnight, by the market's clock, is retrained,
    once per symbol.
    """
    clock = StoppedClock(folder="", venue_url="", at="2025-12-14T02:00+00:00")
    sunday = datetime(2026, 11, 22, 2, tzinfo=UTC)
    found = requests_of(weekly_retrain_schedule, sunday, market_clock=clock)
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
        journal=JournalFile(path=str(journal)),
    )
    assert [str(one.partition_key) for one in found] == [f"BTCUSDT|{week}", f"ETHUSDT|{week}"]
    assert len({one.run_key for one in found}) == 2


def test_monitoring_waits_for_a_runner_that_has_traded(tmp_path: Path) -> None:
    """Without a journal there is nothing to audit: the tick says so, and no run turns red."""
    context = dg.build_schedule_context(
        scheduled_execution_time=datetime(2026, 11, 21, 0, 35, tzinfo=UTC),
        resources={
            "market_clock": StoppedClock(folder="", venue_url="", at="2025-12-21T00:35+00:00"),
            "journal": JournalFile(path=str(tmp_path / "journal.sqlite")),
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
