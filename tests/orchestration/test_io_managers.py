"""What assets return, stored by the codec of its type and read back through real Dagster runs."""

import io
import json
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from market_data.storage.objects import storage
from orchestration.codecs import codec_of, codecs
from orchestration.definitions import code_location
from orchestration.environments import Environment
from orchestration.io_managers import LakeIOManager
from orchestration.partitions import symbol_by_week, week_key
from research.bundles.seal import Sealed
from research.features.collinearity import Cluster
from research.features.files import PICTURES, PicturedReport

WEEK = "2025-12-14"
KEY = week_key("BTCUSDT", WEEK)


def stored(root: str, value: Any, partition_key: str | None = KEY) -> None:
    """Run an asset that returns `value`."""

    @dg.asset(key=["stage", "thing"], partitions_def=symbol_by_week if partition_key else None)
    def thing() -> Any:
        return value

    dg.materialize([thing], partition_key=partition_key, resources=resources(root))


def loaded(root: str, kind: Any, partition_key: str | None = KEY) -> Any:
    """Run an asset that depends on the stored one as `kind`, and return what it was given."""
    seen: list[Any] = []

    @dg.asset(
        partitions_def=symbol_by_week if partition_key else None,
        ins={"thing": dg.AssetIn(["stage", "thing"])},
    )
    def reader(thing: kind) -> dg.MaterializeResult:  # type: ignore[valid-type]
        seen.append(thing)
        return dg.MaterializeResult()

    source = dg.AssetSpec(
        ["stage", "thing"], partitions_def=symbol_by_week if partition_key else None
    )
    dg.materialize(
        [source, reader],
        selection=[reader],
        partition_key=partition_key,
        resources=resources(root),
    )
    return seen[0]


def report(picture: bytes) -> PicturedReport:
    """Return a small value of a type that is several files, every picture of which is `picture`."""
    return PicturedReport(
        months=pd.DataFrame({"feature": ["rsi_14"], "rows": [3]}),
        constants=pd.DataFrame({"feature": ["basis"]}),
        clusters=(Cluster(names=("rsi_14", "rsi_28"), centre="rsi_14", weakest=0.93),),
        pictures=dict.fromkeys(PICTURES, picture),
    )


def resources(root: str) -> dict[str, Any]:
    """Return the IO manager on a folder or a bucket."""
    return {"io_manager": LakeIOManager(root=root)}


def names(root: str) -> list[str]:
    """Return the files of the test's partition."""
    return storage(root).names("stage/thing/symbol=BTCUSDT")


def content(root: str, shape: str) -> bytes:
    """Return the bytes of the test's partition."""
    found = storage(root).read(f"stage/thing/symbol=BTCUSDT/{WEEK}{shape}")
    assert found is not None
    return found


def test_table_comes_back_as_it_was(root: str):
    """A DataFrame keeps its columns, types and rows."""
    frame = pd.DataFrame(
        {"a": [1, 2], "b": [0.5, float("nan")], "c": ["x", "y"], "d": [True, False]}
    )
    stored(root, frame)
    assert names(root) == [f"{WEEK}.parquet"]
    pd.testing.assert_frame_equal(loaded(root, pd.DataFrame), frame)


def test_record_comes_back_as_it_was(root: str):
    """A dict of JSON values is a readable file."""
    record = {"b": [1, 2.5, None], "a": {"é": True}}
    stored(root, record)
    assert json.loads(content(root, ".json")) == record
    assert loaded(root, dict) == record


def test_folder_comes_back_as_it_was(root: str):
    """A type of several files is one zip, which a person can open, with one file per name."""
    stored(root, report(b"\x89PNG"))
    with zipfile.ZipFile(io.BytesIO(content(root, ".zip"))) as archive:
        assert archive.read("stability.png") == b"\x89PNG"
    found = loaded(root, PicturedReport)
    assert found.pictures == report(b"\x89PNG").pictures
    assert found.clusters == report(b"").clusters
    pd.testing.assert_frame_equal(found.months, report(b"").months)


@pytest.mark.parametrize(
    ("first", "second", "left"),
    [
        ("picture", "another picture", [f"{WEEK}.zip"]),
        ("picture", {"a": 1}, [f"{WEEK}.json"]),
        ({"a": 1}, pd.DataFrame({"a": [1]}), [f"{WEEK}.parquet"]),
        (pd.DataFrame({"a": [1]}), "picture", [f"{WEEK}.zip"]),
    ],
)
def test_partition_is_replaced_whole(root: str, first: Any, second: Any, left: list[str]):
    """Materializing again leaves nothing of the earlier value, whatever its shape was."""
    values = [report(one.encode()) if isinstance(one, str) else one for one in (first, second)]
    for value in values:
        stored(root, value)
    assert names(root) == left
    codec = codec_of(type(values[1]))
    assert codec.to_bytes(loaded(root, type(values[1]))) == codec.to_bytes(values[1])


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: pd.DataFrame({"a": [1.5, 2], "b": ["x", None]}), ".parquet"),
        (lambda: {"b": 1, "a": 2}, ".json"),
        (lambda: report(b"1"), ".zip"),
    ],
)
def test_equal_values_give_equal_bytes(tmp_path: Path, make: Callable[[], Any], shape: str):
    """The bytes stored depend on the value and on nothing else."""
    roots = [str(tmp_path / name) for name in ("one", "two")]
    for root in roots:
        stored(root, make())
    assert content(roots[0], shape) == content(roots[1], shape)


