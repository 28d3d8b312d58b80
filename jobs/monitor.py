"""Monitor: the runner's journal as assets, one symbol and week per run, every day."""

from datetime import date, timedelta
from pathlib import Path

import dagster as dg

from market_data.sources.catalogue import Sources
from orchestration.partitions import week_key, week_of, weeks_missed
from orchestration.queue import LONG
from orchestration.resources.journal import JournalFile

DAY_MS = 86_400_000
TRADES = dg.AssetKey(["monitoring", "live_trades"])

monitor_job = dg.define_asset_job(
    "monitor_job",
    selection=dg.AssetSelection.groups("monitoring"),
    tags=LONG,
    description="Bring live decisions and trades into the lake and check them.",
)


@dg.schedule(
    job=monitor_job,
    description="Every day: what the runner decided and traded in the market's week, audited.",
    cron_schedule="35 0 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def daily_monitor_schedule(
    context: dg.ScheduleEvaluationContext,
    market_clock: dg.ResourceParam[Sources],
    journal: dg.ResourceParam[JournalFile],
) -> list[dg.RunRequest] | dg.SkipReason:
    """Audit the week of the market's yesterday, one run per symbol, when its bars are in the lake.

    Daily, because the replay of trades reads the whole journal, which grows; half past midnight,
    because the ingest at five past brings the last bars of the day. On a Sunday that is the week
    that ended, whole, before the retrain at two looks at it. Weeks that passed while the machine
    was off are audited first, in order, and the last audited one again: it was not over then.
    """
    if not Path(journal.path).exists():
        return dg.SkipReason(f"the runner has not traded yet: there is no journal {journal.path}")
    week = week_of(market_clock.now_ms() - DAY_MS)
    day = f"{context.scheduled_execution_time:%Y-%m-%d}"
    missed = weeks_missed(context.instance, TRADES, week)
    return [
        _request(day, name, one)
        for name, weeks in missed.items()
        for one in dict.fromkeys([*_before(weeks[0], week), *weeks])
    ]


def _before(first_missed: str, week: str) -> list[str]:
    """Return the week before the first missed one where that is not the present one."""
    if first_missed == week:
        return []
    before = date.fromisoformat(first_missed) - timedelta(days=7)
    return [before.isoformat()]


def _request(day: str, name: str, week: str) -> dg.RunRequest:
    return dg.RunRequest(run_key=f"{day} {name} {week}", partition_key=week_key(name, week))
