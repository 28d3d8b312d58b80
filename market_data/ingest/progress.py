"""How far a long reading is, told every few seconds."""

import time
from collections.abc import Callable, Sequence

from market_data.frames import Frame
from market_data.spans import Span

TELL_EVERY_S = 5.0
Tell = Callable[[str], None]


class Progress:
    """Tell rows a second and the time left of reading some spans, by the events that came in."""

    def __init__(
        self,
        what: str,
        spans: Sequence[Span],
        tell: Tell | None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what = what
        self._tell = tell
        self._clock_s = clock_s
        self._whole_ms = sum(end - start for start, end in spans)
        self._done_ms = self._rows = 0
        self._began_s = self._told_s = clock_s()

    def saw(self, span: Span, page: Frame) -> None:
        """Count a page of a span, and tell if it is time."""
        self._rows += len(page)
        now_s = self._clock_s()
        if self._tell and now_s - self._told_s >= TELL_EVERY_S:
            self._told_s = now_s
            reached = int(page["event_time_ms"].max()) - span[0]
            share = min(1.0, max(1e-9, (self._done_ms + max(reached, 0)) / self._whole_ms))
            took_s = now_s - self._began_s
            self._tell(
                f"{self._what}: {self._rows:,} rows, {self._rows / took_s:,.0f} rows/s, "
                f"{share:.0%}, about {took_s * (1 - share) / share:,.0f} s left"
            )

    def ended(self, span: Span) -> None:
        """Count a span as done."""
        self._done_ms += span[1] - span[0]
