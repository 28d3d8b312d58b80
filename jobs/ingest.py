"""Ingest: raw market data into the lake and the features on it; then the warehouse, once."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from market_data.ingest.reading import CORRECTED_MS
from market_data.sources.catalogue import Sources
from market_data.storage.lake import Lake
from market_data.tables import TABLES
from orchestration.partitions import FIRST_DAY, SYMBOLS, TABLES_READ, month_range
from orchestration.queue import LONG

ingest_job = dg.define_asset_job(
    "ingest_job",
    selection=dg.AssetSelection.groups("market") | dg.AssetSelection.assets(["features", "matrix"]),
    tags=LONG,
    description="Fetch months of raw data for the symbols, and make the features on them. The "
    "warehouse follows by itself.",
)

warehouse_job = dg.define_asset_job(
    "warehouse_job",
    selection=dg.AssetSelection.groups("warehouse"),
    tags=LONG,
    description="Rebuild what people ask of the lake in SQL; started when the ingests are done.",
)


@dg.schedule(
    job=ingest_job,
    description="Every hour: the market's running month, one run per symbol; and what was missed.",
    cron_schedule="5 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def hourly_ingest_schedule(
    context: dg.ScheduleEvaluationContext,
    market_clock: dg.ResourceParam[Sources],
    lake: dg.ResourceParam[Lake],
) -> list[dg.RunRequest]:
    """Ingest the market's running month, one run per symbol, after the hour's last close.

    A check that one symbol's data does not pass stops that symbol and no other. The clock of the
    candles' source names the month, so that a replayed market is ingested in its own time. In the
    first days of a month, in which corrections of the one before are looked for, that one comes
    along; after a longer break every month does since the last one with candles, and since any
    table was last read to the end.
    """
    now_ms = market_clock.now_ms()
    late_ms = now_ms - CORRECTED_MS
    hour = f"{context.scheduled_execution_time:%Y-%m-%dT%H}"
    requests: list[dg.RunRequest] = []
    for symbol in SYMBOLS:
        stored = lake.months("candles", symbol)
        read = [_month(until_ms) for until_ms in _read_until(lake, symbol)]
        first = min([_month(late_ms), *(f"{month}-01" for month in stored[-1:]), *read])
        tags = month_range([symbol], max(first, FIRST_DAY), _month(now_ms))
        requests.append(dg.RunRequest(run_key=f"{hour} {symbol}", tags=tags))
    return requests


def _read_until(lake: Lake, symbol: str) -> list[int]:
    """Return, for each table that was read at all, until when some source was read to the end.

    What a recorder brings is not asked of anybody, and passed by.
    """
    asked = [name for name in TABLES_READ if TABLES[name].shape != "tick"]
    spans = [lake.read_spans(name, symbol) for name in asked]
    return [max(one.end_ms for one in found) for found in spans if found]


def _month(moment_ms: int) -> str:
    moment = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=moment_ms)
    return f"{moment:%Y-%m}-01"
