"""Who waits for whom in the queue of runs: the tags that jobs carry, and the limits on them.

What a person waits for (approving, publishing, rolling back) never waits for work that takes long:
the long share slots of their own, and those people wait for are taken first.
"""

from collections.abc import Mapping
from typing import Any

PACE = "tidegate/pace"
RETRAINED = "tidegate/retrained"  # the symbol that a scheduled retrain is of
PRIORITY = "dagster/priority"
BACKFILL = "dagster/backfill"

LONG: Mapping[str, str] = {PACE: "long"}
URGENT: Mapping[str, str] = {PACE: "urgent", PRIORITY: "10"}

LONG_RUNS = 2  # each takes a core
BACKFILLED_RUNS = 2  # also those of assets that a person chose, which carry no tag of ours
URGENT_RUNS = 1


def queue_settings() -> dict[str, Any]:
    """Return the settings of Dagster's run queue."""
    return {
        "max_concurrent_runs": LONG_RUNS + BACKFILLED_RUNS + URGENT_RUNS,
        "dequeue_interval_seconds": 1,
        "tag_concurrency_limits": [
            {"key": PACE, "value": "long", "limit": LONG_RUNS},
            {"key": BACKFILL, "limit": BACKFILLED_RUNS},
            {"key": RETRAINED, "value": {"applyLimitPerUniqueValue": True}, "limit": 1},
        ],
    }
