"""From the sources into the lake: read what is not there, ask twice for what may be missing.

What an answer lacks cannot be seen in it. So every missing point of a table with a grid is asked
for once more at once, and any other table as a whole the first time. What is still missing, and a
span of which two answers differ, is not claimed as read: the next run asks again. What cannot be
detected: a row that both answers lack of a table without a grid and whose neighbours are no further
apart than rows are elsewhere, and any trade.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from market_data.ingest.progress import Progress, Tell
from market_data.ingest.reading import Place, Reading, quarantined_in, rows_in
from market_data.quality.acceptance import accepted_spans
from market_data.quality.lags import earliest_ms
from market_data.sources.backoff import refused
from market_data.sources.catalogue import Sources
from market_data.sources.extras import Bounded, Listed, Local, Searching
from market_data.sources.protocol import Source, Wanted
from market_data.sources.spelling import spelled
from market_data.spans import (
    Span,
    Times,
    common,
    grid,
    minus,
    runs,
    silences,
    union,
    within,
)
from market_data.storage.lake import Lake
from market_data.tables import TABLES
from market_data.universe import UniverseSettings
from market_data.window import Window, moment

__all__ = ["Ingest", "ingest", "quarantined_in", "rows_in"]

JOINED_STEPS = 500  # spans nearer than a page are one request
_COUNTS = ("received", "added", "revised", "unchanged", "quarantined", "unfinished")


@dataclass(frozen=True, slots=True)
class Ingest:
    """Say what one ingest of one window did; `until_ms` is the market's clock, milliseconds UTC.

    `sources` were asked, for the spans `read_ms`; `markets` are their own names of the symbol,
    where they have one. `searched` says of a source that has nothing at all of the table and symbol
    what it looked for and where. `received` counts the window's rows as they came, doubled ones
    included: it is the sum of those `added`, `revised` and `unchanged` in the lake, those set aside
    (`quarantined`) and those that were not over (`unfinished`).
    """

    table: str
    window: Window
    sources: tuple[str, ...]
    read_ms: tuple[Span, ...]
    until_ms: int
    received: int = 0
    added: int = 0
    revised: int = 0
    unchanged: int = 0
    quarantined: int = 0
    unfinished: int = 0
    seconds: float = 0.0
    markets: tuple[str, ...] = ()
    searched: tuple[str, ...] = ()


def ingest(
    table: str,
    sources: Sources,
    lake: Lake,
    windows: Sequence[Window],
    universe: UniverseSettings,
    *,
    reread: bool = False,
    tell: Tell | None = None,
) -> list[Ingest]:
    """Bring each window of a table up to the present of the market, and say what was done.

    Read is what was never read, what is missing or in quarantine, and always the last three days,
    in which corrections are looked for; with `reread` everything. The table's source comes first,
    its fallback then fills what is missing still, and overrides nothing. Rows are stored as they
    arrive: what came before a failure stays, and the next run goes on behind it. `tell` is given
    lines about the progress. Raises TidegateError as the sources do.
    """
    began_s = time.monotonic()
    run = _Run(
        sources=sources,
        universe=universe,
        now_ms=sources.now_ms(),
        began_s=began_s,
        reread=reread,
        tell=tell,
    )
    settings = universe.market[table]
    reports: list[Ingest] = []
    for window in windows:
        start_ms = max(window.start_ms, universe.table_start_ms(table))
        wanted = replace(window, start_ms=min(start_ms, window.end_ms))
        known_ms = earliest_ms(universe, table)
        place = Place(
            lake=lake,
            table=TABLES[table],
            window=wanted,
            bar_ms=universe.bar_ms,
            earliest_ms=known_ms,
            accepted=tuple(accepted_spans(lake, table, window.symbol)),
            silent_bars=settings.silent_bars,
        )
        names = [name for name in (settings.source, settings.fallback) if name]
        reports.append(run.of(place, window, names))
    return reports


@dataclass(frozen=True, slots=True)
class _Run:
    sources: Sources
    universe: UniverseSettings
    now_ms: int
    began_s: float
    reread: bool
    tell: Tell | None

    def of(self, place: Place, window: Window, names: Sequence[str]) -> Ingest:
        """Read one place from its source, and what is then missing from the fallback."""
        began_s = time.perf_counter()
        report = Ingest(place.table.name, window, (), (), self.now_ms)
        lacking = False
        for rank, name in enumerate(names):
            if rank == 0:
                spans = self._wanted(place, name)
            else:
                spans = self._lacking(place, names[0], name, report.read_ms)
            lacking = bool(spans)
            if spans:
                report = self._read(place, name, spans, report, yields=rank > 0)
        report = replace(report, seconds=time.perf_counter() - began_s)
        if self.tell:
            self.tell(_summary(place, report, lacking=lacking))
        return report

    def _wanted(self, place: Place, source: str) -> list[Span]:
        """Return what the source is to be asked for."""
        whole = [place.span(self.now_ms)]
        if self.reread:
            return union(whole)
        spans = minus(whole, place.read_by(source))
        spans += _aside(place)
        if place.table.dense:
            spans += _holes(place, place.times(), whole)
        return within(union(spans, _reach_ms(place)), *whole[0])

    def _lacking(
        self, place: Place, source: str, fallback: str, read_ms: Sequence[Span]
    ) -> list[Span]:
        """Return what the source has neither now nor before, and the fallback was not asked."""
        whole = [place.span(self.now_ms)]
        never = minus(minus(whole, place.read_by(source)), read_ms)
        missing = _missing(place, place.times(), whole)
        spans = union([*never, *missing])
        return spans if self.reread else minus(spans, place.read_by(fallback))

    def _read(
        self, place: Place, name: str, spans: list[Span], report: Ingest, *, yields: bool
    ) -> Ingest:
        """Ask the source for the spans, then once more for what is missing in them."""
        source = self.sources.source(name)
        now_ms = self._clock(source, place)
        from_ms = 0
        if isinstance(source, Bounded):
            from_ms = source.kept_from_ms(place.table.name, place.bar_ms, now_ms)
        spans = within(spans, from_ms, place.span(now_ms)[1])
        if not spans:
            return report
        reading = Reading(place, name, now_ms, self._learned_ms, yields=yields)
        self._ask(source, place, spans, reading)
        free = isinstance(source, Local) and source.asking_is_free
        first = reading.times
        doubtful = [] if free else _doubtful(place, first, spans, now_ms)
        self._ask(source, place, doubtful, reading)
        missing = _missing(place, reading.times, spans)
        missing = missing if free else _unread(place, missing, spans)
        if not place.table.dense and len(reading.times) > len(first):
            missing += doubtful  # the two answers differ: neither is believed to be whole
        place.mark_read(name, minus(spans, missing), now_ms)
        reading.release(spans)
        whole = Wanted(
            table=place.table.name,
            symbol=place.window.symbol,
            start_ms=place.window.start_ms,
            end_ms=place.window.end_ms,
            bar_ms=place.bar_ms,
        )
        asked = spelled(whole, self.universe.instrument(whole.symbol), name)
        return replace(
            report,
            sources=(*report.sources, name),
            markets=(*report.markets, *_listed(source, asked)),
            searched=(*report.searched, *([] if reading.received else _searched(source, asked))),
            read_ms=(*report.read_ms, *spans),
            **{one: getattr(report, one) + getattr(reading, one) for one in _COUNTS},
        )

    def _learned_ms(self) -> int:
        """Return when a row that has just come was learned: a long run learns late ones late."""
        return self.now_ms + int(1_000 * (time.monotonic() - self.began_s))

    def _clock(self, source: Source, place: Place) -> int:
        """Return the source's clock, but nothing behind the market's; refuse a table it lacks."""
        if place.table.name not in source.tables:
            what = f"universe.yaml: source {source.name} of {place.table.name}"
            raise refused(what, "no such table there", f"a source of it: {sorted(source.tables)}")
        if source.name == self.universe.market["candles"].source:
            return self.now_ms
        return min(self.now_ms, source.now_ms())

    def _ask(self, source: Source, place: Place, spans: list[Span], reading: Reading) -> None:
        name = place.table.name
        symbol = place.window.symbol
        instrument = self.universe.instrument(symbol)
        progress = Progress(f"{name} of {symbol} from {source.name}", spans, self.tell)
        beyond_ms = place.step_ms if place.table.dense else 0  # the running bar closes the last one
        try:
            for start_ms, end_ms in spans:
                span = (start_ms, end_ms + beyond_ms)
                wanted = Wanted(
                    table=name,
                    symbol=symbol,
                    start_ms=_stamped_from_ms(place, span[0]),
                    end_ms=_stamped_until_ms(place, span[1]),
                    bar_ms=place.bar_ms,
                )
                for asked in spelled(wanted, instrument, source.name):
                    for page in source.pages(asked):
                        reading.take(page)
                        progress.saw(span, page)
                progress.ended(span)
        finally:
            reading.store()


def _stamped_from_ms(place: Place, start_ms: int) -> int:
    """Return the first stamp of the events since: one at the window's edge may lie before it.

    Within a window the span before has it already.
    """
    early = start_ms <= place.window.start_ms
    return start_ms - place.table.jitter_ms if early else start_ms


def _stamped_until_ms(place: Place, end_ms: int) -> int:
    """Return the end of the stamps of the events before."""
    late = end_ms >= place.window.end_ms
    return end_ms + place.table.jitter_ms if late else end_ms


def _aside(place: Place) -> list[Span]:
    """Return the spans of the rows in quarantine: a bar where there is a grid, else a moment."""
    aside = quarantined_in(place.lake, place.table.name, place.window)["event_time_ms"]
    step = place.step_ms if place.table.dense else 1
    spans = [(at // step * step, at // step * step + step) for at in aside.tolist()]
    return minus(spans, place.accepted)


def _reach_ms(place: Place) -> int:
    return JOINED_STEPS * place.step_ms if place.table.dense else 0


def _holes(place: Place, times: Times, spans: Sequence[Span]) -> list[Span]:
    """Return the missing grid points of the spans between the first and the last time."""
    if not len(times):
        return []
    return _lost(place, times, within(spans, int(times[0]), int(times[-1])))


def _missing(place: Place, times: Times, spans: Sequence[Span]) -> list[Span]:
    """Return where rows are due in the spans and are not there; nothing is due of ticks."""
    table = place.table
    if table.dense:
        return _lost(place, times, spans)
    if table.shape == "tick" or not spans:
        return []
    whole = (place.window.start_ms, max(end for _, end in spans))
    quiet = silences(times, whole, place.step_ms, table.longest_silence_ms)
    return minus(common(spans, quiet), place.accepted)


def _lost(place: Place, times: Times, spans: Sequence[Span]) -> list[Span]:
    """Return the spans of missing grid points that are worth a question.

    A person accepted some, and where nothing traded a source may publish no bar.
    """
    lost = runs(np.setdiff1d(grid(spans, place.step_ms), times), place.step_ms)
    silence_ms = place.silent_bars * place.step_ms
    return minus([one for one in lost if one[1] - one[0] > silence_ms], place.accepted)


def _doubtful(place: Place, times: Times, spans: list[Span], now_ms: int) -> list[Span]:
    """Return where the answers lack rows, or may do so unseen: worth one more request."""
    missing = _missing(place, times, spans)
    if place.table.dense or place.table.shape == "tick":
        return union(missing, _reach_ms(place))
    return union([*missing, *within(spans, 0, place.settled_ms(now_ms))])


def _unread(place: Place, missing: list[Span], spans: list[Span]) -> list[Span]:
    """Return what may not count as read: rows are missing there, and the source may have them.

    Long before the first row of a symbol there is nothing: it was not listed yet. Just before it
    an answer may have lost its beginning, and where the first row lies behind the window nothing
    shows that the source had been asked from when on it was listed.
    """
    if not missing:
        return []
    first_ms = place.first_ms()
    if first_ms is None or first_ms >= place.window.end_ms:
        return spans
    near_ms = max(_reach_ms(place), place.table.longest_silence_ms)
    return within(missing, first_ms - near_ms, max(end for _, end in missing))


def _listed(source: Source, asked: Sequence[Wanted]) -> list[str]:
    """Return the source's own names of what was asked for, where it has any."""
    return [source.listed_as(one.called) for one in asked] if isinstance(source, Listed) else []


def _searched(source: Source, asked: Sequence[Wanted]) -> list[str]:
    """Return what a source without a row had looked for, and where, if nothing was there at all."""
    told = [source.searched(one) for one in asked] if isinstance(source, Searching) else []
    return [text for text in told if text]


def _summary(place: Place, report: Ingest, *, lacking: bool) -> str:
    what = f"{report.table} of {report.window.symbol}"
    if not report.read_ms and lacking:
        return f"{what}: nothing asked for, since no source keeps what is missing"
    if not report.read_ms:
        until = moment(place.span(report.until_ms)[1])
        return f"{what}: nothing to read, complete until {until} UTC"
    if report.searched:
        return f"{what}: no rows. {'; '.join(report.searched)}"
    rate = report.received / max(report.seconds, 1e-9)
    origin = ", ".join((*report.sources, *report.markets))
    return (
        f"{what}: {report.received:,} rows from {origin} in "
        f"{report.seconds:.1f} s, {rate:,.0f} rows/s; {report.added:,} new, "
        f"{report.revised:,} corrected, {report.quarantined:,} in quarantine"
    )
