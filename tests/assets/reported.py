"""What an instance would know of runs that are not repeated here: materializations and verdicts."""

import uuid

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData as Target,
)

from orchestration.resources.blocking_checks import CHECKS
from tests.installation import partition


def made(instance: dg.DagsterInstance, asset: str) -> Target:
    """Report a materialization of the partition, as a run does; return what names it."""
    key = dg.AssetKey.from_user_string(asset)
    instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=partition()))
    wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition()])
    (record,) = instance.fetch_materializations(wanted, limit=1).records
    return Target(storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp)


def judged(
    instance: dg.DagsterInstance, asset: str, check: str, target: Target, *, passed: bool = True
) -> None:
    """Report what a check said of a materialization."""
    said = dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey.from_user_string(asset),
        check_name=check,
        passed=passed,
        description="as asked for" if passed else "two hours are missing",
        metadata={},
        target_materialization_data=target,
        blocking=True,
        partition=partition(),
    )
    event = dg.DagsterEvent(
        event_type_value=dg.DagsterEventType.ASSET_CHECK_EVALUATION.value,
        job_name="retrain_job",
        event_specific_data=said,
    )
    instance.report_dagster_event(event, run_id=str(uuid.uuid4()))


def all_green(instance: dg.DagsterInstance) -> dict[str, Target]:
    """Report a whole retrain of the partition whose every blocking check is green."""
    targets = {asset: made(instance, asset) for asset in CHECKS}
    for asset, checks in CHECKS.items():
        for check in checks:
            judged(instance, asset, check, targets[asset])
    return targets
