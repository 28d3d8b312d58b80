# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pandas ships no types for this; what leaves this file is typed.
"""How every feature is distributed month by month, and whether it still is what models learned."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.features.registry import feature, flags_a_missing_input
from research.validation.folds import Fold

BINS = 10
# Siddiqi, Credit Risk Scorecards (2006): no, some, large shift
STABLE_PSI = 0.1
DRIFTED_PSI = 0.25
LEAST_SHARE = 1e-4  # what an empty bin counts as, so that its logarithm exists
LEAST_ROWS = 672  # a week of 15-minute bars: a shorter month has no PSI
CONSTANT_SHARE = 0.999
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
Float64 = NDArray[np.float64]
Table = Any  # a pandas DataFrame: its stubs leave every cell unknown


@dataclass(frozen=True, slots=True)
class Columns:
    """Features as computed: `values` float64[n, F], NaN where there is none, one row per bar.

    `open_time_ms` int64[n] ascends; `names` are the columns in order, all known to the registry.
    """

    open_time_ms: NDArray[np.int64]
    values: Float64
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        expected = (len(self.open_time_ms), len(self.names))
        if self.values.shape != expected:
            raise ValueError(f"features: found shape {self.values.shape}, expected {expected}")


def months(columns: Columns, learned: NDArray[np.intp]) -> Table:
    """Return a row per feature and calendar month (UTC): distribution, missing, range and PSI.

    `learned` are the rows of the training window. Columns: feature, group, month (YYYY-MM), rows,
    missing (share), q01 … q99 (of the values there are), below and above (values outside the
    registry's range), psi against `learned` (NaN in a month of less than a week) and inside
    (whether the month begins within the window).
    """
    import pandas as pd

    parts = list(_month_slices(columns.open_time_ms))
    last_ms = int(columns.open_time_ms[learned[-1]])
    records: list[dict[str, Any]] = []
    for at, name in enumerate(columns.names):
        values = np.ascontiguousarray(columns.values[:, at])
        shift = Shift(values[learned])
        for month, rows in parts:
            inside = int(columns.open_time_ms[rows.start]) <= last_ms
            records.append(
                {"feature": name, "group": feature(name).group, "month": month}
                | _distribution(name, values[rows])
                | {"psi": _psi(shift, values[rows]), "inside": inside}
            )
    return pd.DataFrame(records)


def _psi(shift: "Shift", values: Float64) -> float:
    return shift.psi(values) if len(values) >= LEAST_ROWS else float("nan")


def _month_slices(open_time_ms: NDArray[np.int64]) -> Iterator[tuple[str, slice]]:
    months = open_time_ms.astype("datetime64[ms]").astype("datetime64[M]")
    names, begins = np.unique(months, return_index=True)
    ends = [*begins[1:].tolist(), len(months)]
    for name, begin, end in zip(names, begins.tolist(), ends, strict=True):
        yield str(name), slice(begin, end)


def _distribution(name: str, values: Float64) -> dict[str, float | int]:
    present = np.sort(values[~np.isnan(values)])  # an infinity is out of range, not missing
    row = feature(name)
    at = [int(share * (len(present) - 1)) for share in QUANTILES]
    quantiles = present[at] if len(present) else np.full(len(QUANTILES), np.nan)
    return {
        "rows": len(values),
        "missing": 1.0 - len(present) / len(values),
        **{f"q{100 * s:02.0f}": float(q) for s, q in zip(QUANTILES, quantiles, strict=True)},
        "below": int(np.searchsorted(present, row.low, side="left")),
        "above": len(present) - int(np.searchsorted(present, row.high, side="right")),
    }


class Shift:
    """The population stability index of values against a reference, float64[n], NaN included.

    Σ (p − q) · ln(p / q) over the reference's deciles, closed above, and a bin for missing (Lewis,
    An Introduction to Credit Scoring, 1994; Siddiqi 2006). A value that is several deciles at once
    has a bin of its own, so that flags and counts are compared value by value. An empty bin counts
    as 1e-4. Autocorrelation adds to it: a feature that moves in weeks differs in every month.
    """

    def __init__(self, reference: Float64) -> None:
        present = reference[np.isfinite(reference)]
        self._edges = np.empty(0)
        if len(present):
            shares = np.arange(1, BINS) / BINS
            deciles = np.quantile(present, shares, method="inverted_cdf")
            edges, count = np.unique(deciles, return_counts=True)
            self._edges = np.union1d(edges, np.nextafter(edges[count > 1], -np.inf))
        self._shares = self._share(reference)

    def psi(self, values: Float64) -> float:
        """Return the index: under 0.1 stable, over 0.25 another distribution."""
        found = self._share(values)
        return float(np.sum((found - self._shares) * np.log(found / self._shares)))

    def _share(self, values: Float64) -> Float64:
        present = values[np.isfinite(values)]
        bins = np.searchsorted(self._edges, present, side="left")
        counts = np.bincount(bins, minlength=len(self._edges) + 1)
        counts = np.append(counts, len(values) - len(present))
        return np.maximum(counts / max(len(values), 1), LEAST_SHARE)


def drifted(table: Table) -> list[str]:
    """Return the features that a later month found elsewhere than all months of the window."""
    return [str(row["feature"]) for row in shifts(table) if row["drifted"]]


def shifts(table: Table) -> list[dict[str, Any]]:
    """Return, per feature of the rows of `months`, its highest PSI inside the window and after it.

    Keys: feature, inside, after, drifted: a PSI above 0.25 after the window, and above every month
    inside it, so that a feature that is different every month anyway is not called drifted.
    """
    inside = table[table["inside"]].groupby("feature")["psi"].max().fillna(0.0)
    after = table[~table["inside"]].groupby("feature")["psi"].max().fillna(0.0)
    highest = [
        (name, float(inside.get(name, 0.0)), float(after.get(name, 0.0)))
        for name in dict.fromkeys(table["feature"])
    ]
    return [
        {"feature": name, "inside": usual, "after": psi, "drifted": psi > max(usual, DRIFTED_PSI)}
        for name, usual, psi in highest
    ]


def out_of_range(table: Table) -> dict[str, int]:
    """Return how many values each feature has outside the registry's range, those with any."""
    counts = (table["below"] + table["above"]).groupby(table["feature"]).sum()
    return {str(name): int(count) for name, count in counts.items() if count}


def constants(columns: Columns, folds: Sequence[Fold]) -> Table:
    """Return a row per feature and fold in whose training rows the feature says nothing.

    Columns: feature, fold, present (share of rows with a value), same (share of these that are one
    and the same value, at least 99.9 %; 0 without values) and value (NaN without). A flag that
    marks another feature as missing is constant while nothing is missing, and is not listed.
    """
    import pandas as pd

    records = [
        {"feature": name, "fold": number, "present": present, "same": same, "value": value}
        for at, name in enumerate(columns.names)
        if not flags_a_missing_input(name)
        for number, fold in enumerate(folds)
        for present, same, value in [_commonest(columns.values[fold.train, at])]
        if same >= CONSTANT_SHARE or present == 0.0
    ]
    return pd.DataFrame(records, columns=["feature", "fold", "present", "same", "value"])


def _commonest(values: Float64) -> tuple[float, float, float]:
    """Return share present, share of one value, and that value: a majority is the median."""
    present = values[np.isfinite(values)]
    if not len(present):
        return 0.0, 0.0, float("nan")
    middle = np.partition(present, len(present) // 2)[len(present) // 2]
    return len(present) / len(values), float((present == middle).mean()), float(middle)
