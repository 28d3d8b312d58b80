"""A publication moves the live runner."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from kernel.errors import TidegateError
from orchestration.resources.clock import now_ms
from orchestration.resources.notifier import Notifier
from orchestration.resources.promotion_store import PromotionStore
from orchestration.resources.runner_client import RunnerClient, Settlement

RETRY_MS = 60_000


@dg.sensor(
    description="Moves the runner to the newest publication of each symbol, and confirms it.",
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def swap_sensor(
    context: dg.SensorEvaluationContext,
    promotion_store: dg.ResourceParam[PromotionStore],
    runner: dg.ResourceParam[RunnerClient],
    notifier: dg.ResourceParam[Notifier],
) -> dg.SensorResult:
    """Move the runner to the newest publication of each symbol, and confirm what it really runs.

    The swap happens inside the evaluation: it never waits for a Dagster run to start. What the
    runner refuses is tried again every minute, and so is the bundle of this very epoch that it lost
    at a start.
    """
    told: dict[str, Any] = json.loads(context.cursor or "{}")
    moved = move(told, promotion_store, runner, notifier)
    for sentence in moved.warnings:
        context.log.warning(sentence)
    reason = "; ".join(moved.lines) or "nothing is published"
    return dg.SensorResult(skip_reason=reason, cursor=json.dumps(moved.told))


@dataclass(frozen=True, slots=True)
class Moved:
    """What was told of each symbol by now, a line for each, and what a person should know."""

    told: dict[str, Any]
    lines: tuple[str, ...]
    warnings: tuple[str, ...]


def move(
    told: Mapping[str, Any],
    promotion_store: PromotionStore,
    runner: RunnerClient,
    notifier: Notifier,
) -> Moved:
    """Move the runner to the newest publication of each symbol, each whatever becomes of another.

    `told` is, by symbol, what was recorded last; nothing is recorded twice.
    """
    now_told = dict(told)
    lines: list[str] = []
    warnings: list[str] = []
    for symbol, head in promotion_store.heads().items():
        last = now_told.get(symbol, {})
        at_ms = now_ms()
        if _rests(last, head, at_ms):
            lines.append(f"{symbol}: refused, next attempt in a minute")
            continue
        settled = runner.settle(head)
        lines.append(str(settled))
        if settled.outcome == "starting":
            continue
        if [last.get("epoch"), last.get("outcome")] != [settled.epoch, settled.outcome]:
            try:
                untold = record(promotion_store, notifier, settled, at_ms)
            except (TidegateError, OSError) as error:
                # The runner is where it should be; the log hears of it when it can be written.
                warnings.append(f"{settled}; not recorded yet: {error}")
                continue
            warnings += [untold] if untold else []
        now_told[symbol] = {"epoch": settled.epoch, "outcome": settled.outcome, "at_ms": at_ms}
    return Moved(told=now_told, lines=tuple(lines), warnings=tuple(warnings))


def record(
    promotion_store: PromotionStore, notifier: Notifier, settled: Settlement, at_ms: int
) -> str:
    """Keep what became of a publication: in the audit log, and a refusal also before people.

    Returns '' or why nobody was told: the log has it, and a second entry would help nobody.
    """
    if settled.outcome != "unreachable":
        body = {"symbol": settled.symbol, "epoch": settled.epoch, "detail": settled.detail}
        promotion_store.note(f"swap_{settled.outcome}", body, at_ms)
    if settled.outcome in ("refused", "unwatched", "unreachable"):
        try:
            notifier.notify(f"swap_{settled.outcome}", settled.symbol, str(settled), at_ms)
        except OSError as error:
            return f"{settled}; nobody was notified: {error}; see that {notifier.path} can grow"
    return ""


def _rests(last: dict[str, Any], head: dict[str, Any], at_ms: int) -> bool:
    """Tell whether the runner refused this very epoch less than a minute ago."""
    same = last.get("epoch") == head["epoch"] and last.get("outcome") == "refused"
    return same and at_ms < last["at_ms"] + RETRY_MS
