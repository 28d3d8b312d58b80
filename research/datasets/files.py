# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pandas ships no types for this; what leaves this file is typed.
"""The training set as files: what a training run reads back is what was built, to the byte."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.digest import canonical_json
from kernel.features.registry import feature_hash
from research.datasets.table import TrainingTable

TABLE = "table.parquet"
FACTS = "table.json"
DATA_DIGEST = "data_digest"


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """A training table, and `data_digest` of the market as it was known when it was built."""

    table: TrainingTable
    data_digest: str


def to_files(training_set: TrainingSet) -> dict[str, bytes]:
    """Return the rows as parquet, the facts as JSON and the digest of the market behind them."""
    import pandas as pd

    table = training_set.table
    columns = {name: table.x[:, column] for column, name in enumerate(table.feature_names)}
    frame = pd.DataFrame(
        {
            "start_ms": table.start_ms,
            "end_ms": table.end_ms,
            "closed_ms": table.closed_ms,
            "bar": table.bar,
            "y": table.y,
            **columns,
        }
    )
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    facts = {
        "feature_names": list(table.feature_names),
        "feature_hash": feature_hash(table.feature_names),
        "coverage": table.coverage,
        "left_out": list(table.left_out),
        "cutoff_ms": table.cutoff_ms,
        "let_out": table.let_out,
        "digest": table.digest,
    }
    return {
        TABLE: buffer.getvalue(),
        FACTS: canonical_json(facts),
        DATA_DIGEST: training_set.data_digest.encode(),
    }


def from_files(files: Mapping[str, bytes]) -> TrainingSet:
    """Return the training set written by `to_files`.

    Raises KeyError when a file is missing, and ValueError where the columns were made by other
    definitions or code than today's catalogue.
    """
    import pandas as pd

    frame: Any = pd.read_parquet(io.BytesIO(files[TABLE]))
    facts = json.loads(files[FACTS])
    names = tuple(facts["feature_names"])
    if facts.get("feature_hash") != feature_hash(names):
        raise ValueError(
            f"training set: found columns of schema {facts.get('feature_hash')}, expected "
            f"{feature_hash(names)} by today's catalogue: materialize datasets/training_set again"
        )
    table = TrainingTable(
        x=np.ascontiguousarray(frame[list(names)].to_numpy(np.float32)),
        y=frame["y"].to_numpy(np.int8),
        start_ms=frame["start_ms"].to_numpy(np.int64),
        end_ms=frame["end_ms"].to_numpy(np.int64),
        closed_ms=_closed(frame, facts["let_out"]),
        bar=frame["bar"].to_numpy(np.int64),
        feature_names=names,
        coverage=facts["coverage"],
        left_out=tuple(facts["left_out"]),
        cutoff_ms=facts["cutoff_ms"],
        let_out=facts["let_out"],
        digest=facts["digest"],
    )
    return TrainingSet(table=table, data_digest=files[DATA_DIGEST].decode())


def _closed(frame: Any, let_out: int) -> NDArray[np.int64]:
    """Return when each label stopped to count.

    Sets of before that was stored hold the number of rows let out for a hole; of the rows without a
    label the others, the last ones, are open still.
    """
    if "closed_ms" in frame:
        return frame["closed_ms"].to_numpy(np.int64)
    closed = frame["end_ms"].to_numpy(np.int64).copy()
    unlearned = np.flatnonzero(frame["y"].to_numpy() < 0)[:let_out]
    closed[unlearned] = frame["start_ms"].to_numpy(np.int64)[unlearned]
    return closed
