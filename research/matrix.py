# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pandas ships no types for this; what leaves this file is typed.
"""Features and labels as tables: the kernel's arrays with names, and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.bars import Bars
from kernel.features.certificate import Certificate, certify
from kernel.features.engine import compute
from kernel.features.registry import FEATURES
from kernel.observation import Series, observe
from research.labels import Labels

Float64 = NDArray[np.float64]
Table = Any  # a pandas DataFrame: its stubs leave every cell unknown


def feature_matrix(bars: Bars, series: Mapping[str, Series], bar_ms: int) -> Table:
    """Return open_time_ms, close and every registered feature, one row per bar known at its close.

    Features are float64; NaN where a feature is not warm or its input is missing.
    """
    import pandas as pd

    values, _ = compute(observe(bars, series, bar_ms))
    times = {"open_time_ms": bars.open_time_ms, "close": bars.close}
    return pd.DataFrame({**times, **dict(zip(FEATURES, values.T, strict=True))})


def feature_values(frame: Table) -> Float64:
    """Return the features of `feature_matrix` as float64[n, F] in the registry's order."""
    return np.ascontiguousarray(frame[list(FEATURES)].to_numpy(np.float64))


def atr(frame: Table) -> Float64:
    """Return the ATR in price units, float64[n], from the rows of `feature_matrix`."""
    return frame["atr_14"].to_numpy(np.float64) * frame["close"].to_numpy(np.float64)


def leak_certificates(
    bars: Bars, series: Mapping[str, Series], bar_ms: int, *, last: int, cuts: int, seed: int
) -> list[Certificate]:
    """Return each feature's certificate on the `last` bars, cut off and scrambled `cuts` times."""
    recent = bars.slice(max(0, len(bars) - last), len(bars))
    rng = np.random.default_rng(seed)
    return certify(compute, observe(recent, series, bar_ms), rng, cuts)


def label_frame(bars: Bars, labels: Labels) -> Table:
    """Return the labels as columns open_time_ms, label, start_ms and end_ms."""
    import pandas as pd

    return pd.DataFrame(
        {
            "open_time_ms": bars.open_time_ms,
            "label": labels.label,
            "start_ms": labels.start_ms,
            "end_ms": labels.end_ms,
        }
    )


def labels_of(frame: Table) -> Labels:
    """Return the labels that `label_frame` wrote."""
    label = frame["label"].to_numpy(np.int8)
    start_ms, end_ms = (frame[name].to_numpy(np.int64) for name in ("start_ms", "end_ms"))
    return Labels(label, start_ms, end_ms, label >= 0)
