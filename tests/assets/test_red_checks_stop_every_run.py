"""A red blocking check stops what rests on it in whichever run that is launched."""

import shutil
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from orchestration.definitions import code_location
from orchestration.partitions import month_key, symbol_by_month
from orchestration.resources.blocking_checks import (
    CHECKS,
    RESTS_ON,
    red,
    require_raw_green,
    verdicts,
)
from orchestration.resources.clock import now_ms
from research.promotion.records import PromotionRequest
from research.promotion.rules import PublicationRefusedError, Rule
from tests.assets.reported import all_green, judged, made
from tests.installation import SYMBOL, Installation, install, partition

REQUEST = "promotion/request"
SET = "datasets/training_set"
REACHES = "training_set_reaches_the_cutoff"


def launch(
    installation: Installation, instance: dg.DagsterInstance, asset: str, key_of: str = partition()
) -> dg.ExecuteInProcessResult:
    """Materialize one asset alone, without its checks, as a person does in the UI."""
    location = code_location(installation.environment)
    key = dg.AssetKey.from_user_string(asset)
    alone = dg.AssetSelection.assets(key).required_multi_asset_neighbors().without_checks()
    job = dg.define_asset_job("alone", selection=alone, executor_def=dg.in_process_executor)
    bound = dg.Definitions.merge(location, dg.Definitions(jobs=[job])).resolve_job_def("alone")
    return bound.execute_in_process(partition_key=key_of, instance=instance, raise_on_error=False)


def refusal(result: dg.ExecuteInProcessResult) -> str:
    """Return what the one failed step of a run told."""
    (event,) = result.get_step_failure_events()
    return event.step_failure_data.error.to_string()


def test_the_chain_is_the_one_that_dagster_knows(retrained: Installation) -> None:
    """Every asset between a blocking check and the request rests on it, at whatever distance."""
    graph = code_location(retrained.environment).resolve_asset_graph()
    weekly = {
        key
        for key in graph.get_all_asset_keys()
        if graph.get(key).partitions_def is not None
        and "week" in graph.get(key).partitions_def.partition_dimension_names
    }
    blocking = {
        key.to_user_string(): {
            one.name for one in graph.get(key).check_keys if graph.get(one).blocking
        }
        for key in weekly
    }
    rests = {
        key.to_user_string(): {
            one.to_user_string()
            for one in dg.AssetSelection.assets(key).upstream(include_self=False).resolve(graph)
            if blocking.get(one.to_user_string())
        }
        for key in weekly
    }
    way = dg.AssetSelection.assets(dg.AssetKey.from_user_string(REQUEST)).upstream()
    leading = {key.to_user_string() for key in way.required_multi_asset_neighbors().resolve(graph)}
    followed = {asset for name, found in rests.items() if name in leading for asset in found}
    assert {asset: set(found) for asset, found in CHECKS.items()} == {
        asset: blocking[asset] for asset in followed
    }
    assert {asset: set(found) for asset, found in RESTS_ON.items()} == {
        asset: found for asset, found in rests.items() if found and asset in leading
    }


@pytest.mark.parametrize("asset", sorted(RESTS_ON))
def test_nothing_is_made_where_the_verdicts_are_absent(
    copied: Installation, instance: dg.DagsterInstance, asset: str
) -> None:
    """Launched alone on values that nobody has judged, each asset refuses and names a check."""
    result = launch(copied, instance, asset)
    assert not result.success
    first = RESTS_ON[asset][0]
    assert f"{first} {CHECKS[first][0]}: absent" in refusal(result)


def test_a_red_check_stops_what_follows_in_a_second_run(
    copied: Installation, instance: dg.DagsterInstance
) -> None:
    """The request is not filed although the bundle lies there; judged again, green, it is."""
    targets = all_green(instance)
    judged(instance, SET, REACHES, targets[SET], passed=False)
    requests = len(copied.store.requests())
    refused = launch(copied, instance, REQUEST)
    assert "two hours are missing" in refusal(refused)
    assert len(copied.store.requests()) == requests
    judged(instance, SET, REACHES, targets[SET])
    assert launch(copied, instance, REQUEST).success


def test_every_check_alone_stops_the_request(instance: dg.DagsterInstance) -> None:
    """Red on any one of them is found, by its name, and nothing else is."""
    targets = all_green(instance)
    assert [one for one in verdicts(instance, REQUEST, partition()) if one.fault] == []
    for asset, checks in CHECKS.items():
        for check in checks:
            judged(instance, asset, check, targets[asset], passed=False)
            bad = [one for one in verdicts(instance, REQUEST, partition()) if one.fault]
            assert [one.name for one in bad] == [f"{asset} {check}"]
            assert bad[0].fault.startswith("red: ")
            assert list(red(instance, REQUEST, partition())) == [f"{asset} {check}"]
            judged(instance, asset, check, targets[asset])


def test_a_verdict_is_of_what_was_judged_and_of_its_partition(
    instance: dg.DagsterInstance,
) -> None:
    """Materialized again without its checks, an asset is not judged; nor is another week by it."""
    all_green(instance)
    made(instance, SET)
    stale = [one for one in verdicts(instance, REQUEST, partition()) if one.fault]
    assert {one.asset for one in stale} == {SET}
    assert all(one.fault.startswith("stale: ") for one in stale)
    other = [one.fault for one in verdicts(instance, REQUEST, f"{SYMBOL}|2025-11-30")]
    assert all(fault.startswith("absent: ") for fault in other)


