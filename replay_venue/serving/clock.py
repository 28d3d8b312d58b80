"""The venue's clock: market time at a chosen speed, standing still, or pushed forward."""

import asyncio
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

MAX_SPEED = 1_000_000.0
LAST_MS = 4_102_444_800_000  # 2100-01-01: the clock stops being believable here
MAX_SKEW_MS = 31 * 86_400_000


@dataclass(frozen=True, slots=True)
class ClockState:
    """What a restart needs: `speed` is market milliseconds per real millisecond."""

    now_ms: int
    speed: float
    paused: bool
    real_time: bool


@dataclass(frozen=True, slots=True)
class Skew:
    """How far the stated time is off: `offset_ms`, `drift` more a market ms since `since_ms`."""

    offset_ms: int
    drift: float
    since_ms: int

    def at(self, now_ms: int) -> int:
        """Return what is added to market time `now_ms`."""
        return self.offset_ms + round(self.drift * (now_ms - self.since_ms))


class Clock:
    """Market time, never going back.

    `real` gives real seconds, monotonic. Changing speed keeps the present where it is. `changed` is
    set whenever time may pass differently from before, for whoever sleeps until a market time.
    """

    def __init__(
        self,
        now_ms: int,
        speed: float,
        *,
        paused: bool = False,
        real_time: bool = False,
        real: Callable[[], float] = time.monotonic,
    ) -> None:
        _check_speed(speed)
        self._real = real
        self._anchor_ms = float(now_ms)
        self._anchor_real = real()
        self._speed = speed
        self._paused = paused
        self._real_time = real_time
        self._skew = Skew(0, 0.0, now_ms)
        self.changed = asyncio.Event()

    def now_ms(self) -> int:
        """Return market time."""
        return min(int(self._exact_ms()), LAST_MS)

    def shown_ms(self) -> int:
        """Return the time the venue states: market time, unless its clock is set wrong."""
        now_ms = self.now_ms()
        return max(now_ms + self._skew.at(now_ms), 0)

    def skew(self) -> Skew:
        """Return how wrong the stated time is."""
        return self._skew

    def set_skew(self, offset_ms: int, drift: float) -> None:
        """State a time that is off by `offset_ms`, and by `drift` more with every millisecond."""
        if abs(offset_ms) > MAX_SKEW_MS or not abs(drift) <= 1.0:
            raise ValueError(
                f"clock: found skew {offset_ms} ms and drift {drift}, expected at most "
                f"{MAX_SKEW_MS} ms and 1 either way"
            )
        self._skew = Skew(offset_ms, drift, self.now_ms())

    def state(self) -> ClockState:
        """Return what is needed to go on from here."""
        return ClockState(self.now_ms(), self._speed, self._paused, self._real_time)

    def set_speed(self, speed: float) -> None:
        """Run on from now at `speed`."""
        _check_speed(speed)
        self._anchor(self._exact_ms())
        self._speed = speed
        self._touched()

    def set_paused(self, paused: bool) -> None:
        """Stand still, or run on at the speed set before."""
        self._anchor(self._exact_ms())
        self._paused = paused
        self._touched()

    def advance_to(self, to_ms: int) -> None:
        """Jump forward to `to_ms`; ValueError if that is in the past or after 2100."""
        now_ms = self.now_ms()
        if not now_ms <= to_ms <= LAST_MS:
            raise ValueError(f"clock: found target {to_ms}, expected {now_ms} to {LAST_MS}")
        self._anchor(float(to_ms))
        self._touched()

    def real_seconds_until(self, at_ms: int) -> float | None:
        """Return the real seconds until market time `at_ms`; None while the clock is paused."""
        if self._paused:
            return None
        return max(at_ms - self._exact_ms(), 0.0) / (1_000.0 * self._speed)

    def real_seconds(self, market_ms: int) -> float:
        """Return how long `market_ms` takes at the set speed."""
        return market_ms / (1_000.0 * self._speed)

    def _exact_ms(self) -> float:
        passed = 0.0 if self._paused else self._real() - self._anchor_real
        return self._anchor_ms + 1_000.0 * passed * self._speed

    def _anchor(self, at_ms: float) -> None:
        self._anchor_ms = at_ms
        self._anchor_real = self._real()

    def _touched(self) -> None:
        self._real_time = False
        self.changed.set()


def save(state: ClockState, path: Path) -> None:
    """Write `state` to `path` atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(json.dumps(asdict(state)))
    beside.replace(path)


def restore(path: Path) -> ClockState | None:
    """Return the state saved at `path`; None if there is none or it only followed real time."""
    if not path.exists():
        return None
    try:
        state = ClockState(**json.loads(path.read_text()))
        _check_speed(state.speed)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"clock state {path}: found {error}, expected now_ms, speed, paused and real_time; "
            "delete the file to start over"
        ) from error
    return None if state.real_time else state


def _check_speed(speed: float) -> None:
    if not 0.0 < speed <= MAX_SPEED:
        raise ValueError(
            f"clock: found speed {speed}, expected above 0 and at most {MAX_SPEED:.0f}"
        )
