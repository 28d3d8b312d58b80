"""A window's rows at a glance: counted per day and thinned for a picture, in bounded memory."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from market_data.frames import Frame
from market_data.quality.expectations import pieces
from market_data.storage.lake import Lake, frame_digest
from market_data.tables import DAY_MS, Table
from market_data.window import Window

MOST_POINTS = 600


@dataclass(frozen=True, slots=True)
class Glance:
    """What a window holds: `per_day` is rows by day since 1970, `sample` some rows of it, `digest`
    a hex digest of all of them.
    """

    window: Window
    rows: int
    first_ms: int
    last_ms: int
    digest: str
    per_day: dict[int, int]
    sample: Frame


def glance(lake: Lake, table: Table, window: Window) -> Glance:
    """Read the latest rows of the window piece by piece; times are 0 where there are none."""
    samples: list[Frame] = []
    per_day: dict[int, int] = {}
    digest = hashlib.sha256()
    rows = first_ms = last_ms = 0
    share = MOST_POINTS if table.shape != "tick" else MOST_POINTS // 31
    for frame in pieces(lake, table, window):
        times = frame["event_time_ms"].to_numpy()
        first_ms = first_ms if rows else int(times[0])
        last_ms = int(times[-1])
        rows += len(frame)
        digest.update(frame_digest(frame).encode())
        days, counts = np.unique(times // DAY_MS, return_counts=True)
        for day, count in zip(days.tolist(), counts.tolist(), strict=True):
            per_day[day] = per_day.get(day, 0) + count
        samples.append(frame.iloc[:: max(1, len(frame) // share)])
    return Glance(
        window=window,
        rows=rows,
        first_ms=first_ms,
        last_ms=last_ms,
        digest=digest.hexdigest(),
        per_day=per_day,
        sample=_one(samples),
    )


def _one(samples: Sequence[Frame]) -> Frame:
    import pandas as pd

    return pd.concat(samples, ignore_index=True) if samples else pd.DataFrame()
