"""What becomes of a promotion reaches a person: that a request waits, and what was decided."""

import dagster as dg

from kernel.errors import TidegateError
from orchestration.resources.clock import now_ms
from orchestration.resources.notifier import Notifier
from orchestration.resources.promotion_store import PromotionStore
from research.chain import Entry
from research.promotion.records import Approval

KINDS = ("requested", "approved", "declined", "published", "publish_refused", "rolled_back")
PORTION = 100


@dg.sensor(
    description="Tells people of requests that wait, decisions, publications and rollbacks.",
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def promotion_news_sensor(
    context: dg.SensorEvaluationContext,
    notifier: dg.ResourceParam[Notifier],
    promotion_store: dg.ResourceParam[PromotionStore],
) -> dg.SensorResult:
    """Notify of requests that wait, decisions, publications, refusals and rollbacks, each once.

    The audit log is told in portions and the place is kept. Without it, as after a reset, the last
    notification says until when everything was told.
    """
    entries = promotion_store.entries()
    told = int(context.cursor) if context.cursor else _told(entries, notifier)
    portion = entries[told : told + PORTION]
    for entry in portion:
        if entry.kind in KINDS:
            subject, detail = news(entry, promotion_store)
            notifier.notify(entry.kind, subject, detail, now_ms())
    return dg.SensorResult(
        skip_reason=f"{len(portion)} entries of the audit log read", cursor=str(told + len(portion))
    )


def news(entry: Entry, promotion_store: PromotionStore) -> tuple[str, str]:
    """Return what an entry of one of KINDS is about (symbol and week, or the symbol alone) and what
    it says.
    """
    body = entry.body
    if entry.kind == "rolled_back":
        head = body["publication"]
        went = f"bundle {head['digest'][:12]} again, as epoch {head['epoch']}"
        return str(head["symbol"]), f"{body['actor']} went back to {went}: {body['reason']}"
    request_id = str(body["request_id"])
    if entry.kind == "requested":
        said = f'waits for approval: tidegate approve {request_id} --as "<your name>"'
    elif entry.kind == "published":
        head = body["publication"]
        said = f"bundle {head['digest'][:12]} is published as epoch {head['epoch']}"
    elif entry.kind == "publish_refused":
        said = f"not published: {'; '.join(str(rule) for rule in body['rules'])}"
    else:
        answer = Approval.from_dict(body)
        said = f"{answer.decision} by {answer.approver}" + (
            f": {answer.note}" if answer.note else ""
        )
    return _about(request_id, promotion_store), said


def _about(request_id: str, promotion_store: PromotionStore) -> str:
    try:
        request = promotion_store.request(request_id)
    except TidegateError:  # a damaged file: the log still names the request
        return request_id
    return f"{request.symbol} {request.week}"


def _told(entries: list[Entry], notifier: Notifier) -> int:
    """Return how many entries of the log were made by the time of the last news."""
    last_ms = max(notifier.last_told_ms(kind) for kind in KINDS)
    return sum(entry.at_ms <= last_ms for entry in entries)
