"""Store what assets return: tables, records and folders, one place per name and partition."""

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from market_data.storage.objects import Storage, storage
from market_data.storage.parquet import parquet_bytes
from orchestration.partitions import dimensions

if TYPE_CHECKING:
    import pandas as pd

SHAPES = (".parquet", ".json", ".zip")
_UNDATED = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can name


class LakeIOManager(dg.ConfigurableIOManager):
    """Keep each partition as one object, `<root>/<stage>/<name>/symbol=<S>/<first day>.<shape>`.

    A DataFrame becomes parquet, a dict of JSON values json, a dict of file name to bytes a zip; on
    reading, what exists decides. Because a value is one object, a reader of any folder or bucket
    sees the old one or the new one whole. Equal values give equal bytes, and nothing is pickled.
    `root` is a folder or s3://bucket/prefix.
    """

    root: str

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Store one value; raise TypeError for one that has no place here."""
        key = context.asset_key
        place = _place(key, context.partition_key if context.has_asset_partitions else None)
        shape, content = _encoded(obj, key)
        self._storage.replace(place + shape, content)
        for other in SHAPES:
            if other != shape:
                self._storage.delete(place + other)
        context.add_output_metadata({"path": self._storage.path(place + shape)})

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
        place = _place(key, partition)
        for shape in SHAPES:
            content = self._storage.read(place + shape)
            if content is not None:
                return _decoded(shape, content)
        name = key.to_user_string()
        where = f"partition {partition}" if partition else "its one partition"
        raise FileNotFoundError(
            f"{name}, {where}: found nothing at {self._storage.path(place)} ({', '.join(SHAPES)}), "
            f"expected a stored value: materialize {name} for {partition or 'all'} first"
        )

    @property
    def _storage(self) -> Storage:
        return storage(self.root)


def _place(key: dg.AssetKey, partition: str | None) -> str:
    folder = "/".join(key.path)
    if partition is None:
        return f"{folder}/all"
    symbol, day = dimensions(partition)
    return f"{folder}/symbol={symbol}/{day}"


def _encoded(value: Any, key: dg.AssetKey) -> tuple[str, bytes]:
    """Return the shape for the type of `value`, and its bytes."""
    import pandas as pd

    if isinstance(value, pd.DataFrame):
        return ".parquet", parquet_bytes(_table(value, key))
    if isinstance(value, Mapping) and _is_folder(value, key):
        return ".zip", _zipped(value)
    if isinstance(value, Mapping):
        return ".json", _record(value, key)
    raise TypeError(
        f"{key.to_user_string()}: found a {type(value).__name__}, expected a DataFrame, a dict of "
        "JSON values or a dict of file name to bytes: return one of these"
    )


def _decoded(shape: str, content: bytes) -> Any:
    if shape == ".parquet":
        return _read_table(content)
    return json.loads(content) if shape == ".json" else _unzipped(content)


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


def _read_table(content: bytes) -> "pd.DataFrame":
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.ParquetFile(pa.BufferReader(content)).read().to_pandas()


def _zipped(files: Mapping[str, bytes]) -> bytes:
    """Return the files in one, by name, without dates and uncompressed: equal bytes when equal."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, _UNDATED), files[name])
    return buffer.getvalue()


def _unzipped(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
