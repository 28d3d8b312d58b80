"""The weekly retrain: from features to a request for promotion, one symbol and week per run."""

import dagster as dg

from orchestration.partitions import SYMBOLS, symbol_by_week, week_key

RETRAIN_GROUPS = (
    "features",
    "labels",
    "datasets",
    "training",
    "evaluation",
    "backtest",
    "gates",
    "bundles",
    "promotion",
)

retrain_job = dg.define_asset_job(
    "retrain_job",
    selection=dg.AssetSelection.groups(*RETRAIN_GROUPS)
    - dg.AssetSelection.assets(["features", "matrix"])  # made by month, with the raw data
    - dg.AssetSelection.assets(["features", "proposals"]),  # made for a person, when asked for
    executor_def=dg.in_process_executor,
    description="Train, gate and request promotion for one symbol and week.",
)


@dg.schedule(
    job=retrain_job,
    cron_schedule="0 2 * * 0",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def weekly_retrain_schedule(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
    """Retrain every symbol on the week that ended two hours ago."""
    week = last_week(context)
    return [
        dg.RunRequest(run_key=f"{symbol}-{week}", partition_key=week_key(symbol, week))
        for symbol in SYMBOLS
    ]


def last_week(context: dg.ScheduleEvaluationContext) -> str:
    """Return the first day of the last week that was over at the scheduled time."""
    weeks = symbol_by_week.get_partitions_def_for_dimension("week")
    return weeks.get_partition_keys(current_time=context.scheduled_execution_time)[-1]
