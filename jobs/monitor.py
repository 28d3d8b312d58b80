"""Monitor: the runner's journal as assets, one symbol and week per run, every day."""

from pathlib import Path

import dagster as dg

from market_data.sources.catalogue import Sources
from orchestration.partitions import SYMBOLS, week_key, week_of
from orchestration.resources.journal import Journal

DAY_MS = 86_400_000

monitor_job = dg.define_asset_job(
    "monitor_job",
    selection=dg.AssetSelection.groups("monitoring"),
    description="Bring live decisions and trades into the lake and check them.",
)


@dg.schedule(
    job=monitor_job,
    cron_schedule="35 0 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def daily_monitor_schedule(
    context: dg.ScheduleEvaluationContext,
    market_clock: dg.ResourceParam[Sources],
    journal: Journal,
) -> list[dg.RunRequest] | dg.SkipReason:
    """Audit the week of the market's yesterday, one run per symbol, when its bars are in the lake.

    Daily, because the replay of trades reads the whole journal, which grows; half past midnight,
    because the ingest at five past brings the last bars of the day. On a Sunday that is the week
    that ended, whole, before the retrain at two looks at it.
    """
    if not Path(journal.path).exists():
        return dg.SkipReason(f"the runner has not traded yet: there is no journal {journal.path}")
    week = week_of(market_clock.now_ms() - DAY_MS)
    day = f"{context.scheduled_execution_time:%Y-%m-%d}"
    return [
        dg.RunRequest(run_key=f"{day} {symbol}", partition_key=week_key(symbol, week))
        for symbol in SYMBOLS
    ]
