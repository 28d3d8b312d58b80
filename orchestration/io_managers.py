"""Store what assets return: tables, records and folders, one place per name and partition."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from orchestration.partitions import dimensions
from orchestration.resources.parquet import parquet_bytes, replace_file, sync_folder

if TYPE_CHECKING:
    import pandas as pd


class LakeIOManager(dg.ConfigurableIOManager):
    """Keep each partition at `<root>/<stage>/<name>/symbol=<S>/<first day>`.

    A DataFrame becomes `.parquet`, a dict of JSON values `.json`, a dict of file name to bytes a
    folder; on reading, what exists decides. A partition is replaced whole or not at all, equal
    values give equal bytes, and nothing is pickled.
    """

    root: str

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Store one value; raise TypeError for one that has no place here."""
        key = context.asset_key
        path = self._path(key, context.partition_key if context.has_asset_partitions else None)
        suffix = _write(path, obj, key)
        for other in {".parquet", ".json", ""} - {suffix}:
            _remove(_with(path, other))
        context.add_output_metadata({"path": str(_with(path, suffix))})

    def load_input(self, context: dg.InputContext) -> Any:
        """Return the stored value, or a dict by partition key where the input spans several."""
        key = context.asset_key
        if not context.has_asset_partitions:
            return self.read(key, None)
        partitions = context.asset_partition_keys
        if len(partitions) == 1:
            return self.read(key, partitions[0])
        return {partition: self.read(key, partition) for partition in partitions}

    def read(self, key: dg.AssetKey, partition: str | None) -> Any:
        """Return one stored value; raise FileNotFoundError that names what to materialize."""
        path = self._path(key, partition)
        if (table := _with(path, ".parquet")).is_file():
            return _read_table(table)
        if (record := _with(path, ".json")).is_file():
            return json.loads(record.read_bytes())
        if path.is_dir():
            return {file.name: file.read_bytes() for file in sorted(path.iterdir())}
        name = key.to_user_string()
        where = f"partition {partition}" if partition else "its one partition"
        raise FileNotFoundError(
            f"{name}, {where}: found nothing at {path}.parquet, .json or as a folder; "
            f"expected a stored value: materialize {name} for {partition or 'all'} first"
        )

    def _path(self, key: dg.AssetKey, partition: str | None) -> Path:
        folder = Path(self.root).joinpath(*key.path)
        if partition is None:
            return folder / "all"
        symbol, day = dimensions(partition)
        return folder / f"symbol={symbol}" / day


def _write(path: Path, value: Any, key: dg.AssetKey) -> str:
    """Write `value` in the shape of its type and return the suffix of that shape."""
    import pandas as pd

    if isinstance(value, pd.DataFrame):
        replace_file(_with(path, ".parquet"), parquet_bytes(_table(value, key)))
        return ".parquet"
    if isinstance(value, Mapping) and _is_folder(value, key):
        _replace_folder(path, value)
        return ""
    if isinstance(value, Mapping):
        replace_file(_with(path, ".json"), _record(value, key))
        return ".json"
    raise TypeError(
        f"{key.to_user_string()}: found a {type(value).__name__}, expected a DataFrame, a dict of "
        "JSON values or a dict of file name to bytes: return one of these"
    )


def _is_folder(value: Mapping[Any, Any], key: dg.AssetKey) -> bool:
    files = [name for name, content in value.items() if isinstance(content, bytes)]
    if files and len(files) < len(value):
        other = next(name for name in value if name not in files)
        raise TypeError(
            f"{key.to_user_string()}: {files[0]!r} is bytes and {other!r} is a "
            f"{type(value[other]).__name__}, expected all bytes (a folder) or none (a record)"
        )
    for name in files:
        if not isinstance(name, str) or name != Path(name).name or name.startswith("."):
            raise TypeError(
                f"{key.to_user_string()}: found file name {name!r}, expected one without folders"
            )
    return bool(files)


def _table(frame: "pd.DataFrame", key: dg.AssetKey) -> Any:
    import pandas as pd
    import pyarrow as pa

    if not isinstance(frame.index, pd.RangeIndex):
        raise TypeError(
            f"{key.to_user_string()}: found a DataFrame with index {type(frame.index).__name__}, "
            "expected plain row numbers, for an index is not stored: call reset_index()"
        )
    return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)


def _record(value: Mapping[Any, Any], key: dg.AssetKey) -> bytes:
    try:
        text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{key.to_user_string()}: found a value that JSON cannot hold ({error}), "
            "expected text, finite numbers, booleans, lists, dicts or None"
        ) from error
    return text.encode() + b"\n"


def _read_table(path: Path) -> "pd.DataFrame":
    import pyarrow.parquet as pq

    return pq.ParquetFile(path).read().to_pandas()


def _replace_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Build the new folder beside the old one, then change places."""
    fresh, old = (path.with_name(f".{path.name}.{os.getpid()}.{part}") for part in ("new", "old"))
    _remove(fresh)
    for name, content in files.items():
        replace_file(fresh / name, content)
    if path.exists():
        path.replace(old)
    fresh.replace(path)
    sync_folder(path.parent)
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _with(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
