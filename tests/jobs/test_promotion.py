"""From a person's answer to a champion, through the real jobs and sensors of one instance."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from mlflow.tracking import MlflowClient

from jobs.promotion import publication_config
from orchestration.definitions import resources
from orchestration.resources.attempts import ASKED_FOR, FIRST_WAIT_S, next_attempt
from orchestration.resources.clock import now_ms
from orchestration.resources.tracking import Tracking, model_name
from research.promotion.records import PromotionRequest
from research.promotion.rules import FoundEvidence, Rule
from sensors.approval import approval_sensor
from tests.installation import CUTOFF_MS, SYMBOL, Installation
from tests.kernel.bundle_maker import unsigned

MODEL = model_name(SYMBOL, "15m")


def client_of(installation: Installation) -> MlflowClient:
    uri = installation.tracking.uri
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def pending(installation: Installation) -> PromotionRequest:
    (request,) = installation.store.pending()
    return request


def run(
    installation: Installation, instance: dg.DagsterInstance, job: str, **config: str
) -> dg.ExecuteInProcessResult:
    """Run a one-op job with the config that a person types into its launchpad."""
    found = installation.job(job)
    op = next(iter(found.nodes)).name
    return found.execute_in_process(
        run_config={"ops": {op: {"config": config}}}, instance=instance, raise_on_error=False
    )


def tick(installation: Installation, instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    """Evaluate the approval sensor once."""
    resources = {name: installation.resources[name] for name in ("promotion_store", "tracking")}
    result = approval_sensor(dg.build_sensor_context(instance=instance, resources=resources))
    return list(result.run_requests or []) if isinstance(result, dg.SensorResult) else []


def publish(
    installation: Installation, instance: dg.DagsterInstance, request: dg.RunRequest
) -> dg.ExecuteInProcessResult:
    """Run what the sensor asked for."""
    return installation.job("publish_promotion_job").execute_in_process(
        run_config=request.run_config, instance=instance, raise_on_error=False
    )


def failure_of(result: dg.ExecuteInProcessResult) -> Any:
    """Return the failure that a person sees on the run's page."""
    (event,) = result.get_step_failure_events()
    return event.step_failure_data


def test_an_approval_becomes_a_champion(copied: Installation, instance: dg.DagsterInstance) -> None:
    """Approve job → sensor → publish job: signed, in the audit log, champion in MLflow, once."""
    request = pending(copied)
    assert run(
        copied, instance, "approve_promotion_job", request_id=request.id, approver="Ada", note="ok"
    ).success
    assert client_of(copied).get_model_version(MODEL, "1").tags["state"] == "approved"
    (asked,) = tick(copied, instance)
    assert publish(copied, instance, asked).success
    folder = copied.home / "bundles" / request.bundle_digest
    signed = json.loads((folder / "signature").read_bytes())
    champion = client_of(copied).get_model_version_by_alias(MODEL, "champion")
    assert (signed["epoch"], signed["approver"]) == (1, "Ada")
    assert (champion.tags["state"], champion.tags["epoch"]) == ("champion", "1")
    assert champion.tags["bundle_digest"] == request.bundle_digest
    kinds = [entry.kind for entry in copied.store.entries()]
    assert kinds == ["requested", "approved", "published"]
    assert tick(copied, instance) == []


def test_a_tag_in_mlflow_approves_like_the_job(
    copied: Installation, instance: dg.DagsterInstance
) -> None:
    """Setting tidegate.approval on the pending version ends in the same record, by that name."""
    request = pending(copied)
    client_of(copied).set_model_version_tag(MODEL, "1", "tidegate.approval", "Grace")
    assert len(tick(copied, instance)) == 1
    answer = copied.store.approval(request.id)
    assert answer is not None
    assert (answer.approver, answer.decision) == ("Grace", "approved")
    assert copied.store.entries()[-1].kind == "approved"


def test_a_tag_set_again_after_its_approval_expired_is_a_new_approval(
    copied: Installation, instance: dg.DagsterInstance
) -> None:
    """The tag that was adopted is taken off and answered; one that is set later is new. One that
    nobody knows to be new is answered in words, and approves nothing.
    """
    request = pending(copied)
    client = client_of(copied)
    past_ms = now_ms() - 80 * 3_600_000
    copied.store.decide(request.id, "approved", "Grace", "", past_ms)
    client.set_model_version_tag(MODEL, "1", "tidegate.approval", "Grace")
    tick(copied, instance)
    tags = client.get_model_version(MODEL, "1").tags
    assert "tidegate.approval" not in tags
    assert "expired" in tags["tidegate.answer"]
    assert copied.store.approval(request.id).at_ms == past_ms
    client.set_model_version_tag(MODEL, "1", "tidegate.approval", "Grace")
    assert len(tick(copied, instance)) == 1
    tags = client.get_model_version(MODEL, "1").tags
    assert "approved by Grace until" in tags["tidegate.answer"]
    assert copied.store.approval(request.id).at_ms > past_ms


