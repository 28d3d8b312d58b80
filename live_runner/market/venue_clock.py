"""The venue's clock, carried on by ours between two looks at it."""

import asyncio
import time
from collections import deque
from collections.abc import Callable

from live_runner.market.venue import Venue, VenueError

FIRST_LOOKS_S = 1.0
LOOK_EVERY_S = 30.0
SAME_PACE = 0.05  # a share; round trips blur the pace of a look by less
OTHER_PACE = 2.0  # times ours or more, or half of it or less: a replay, however busy the machine is
QUICK_LOOK = 0.25  # a share of the time since the look before; a slower one says nothing of pace


class VenueClock:
    """Tell the venue's time while it runs at our pace; `steady` is set for as long as it does.

    A replay that runs faster, stands still or jumps is not steady: nothing can be timed beside it.
    `other_pace` says that the last good look found one; a look that fails leaves it as it was.
    """

    def __init__(self, venue: Venue, seconds: Callable[[], float] = time.monotonic) -> None:
        self._venue = venue
        self._seconds = seconds
        self._look: tuple[float, int] | None = None
        self._last_good: tuple[float, int] | None = None
        self._paces: deque[float] = deque(maxlen=2)
        self.steady = asyncio.Event()
        self.other_pace = False

    def now_ms(self) -> int:
        """Return the venue's time; raises VenueError where the latest look at it failed."""
        if self._look is None:
            raise VenueError("venue clock: found no look at it, expected one; is the venue up?")
        at_s, venue_ms = self._look
        return venue_ms + int((self._seconds() - at_s) * 1_000)

    def reckoned_ms(self) -> int | None:
        """Return the venue's time as well as it can be told, also while the venue is silent; None
        before the first look.

        The last good look is carried on at the slower of the last two paces, so that a jump between
        two looks is not taken for a pace.
        """
        if self._last_good is None:
            return None
        at_s, venue_ms = self._last_good
        pace = min(self._paces, default=1.0)
        return venue_ms + int((self._seconds() - at_s) * 1_000 * pace)

    async def run(self) -> None:
        """Look again and again, for ever; a failed look leaves the clock unsteady."""
        while True:
            try:
                await self.look()
            except VenueError:
                self._look = None
                self.steady.clear()
            await asyncio.sleep(LOOK_EVERY_S if self.steady.is_set() else FIRST_LOOKS_S)

    async def look(self) -> None:
        """Compare the venue's clock with ours; raises VenueError."""
        asked_s = self._seconds()
        venue_ms = await self._venue.time_ms()
        answered_s = self._seconds()
        at_s = (asked_s + answered_s) / 2.0
        before = self._look
        self._look = (at_s, venue_ms)
        self._last_good = self._look
        if before is None:
            return
        ours_ms = (at_s - before[0]) * 1_000
        theirs_ms = venue_ms - before[1]
        if ours_ms > 0.0:
            self._paces.append(max(theirs_ms / ours_ms, 0.0))
        if (answered_s - asked_s) * 1_000 <= QUICK_LOOK * ours_ms:
            self.other_pace = not ours_ms / OTHER_PACE < theirs_ms < ours_ms * OTHER_PACE
        if abs(theirs_ms - ours_ms) <= SAME_PACE * ours_ms:
            self.steady.set()
        else:
            self.steady.clear()
