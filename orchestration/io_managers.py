"""Store what assets return, one place per name and partition, by the codec of its type."""

from dataclasses import dataclass
from typing import Any, TypeVar, get_args

import dagster as dg

from kernel.digest import sha256_hex
from kernel.errors import MissingError
from market_data.storage.objects import Storage, storage
from orchestration.codecs import SHAPES, Codec, codec_of
from orchestration.partitions import dimensions
from orchestration.resources.failures import failures

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class LakeIOManager(dg.IOManager):
    """Keep each partition as one object, `<root>/<stage>/<name>/symbol=<S>/<first day>.<shape>`.

    The type of a value chooses its codec when it is stored, the annotation of the reader's argument
    when it is read. Because a value is one object, a reader of any folder or bucket sees the old
    one or the new one whole. `root` is a folder or s3://bucket/prefix.
    """

    root: str

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Store one value; raise TypeError for one that has no codec or does not fit its own."""
        key = context.asset_key
        place = _place(key, context.partition_key if context.has_asset_partitions else None)
        try:
            codec = codec_of(type(obj))
            content = codec.to_bytes(obj)
        except TypeError as error:
            raise TypeError(f"{key.to_user_string()}: {error}") from error
        self._storage.replace(place + codec.shape, content)
        for other in SHAPES:
            if other != codec.shape:  # an earlier version stored another type here
                self._storage.delete(place + other)
        context.add_output_metadata({"path": self._storage.path(place + codec.shape)})

    @failures()
    def load_input(self, context: dg.InputContext) -> Any:
        """Return the stored value, or a dict by partition key where the input spans several.

        What is not there is not there a minute later either: a step is not tried again for it.
        """
        key = context.asset_key
        wanted = context.dagster_type.typing_type
        if not context.has_asset_partitions:
            return self.read(key, None, wanted)
        partitions = context.asset_partition_keys
        if len(partitions) == 1:
            return self.read(key, partitions[0], wanted)
        _, one = get_args(wanted)
        return {partition: self.read(key, partition, one) for partition in partitions}

    def read(self, key: dg.AssetKey, partition: str | None, wanted: type[T]) -> T:
        """Return one stored value as its type; raise MissingError that names what to
        materialize.
        """
        name = key.to_user_string()
        try:
            codec = codec_of(wanted)
        except TypeError as error:
            raise TypeError(f"{name}: {error}") from error
        content = self._storage.read(_place(key, partition) + codec.shape)
        if content is None:
            raise MissingError(self._missing(key, partition, codec))
        return codec.from_bytes(content)

    def digest(self, key: dg.AssetKey, partition: str) -> str:
        """Return the sha256 of what is stored of a partition, hex; 'nothing' where nothing is."""
        found = [self._storage.read(_place(key, partition) + shape) for shape in SHAPES]
        content = next((one for one in found if one is not None), None)
        return "nothing" if content is None else sha256_hex(content)

    def _missing(self, key: dg.AssetKey, partition: str | None, codec: Codec) -> str:
        name = key.to_user_string()
        where = f"partition {partition}" if partition else "its one partition"
        path = self._storage.path(_place(key, partition) + codec.shape)
        return (
            f"{name}, {where}: found nothing at {path}, expected a stored value: materialize "
            f"{name} for {partition or 'all'} first"
        )

    def days(self, key: dg.AssetKey, symbol: str) -> list[str]:
        """Return the first days, ascending, of the weeks or months that are stored of a symbol."""
        names = self._storage.names(f"{'/'.join(key.path)}/symbol={symbol}")
        return sorted({name.partition(".")[0] for name in names if name.endswith(SHAPES)})

    @property
    def _storage(self) -> Storage:
        return storage(self.root)


def _place(key: dg.AssetKey, partition: str | None) -> str:
    folder = "/".join(key.path)
    if partition is None:
        return f"{folder}/all"
    symbol, day = dimensions(partition)
    return f"{folder}/symbol={symbol}/{day}"
