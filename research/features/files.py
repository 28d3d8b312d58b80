# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pandas ships no types for this; what leaves this file is typed.
"""The feature report of a week as files: tables, clusters and pictures."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.digest import canonical_json
from research.datasets.table import TrainingTable, blocks
from research.features.collinearity import Cluster, Collinearity, collinearity
from research.features.pictures import clusters_png, distributions_png, stability_png
from research.features.report import Columns, Table, constants, months
from research.settings import ValidationSettings

MONTHS = "months.parquet"
CONSTANTS = "constants.parquet"
CLUSTERS = "clusters.json"
STABILITY = "stability.png"
LIKES = "clusters.png"
DISTRIBUTIONS = "distributions.png"
PICTURES = (STABILITY, LIKES, DISTRIBUTIONS)


@dataclass(frozen=True, slots=True)
class FeatureReport:
    """What a person reads about all features before trusting a model with them.

    `months` and `constants` are the tables of `feature_report`. `learned_ms` is the span of the
    training window of the first gate fold: what came after it was judged, not learned.
    """

    months: Table
    constants: Table
    alike: Collinearity
    learned_ms: tuple[int, int]


@dataclass(frozen=True, slots=True)
class PicturedReport:
    """The report as it is kept: tables, clusters, and pictures as PNG bytes by file name."""

    months: Table
    constants: Table
    clusters: tuple[Cluster, ...]
    pictures: Mapping[str, bytes]


def report(columns: Columns, table: TrainingTable, validation: ValidationSettings) -> FeatureReport:
    """Return the report on features of the training table's own rows, see `rows_of`.

    Raises ValueError for other rows, and where there are fewer folds than gate folds.
    """
    if len(columns.open_time_ms) != len(table.start_ms):
        raise ValueError(
            f"features: found {len(columns.open_time_ms)} rows, expected the training set's "
            f"{len(table.start_ms)}"
        )
    folds = blocks(table.start_ms, table.end_ms, validation)
    if len(folds) < validation.gate_folds:
        raise ValueError(
            f"history: found {len(folds)} folds, expected at least {validation.gate_folds}"
        )
    learned = folds[-validation.gate_folds].train
    return FeatureReport(
        months(columns, learned),
        constants(columns, folds),
        collinearity(columns.values[learned], columns.names),
        (int(table.start_ms[learned[0]]), folds[-validation.gate_folds].test_start_ms),
    )


def rows_of(frame: Table, names: Sequence[str], table: TrainingTable, bar_ms: int) -> Columns:
    """Return the named columns of a feature frame at the training table's rows.

    Raises ValueError where the frame lacks one of them.
    """
    opened: NDArray[np.int64] = frame["open_time_ms"].to_numpy(np.int64)
    wanted = table.start_ms - bar_ms
    at = np.minimum(np.searchsorted(opened, wanted), max(len(opened) - 1, 0))
    if not len(opened) or not np.array_equal(opened[at], wanted):
        raise ValueError(
            f"features: found {int(np.isin(wanted, opened).sum())} of the training set's "
            f"{len(wanted)} rows, expected all: materialize features/matrix, then the training set"
        )
    return Columns(wanted, frame[list(names)].to_numpy(np.float64)[at], tuple(names))


def pictured(found: FeatureReport) -> PicturedReport:
    """Return the report with its three pictures; equal reports give equal bytes."""
    return PicturedReport(
        months=found.months,
        constants=found.constants,
        clusters=found.alike.clusters,
        pictures={
            STABILITY: stability_png(found.months),
            LIKES: clusters_png(found.alike),
            DISTRIBUTIONS: distributions_png(found.months),
        },
    )


def to_files(kept: PicturedReport) -> dict[str, bytes]:
    """Return months.parquet, constants.parquet, clusters.json and the pictures."""
    return {
        MONTHS: _parquet(kept.months),
        CONSTANTS: _parquet(kept.constants),
        CLUSTERS: canonical_json([asdict(cluster) for cluster in kept.clusters]),
        **kept.pictures,
    }


def from_files(files: Mapping[str, bytes]) -> PicturedReport:
    """Return the report that `to_files` wrote; raise KeyError when a file is missing."""
    return PicturedReport(
        months=_read(files[MONTHS]),
        constants=_read(files[CONSTANTS]),
        clusters=tuple(
            Cluster(names=tuple(one["names"]), centre=one["centre"], weakest=one["weakest"])
            for one in json.loads(files[CLUSTERS])
        ),
        pictures={name: files[name] for name in PICTURES},
    )


def _parquet(table: Table) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _read(content: bytes) -> Any:
    import pandas as pd

    return pd.read_parquet(io.BytesIO(content))
