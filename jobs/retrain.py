"""The weekly retrain: from features to a request for promotion, one symbol and week per run."""

from collections.abc import Mapping

import dagster as dg

from market_data.sources.catalogue import Sources
from orchestration.partitions import WEEK_MS, week_key, week_of, weeks_missed
from orchestration.queue import LONG, RETRAINED
from orchestration.resources.attempts import next_attempt

REPORT = dg.AssetKey(["gates", "report"])

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
    # made for a person, when asked for
    - dg.AssetSelection.assets(["datasets", "feature_proposals"], ["training", "search"]),
    executor_def=dg.in_process_executor,
    tags=LONG,
    description="Train, gate and request promotion for one symbol and week.",
)


@dg.schedule(
    job=retrain_job,
    description="Every week: a candidate of each symbol, judged; missed weeks come first.",
    cron_schedule="0 2 * * 0",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def weekly_retrain_schedule(
    context: dg.ScheduleEvaluationContext, market_clock: dg.ResourceParam[Sources]
) -> list[dg.RunRequest]:
    """Retrain every symbol on the last week that the market has finished, and on those missed
    before it.

    On a market that goes with ours that is the week which ended two hours ago. Dagster itself makes
    up for the last tick only. Weeks since a symbol's last gate report that passed while the machine
    was off, or whose run failed, come first, in order.
    """
    last = week_of(market_clock.now_ms() - WEEK_MS)
    instance = context.instance
    now_s = context.scheduled_execution_time.timestamp()
    requests: list[dg.RunRequest] = []
    for name, weeks in weeks_missed(instance, REPORT, last).items():
        for week in weeks:
            attempt = next_attempt(instance, f"{name}-{week}", now_s)
            if attempt is not None:
                requests.append(_request(name, week, attempt.run_key, attempt.tags))
    return requests


def _request(name: str, week: str, run_key: str, tags: Mapping[str, str]) -> dg.RunRequest:
    one_at_a_time = {RETRAINED: name}  # a week is judged after the one before it
    return dg.RunRequest(
        run_key=run_key, partition_key=week_key(name, week), tags={**tags, **one_at_a_time}
    )
