"""The approver's desk in a shell: the decision, and the way back."""

import time

from rich.console import Console

from orchestration.cli.words import shown
from orchestration.environments import Environment
from orchestration.resources.promotion_store import APPROVAL_VALID_HOURS, PromotionStore
from research.promotion.records import Decision


def decide(request_id: str, decision: Decision, approver: str, note: str, console: Console) -> None:
    """Record a person's decision; the approval sensor publishes what was approved."""
    store = _store(Environment.from_environ())
    answer = store.decide(request_id, decision, approver, note, _now_ms())
    until = _time(answer.expires_at_ms)
    told = f"request {request_id}: {answer.decision} by {answer.approver}, valid until {until} UTC"
    console.print(shown(told))


def roll_back(*, symbol: str, actor: str, reason: str, to: str, console: Console) -> None:
    """Publish an earlier champion again; the swap sensor brings it to the runner."""
    store = _store(Environment.from_environ())
    head = store.roll_back(symbol=symbol, actor=actor, reason=reason, now_ms=_now_ms(), to=to)
    told = f"{symbol}: bundle {head['digest'][:12]} published again as epoch {head['epoch']}"
    console.print(shown(told))


def _store(environment: Environment) -> PromotionStore:
    return PromotionStore(home=str(environment.home), approval_valid_hours=APPROVAL_VALID_HOURS)


def _time(at_ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(at_ms / 1000))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
