"""A writer that appends to a lake until it is killed, and says so after each append."""

from itertools import count
from multiprocessing.connection import Connection

import numpy as np
import pandas as pd
import pyarrow.parquet  # noqa: F401  imported before the fork, not in each writer

from market_data.storage.lake import Lake

START_MS = 1_767_052_800_000  # 2025-12-30T00:00Z
STEP_MS = 8 * 3_600_000
SYMBOL = "BTCUSDT"


def settlements(first: int, rows: int) -> pd.DataFrame:
    """Return funding rows whose rate is their number."""
    numbers = np.arange(first, first + rows)
    times = START_MS + numbers * STEP_MS
    return pd.DataFrame(
        {
            "event_time_ms": times,
            "known_at_ms": times,
            "source": "a-venue",
            "funding_rate": numbers.astype(np.float64),
        }
    )


def write_until_killed(root: str, first: int, done: Connection) -> None:
    """Append three settlements at a time from number `first` on; send the first one not stored."""
    lake = Lake(root=root)
    for number in count(first, 3):
        lake.append("funding", SYMBOL, settlements(number, 3), START_MS)
        done.send(number + 3)
