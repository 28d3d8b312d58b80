"""The blocking checks that a retrain rests on: what one refused goes no further in any run.

Dagster holds a blocking check's downstream back within the run that it is red in. A person who
materializes what follows in a second run, a backfill or a job of another choice is not in that run:
so each asset asks here first, and a request for promotion binds what was found.

The gate's refusal is the one red check that is no fault: in the run that judged the candidate
nothing further is made, and it ends green; in another run, what rests on it is refused.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg
from dagster._core.event_api import PartitionKeyFilter  # both are asked for by instance.event_log…
from dagster._core.storage.asset_check_execution_record import (  # …_storage, and not re-exported
    COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
)

from kernel.features.registry import GROUPS
from orchestration.partitions import symbol_by_month

CERTIFICATE = "features/certificate"
LABELS = "labels/triple_barrier"
TRAINING_SET = "datasets/training_set"
CANDIDATE = "training/candidate"
EVALUATION = "evaluation/report"
WALK_FORWARD = "backtest/walk_forward"
GATES = "gates/report"
BUNDLE = "bundles/bundle"
IN_THE_LEDGER = "candidate_is_in_the_ledger"

RED = "red: "
RUNS_AT_ONCE = 20  # the history is by when a run planned its checks: an older run may end later

CHECKS: Mapping[str, tuple[str, ...]] = {
    CERTIFICATE: (
        *(f"{group.name}_never_sees_the_future" for group in GROUPS),
        "observations_hold_only_what_was_known",
    ),
    LABELS: ("labels_end_by_the_cutoff_and_name_every_class",),
    TRAINING_SET: (
        "training_set_reaches_the_cutoff",
        "training_set_rests_on_the_market_as_it_is",
        "every_feature_carries_its_proof",
        "no_training_label_meets_a_test_span",
        "series_cover_every_fold_they_enter",
        "chosen_features_change_in_every_fold",
    ),
    CANDIDATE: (
        IN_THE_LEDGER,
        "graph_decides_as_its_parts_do",
        "no_fold_knows_a_later_label",
    ),
    EVALUATION: ("every_class_was_predicted_on_unseen_rows",),
    WALK_FORWARD: ("accounts_add_up",),
    GATES: ("candidate_passes_every_gate",),
    BUNDLE: ("bundle_verifies_before_anyone_signs_it",),
}
"""The blocking checks of each asset that others rest on for the same symbol and week."""

_LEARNED_FROM = (CERTIFICATE, LABELS)
_TRAINED_ON = (*_LEARNED_FROM, TRAINING_SET)
_JUDGED = (*_TRAINED_ON, CANDIDATE)
_WEIGHED = (*_JUDGED, EVALUATION, WALK_FORWARD)

RESTS_ON: Mapping[str, tuple[str, ...]] = {
    TRAINING_SET: _LEARNED_FROM,
    "training/stack": _TRAINED_ON,
    CANDIDATE: _TRAINED_ON,
    EVALUATION: _JUDGED,
    WALK_FORWARD: _JUDGED,
    GATES: _WEIGHED,
    "gates/outcomes": _WEIGHED,
    BUNDLE: (*_WEIGHED, GATES),
    "promotion/request": (*_WEIGHED, GATES, BUNDLE),
}
"""What each asset on the way to a request rests on, at any distance: all of it was judged good, or
it is not made. Reports that people look at are made of red ones too: they show why.
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What stands of one blocking check for one partition: `fault` is '' where it is green."""

    asset: str
    check: str
    fault: str

    @property
    def name(self) -> str:
        """Return the asset and its check, as Dagster's pages call them."""
        return f"{self.asset} {self.check}"


def verdicts(instance: dg.DagsterInstance, asset: str, partition: str) -> Iterator[Verdict]:
    """Yield what stands of every blocking check that `asset` rests on, for one partition.

    A verdict counts for the materialization that it was found on: it is absent before the check has
    run, and stale once the asset is materialized again without it.
    """
    for upstream in RESTS_ON[asset]:
        made = _materialization(instance, upstream, partition)
        for check in CHECKS[upstream]:
            yield Verdict(upstream, check, _fault(instance, upstream, check, partition, made))


def red(instance: dg.DagsterInstance, asset: str, partition: str) -> dict[str, str]:
    """Return the blocking checks of `asset` whose last verdict is red, each with what it said.

    For one who holds the proof of an earlier green: only what speaks against it since is found.
    """
    found: dict[str, str] = {}
    for upstream in RESTS_ON[asset]:
        for check in CHECKS[upstream]:
            last = _evaluation(instance, upstream, check, partition)
            if last is not None and not last.passed:
                found[f"{upstream} {check}"] = last.description or "no description"
    return found


def require_green(context: dg.AssetExecutionContext) -> None:
    """Refuse to make an asset unless every blocking check that it rests on is green.

    Raises dagster Failure naming each that is red, stale or absent for the run's partition.
    """
    for asset in sorted(key.to_user_string() for key in context.selected_asset_keys):
        standing = verdicts(context.instance, asset, context.partition_key)
        bad = [one for one in standing if one.fault]
        if bad:
            raise dg.Failure(
                description=f"{asset} of {context.partition_key} rests on blocking checks that do "
                f"not stand: {_told(bad)}: mend what they name, materialize {bad[0].asset} "
                "together with its checks, then what follows",
                metadata={one.name: one.fault for one in bad},
                allow_retries=False,
            )


