"""Features by month and their certificate by week: what is stored, and what stops a retrain."""

import json
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from kernel.features.registry import FEATURES, GROUPS, feature_hash
from orchestration.definitions import code_location
from orchestration.partitions import month_key
from tests.assets.market_stage import check_of, failed
from tests.assets.shown import shown
from tests.installation import (
    CUTOFF_MS,
    HISTORY_WEEKS,
    SYMBOL,
    WEEK,
    WEEK_MS,
    Installation,
    fill_lake,
    generated_tables,
    install,
    partition,
)

HOUR_MS = 3_600_000
CERTIFICATE = ["features", "certificate"]
TABLE = ["datasets", "training_set"]
MADE = [CERTIFICATE, ["labels", "triple_barrier"], TABLE]
PROOF = "every_feature_carries_its_proof"
RESTS = "training_set_rests_on_the_market_as_it_is"
REACHES = "training_set_reaches_the_cutoff"


def run(
    installation: Installation, selection: dg.AssetSelection, **tags: str
) -> dg.ExecuteInProcessResult:
    """Run part of the code location, by default over the week that the lake holds."""
    job = dg.Definitions(jobs=[dg.define_asset_job("part", selection=selection)])
    definitions = dg.Definitions.merge(code_location(installation.environment), job)
    return definitions.resolve_job_def("part").execute_in_process(
        tags=tags or {"dagster/partition": partition()},
        instance=dg.DagsterInstance.ephemeral(),
        raise_on_error=False,
    )


def checked(installation: Installation, key: list[str], name: str) -> dg.AssetCheckEvaluation:
    """Run one check alone, on what is stored."""
    check = dg.AssetCheckKey(dg.AssetKey(key), name)
    return check_of(run(installation, dg.AssetSelection.checks(check)), name)


def certificate_file(installation: Installation) -> Path:
    return installation.home / f"lake/features/certificate/symbol={SYMBOL}/{WEEK}.json"


def altered(installation: Installation, feature: str, **changes: object) -> None:
    """Alter what the stored certificate says of one feature."""
    path = certificate_file(installation)
    record = json.loads(path.read_text())
    next(one for one in record["features"] if one["feature"] == feature).update(changes)
    path.write_text(json.dumps(record))


def test_months_of_features_are_made_in_one_run(tmp_path: Path) -> None:
    """A range of months is one run; it tells rows, what changed, and how much of each feature is
    there.
    """
    installation = install(tmp_path)
    fill_lake(installation.lake)
    months = (str(month_key(SYMBOL, f"2025-{month}-01")) for month in ("11", "12"))
    names = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
    tags = dict(zip(names, months, strict=True))
    result = run(installation, dg.AssetSelection.assets(["features", "matrix"]), **tags)
    (event,) = result.get_asset_materialization_events()[:1]
    told = event.materialization.metadata
    assert told["dagster/row_count"].value == 30 * 96 + 13 * 96
    assert "| BTCUSDT | 2025-11 | 2880 | True |" in shown(told["months"])
    assert "| rsi_14 | 1 |" in shown(told["coverage"])
    assert "| vpin | 0 |" in shown(told["coverage"])
    folder = tmp_path / f"lake/features/matrix/symbol={SYMBOL}"
    assert sorted(p.name for p in folder.glob("2*")) == ["2025-11.parquet", "2025-12.parquet"]


def test_every_group_has_a_check_of_its_own(retrained: Installation) -> None:
    """Eighteen sentences, one per group, each blocking."""
    graph = code_location(retrained.environment).resolve_asset_graph()
    checks = graph.get_check_keys_for_assets({dg.AssetKey(CERTIFICATE)})
    sentences = {f"{group.name}_never_sees_the_future" for group in GROUPS}
    assert sentences <= {check.name for check in checks}
    assert all(graph.get_check_spec(check).blocking for check in checks)


def test_the_certificate_proves_every_feature_that_had_values(retrained: Installation) -> None:
    """Cuts, values, no mismatch and the hash of the code, per feature; the silent are named."""
    record = json.loads(certificate_file(retrained).read_text())
    rows = {one["feature"]: one for one in record["features"]}
    silent = {name for name, one in rows.items() if not one["values"]}
    assert tuple(rows) == FEATURES
    assert sum(one["mismatches"] for one in rows.values()) == 0
    assert min(one["cuts"] for one in rows.values()) >= 24
    assert (record["symbol"], record["cutoff_ms"], record["bars"]) == (SYMBOL, CUTOFF_MS, 3_000)
    assert {"vpin", "basis", "garch_volatility"} <= silent  # no trades, no index, 84 days
    assert not silent & set(retrained.resources["settings"].load().features)
    found = checked(retrained, CERTIFICATE, "microstructure_never_sees_the_future")
    assert found.passed
    assert "vpin" in str(found.description)
    assert "| vpin | 27 | 0 | 0 |" in shown(found.metadata["proof"])


