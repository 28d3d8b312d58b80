"""What a person, or a sensor for them, does to a request: approve, decline, publish, roll back."""

from typing import Any

import dagster as dg

from orchestration.resources.clock import now_ms
from orchestration.resources.evidence import EvidenceReader
from orchestration.resources.promotion_store import PromotionStore
from orchestration.resources.tracking import Tracking, model_name
from research.promotion.rules import PublicationRefusedError

RESUME_WHEN_KILLED = {"dagster/max_retries": "3"}  # a killed run goes on; a refusal is final


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
    """Name the symbol, the person who rolls it back, and why."""

    symbol: str
    actor: str
    reason: str


@dg.op
def approve_promotion(
    context: dg.OpExecutionContext,
    config: ApprovalConfig,
    promotion_store: PromotionStore,
    tracking: Tracking,
) -> None:
    """Record an approval; it binds the request's digests and expires."""
    answer = promotion_store.decide(
        config.request_id, "approved", config.approver, config.note, now_ms()
    )
    request = promotion_store.request(config.request_id)
    model = model_name(request.symbol, request.timeframe)
    tracking.set_state(model, request.bundle_digest, "approved")
    context.add_output_metadata(dict(answer.to_dict()))


@dg.op
def decline_promotion(
    context: dg.OpExecutionContext,
    config: DeclineConfig,
    promotion_store: PromotionStore,
    tracking: Tracking,
) -> None:
    """Record a decline with its reason."""
    answer = promotion_store.decide(
        config.request_id, "declined", config.approver, config.note, now_ms()
    )
    request = promotion_store.request(config.request_id)
    model = model_name(request.symbol, request.timeframe)
    tracking.set_state(model, request.bundle_digest, "declined")
    context.add_output_metadata(dict(answer.to_dict()))


@dg.op
def publish_promotion(
    context: dg.OpExecutionContext,
    config: PublicationConfig,
    promotion_store: PromotionStore,
    evidence: EvidenceReader,
    tracking: Tracking,
) -> None:
    """Derive the evidence again, sign the bundle and crown it; a repeated run goes on."""
    try:
        head = promotion_store.publish(config.request_id, evidence.derive, now_ms())
    except PublicationRefusedError as refusal:
        raise dg.Failure(
            description=str(refusal),
            metadata={str(one.rule): str(one) for one in refusal.broken},
            allow_retries=False,
        ) from refusal
    crown(tracking, head)
    context.add_output_metadata(dict(head))


@dg.op
def roll_back_champion(
    context: dg.OpExecutionContext,
    config: RollbackConfig,
    promotion_store: PromotionStore,
    tracking: Tracking,
) -> None:
    """Publish the champion before the present one again, under the next epoch."""
    head = promotion_store.roll_back(config.symbol, config.actor, config.reason, now_ms())
    crown(tracking, head)
    context.add_output_metadata(dict(head))


@dg.job(description="Approve a pending request, by name.")
def approve_promotion_job() -> None:
    """Approve."""
    approve_promotion()


@dg.job(description="Decline a pending request, by name and with the reason.")
def decline_promotion_job() -> None:
    """Decline."""
    decline_promotion()


@dg.job(description="Sign and publish an approved request.", tags=RESUME_WHEN_KILLED)
def publish_promotion_job() -> None:
    """Publish."""
    publish_promotion()


@dg.job(description="Publish the champion before the present one again.")
def rollback_job() -> None:
    """Roll back."""
    roll_back_champion()


def publication_config(request_id: str) -> dict[str, Any]:
    """Return the run configuration that publishes a request."""
    return {"ops": {"publish_promotion": {"config": {"request_id": request_id}}}}


def crown(tracking: Tracking, head: dict[str, Any]) -> None:
    """Tell MLflow who is champion."""
    model = model_name(head["symbol"], head["timeframe"])
    tracking.crown(model, head["digest"], head["epoch"])
