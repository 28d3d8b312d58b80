"""Keep MLflow's registry in step with the audit log, whichever way a decision came."""

from collections.abc import Iterable

from orchestration.resources.promotion_store import PromotionStore
from orchestration.resources.tracking import Tracking, model_name
from research.promotion.audit import Entry
from research.promotion.rules import PUBLISHING


def follow(
    entries: Iterable[Entry], promotion_store: PromotionStore, tracking: Tracking
) -> list[str]:
    """Give model versions the states that the entries, oldest first, name; safe to repeat.

    Returns a sentence for each bundle that MLflow does not know.
    """
    unknown: list[str] = []
    for entry in entries:
        try:
            _apply(entry, promotion_store, tracking)
        except LookupError as error:
            unknown.append(str(error))
    return unknown


def _apply(entry: Entry, promotion_store: PromotionStore, tracking: Tracking) -> None:
    if entry.kind in PUBLISHING:
        head = entry.body["publication"]
        model = model_name(head["symbol"], head["timeframe"])
        tracking.crown(model, head["digest"], head["epoch"])
    elif entry.kind in ("approved", "declined"):
        request = promotion_store.request(entry.body["request_id"])
        model = model_name(request.symbol, request.timeframe)
        tracking.set_state(model, request.bundle_digest, entry.kind)