def test_a_leak_shows_under_its_group_only(copied: Installation) -> None:
    """One value that changed with its future turns the group red and names the feature."""
    altered(copied, "rsi_14", mismatches=1)
    result = run(copied, dg.AssetSelection.checks_for_assets(CERTIFICATE))
    found = check_of(result, "momentum_never_sees_the_future")
    assert failed(result) == {"momentum_never_sees_the_future"}
    assert "rsi_14 changes with its future" in str(found.description)
    assert not result.success  # what reads the certificate does not run


@pytest.mark.red(*(f"{group.name}_never_sees_the_future" for group in GROUPS))
def test_a_leak_in_any_group_turns_its_check_red(copied: Installation) -> None:
    """One feature of each group that changed with its future: eighteen checks are red."""
    for group in GROUPS:
        altered(copied, group.features[0].name, mismatches=1)
    found = failed(run(copied, dg.AssetSelection.checks_for_assets(CERTIFICATE)))
    assert found == {f"{group.name}_never_sees_the_future" for group in GROUPS}


@pytest.mark.red(PROOF)
@pytest.mark.parametrize("change", [{"values": 0}, {"hash": "0" * 64}, {"mismatches": 2}])
def test_a_feature_without_its_proof_is_kept_out(
    copied: Installation, change: dict[str, object]
) -> None:
    """Silent, of other code or leaking: a training set with it is refused by name."""
    assert checked(copied, TABLE, PROOF).passed
    altered(copied, "fear_greed", **change)
    found = checked(copied, TABLE, PROOF)
    assert not found.passed
    assert "fear_greed" in str(found.description)


@pytest.mark.red(RESTS)
def test_features_of_an_older_market_are_named_by_their_month(copied: Installation) -> None:
    """A settlement that came late makes one pass over the lake differ from the store; made again,
    it does not.
    """
    assert checked(copied, TABLE, RESTS).metadata["differing_bytes"].value == 0
    lake = copied.lake
    day_ms = 24 * HOUR_MS
    early_ms = CUTOFF_MS - 20 * day_ms
    mood = lake.as_of("fear_greed", SYMBOL, CUTOFF_MS, early_ms, early_ms + day_ms)
    late = mood.drop(columns="revision").assign(fear_greed=99.0)
    late["event_time_ms"] += 6 * HOUR_MS
    late["known_at_ms"] = late["event_time_ms"] + HOUR_MS
    assert lake.append("fear_greed", SYMBOL, late, CUTOFF_MS).added == 1
    found = checked(copied, TABLE, RESTS)
    assert not found.passed
    assert found.metadata["first_month"].value == "2025-11"
    assert found.metadata["features_that_differ"].value == "fear_greed"
    copied.make_features()
    assert checked(copied, TABLE, RESTS).passed


def test_the_atr_that_labels_rest_on_is_compared_though_no_model_reads_it(
    copied: Installation,
) -> None:
    """Labels and stops are multiples of the stored ATR: one that is wrong stops a retrain whose set
    of features lacks it.
    """
    configs = copied.home / "configs/features.yaml"
    named = yaml.safe_load(configs.read_text())
    named["sets"]["core"].remove("atr_14")
    configs.write_text(yaml.safe_dump(named))
    assert "atr_14" not in copied.resources["settings"].load().features
    assert checked(copied, TABLE, RESTS).passed
    path = copied.home / f"lake/features/matrix/symbol={SYMBOL}/2025-11.parquet"
    rows = pq.ParquetFile(path).read()
    at = rows.schema.get_field_index("atr_14")
    wrong = pa.array(rows["atr_14"].to_numpy() * 1.5)
    pq.write_table(rows.set_column(at, rows.schema.field(at), wrong), path)
    found = checked(copied, TABLE, RESTS)
    assert not found.passed
    assert found.metadata["features_that_differ"].value == "atr_14"


@pytest.mark.red(REACHES)
def test_a_week_that_was_not_ingested_is_not_trained_on(tmp_path: Path) -> None:
    """A market that ends an hour before the week does makes a training set that stops there."""
    installation = install(tmp_path)
    tables = generated_tables(CUTOFF_MS - HISTORY_WEEKS * WEEK_MS, seed=7, edge=0.12)
    last_ms = CUTOFF_MS - HOUR_MS
    for name, rows in tables.items():
        known = rows[rows["known_at_ms"] <= last_ms].reset_index(drop=True)
        installation.lake.append(name, SYMBOL, known, CUTOFF_MS)
    installation.make_features()
    found = check_of(run(installation, dg.AssetSelection.assets(*MADE)), REACHES)
    assert not found.passed
    assert "2025-12-13 23:00" in str(found.description)


def test_the_training_set_tells_the_digest_of_its_columns(tmp_path: Path) -> None:
    """The schema of a dataset is the hash of its features in their order."""
    installation = install(tmp_path)
    fill_lake(installation.lake)
    installation.make_features()
    result = run(installation, dg.AssetSelection.assets(*MADE))
    events = result.get_asset_materialization_events()
    told = next(e.materialization.metadata for e in events if e.asset_key == dg.AssetKey(TABLE))
    names = installation.resources["settings"].load().features
    assert told["feature_hash"].value == feature_hash(names)[:12]
