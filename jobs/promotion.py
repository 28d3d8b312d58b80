"""What a person, or a sensor for them, does to a request: approve, decline, publish, roll back."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import dagster as dg

from orchestration.queue import URGENT
from orchestration.resources import registry
from orchestration.resources.clock import now_ms
from orchestration.resources.evidence import EvidenceReader
from orchestration.resources.failures import PASSING_FAULTS, failures
from orchestration.resources.promotion_store import PromotionStore
from orchestration.resources.tracking import Tracking
from research.promotion.rules import PublicationRefusedError


class ApprovalConfig(dg.Config):
    """Name the request and the person who stands behind the approval."""

    request_id: str
    approver: str
    note: str = ""


class DeclineConfig(dg.Config):
    """Name the request, the person who declines it, and why."""

    request_id: str
    approver: str
    note: str


class PublicationConfig(dg.Config):
    """Name the request to publish."""

    request_id: str


class RollbackConfig(dg.Config):
    """Name the symbol, the person who rolls it back, and why.

    `to` is the digest, or the first eight digits of it or more, of the earlier version to go back
    to; empty goes back to the champion before the present one.
    """

    symbol: str
    actor: str
    reason: str
    to: str = ""


@dg.op(retry_policy=PASSING_FAULTS)
@failures()
def approve_promotion(
    context: dg.OpExecutionContext,
    config: ApprovalConfig,
    promotion_store: dg.ResourceParam[PromotionStore],
    tracking: dg.ResourceParam[Tracking],
) -> None:
    """Record an approval; it binds the request's digests and expires."""
    answer = promotion_store.decide(
        request_id=config.request_id,
        decision="approved",
        approver=config.approver,
        note=config.note,
        now_ms=now_ms(),
    )
    _finish(context, answer.to_dict(), registry.tell_decision(answer, promotion_store, tracking))


@dg.op(retry_policy=PASSING_FAULTS)
@failures()
def decline_promotion(
    context: dg.OpExecutionContext,
    config: DeclineConfig,
    promotion_store: dg.ResourceParam[PromotionStore],
    tracking: dg.ResourceParam[Tracking],
) -> None:
    """Record a decline with its reason."""
    answer = promotion_store.decide(
        request_id=config.request_id,
        decision="declined",
        approver=config.approver,
        note=config.note,
        now_ms=now_ms(),
    )
    _finish(context, answer.to_dict(), registry.tell_decision(answer, promotion_store, tracking))


@dg.op(retry_policy=PASSING_FAULTS)
@failures()
def publish_promotion(
    context: dg.OpExecutionContext,
    config: PublicationConfig,
    promotion_store: dg.ResourceParam[PromotionStore],
    evidence: dg.ResourceParam[EvidenceReader],
    tracking: dg.ResourceParam[Tracking],
) -> None:
    """Derive the evidence again, sign the bundle and crown it; a repeated run goes on."""
    try:
        head = promotion_store.publish(
            config.request_id, partial(evidence.derive, instance=context.instance), now_ms()
        )
    except PublicationRefusedError as refusal:
        raise dg.Failure(
            description=str(refusal),
            metadata={str(one.rule): str(one) for one in refusal.broken},
            allow_retries=False,
        ) from refusal
    _finish(context, head, registry.tell_publication(head, tracking))


@dg.op(retry_policy=PASSING_FAULTS)
@failures()
def roll_back_champion(
    context: dg.OpExecutionContext,
    config: RollbackConfig,
    promotion_store: dg.ResourceParam[PromotionStore],
    tracking: dg.ResourceParam[Tracking],
) -> None:
    """Publish an earlier champion again, under the next epoch; asked twice it is done once."""
    head = promotion_store.roll_back(
        symbol=config.symbol,
        actor=config.actor,
        reason=config.reason,
        now_ms=now_ms(),
        to=config.to,
    )
    _finish(context, head, registry.tell_publication(head, tracking))


@dg.job(tags=URGENT, description="Approve a pending request, by name.")
def approve_promotion_job() -> None:
    """Approve."""
    approve_promotion()


@dg.job(tags=URGENT, description="Decline a pending request, by name and with the reason.")
def decline_promotion_job() -> None:
    """Decline."""
    decline_promotion()


@dg.job(tags=URGENT, description="Sign and publish an approved request.")
def publish_promotion_job() -> None:
    """Publish."""
    publish_promotion()


@dg.job(
    tags=URGENT,
    description="Publish an earlier champion again: the one before, or the one that is named.",
)
def rollback_job() -> None:
    """Roll back."""
    roll_back_champion()


def publication_config(request_id: str) -> dict[str, Any]:
    """Return the run configuration that publishes a request."""
    return {"ops": {"publish_promotion": {"config": {"request_id": request_id}}}}


def _finish(context: dg.OpExecutionContext, done: Mapping[str, Any], untold: str) -> None:
    """Show what was done, and warn where MLflow was not told of it."""
    if untold:
        context.log.warning(untold)
    context.add_output_metadata({**done, **({"mlflow": untold} if untold else {})})
