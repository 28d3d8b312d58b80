"""Candles as a struct of arrays."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

TIMEFRAME_MS = {
    "1m": 60_000,
    "3m": 180_000,
    "5m": 300_000,
    "15m": 900_000,
    "30m": 1_800_000,
    "1h": 3_600_000,
    "2h": 7_200_000,
    "4h": 14_400_000,
    "6h": 21_600_000,
    "8h": 28_800_000,
    "12h": 43_200_000,
    "1d": 86_400_000,
}


@dataclass(frozen=True, slots=True)
class Bars:
    """Complete candles of one symbol and timeframe, ascending in time.

    `open_time_ms` is int64 milliseconds UTC, the open of the bar; a bar is known at its close, one
    timeframe later. Prices and volume are float64, all of length n. A missing bar is absent, never
    filled.
    """

    open_time_ms: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]

    def __post_init__(self) -> None:
        lengths = {field.name: len(getattr(self, field.name)) for field in fields(self)}
        if len(set(lengths.values())) != 1:
            raise ValueError(
                f"Bars: columns differ in length: found {lengths}, expected one length"
            )

    def __len__(self) -> int:
        return len(self.open_time_ms)

    def slice(self, start: int, stop: int) -> "Bars":
        """Return the rows start..stop-1 as views."""
        return Bars(*(getattr(self, field.name)[start:stop] for field in fields(self)))
