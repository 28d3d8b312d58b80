"""How each type that assets hand to each other lies in the lake: one codec a type.

A table is parquet, a record is JSON, several files are one zip. Equal values give equal bytes, and
nothing is pickled. What a stage's type is made of is written and read beside the type itself; here
stands only which of the three shapes it has.
"""

import functools
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_origin

from market_data.storage.parquet import parquet_bytes
from research.bundles.seal import Sealed
from research.datasets import files as dataset_files
from research.datasets import matrix
from research.datasets.files import TrainingSet
from research.datasets.matrix import LabelledBars
from research.features import files as feature_files
from research.features.certificate import LeakCertificate
from research.features.files import PicturedReport
from research.gates.accounts import Accounts
from research.gates.evidence import Evaluation
from research.gates.gates import GateReport
from research.promotion.records import PromotionRequest
from research.training import candidate, tracked
from research.training.candidate import Candidate
from research.training.selection import Proposals
from research.training.tracked import TrackedCandidate

TABLE = ".parquet"
RECORD = ".json"
FOLDER = ".zip"
SHAPES = (TABLE, RECORD, FOLDER)
_UNDATED = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can name


@dataclass(frozen=True, slots=True)
class Codec:
    """One type as bytes and back; `shape` is the ending of its objects in the lake."""

    shape: str
    to_bytes: Callable[[Any], bytes]
    from_bytes: Callable[[bytes], Any]


def as_table(to_frame: Callable[[Any], Any], from_frame: Callable[[Any], Any]) -> Codec:
    """Return the codec of a type that is one DataFrame."""
    return Codec(
        shape=TABLE,
        to_bytes=lambda value: parquet_bytes(_arrow(to_frame(value))),
        from_bytes=lambda content: from_frame(_frame(content)),
    )


def as_record(
    to_dict: Callable[[Any], Mapping[str, Any]], from_dict: Callable[[Mapping[str, Any]], Any]
) -> Codec:
    """Return the codec of a type that is one dict of JSON values."""
    return Codec(
        shape=RECORD,
        to_bytes=lambda value: _json(to_dict(value)),
        from_bytes=lambda content: from_dict(json.loads(content)),
    )


def as_folder(
    to_files: Callable[[Any], Mapping[str, bytes]], from_files: Callable[[Mapping[str, bytes]], Any]
) -> Codec:
    """Return the codec of a type that is several files, by names without folders."""
    return Codec(
        shape=FOLDER,
        to_bytes=lambda value: _zipped(to_files(value)),
        from_bytes=lambda content: from_files(_unzipped(content)),
    )


def codec_of(annotation: Any) -> Codec:
    """Return the codec of a type; raise TypeError that names the types there are."""
    found = codecs().get(get_origin(annotation) or annotation)
    if found is None:
        name = getattr(annotation, "__name__", str(annotation))
        known = ", ".join(sorted(one.__name__ for one in codecs()))
        raise TypeError(
            f"found a value of type {name}, expected one of {known}: return and take one of "
            "these, or give the type a codec in orchestration/codecs.py"
        )
    return found


@functools.cache
def codecs() -> Mapping[type, Codec]:
    """Return every codec by type."""
    import pandas as pd

    return {
        LabelledBars: as_table(matrix.label_frame, matrix.labels_of),
        TrainingSet: as_folder(dataset_files.to_files, dataset_files.from_files),
        Candidate: as_folder(candidate.to_files, candidate.from_files),
        TrackedCandidate: as_folder(tracked.to_files, tracked.from_files),
        LeakCertificate: as_record(LeakCertificate.to_dict, LeakCertificate.from_dict),
        PicturedReport: as_folder(feature_files.to_files, feature_files.from_files),
        Proposals: as_record(Proposals.to_record, Proposals.from_record),
        Evaluation: as_record(Evaluation.to_dict, Evaluation.from_dict),
        Accounts: as_record(Accounts.to_dict, Accounts.from_dict),
        GateReport: as_record(GateReport.to_dict, GateReport.from_dict),
        Sealed: as_record(Sealed.to_dict, Sealed.from_dict),
        PromotionRequest: as_record(PromotionRequest.to_dict, PromotionRequest.from_dict),
        pd.DataFrame: as_table(_same, _same),
        dict: as_record(_same, _same),
    }


def _same(value: Any) -> Any:
    return value


def _arrow(frame: Any) -> Any:
    import pandas as pd
    import pyarrow as pa

    if not isinstance(frame.index, pd.RangeIndex):
        raise TypeError(
            f"found a DataFrame with index {type(frame.index).__name__}, expected plain row "
            "numbers, for an index is not stored: call reset_index()"
        )
    # its metadata name the pandas that wrote it, and equal tables shall be equal bytes
    return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)


def _frame(content: bytes) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.ParquetFile(pa.BufferReader(content)).read().to_pandas()


def _json(value: Mapping[str, Any]) -> bytes:
    try:
        text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"found a value that JSON cannot hold ({error}), "
            "expected text, finite numbers, booleans, lists, dicts or None"
        ) from error
    return text.encode() + b"\n"


def _zipped(files: Mapping[str, bytes]) -> bytes:
    """Return the files in one, by name, without dates and uncompressed: equal bytes when equal."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(files):
            if name != Path(name).name or name.startswith("."):
                raise TypeError(f"found file name {name!r}, expected one without folders")
            archive.writestr(zipfile.ZipInfo(name, _UNDATED), files[name])
    return buffer.getvalue()


def _unzipped(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
