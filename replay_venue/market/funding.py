"""When a perpetual settles its funding: the interval differs by symbol, and changes with time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HOUR_MS = 3_600_000
PERIOD_HOURS = 8
INTERVALS = (1, 2, 4, 8)
LIMIT = 0.003


@dataclass(frozen=True, slots=True)
class FundingSchedule:
    """The hours between settlements since each moment, ascending, in ms; the first holds from 0.

    Settlements lie on multiples of the interval in UTC. At a rate of `cap` and more a symbol of
    eight hours settles every hour of the eight that follow, as Binance has it since 2025-05-02.
    """

    changes: tuple[tuple[int, int], ...] = ((0, PERIOD_HOURS),)
    cap: float = LIMIT

    def __post_init__(self) -> None:
        since = [since_ms for since_ms, _ in self.changes]
        hours = [hours for _, hours in self.changes]
        if since[:1] != [0] or since != sorted(set(since)) or not set(hours) <= set(INTERVALS):
            raise ValueError(
                f"funding schedule: found changes {self.changes}, expected (ms, hours) that ascend "
                f"from 0, with hours of {INTERVALS}"
            )

    def hours_at(self, at_ms: NDArray[np.int64], period_rate: NDArray[np.float64]) -> NDArray:
        """Return the interval in force at each moment, int64[n].

        `period_rate` is the rate that settled last at a multiple of eight hours.
        """
        since = np.array([since_ms for since_ms, _ in self.changes])
        hours = np.array([hours for _, hours in self.changes])
        found = hours[np.searchsorted(since, at_ms, side="right") - 1]
        return np.where((found == PERIOD_HOURS) & (np.abs(period_rate) >= self.cap), 1, found)


EIGHT_HOURLY = FundingSchedule()