def approved(installation: Installation) -> PromotionRequest:
    (request,) = installation.store.pending()
    installation.store.decide(request.id, "approved", "Ada", "", now_ms())
    return request


def refused_rules(
    installation: Installation, request: PromotionRequest, instance: dg.DagsterInstance
) -> set[Rule]:
    """Publish a request that must be refused; return the rules that it broke."""
    evidence = installation.resources["evidence"]
    with pytest.raises(PublicationRefusedError) as refused:
        installation.store.publish(request.id, lambda one: evidence.derive(one, instance), now_ms())
    assert installation.store.heads() == {}
    return {one.rule for one in refused.value.broken}


def test_a_request_binds_the_verdict_of_every_check(copied: Installation) -> None:
    """What a person approves names each blocking check and the content that it judged."""
    (request,) = copied.store.pending()
    names = {f"{asset} {check}" for asset in RESTS_ON[REQUEST] for check in CHECKS[asset]}
    assert set(request.verdicts) == names
    altered = replace(request, verdicts={**request.verdicts, f"{SET} {REACHES}": "0" * 64})
    assert altered.digest != request.digest
    assert altered.id != request.id


def test_a_check_that_turned_red_after_the_approval_is_not_published(
    copied: Installation, instance: dg.DagsterInstance
) -> None:
    """The publish job asks the instance what the checks have said since."""
    request = approved(copied)
    judged(instance, SET, REACHES, made(instance, SET), passed=False)
    assert refused_rules(copied, request, instance) == {Rule.CHECK_RED}


def test_what_was_materialized_after_its_verdict_is_not_published(
    copied: Installation, instance: dg.DagsterInstance
) -> None:
    """Other content than the checks had judged lies there, and nobody has asked about it."""
    request = approved(copied)
    (path,) = (copied.home / "lake" / "training" / "candidate").rglob("*.zip")
    path.write_bytes(path.read_bytes() + b"\0")
    assert refused_rules(copied, request, instance) == {Rule.CHECK_STALE}


def test_a_bundle_whose_trial_is_no_more_on_record_is_not_published(
    copied: Installation, instance: dg.DagsterInstance
) -> None:
    """Without the ledger nobody knows how often the data were looked at before this one passed."""
    request = approved(copied)
    shutil.rmtree(copied.home / "trials")
    assert refused_rules(copied, request, instance) == {Rule.NOT_IN_THE_LEDGER, Rule.CHECK_STALE}


def test_a_ledger_that_was_written_anew_is_not_the_one_of_the_request(
    copied: Installation, instance: dg.DagsterInstance
) -> None:
    """The same trial on record again, with another past, is sound in itself and refused."""
    request = approved(copied)
    ledger = copied.resources["trial_ledger"]
    (row,) = ledger.rows(SYMBOL).values()
    shutil.rmtree(copied.home / "trials")
    ledger.begin(row.trial)
    assert ledger.fault(SYMBOL, row.trial.id) == ""
    assert refused_rules(copied, request, instance) == {Rule.CHECK_STALE}


def test_a_request_of_before_verdicts_were_kept_is_asked_anew(
    copied: Installation, instance: dg.DagsterInstance
) -> None:
    """It reads back as it was filed, and publishing says which verdicts it lacks."""
    (request,) = copied.store.pending()
    old = copied.store.submit(replace(request, verdicts={}), now_ms())
    assert copied.store.request(old.id) == old
    copied.store.decide(old.id, "approved", "Ada", "", now_ms())
    assert refused_rules(copied, old, instance) == {Rule.CHECK_MISSING}


MONTH = month_key(SYMBOL, "2025-12-01")


def ingested(instance: dg.DagsterInstance, *, passed: bool) -> None:
    """Run an ingest of the month's candles whose check finds a gap, or the check alone, mended."""

    @dg.asset(key=["market", "candles"], partitions_def=symbol_by_month)
    def candles() -> None:
        """Bring nothing."""

    @dg.asset_check(asset=["market", "candles"], name="candles_have_no_gaps", blocking=True)
    def check() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=passed, description="a day is missing")

    everything = dg.AssetSelection.assets(candles) | dg.AssetSelection.checks(check)
    chosen = dg.AssetSelection.checks(check) if passed else everything
    job = dg.define_asset_job("run", selection=chosen, executor_def=dg.in_process_executor)
    found = dg.Definitions(assets=[candles], asset_checks=[check], jobs=[job])
    found.resolve_job_def("run").execute_in_process(
        tags={"dagster/partition": MONTH}, instance=instance, raise_on_error=False
    )


def test_features_are_not_made_of_raw_months_that_did_not_pass(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    """Launched by itself, features/matrix names the red check of the month's last ingest; when the
    check has passed since, it is made.
    """
    empty = install(tmp_path)
    ingested(instance, passed=False)
    assert "a day is missing" in refusal(launch(empty, instance, "features/matrix", MONTH))
    ingested(instance, passed=True)

    @dg.asset(partitions_def=symbol_by_month)
    def likewise(context: dg.AssetExecutionContext) -> None:
        require_raw_green(context, ["candles"])

    assert dg.materialize([likewise], partition_key=MONTH, instance=instance).success