def test_a_tag_on_a_declined_version_is_answered(
    copied: Installation, instance: dg.DagsterInstance
) -> None:
    """Whoever tags it reads beside the tag who declined it and why; it stays declined."""
    request = pending(copied)
    copied.store.decide(request.id, "declined", "Ada", "too few trades", now_ms())
    client_of(copied).set_model_version_tag(MODEL, "1", "tidegate.approval", "Grace")
    assert tick(copied, instance) == []
    assert (
        "too few trades" in client_of(copied).get_model_version(MODEL, "1").tags["tidegate.answer"]
    )
    assert copied.store.approval(request.id).decision == "declined"


def test_a_decline_publishes_nothing(copied: Installation, instance: dg.DagsterInstance) -> None:
    """A declined request is no longer pending, and its version says so."""
    request = pending(copied)
    assert run(
        copied,
        instance,
        "decline_promotion_job",
        request_id=request.id,
        approver="Ada",
        note="too few trades",
    ).success
    assert copied.store.pending() == []
    assert tick(copied, instance) == []
    assert client_of(copied).get_model_version(MODEL, "1").tags["state"] == "declined"


@pytest.mark.parametrize(
    ("job", "config", "named"),
    [
        ("approve_promotion_job", {"approver": "", "note": ""}, "approver"),
        ("decline_promotion_job", {"approver": "Ada", "note": ""}, "note"),
    ],
)
def test_an_answer_that_nobody_stands_by_fails_its_run(
    copied: Installation,
    instance: dg.DagsterInstance,
    job: str,
    config: dict[str, str],
    named: str,
) -> None:
    """A nameless approval and a decline without a reason are refused, and nothing is recorded."""
    result = run(copied, instance, job, request_id=pending(copied).id, **config)
    assert not result.success
    assert named in failure_of(result).error.to_string()
    assert len(copied.store.pending()) == 1


def test_an_unknown_request_is_refused_with_those_that_exist(
    copied: Installation, instance: dg.DagsterInstance
) -> None:
    """A mistyped id is answered with the ids there are."""
    config = {"request_id": "BTCUSDT-typo", "approver": "Ada", "note": ""}
    result = run(copied, instance, "approve_promotion_job", **config)
    assert pending(copied).id in failure_of(result).error.to_string()


def flip_a_bundle_byte(installation: Installation, request: PromotionRequest) -> None:
    path = installation.home / "bundles" / request.bundle_digest / "signal.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def rewrite_the_gate_report(installation: Installation, request: PromotionRequest) -> None:
    path = report_path(installation, request)
    report = json.loads(path.read_text())
    report["outcomes"][0]["threshold"] = -1.0
    path.write_text(json.dumps(report))


def lose_the_gate_report(installation: Installation, request: PromotionRequest) -> None:
    report_path(installation, request).unlink()


def report_path(installation: Installation, request: PromotionRequest) -> Path:
    folder = installation.home / "lake" / "gates" / "report" / f"symbol={request.symbol}"
    return folder / f"{request.week}.json"


def correct_the_market(installation: Installation, request: PromotionRequest) -> None:
    """Learn within the week that a candle was another one."""
    candles = installation.lake.as_of("candles", request.symbol, request.as_of_ms)
    one = candles.iloc[[100]].drop(columns="revision").reset_index(drop=True)
    installation.lake.append(
        "candles", request.symbol, one.assign(volume=one["volume"] + 1), CUTOFF_MS - 1
    )


