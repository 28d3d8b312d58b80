"""Keep MLflow's registry in step with the audit log, whichever way a decision came."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kernel.errors import TidegateError
from orchestration.resources.promotion_store import PromotionStore
from orchestration.resources.tracking import Tracking, TrackingUnreachableError, model_name
from research.chain import Entry
from research.promotion.records import Approval
from research.promotion.rules import PUBLISHING, newest_publications, published

PORTION = 100  # entries told at one tick; the place in the log is kept after each
PORTION_BESIDE_WORK = 10  # while an approval waits to be published, which comes first


@dataclass(frozen=True, slots=True)
class Followed:
    """How many entries of the log MLflow has been told, and a sentence for each it did not take."""

    entries: int
    warnings: tuple[str, ...]


def follow(
    entries: Sequence[Entry],
    told: int,
    promotion_store: PromotionStore,
    tracking: Tracking,
    portion: int = PORTION,
) -> Followed:
    """Tell MLflow the next `portion` entries after the first `told`, oldest first; safe to repeat.

    What a later entry has overtaken is not told as if it were news: told again from the start, as
    after a lost cursor, an old champion never stands in MLflow for a while. What MLflow will not
    take is passed by with a warning. While it is away nothing is passed by.
    """
    warnings: list[str] = []
    standing = newest_publications(entries)
    answered = {one.body["request_id"] for one in entries if one.kind == "published"}
    for entry in entries[told : told + portion]:
        try:
            _tell(entry, standing, answered, promotion_store, tracking)
        except TrackingUnreachableError as error:
            warnings.append(f"MLflow follows later: {error}")
            break
        except TidegateError as error:
            warnings.append(f"MLflow is not told of entry {entry.seq} ({entry.kind}): {error}")
        told += 1
    return Followed(told, tuple(warnings))


def _tell(
    entry: Entry,
    standing: Mapping[str, Mapping[str, Any]],
    answered: Collection[str],
    promotion_store: PromotionStore,
    tracking: Tracking,
) -> None:
    """Give the model version that an entry is about the state that it has since.

    `standing` holds the newest publication of each symbol, `answered` the requests published.
    """
    if entry.kind in PUBLISHING:
        one = entry.body["publication"]
        newest = standing[one["symbol"]]
        if one["epoch"] == newest["epoch"]:
            _crown(one, tracking)
        elif one["digest"] != newest["digest"]:
            model = model_name(one["symbol"], one["timeframe"])
            tracking.set_state(model, one["digest"], "retired")
    elif entry.kind in ("approved", "declined"):
        answer = Approval.from_dict(entry.body)
        if answer.request_id not in answered:
            _mark(answer, promotion_store, tracking)


def tell_decision(answer: Approval, promotion_store: PromotionStore, tracking: Tracking) -> str:
    """Tell MLflow of a recorded decision at once; return '' or why it hears of it later.

    The decision stands either way: the sensor that follows the audit log tells it again.
    """
    if published(promotion_store.entries(), answer.request_id) is not None:
        return ""  # a job that was slow to tell takes no crown away
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
