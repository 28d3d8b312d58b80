# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pandas ships no types for this; what leaves this file is typed.
"""Features and labels as tables: the kernel's arrays with names, and back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.bars import Bars
from research.labels.triple_barrier import Labels

Float64 = NDArray[np.float64]
Table = Any  # a pandas DataFrame: its stubs leave every cell unknown


@dataclass(frozen=True, slots=True)
class LabelledBars:
    """A label for each bar; `open_time_ms` int64[n] are the bars that the labels belong to."""

    open_time_ms: NDArray[np.int64]
    labels: Labels


def rows_of(frame: Table, bars: Bars) -> Table:
    """Return the stored features as they are if their rows are these bars, one for one.

    Raises ValueError naming the first bar that only one of the two has.
    """
    times = frame["open_time_ms"].to_numpy(np.int64)
    alone = np.setxor1d(times, bars.open_time_ms)
    if len(alone):
        first = np.datetime64(int(alone[0]), "ms")
        raise ValueError(
            f"features: found {len(times)} rows, expected the {len(bars)} bars of the lake, the "
            f"first difference at {first}: materialize features/matrix from that month on"
        )
    return frame


def feature_values(frame: Table, names: Sequence[str]) -> Float64:
    """Return these features of the stored rows as float64[n, len(names)]."""
    return np.ascontiguousarray(frame[list(names)].to_numpy(np.float64))


def atr(frame: Table) -> Float64:
    """Return the ATR in price units, float64[n], from stored rows with `atr_14`."""
    return frame["atr_14"].to_numpy(np.float64) * frame["close"].to_numpy(np.float64)


def label_frame(labelled: LabelledBars) -> Table:
    """Return the labels as columns open_time_ms, label, start_ms and end_ms."""
    import pandas as pd

    labels = labelled.labels
    return pd.DataFrame(
        {
            "open_time_ms": labelled.open_time_ms,
            "label": labels.label,
            "start_ms": labels.start_ms,
            "end_ms": labels.end_ms,
        }
    )


def labels_of(frame: Table) -> LabelledBars:
    """Return the labels that `label_frame` wrote."""
    label = frame["label"].to_numpy(np.int8)
    labels = Labels(
        label=label,
        start_ms=frame["start_ms"].to_numpy(np.int64),
        end_ms=frame["end_ms"].to_numpy(np.int64),
        valid=label >= 0,
    )
    return LabelledBars(open_time_ms=frame["open_time_ms"].to_numpy(np.int64), labels=labels)
