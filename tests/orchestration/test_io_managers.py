"""What assets return, stored and read back through real Dagster runs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from orchestration.io_managers import LakeIOManager
from orchestration.partitions import symbol_by_week, week_key

WEEK = "2025-12-14"
KEY = week_key("BTCUSDT", WEEK)


def stored(tmp_path: Path, value: Any, partition_key: str | None = KEY) -> None:
    """Run an asset that returns `value`."""

    @dg.asset(key=["stage", "thing"], partitions_def=symbol_by_week if partition_key else None)
    def thing() -> Any:
        return value

    dg.materialize([thing], partition_key=partition_key, resources=resources(tmp_path))


def loaded(tmp_path: Path, partition_key: str | None = KEY) -> Any:
    """Run an asset that depends on the stored one, and return what it was given."""
    seen: list[Any] = []

    @dg.asset(
        partitions_def=symbol_by_week if partition_key else None,
        ins={"thing": dg.AssetIn(["stage", "thing"])},
    )
    def reader(thing: Any) -> dg.MaterializeResult:
        seen.append(thing)
        return dg.MaterializeResult()

    source = dg.AssetSpec(
        ["stage", "thing"], partitions_def=symbol_by_week if partition_key else None
    )
    dg.materialize(
        [source, reader],
        selection=[reader],
        partition_key=partition_key,
        resources=resources(tmp_path),
    )
    return seen[0]


def resources(tmp_path: Path) -> dict[str, Any]:
    """Return the IO manager on a folder."""
    return {"io_manager": LakeIOManager(root=str(tmp_path))}


def path_of(tmp_path: Path, suffix: str) -> Path:
    """Return where the value of the test's partition lies."""
    return tmp_path / "stage" / "thing" / "symbol=BTCUSDT" / f"{WEEK}{suffix}"


def test_table_comes_back_as_it_was(tmp_path: Path):
    """A DataFrame keeps its columns, types and rows."""
    frame = pd.DataFrame(
        {"a": [1, 2], "b": [0.5, float("nan")], "c": ["x", "y"], "d": [True, False]}
    )
    stored(tmp_path, frame)
    assert path_of(tmp_path, ".parquet").is_file()
    pd.testing.assert_frame_equal(loaded(tmp_path), frame)


def test_record_comes_back_as_it_was(tmp_path: Path):
    """A dict of JSON values is a readable file."""
    record = {"b": [1, 2.5, None], "a": {"é": True}}
    stored(tmp_path, record)
    assert json.loads(path_of(tmp_path, ".json").read_text()) == record
    assert loaded(tmp_path) == record


def test_folder_comes_back_as_it_was(tmp_path: Path):
    """A dict of bytes is one file per name."""
    files = {"signal.onnx": b"\x00\x01", "report.md": b"# hi"}
    stored(tmp_path, files)
    assert (path_of(tmp_path, "") / "report.md").read_bytes() == b"# hi"
    assert loaded(tmp_path) == files


@pytest.mark.parametrize(
    ("first", "second", "left"),
    [
        ({"a": b"1", "b": b"2"}, {"b": b"3"}, [WEEK]),
        ({"a": b"1"}, {"a": 1}, [f"{WEEK}.json"]),
        ({"a": 1}, pd.DataFrame({"a": [1]}), [f"{WEEK}.parquet"]),
        (pd.DataFrame({"a": [1]}), {"a": b"1"}, [WEEK]),
    ],
)
def test_partition_is_replaced_whole(tmp_path: Path, first: Any, second: Any, left: list[str]):
    """Materializing again leaves nothing of the earlier value, whatever its shape was."""
    stored(tmp_path, first)
    stored(tmp_path, second)
    assert sorted(path.name for path in path_of(tmp_path, "").parent.iterdir()) == left
    again = loaded(tmp_path)
    assert again.equals(second) if isinstance(second, pd.DataFrame) else again == second


@pytest.mark.parametrize(
    "make", [lambda: pd.DataFrame({"a": [1.5, 2], "b": ["x", None]}), lambda: {"b": 1, "a": 2}]
)
def test_equal_values_give_equal_bytes(tmp_path: Path, make: Callable[[], Any]):
    """The bytes on disk depend on the value and on nothing else."""
    for folder in ("one", "two"):
        stored(tmp_path / folder, make())
    one, two = (
        [path.read_bytes() for path in sorted((tmp_path / folder).rglob("*")) if path.is_file()]
        for folder in ("one", "two")
    )
    assert one == two
    assert len(one) == 1


def test_unpartitioned_asset_has_one_place(tmp_path: Path):
    """An asset without partitions is stored beside, not inside, the symbols."""
    stored(tmp_path, {"a": 1}, partition_key=None)
    assert (tmp_path / "stage" / "thing" / "all.json").is_file()
    assert loaded(tmp_path, partition_key=None) == {"a": 1}


def test_path_is_shown_to_a_person(tmp_path: Path):
    """The materialization says where the value lies."""

    @dg.asset(key=["stage", "thing"], partitions_def=symbol_by_week)
    def thing() -> dict[str, int]:
        return {"a": 1}

    result = dg.materialize([thing], partition_key=KEY, resources=resources(tmp_path))
    event = result.asset_materializations_for_node("stage__thing")[0]
    assert event.metadata["path"].value == str(path_of(tmp_path, ".json"))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1, 2], "stage/thing: found a list, expected a DataFrame"),
        ({"a": b"1", "b": 2}, "'a' is bytes and 'b' is a int"),
        ({"../a": b"1"}, "expected one without folders"),
        ({"a": float("nan")}, "JSON cannot hold"),
        ({"a": {1, 2}}, "JSON cannot hold"),
        (pd.DataFrame({"a": [1]}, index=["x"]), "an index is not stored"),
    ],
)
def test_value_without_a_place_is_refused(tmp_path: Path, value: Any, message: str):
    """A type that cannot be stored faithfully fails the run, naming the asset and what is right."""
    with pytest.raises(TypeError, match=message):
        stored(tmp_path, value)
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_refused_value_leaves_the_earlier_one(tmp_path: Path):
    """A failed materialization loses nothing."""
    stored(tmp_path, {"a": 1})
    with pytest.raises(TypeError):
        stored(tmp_path, {"a": float("inf")})
    assert loaded(tmp_path) == {"a": 1}


def test_missing_partition_says_what_to_materialize(tmp_path: Path):
    """Loading what was never made names the asset, the partition and the remedy."""
    with pytest.raises(FileNotFoundError, match="stage/thing") as error:
        loaded(tmp_path)
    assert f"materialize stage/thing for {KEY} first" in str(error.value)


def test_several_partitions_come_as_a_dict(tmp_path: Path):
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
    def reader(thing: Any) -> dg.MaterializeResult:
        seen.append(thing)
        return dg.MaterializeResult()

    instance = dg.DagsterInstance.ephemeral()
    for key in weeks.get_partition_keys():
        dg.materialize([thing], partition_key=key, resources=resources(tmp_path), instance=instance)
    dg.materialize(
        [thing, reader], selection=[reader], resources=resources(tmp_path), instance=instance
    )
    assert seen == [{key: {"key": key} for key in weeks.get_partition_keys()}]