def test_reader_sees_an_old_folder_or_a_new_one_and_no_mix(root: str):
    """While a folder is replaced again and again every reader gets files of one value."""
    manager = LakeIOManager(root=root)
    key = dg.AssetKey(["stage", "thing"])

    def write(number: int) -> None:
        stored(root, report(b"%d" % number))

    write(0)
    with ThreadPoolExecutor(1) as pool:
        writing = [pool.submit(write, number) for number in range(1, 6)]
        while not all(future.done() for future in writing):
            assert len(set(manager.read(key, KEY, PicturedReport).pictures.values())) == 1
    assert set(manager.read(key, KEY, PicturedReport).pictures.values()) == {b"5"}


def test_unpartitioned_asset_has_one_place(root: str):
    """An asset without partitions is stored beside, not inside, the symbols."""
    stored(root, {"a": 1}, partition_key=None)
    assert storage(root).names("stage/thing") == ["all.json"]
    assert loaded(root, dict, partition_key=None) == {"a": 1}


def test_path_is_shown_to_a_person(root: str):
    """The materialization says where the value lies."""

    @dg.asset(key=["stage", "thing"], partitions_def=symbol_by_week)
    def thing() -> dict[str, int]:
        return {"a": 1}

    result = dg.materialize([thing], partition_key=KEY, resources=resources(root))
    event = result.asset_materializations_for_node("stage__thing")[0]
    assert event.metadata["path"].value == f"{root}/stage/thing/symbol=BTCUSDT/{WEEK}.json"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            [1, 2],
            "stage/thing: found a value of type list, expected one of Accounts",
        ),
        ({"a": b"1"}, "JSON cannot hold"),
        (
            PicturedReport(pd.DataFrame(), pd.DataFrame(), (), {"../a": b"1"}),
            "expected one without folders",
        ),
        ({"a": float("nan")}, "JSON cannot hold"),
        ({"a": {1, 2}}, "JSON cannot hold"),
        (pd.DataFrame({"a": [1]}, index=["x"]), "an index is not stored"),
    ],
)
def test_value_without_a_place_is_refused(root: str, value: Any, message: str):
    """A type that cannot be stored faithfully fails the run, naming the asset and what is right."""
    with pytest.raises(TypeError, match=message):
        stored(root, value)
    assert names(root) == []


def test_refused_value_leaves_the_earlier_one(root: str):
    """A failed materialization loses nothing."""
    stored(root, {"a": 1})
    with pytest.raises(TypeError):
        stored(root, {"a": float("inf")})
    assert loaded(root, dict) == {"a": 1}


def test_missing_partition_says_what_to_materialize(root: str):
    """Loading what was never made names the asset, the partition and the remedy, and is not tried
    again: it would not be there a minute later either.
    """
    with pytest.raises(dg.Failure, match="stage/thing") as error:
        loaded(root, dict)
    assert f"materialize stage/thing for {KEY} first" in str(error.value.description)
    assert not error.value.allow_retries


def test_several_partitions_come_as_a_dict(root: str):
    """An unpartitioned reader of a partitioned asset gets every partition by its key."""
    weeks = dg.MultiPartitionsDefinition(
        {
            "symbol": dg.StaticPartitionsDefinition(["BTCUSDT", "ETHUSDT"]),
            "week": dg.StaticPartitionsDefinition([WEEK]),
        }
    )
    seen: list[Any] = []

    @dg.asset(key=["stage", "thing"], partitions_def=weeks)
    def thing(context: dg.AssetExecutionContext) -> dict[str, str]:
        return {"key": context.partition_key}

    @dg.asset(ins={"thing": dg.AssetIn(["stage", "thing"])})
    def reader(thing: dict[str, dict[str, str]]) -> dg.MaterializeResult:
        seen.append(thing)
        return dg.MaterializeResult()

    instance = dg.DagsterInstance.ephemeral()
    for key in weeks.get_partition_keys():
        dg.materialize([thing], partition_key=key, resources=resources(root), instance=instance)
    dg.materialize(
        [thing, reader], selection=[reader], resources=resources(root), instance=instance
    )
    assert seen == [{key: {"key": key} for key in weeks.get_partition_keys()}]


def test_a_lake_of_an_earlier_version_is_read(root: str):
    """Objects as they were laid down before types had codecs: same names, same bytes."""
    record = {
        "data_digest": "c",
        "digest": "a",
        "gate_report_digest": "d",
        "symbol": "BTCUSDT",
        "tracking_run": "e",
    }
    old = json.dumps(record, sort_keys=True, indent=1, ensure_ascii=False).encode() + b"\n"
    storage(root).replace(f"stage/thing/symbol=BTCUSDT/{WEEK}.json", old)
    found = loaded(root, Sealed)
    assert found == Sealed(
        digest="a", symbol="BTCUSDT", data_digest="c", gate_report_digest="d", tracking_run="e"
    )
    stored(root, found)
    assert content(root, ".json") == old


def test_every_asset_hands_on_a_type_with_a_codec():
    """What an asset or check of the whole code location reads is annotated, never left open."""
    location = code_location(Environment.from_environ({}))
    nodes = [one.node_def for one in location.resolve_asset_graph().assets_defs if one.keys]
    annotations = {
        (node.name, name): one.dagster_type.typing_type
        for node in nodes
        for name, one in node.input_dict.items()
        if not one.dagster_type.is_nothing
    }
    assert annotations
    for place, found in annotations.items():
        assert found in codecs(), place