def gate_refused(context: dg.AssetExecutionContext) -> str:
    """Return what the gate said when it refused the candidate in this run, '' where it did not.

    Anything else that does not stand is a fault, which `require_green` tells; so is asking for what
    rests on a refused candidate in a run that does not judge it.
    """
    if dg.AssetKey.from_user_string(GATES) not in context.job_def.asset_layer.executable_asset_keys:
        return ""
    (asset,) = (key.to_user_string() for key in context.selected_asset_keys)
    bad = [one for one in verdicts(context.instance, asset, context.partition_key) if one.fault]
    if [one.asset for one in bad] != [GATES] or not bad[0].fault.startswith(RED):
        return ""
    return bad[0].fault.removeprefix(RED)


def require_raw_green(context: dg.AssetExecutionContext, tables: Iterable[str]) -> None:
    """Refuse to make features on months of raw tables whose last ingest had a red blocking check.

    Months that no instance knows anything of (a lake that was brought along) are not judged here:
    a retrain holds its whole window against the lake again. Raises dagster Failure.
    """
    bad = {
        f"market/{table} {check}": f"{RED}{said}"
        for table in tables
        for partition in context.partition_keys
        for check, said in _raw_red(context.instance, table, partition).items()
    }
    if bad:
        shown = "; ".join(f"{name}: {fault}" for name, fault in list(bad.items())[:3])
        raise dg.Failure(
            description=f"features/matrix rests on raw tables that did not pass: {shown}: mend "
            "what they name, then ingest those months again or run their checks",
            metadata=bad,
            allow_retries=False,
        )


def _raw_red(instance: dg.DagsterInstance, table: str, partition: str) -> dict[str, str]:
    """Return what the checks in the last ingest of a month said that are red to this day.

    A check of raw data is of all the months of its run, so that the run tells what it judged.
    """
    key = dg.AssetKey(["market", table])
    wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition])
    records = instance.fetch_materializations(wanted, limit=1).records
    if not records:
        return {}
    logs = instance.all_logs(records[0].run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    said = {
        one.check_name: one
        for entry in logs
        if entry.dagster_event is not None
        and (one := entry.dagster_event.asset_check_evaluation_data).asset_key == key
    }
    return {
        name: one.description or "no description"
        for name, one in said.items()
        if not one.passed and not _passed_since(instance, one, partition, records[0].run_id)
    }


def _passed_since(
    instance: dg.DagsterInstance, red_one: dg.AssetCheckEvaluation, partition: str, run_id: str
) -> bool:
    """Return whether the newest run of a check over a month, after the one that was red, passed."""
    history = instance.event_log_storage.get_asset_check_execution_history(
        red_one.asset_check_key,
        limit=RUNS_AT_ONCE,
        status=COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
    )
    for record in history:  # newest first
        if record.run_id == run_id:
            return False
        run = instance.get_run_by_id(record.run_id)
        if run is not None and partition in _months_of(run) and record.event is not None:
            event = record.event.dagster_event
            return event is not None and event.asset_check_evaluation_data.passed
    return False


def _months_of(run: dg.DagsterRun) -> Sequence[str]:
    """Return the partitions by month that a run was over."""
    first = run.tags.get("dagster/asset_partition_range_start")
    last = run.tags.get("dagster/asset_partition_range_end")
    if first and last:
        return symbol_by_month.get_partition_keys_in_range(dg.PartitionKeyRange(first, last))
    return [run.tags.get("dagster/partition", "")]


def _told(bad: list[Verdict]) -> str:
    shown = "; ".join(f"{one.name}: {one.fault}" for one in bad[:3])
    return shown + (f"; and {len(bad) - 3} more" if len(bad) > 3 else "")


def _materialization(instance: dg.DagsterInstance, asset: str, partition: str) -> int | None:
    """Return the storage id of the newest materialization of a partition, None without any."""
    wanted = dg.AssetRecordsFilter(
        asset_key=dg.AssetKey.from_user_string(asset), asset_partitions=[partition]
    )
    records = instance.fetch_materializations(wanted, limit=1).records
    return records[0].storage_id if records else None


def _fault(
    instance: dg.DagsterInstance, asset: str, check: str, partition: str, made: int | None
) -> str:
    found = _evaluation(instance, asset, check, partition)
    if found is None:
        return "absent: it has not run, expected it green"
    if not found.passed:
        return f"{RED}{found.description or 'no description'}"
    judged = found.target_materialization_data
    if made is None or judged is None or judged.storage_id != made:
        return "stale: the asset was materialized since, and not judged"
    return ""


def _evaluation(
    instance: dg.DagsterInstance, asset: str, check: str, partition: str
) -> dg.AssetCheckEvaluation | None:
    """Return the newest finished evaluation of a check; one that is only planned says nothing."""
    records = instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(dg.AssetKey.from_user_string(asset), check),
        limit=RUNS_AT_ONCE,
        status=COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
        partition_filter=PartitionKeyFilter(key=partition),
    )
    events = [one.event for one in records if one.event is not None]
    if not events:
        return None
    last = max(events, key=lambda one: one.timestamp)
    return last.dagster_event.asset_check_evaluation_data if last.dagster_event else None
