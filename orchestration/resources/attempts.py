"""What was asked for by itself is asked for again when the run failed, never when it went through.

Dagster spends a run key when it makes the run, whatever becomes of it.
"""

from dataclasses import dataclass

import dagster as dg

ASKED_FOR = "tidegate/asked_for"
FIRST_WAIT_S = 60.0
LONGEST_WAIT_S = 3_600.0
COUNTED = 20  # attempts that are looked at: long before it the wait is the longest


@dataclass(frozen=True, slots=True)
class Attempt:
    """A run request's key and tags for the next attempt at one thing."""

    run_key: str
    tags: dict[str, str]


def next_attempt(instance: dg.DagsterInstance, asked_for: str, now_s: float) -> Attempt | None:
    """Return the attempt that is due for `asked_for`, named by whoever asks; None while none is.

    The first is due at once. After a failure the next is due in a minute, then in two, four and so
    on to an hour (`now_s` and the ends of runs in seconds UTC). A run that is under way, went
    through, or was stopped by a person is left alone.
    """
    tags = {ASKED_FOR: asked_for}
    runs = instance.get_run_records(dg.RunsFilter(tags=tags), limit=COUNTED)  # newest first
    if not runs:
        return Attempt(asked_for, tags)
    if runs[0].dagster_run.status is not dg.DagsterRunStatus.FAILURE:
        return None
    ended_s = runs[0].update_timestamp.timestamp()
    wait_s = min(FIRST_WAIT_S * 2 ** (len(runs) - 1), LONGEST_WAIT_S)
    if now_s < ended_s + wait_s:
        return None
    return Attempt(f"{asked_for}:{runs[0].dagster_run.run_id}", tags)
