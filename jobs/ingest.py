"""Ingest: raw market data into the lake, the warehouse and the features, all symbols in one run."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from market_data.ingest.reading import CORRECTED_MS
from market_data.sources.catalogue import Sources
from orchestration.partitions import SYMBOLS, month_key

ingest_job = dg.define_asset_job(
    "ingest_job",
    selection=dg.AssetSelection.groups("market", "warehouse")
    | dg.AssetSelection.assets(["features", "matrix"]),
    description="Fetch months of raw data for the symbols, and rebuild the warehouse and the "
    "features on them.",
)


@dg.schedule(
    job=ingest_job,
    cron_schedule="5 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def hourly_ingest_schedule(
    context: dg.ScheduleEvaluationContext, market_clock: dg.ResourceParam[Sources]
) -> dg.RunRequest:
    """Ingest the market's running month of every symbol as one run, after the hour's last close.

    The clock of the candles' source names the month, so that a replayed market is ingested in its
    own time. In the first days of a month, in which corrections of the one before are looked for,
    that one comes along.
    """
    now = datetime.fromtimestamp(market_clock.now_ms() / 1000, UTC)
    late = timedelta(milliseconds=CORRECTED_MS)
    first, last = (f"{day:%Y-%m}-01" for day in (now - late, now))
    hour = f"{context.scheduled_execution_time:%Y-%m-%dT%H}"
    return dg.RunRequest(run_key=hour, tags=range_tags(first, last))


def range_tags(first_month: str, last_month: str) -> dict[str, str]:
    """Return the tags of one run over all symbols and the months first_month … last_month."""
    symbols = sorted(SYMBOLS)
    return {
        "dagster/asset_partition_range_start": str(month_key(symbols[0], first_month)),
        "dagster/asset_partition_range_end": str(month_key(symbols[-1], last_month)),
    }
