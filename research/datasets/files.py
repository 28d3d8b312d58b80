# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pandas ships no types for this; what leaves this file is typed.
"""The training table as files: what a training run reads back is what was built, to the byte."""

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from kernel.digest import canonical_json
from kernel.features.registry import feature_hash
from research.datasets.table import TrainingTable

TABLE, FACTS, DATA_DIGEST = "table.parquet", "table.json", "data_digest"


def to_files(table: TrainingTable, data_digest: str) -> dict[str, bytes]:
    """Return the rows as parquet, the facts as JSON and the digest of the market behind them."""
    import pandas as pd

    columns = {name: table.x[:, column] for column, name in enumerate(table.feature_names)}
    frame = pd.DataFrame(
        {
            "start_ms": table.start_ms,
            "end_ms": table.end_ms,
            "bar": table.bar,
            "y": table.y,
            "weight": table.weights,
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
        "digest": table.digest,
    }
    return {
        TABLE: buffer.getvalue(),
        FACTS: canonical_json(facts),
        DATA_DIGEST: data_digest.encode(),
    }


def from_files(files: Mapping[str, bytes]) -> TrainingTable:
    """Return the table written by `to_files`.

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
    return TrainingTable(
        x=np.ascontiguousarray(frame[list(names)].to_numpy(np.float32)),
        y=frame["y"].to_numpy(np.int8),
        start_ms=frame["start_ms"].to_numpy(np.int64),
        end_ms=frame["end_ms"].to_numpy(np.int64),
        bar=frame["bar"].to_numpy(np.int64),
        weights=frame["weight"].to_numpy(np.float64),
        feature_names=names,
        coverage=facts["coverage"],
        left_out=tuple(facts["left_out"]),
        cutoff_ms=facts["cutoff_ms"],
        digest=facts["digest"],
    )
