"""Keep MLflow's registry in step with the audit log, whichever way a decision came."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kernel.errors import TidegateError
from orchestration.resources.promotion_store import PromotionStore
from orchestration.resources.tracking import Tracking, TrackingUnreachableError, model_name
from research.promotion.audit import Entry
from research.promotion.records import Approval
from research.promotion.rules import PUBLISHING

PORTION = 100  # entries told at one tick: a long log is followed without holding up an approval


@dataclass(frozen=True, slots=True)
class Followed:
    """How many entries of the log MLflow has been told, and a sentence for each it did not take."""

    entries: int
    warnings: tuple[str, ...]


def follow(
    entries: Sequence[Entry], told: int, promotion_store: PromotionStore, tracking: Tracking
) -> Followed:
    """Tell MLflow the next entries after the first `told`, oldest first; safe to repeat.

    What MLflow will not take is passed by with a warning. While it is away nothing is passed by.
    """
    warnings: list[str] = []
    for entry in entries[told : told + PORTION]:
        try:
            tell(entry, promotion_store, tracking)
        except TrackingUnreachableError as error:
            warnings.append(f"MLflow follows later: {error}")
            break
        except TidegateError as error:
            warnings.append(f"MLflow is not told of entry {entry.seq} ({entry.kind}): {error}")
        told += 1
    return Followed(told, tuple(warnings))


def tell(entry: Entry, promotion_store: PromotionStore, tracking: Tracking) -> None:
    """Give the model version that an entry is about the state that it has since."""
    if entry.kind in PUBLISHING:
        _crown(entry.body["publication"], tracking)
    elif entry.kind in ("approved", "declined"):
        _mark(Approval.from_dict(entry.body), promotion_store, tracking)


def tell_decision(answer: Approval, promotion_store: PromotionStore, tracking: Tracking) -> str:
    """Tell MLflow of a recorded decision at once; return '' or why it hears of it later.

    The decision stands either way: the sensor that follows the audit log tells it again.
    """
    try:
        _mark(answer, promotion_store, tracking)
    except TidegateError as error:
        return f"recorded; MLflow hears of it later: {error}"
    return ""


def tell_publication(head: Mapping[str, Any], tracking: Tracking) -> str:
    """Tell MLflow of a recorded publication at once; return '' or why it hears of it later."""
    try:
        _crown(head, tracking)
    except TidegateError as error:
        return f"published; MLflow hears of it later: {error}"
    return ""


def _crown(head: Mapping[str, Any], tracking: Tracking) -> None:
    tracking.crown(model_name(head["symbol"], head["timeframe"]), head["digest"], head["epoch"])


def _mark(answer: Approval, promotion_store: PromotionStore, tracking: Tracking) -> None:
    request = promotion_store.request(answer.request_id)
    model = model_name(request.symbol, request.timeframe)
    tracking.set_state(model, request.bundle_digest, answer.decision)