def crown_another(installation: Installation, request: PromotionRequest) -> None:
    """Publish something else first."""
    digest = "f" * 64
    (installation.home / "bundles" / digest).mkdir()
    other = PromotionRequest(
        symbol=request.symbol,
        timeframe="15m",
        week="2025-11-30",
        bundle_digest=digest,
        gate_report_digest="g",
        data_digest="d",
        as_of_ms=9,
        champion_digest="",
        created_at_ms=10,
    )
    installation.store.submit(other, 10)
    installation.store.decide(other.id, "approved", "Ada", "", now_ms())
    found = installation.resources["evidence"].derive(request)
    same = type(found)(digest, "g", True, "d")
    installation.store.publish(other.id, lambda _: same, now_ms())


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        (flip_a_bundle_byte, {Rule.BUNDLE_CHANGED}),
        (rewrite_the_gate_report, {Rule.GATE_REPORT_CHANGED, Rule.GATES_REFUSED}),
        (lose_the_gate_report, {Rule.GATE_REPORT_CHANGED, Rule.GATES_REFUSED}),
        (correct_the_market, {Rule.DATA_CHANGED}),
        (crown_another, {Rule.CHAMPION_CHANGED}),
    ],
)
def test_evidence_that_changed_after_the_approval_is_not_published(
    copied: Installation, instance: dg.DagsterInstance, change: Any, rules: set[Rule]
) -> None:
    """The run fails with the broken rules as metadata; the sensor does not ask for it again."""
    request = pending(copied)
    copied.store.decide(request.id, "approved", "Ada", "", now_ms())
    (asked,) = tick(copied, instance)
    change(copied, request)
    result = publish(copied, instance, asked)
    failed = failure_of(result)
    assert set(failed.user_failure_data.metadata) == {str(rule) for rule in rules}
    assert not (copied.home / "bundles" / request.bundle_digest / "signature").exists()
    assert tick(copied, instance) == []


def test_a_publisher_killed_before_mlflow_is_finished_by_a_second_run(
    copied: Installation, instance: dg.DagsterInstance
) -> None:
    """Published but not crowned: running the job again keeps the epoch and moves the alias."""
    request = pending(copied)
    copied.store.decide(request.id, "approved", "Ada", "", now_ms())
    (asked,) = tick(copied, instance)
    copied.store.publish(request.id, copied.resources["evidence"].derive, now_ms())
    assert publish(copied, instance, asked).success
    champion = client_of(copied).get_model_version_by_alias(MODEL, "champion")
    assert champion.tags["epoch"] == "1"
    assert copied.store.standing(SYMBOL).epoch == 1


def test_mlflow_follows_a_decision_made_past_the_jobs(
    copied: Installation, instance: dg.DagsterInstance
) -> None:
    """A decline on the command line reaches the registry at the next tick."""
    request = pending(copied)
    copied.store.decide(request.id, "declined", "Ada", "too few trades", now_ms())
    assert tick(copied, instance) == []
    assert client_of(copied).get_model_version(MODEL, "1").tags["state"] == "declined"


def test_approvals_are_published_while_mlflow_is_down(
    copied: Installation, instance: dg.DagsterInstance
) -> None:
    """An approval on record needs no MLflow to be asked for, and MLflow catches up later."""
    request = pending(copied)
    copied.store.decide(request.id, "approved", "Ada", "", now_ms())
    down = Tracking(uri="http://127.0.0.1:9", artifacts="")
    context = dg.build_sensor_context(
        instance, resources={"promotion_store": copied.store, "tracking": down}
    )
    result = approval_sensor(context)
    assert isinstance(result, dg.SensorResult)
    assert len(result.run_requests or []) == 1
    kinds = [entry.kind for entry in copied.store.entries()]
    assert result.cursor == str(kinds.index("approved"))


def test_a_publication_whose_run_failed_is_asked_for_again(
    copied: Installation, instance: dg.DagsterInstance
) -> None:
    """A run that a passing fault ended costs no approval its publication: the next one is due a
    minute later, under a key of its own.
    """
    request = pending(copied)
    copied.store.decide(request.id, "approved", "Ada", "", now_ms())
    (first,) = tick(copied, instance)
    job = copied.job("publish_promotion_job")
    failed = instance.create_run_for_job(
        job,
        run_config=first.run_config,
        status=dg.DagsterRunStatus.FAILURE,
        tags=first.tags,
    )
    assert tick(copied, instance) == []
    second = next_attempt(instance, first.tags[ASKED_FOR], time.time() + FIRST_WAIT_S)
    assert second is not None
    assert failed.run_id in second.run_key


def test_a_bundle_that_mlflow_lost_holds_up_nothing(
    copied: Installation, instance: dg.DagsterInstance
) -> None:
    """A registry that was wiped is passed by: the approval is still asked to be published."""
    request = pending(copied)
    copied.store.decide(request.id, "approved", "Ada", "", now_ms())
    client_of(copied).delete_registered_model(MODEL)
    assert len(tick(copied, instance)) == 1


def test_rollback_needs_an_earlier_champion(
    copied: Installation, instance: dg.DagsterInstance
) -> None:
    """With one champion there is nothing to go back to, and the run says what else to do."""
    request = pending(copied)
    copied.store.decide(request.id, "approved", "Ada", "", now_ms())
    copied.store.publish(request.id, copied.resources["evidence"].derive, now_ms())
    result = run(copied, instance, "rollback_job", symbol=SYMBOL, actor="Ada", reason="drawdown")
    assert "kill switch" in failure_of(result).error.to_string()


