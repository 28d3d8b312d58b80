"""Pages of one source on their way into the lake: judged, set aside or stored, and counted."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from market_data.frames import Frame
from market_data.quality.judging import copies, judge
from market_data.spans import Span, Times, inside, runs, within
from market_data.storage.lake import FOREVER_MS, Lake, ReadSpan
from market_data.tables import DAY_MS, HOUR_MS, IMPOSSIBLE_STAMP, MINUTE_MS, STAMP, Table
from market_data.window import Window

STORE_ROWS = 20_000  # a file of a month is written anew by every store
PART_ROWS = 250_000  # a part is not: fewer, larger ones are read faster
STORE_EVERY_S = 5.0  # what a kill can cost
CORRECTED_MS = 3 * DAY_MS  # a source is looked at again for this long
LATE_TICK_MS = HOUR_MS  # a trade is never corrected, only late
PROMPT = frozenset({"trades", "depth"})  # an arrival is noted under its event, days before it
NEXT_BAR_MS = MINUTE_MS  # an exchange shows the next bar by then
_TEXTS = ("rule", "found", "expected")


@dataclass(frozen=True, slots=True)
class Place:
    """One table and window of a symbol in the lake.

    A row counts as known `earliest_ms` after its event, unless it says so itself. What lies in the
    `accepted` spans is not looked for, nor are up to `silent_bars` candles in a row.
    """

    lake: Lake
    table: Table
    window: Window
    bar_ms: int
    earliest_ms: int
    accepted: tuple[Span, ...] = ()
    silent_bars: int = 0

    @property
    def step_ms(self) -> int:
        """Return the table's grid."""
        return self.table.step(self.bar_ms)

    @property
    def period_ms(self) -> int:
        """Return how long a row is not over."""
        return self.table.period(self.bar_ms)

    def span(self, now_ms: int) -> Span:
        """Return the part of the window whose rows are over at `now_ms`."""
        end_ms = now_ms - self.period_ms + 1
        if self.table.dense:
            end_ms = -(-end_ms // self.step_ms) * self.step_ms
        return self.window.start_ms, min(self.window.end_ms, end_ms)

    def settled_ms(self, now_ms: int) -> int:
        """Return the event time up to which a source is not asked a second time."""
        return now_ms - (LATE_TICK_MS if self.table.name in PROMPT else CORRECTED_MS)

    def times(self) -> Times:
        """Return the events stored in the window, ascending; none of ticks: nothing is due."""
        if self.table.shape == "tick":
            return np.empty(0, np.int64)
        span = (self.window.start_ms, self.window.end_ms)
        return np.unique(self.lake.event_times(self.table.name, self.window.symbol, *span))

    def rows_of_others(self, source: str) -> Frame:
        """Return the rows of the window that came from other sources."""
        rows = rows_in(self.lake, self.table.name, self.window)
        return rows[rows["source"] != source]

    def read_by(self, source: str) -> list[Span]:
        """Return what a source has been read of, to the end."""
        spans = self.lake.read_spans(self.table.name, self.window.symbol)
        return [(one.start_ms, one.end_ms) for one in spans if one.source == source]

    def mark_read(self, source: str, spans: Sequence[Span], now_ms: int) -> None:
        """Remember that a source was read of the spans, as far as they are settled."""
        settled = within(spans, 0, self.settled_ms(now_ms))
        read = [ReadSpan(source, *span) for span in settled]
        if read:
            self.lake.mark_read(self.table.name, self.window.symbol, read)

    def first_ms(self) -> int | None:
        """Return the event time of the symbol's first row in the lake, None without rows."""
        return self.lake.first_event_ms(self.table.name, self.window.symbol)


def rows_in(lake: Lake, table: str, window: Window) -> Frame:
    """Return the latest rows of a table whose events lie in the window."""
    return lake.as_of(table, window.symbol, FOREVER_MS, window.start_ms, window.end_ms)


def quarantined_in(lake: Lake, table: str, window: Window) -> Frame:
    """Return the rows of a table and window that are still set aside, as the quarantine has them.

    Its columns: event_time_ms, series, rule, found, expected, source and the times of the lake.
    """
    rows = rows_in(lake, "quarantine", window)
    return rows[(rows["series"] == table) & (rows["rule"] != "")].reset_index(drop=True)


class Reading:
    """Take what one source sends for one place, in any order and as often as it likes.

    Rows whose period is not over at `now_ms` are left out; a correction is known from the moment
    `learned_ms()` of its storing on. `yields` leaves rows of other sources as
    they are. `times` are the events stored in the window, ascending; none of ticks, of which
    nothing is due.
    """

    def __init__(
        self,
        place: Place,
        source: str,
        now_ms: int,
        learned_ms: Callable[[], int],
        *,
        yields: bool,
    ) -> None:
        self.times: Times = place.times()
        self.received = self.added = self.revised = 0
        self.unchanged = self.unfinished = self.quarantined = 0
        self._place = place
        self._source = source
        self._now_ms = now_ms
        self._learned_ms = learned_ms
        self._key = ["event_time_ms", *place.table.identity]
        self._taken = place.rows_of_others(source)[self._key] if yields else None
        self._bad: set[int] = set()
        self._pages: list[Frame] = []
        self._newest_ms = 0
        self._stored_s = time.monotonic()

    def take(self, page: Frame) -> None:
        """Take a page; it is in the lake after the next `store`, within seconds."""
        if not len(page):
            return
        self._pages.append(page)
        self._newest_ms = max(self._newest_ms, int(page["event_time_ms"].max()))
        enough = PART_ROWS if self._place.table.in_parts else STORE_ROWS
        many = sum(map(len, self._pages)) >= enough
        if many or time.monotonic() - self._stored_s > STORE_EVERY_S:
            self.store()

    def store(self) -> None:
        """Judge what has been taken and bring it into the lake."""
        pages = self._pages
        self._pages = []
        if pages:
            rows = self._sound(pages)
            bad = judge(self._place.table, rows, self._place.bar_ms)
            good = rows.drop(index=bad["row"].unique())
            self.quarantined += len(rows) - len(good)
            self._bad -= set(good["event_time_ms"].tolist())  # asked again, it came as it should
            self._set_aside(bad)
            self._append(good)
        self._stored_s = time.monotonic()

    def release(self, spans: Sequence[Span]) -> None:
        """Let go from quarantine what the source, read of the spans, last sent as it should be."""
        place = self._place
        aside = quarantined_in(place.lake, place.table.name, place.window)["event_time_ms"]
        times = aside.to_numpy(np.int64)
        times = times[inside(times, spans) & ~np.isin(times, list(self._bad))]
        self._note({"event_time_ms": times, **dict.fromkeys(_TEXTS, "")})

    def _sound(self, pages: list[Frame]) -> Frame:
        """Return the rows of the window that are over, each once, in order of time."""
        import pandas as pd

        place = self._place
        table = self._place.table
        rows: Frame = pd.concat(pages, ignore_index=True)
        optional = [name for name, column in table.columns.items() if not column.required]
        for name in set(optional) - set(rows.columns):
            rows[name] = np.nan
        if IMPOSSIBLE_STAMP in rows:  # of a page without one it is not there
            rows[IMPOSSIBLE_STAMP] = rows[IMPOSSIBLE_STAMP].fillna("")
        if table.jitter_ms:
            stamps_ms = rows["event_time_ms"].to_numpy(np.int64)
            points_ms = table.points(stamps_ms, place.bar_ms)
            if IMPOSSIBLE_STAMP in rows:
                timeless = (rows[IMPOSSIBLE_STAMP] != "").to_numpy()
                points_ms = np.where(timeless, stamps_ms, points_ms)
            rows = rows.assign(**{"event_time_ms": points_ms, STAMP: stamps_ms})
        rows = rows[rows["event_time_ms"].between(place.window.start_ms, place.window.end_ms - 1)]
        over = self._over(rows["event_time_ms"])
        self.received += len(rows)
        self.unfinished += int((~over).sum())
        order = [name for name in ("event_time_ms", "known_at_ms") if name in rows.columns]
        rows = rows[over].sort_values(order, kind="stable", ignore_index=True)
        again = copies(table, rows)
        self.unchanged += int(again.sum())
        return rows[~again].reset_index(drop=True)

    def _over(self, events: Any) -> Any:
        """Return which rows are over: a row without a period always is.

        The newest bar that an exchange shows is the running one. Where its clock says that it has
        closed a while ago, no newer one is to be seen, and it is not history yet, the clock is not
        believed: the bar is left to the next run.
        """
        place = self._place
        now_ms = self._now_ms
        if not place.period_ms:
            return events > -1
        ended_ms = events + place.period_ms
        over = ended_ms <= now_ms
        if place.table.dense:
            alone = (events == self._newest_ms) & (events >= place.settled_ms(now_ms))
            over &= ~(alone & (ended_ms + NEXT_BAR_MS < now_ms))
        return over

    def _append(self, rows: Frame) -> None:
        place = self._place
        table = self._place.table
        if self._taken is not None:
            found = rows[self._key].merge(self._taken, on=self._key, how="left", indicator="in")
            mine = (found["in"] == "left_only").to_numpy()
            self.unchanged += int((~mine).sum())
            rows = rows[mine]
        known_at_ms = rows["event_time_ms"] + place.earliest_ms
        if "known_at_ms" in rows.columns:
            over_ms = rows["event_time_ms"] + place.period_ms
            known_at_ms = rows["known_at_ms"].clip(lower=over_ms)
        stamp = [STAMP] if table.jitter_ms else []
        if stamp:  # nothing is known before it was stamped
            known_at_ms = known_at_ms.clip(lower=rows[STAMP])
        rows = rows[["event_time_ms", *table.columns, *stamp]]
        rows = rows.assign(known_at_ms=known_at_ms, source=self._source)
        report = place.lake.append(table.name, place.window.symbol, rows, self._learned_ms())
        self.added = self.added + report.added
        self.revised = self.revised + report.revised
        self.unchanged += report.offered - report.added - report.revised
        if table.shape == "tick":
            return
        times = np.unique(rows["event_time_ms"].to_numpy(np.int64))
        self.times = np.union1d(self.times, times)
        if table.dense:
            place.mark_read(self._source, runs(times, place.step_ms), self._now_ms)

    def _set_aside(self, bad: Frame) -> None:
        """Write one row of quarantine per event, with every rule that it breaks."""
        if len(bad):
            notes = bad.groupby("event_time_ms", as_index=False)[list(_TEXTS)].agg("; ".join)
            self._bad.update(notes["event_time_ms"].tolist())
            self._note({name: notes[name].to_numpy() for name in notes.columns})

    def _note(self, columns: dict[str, object]) -> None:
        import pandas as pd

        place = self._place
        notes = pd.DataFrame(columns)
        if len(notes):
            learned_ms = self._learned_ms()
            known_at_ms = notes["event_time_ms"].clip(lower=learned_ms)
            notes = notes.assign(
                series=place.table.name, known_at_ms=known_at_ms, source=self._source
            )
            place.lake.append("quarantine", place.window.symbol, notes, learned_ms)
