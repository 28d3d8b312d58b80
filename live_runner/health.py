"""Whether the feed and this process are well enough to open positions."""

from collections import deque
from collections.abc import Callable
from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from kernel.decision import Abstain

MINUTE_S = 60.0


Limit = Annotated[int, Field(ge=1, le=1_000_000)]


@dataclass(frozen=True, slots=True, config=ConfigDict(strict=True, extra="forbid"))
class HealthLimits:
    """From `api_errors_a_minute` failed requests within a minute, or `slow_bars` bars in a row
    decided later than `latency_ms` after they arrived, nothing is opened.
    """

    api_errors_a_minute: Limit
    latency_ms: Limit
    slow_bars: Limit


class Health:
    """Count failures and late decisions of one process, in monotonic seconds.

    `replayed` says that the market's clock runs at another pace than ours. Then a second here is no
    second there, and neither a late decision nor failures within a minute say anything about the
    market: they are counted, and bar nothing.
    """

    def __init__(self, limits: HealthLimits, replayed: Callable[[], bool]) -> None:
        self._limits = limits
        self._replayed = replayed
        self._errors: deque[float] = deque(maxlen=limits.api_errors_a_minute)
        self._slow: dict[str, int] = {}

    def failed(self, now_s: float) -> None:
        """Count a request or connection that failed."""
        self._errors.append(now_s)

    def decided(self, symbol: str, latency_us: int, caught_up: bool) -> None:
        """Count a decision; a bar that was caught up after an outage says nothing of speed."""
        if caught_up:
            return
        slow = latency_us > self._limits.latency_ms * 1_000
        self._slow[symbol] = self._slow.get(symbol, 0) + 1 if slow else 0

    def slow_bars(self, symbol: str) -> int:
        """Return how many bars in a row were decided late, up to the last one."""
        return self._slow.get(symbol, 0)

    def trouble(self, symbol: str, now_s: float) -> tuple[Abstain, str]:
        """Return why nothing may be opened now, or (NONE, '')."""
        if self._replayed():
            return Abstain.NONE, ""
        limits = self._limits
        full = len(self._errors) == limits.api_errors_a_minute
        if full and now_s - self._errors[0] < MINUTE_S:
            text = f"{limits.api_errors_a_minute} failed requests or more in the last minute"
            return Abstain.API_ERRORS, text
        if (bars := self.slow_bars(symbol)) >= limits.slow_bars:
            return Abstain.SLOW, f"{bars} bars in a row decided after {limits.latency_ms} ms"
        return Abstain.NONE, ""