def two_champions(installation: Installation) -> tuple[str, str]:
    """Publish a bundle that verifies, and the retrained one over it; return their digests."""
    older = unsigned(installation.home / "bundles", "older")
    other = PromotionRequest(
        symbol=SYMBOL,
        timeframe="15m",
        week="2025-11-30",
        bundle_digest=older,
        gate_report_digest="g",
        data_digest="d",
        as_of_ms=9,
        champion_digest="",
        created_at_ms=10,
    )
    installation.store.submit(other, 10)
    installation.store.decide(other.id, "approved", "Ada", "", now_ms())
    same = FoundEvidence(bundle=older, gate_report="g", gates_accepted=True, data="d")
    installation.store.publish(other.id, lambda _: same, now_ms())
    newer = unsigned(installation.home / "bundles", "newer")
    asked = replace(other, week="2025-12-07", bundle_digest=newer, champion_digest=older)
    installation.store.submit(asked, 11)
    installation.store.decide(asked.id, "approved", "Ada", "", now_ms())
    installation.store.publish(asked.id, lambda _: replace(same, bundle=newer), now_ms())
    return older, newer


def away(installation: Installation) -> Installation:
    """Return the installation while MLflow is down."""
    environment = replace(installation.environment, mlflow_uri="http://127.0.0.1:9")
    return Installation(environment, resources(environment))


def test_a_rollback_is_done_once_although_mlflow_is_down(
    copied: Installation, instance: dg.DagsterInstance
) -> None:
    """The run is green and says that MLflow hears later; launched again it goes back no further."""
    older, _ = two_champions(copied)
    third = unsigned(copied.home / "bundles", "third")
    assert copied.store.standing(SYMBOL).champions[0] == older
    for _ in range(2):
        result = run(
            away(copied), instance, "rollback_job", symbol=SYMBOL, actor="Ada", reason="loses"
        )
        assert result.success
        assert "hears of it later" in str(metadata_of(result)["mlflow"])
    assert copied.store.standing(SYMBOL).champions == (older,)
    assert copied.store.standing(SYMBOL).epoch == 3
    assert third not in copied.store.standing(SYMBOL).champions


def metadata_of(result: dg.ExecuteInProcessResult) -> Any:
    """Return what a one-op run shows of what it did."""
    (event,) = [one for one in result.all_events if one.is_successful_output]
    return {name: value.value for name, value in event.step_output_data.metadata.items()}


def test_a_rollback_to_a_named_version_is_what_the_job_is_asked_for(
    copied: Installation, instance: dg.DagsterInstance
) -> None:
    """The digest in the job's configuration counts, and a wrong one fails with those there are."""
    older, newer = two_champions(copied)
    config = {"symbol": SYMBOL, "actor": "Ada", "reason": "loses"}
    wrong = run(copied, instance, "rollback_job", **config, to="f" * 64)
    assert older[:12] in failure_of(wrong).error.to_string()
    assert copied.store.standing(SYMBOL).champion == newer
    assert run(copied, instance, "rollback_job", **config, to=older[:12]).success
    assert copied.store.standing(SYMBOL).champion == older


def test_an_approval_and_its_publication_are_green_while_mlflow_is_down(
    copied: Installation, instance: dg.DagsterInstance
) -> None:
    """Both are recorded once; when MLflow is back, the sensor tells it both, in order."""
    request = pending(copied)
    config = {"request_id": request.id, "approver": "Ada", "note": "ok"}
    for _ in range(2):
        assert run(away(copied), instance, "approve_promotion_job", **config).success
    (asked,) = tick(away(copied), instance)
    for _ in range(2):
        assert publish(away(copied), instance, asked).success
    assert [entry.kind for entry in copied.store.entries()] == [
        "requested",
        "approved",
        "published",
    ]
    assert client_of(copied).get_model_version(MODEL, "1").tags["state"] == "pending"
    tick(copied, instance)
    champion = client_of(copied).get_model_version_by_alias(MODEL, "champion")
    assert champion.tags["bundle_digest"] == request.bundle_digest


def test_a_tag_that_approves_nothing_stops_no_other_approval(
    copied: Installation, instance: dg.DagsterInstance
) -> None:
    """A tag longer than a name is left where it is; what others approved is published."""
    request = pending(copied)
    client_of(copied).set_model_version_tag(MODEL, "1", "tidegate.approval", "ok by Ada, " * 25)
    other = replace(request, symbol="ETHUSDT", bundle_digest="b" * 64)
    copied.store.submit(other, 10)
    copied.store.decide(other.id, "approved", "Grace", "", now_ms())
    assert [one.run_config for one in tick(copied, instance)] == [publication_config(other.id)]
    assert pending(copied) == request
