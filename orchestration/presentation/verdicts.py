"""Whether a raw table is fit to build on: what its blocking checks find."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import dagster as dg

from market_data.ingest.ingestion import quarantined_in
from market_data.quality import inventory
from market_data.quality.acceptance import accepted_spans
from market_data.quality.agreement import MOST_APART, Agreement, agreement, bars_apart
from market_data.quality.coverage import Coverage, coverage, whole_history
from market_data.quality.data_docs import DataDocs
from market_data.quality.expectations import validate
from market_data.quality.lags import earliest_ms
from market_data.sources.catalogue import files_only
from market_data.spans import inside
from market_data.storage.lake import Lake
from market_data.storage.revisions import month_start_ms
from market_data.tables import TABLES, Table
from market_data.universe import UniverseSettings
from market_data.window import Window, moment
from orchestration.partitions import RunContext, month_windows
from orchestration.presentation.findings import CLOCK, MOST_SHOWN, accepted_table, opened
from orchestration.presentation.metadata import span, table

BY = "--as NAME --reason WHY"


@dataclass(frozen=True, slots=True)
class Question:
    """What a check is asked: one table over the run's windows, as ingested at `clock_ms`.

    `clock_ms` is None where no ingest of these partitions is on record.
    """

    lake: Lake
    table: Table
    windows: Sequence[Window]
    universe: UniverseSettings
    docs: DataDocs
    clock_ms: int | None

    @property
    def earliest_ms(self) -> int:
        """Return how long after its event a row can be known."""
        return earliest_ms(self.universe, self.table.name)

    def histories(self) -> list[Window]:
        """Return, per symbol, all that was read of it up to the end of the run's months."""
        begin_ms = self.universe.table_start_ms(self.table.name)
        grouped = groupby(self.windows, key=lambda window: window.symbol)
        return [whole_history(self.lake, self.table, list(some), begin_ms) for _, some in grouped]

    def files_end_ms(self, symbol: str) -> int | None:
        """Return the end of the symbol's last candle, where candles come from files alone and the
        run has some of them: nothing is due after it. Else None: the ingest's clock counts.
        """
        if not files_only(self.universe, "candles"):
            return None
        months = self.lake.months("candles", symbol)
        if not months:
            return None
        times = self.lake.event_times("candles", symbol, month_start_ms(months[-1]))
        end_ms = int(times[-1]) + self.universe.bar_ms
        asked_ms = [one.start_ms for one in self.windows if one.symbol == symbol]
        return end_ms if end_ms > max(asked_ms) else None

    def covered(self, window: Window) -> Coverage:
        """Return what is missing in a window, up to the clock or to where files end."""
        return coverage(
            lake=self.lake,
            table=self.table,
            window=window,
            bar_ms=self.universe.bar_ms,
            earliest_ms=self.earliest_ms,
            clock_ms=self.files_end_ms(window.symbol) or self.clock_ms,
            silent_bars=self.universe.market[self.table.name].silent_bars,
        )


def asked(
    context: RunContext, name: str, lake: Lake, universe: UniverseSettings, docs: DataDocs
) -> Question:
    """Return the question that a run's partitions put to a check of the table."""
    windows = opened(universe, name, month_windows(context))
    return Question(
        lake=lake,
        table=TABLES[name],
        windows=windows,
        universe=universe,
        docs=docs,
        clock_ms=_clock_ms(context, name),
    )


def meets_expectations(question: Question) -> dg.AssetCheckResult:
    """Pass when the stored rows meet every expectation of the suite; write their page."""
    if not question.windows:
        return _nothing_due(question)
    lake = question.lake
    described = question.table
    bar_ms = question.universe.bar_ms
    found = validate(lake, described, question.windows, bar_ms, question.earliest_ms)
    page = question.docs.write(described.name, question.windows, found)
    first = "".join(f": {one['expectation']} ({one['column']})" for one in found.broken[:1])
    return dg.AssetCheckResult(
        passed=not found.broken,
        description=f"{len(found.broken)} of {len(found.records)} expectations broken on "
        f"{found.rows} rows{first}",
        metadata={
            "rows": found.rows,
            "broken": len(found.broken),
            "expectations": table([*found.broken, *_met(found.records)]),
            "data_docs": dg.MetadataValue.path(str(page)),
        },
    )


def has_no_gaps(question: Question) -> dg.AssetCheckResult:
    """Pass when nothing is missing from the symbol's first row to the ingest's clock.

    All of the history up to the run's months is looked at: a month that no run was asked for is a
    hole in what is trained on. What a person accepted is missing and no gap.
    """
    if not question.windows:
        return _nothing_due(question)
    step = question.table.step(question.universe.bar_ms)
    found = [question.covered(window) for window in question.histories()]
    holes = [
        {
            "symbol": one.window.symbol,
            "missing": span(*hole),
            "rows": _lost(question.table, hole, step),
        }
        for one in found
        for hole in one.missing
    ]
    absent = [one.window.symbol for one in found if one.absent]
    return dg.AssetCheckResult(
        passed=not holes,
        description=f"{len(holes)} gaps in {question.table.name}, expected none"
        + (_remedy(question, found, absent) or _ends(question)),
        metadata={
            "count": len(holes),
            "rows": sum(one.rows for one in found),
            "expected": sum(one.expected for one in found),
            "up_to": moment(question.clock_ms) if question.clock_ms else "the last row",
            "first": table(holes[:MOST_SHOWN]),
            "accepted": _accepted(question),
        },
    )


def has_nothing_in_quarantine(question: Question) -> dg.AssetCheckResult:
    """Pass when no row of the windows is set aside that nobody has accepted as missing."""
    frames = [(one.symbol, _unaccepted_aside(question, one)) for one in question.windows]
    rows = [
        {
            "symbol": symbol,
            "event": moment(row.event_time_ms),
            "rule": row.rule,
            "found": row.found,
            "expected": row.expected,
            "source": row.source,
            "table": row.series,
        }
        for symbol, frame in frames
        for row in frame.head(MOST_SHOWN).itertuples()
    ]
    rules: dict[str, int] = {}
    for _, frame in frames:
        for rule, count in frame["rule"].value_counts().items():
            rules[str(rule)] = rules.get(str(rule), 0) + int(count)
    count = sum(rules.values())
    remedy = ""
    if count:
        first = rows[0]
        remedy = (
            ": ingest again when the source has them right; where it never will, "
            f"`tidegate data accept {question.table.name} {first['symbol']} "
            f"{str(first['event']).replace(' ', 'T')} {BY}` takes a row as missing"
        )
    return dg.AssetCheckResult(
        passed=not count,
        description=f"{count} rows of {question.table.name} in market/quarantine, "
        f"expected none{remedy}",
        metadata={
            "count": count,
            "rules": table({"rule": rule, "rows": number} for rule, number in rules.items()),
            "first": table(rows[:MOST_SHOWN]),
            "accepted": _accepted(question),
        },
    )


def rests_on_a_lag_that_is_kept(question: Question) -> dg.AssetCheckResult:
    """Pass when the publication lag covers 99 of 100 arrivals that the live runner measured."""
    lags = [
        one
        for one in inventory.lags(question.lake, question.universe)
        if one.table == question.table.name
    ]
    rows = [
        {
            "table": one.table,
            "lag (ms after it could be known)": one.assumed_ms,
            "arrivals": one.arrivals,
            "p50 ms": round(one.p50_ms),
            "p99 ms": round(one.p99_ms),
        }
        for one in lags
    ]
    short = [one for one in lags if not one.kept]
    found = "".join(f": found p99 {one.p99_ms:.0f} ms, lag {one.assumed_ms} ms" for one in short)
    remedy = " (raise publication_lag_ms in universe.yaml)" if short else ""
    return dg.AssetCheckResult(
        passed=not short,
        description=f"{'the lag is too short' if short else 'no arrival contradicts the lag'}"
        f"{found}{remedy}",
        metadata={"arrivals": sum(one.arrivals for one in lags), "measured": table(rows)},
    )


def agrees_with_the_reference(question: Question) -> dg.AssetCheckResult:
    """Pass when no close is further from what the reference traded in its bar than allowed."""
    found = [agreement(question.lake, one) for one in question.windows]
    disagreeing = sum(_disagreeing(question, one) for one in found)
    compared = sum(one.compared for one in found)
    market = question.universe.market
    sources = {
        name: market[name].source for name in ("candles", question.table.name) if name in market
    }
    return dg.AssetCheckResult(
        passed=not disagreeing,
        description=f"{disagreeing} of {compared} closes lie more than {MOST_APART:.1%} outside "
        "the range that the reference traded in their bar, expected none",
        metadata={
            "compared": " with ".join(f"{name} of {where}" for name, where in sources.items()),
            "bars": compared,
            "windows": table(
                {
                    "symbol": one.window.symbol,
                    "bars": one.compared,
                    "at one venue only": one.unmatched,
                    "usual basis, bps": round(one.basis_bps, 2),
                    "99 % within, bps": round(one.p99_bps, 2),
                    f"closes over {MOST_APART:.1%} apart": len(one.apart),
                    "disagreeing": _disagreeing(question, one),
                }
                for one in found
            ),
            "apart": table([row for one in found for row in bars_apart(one)][:MOST_SHOWN]),
        },
    )


def _clock_ms(context: RunContext, name: str) -> int | None:
    """Return the market's clock at the latest ingest of one of the run's partitions."""
    recorded = dg.AssetRecordsFilter(
        asset_key=dg.AssetKey(["market", name]), asset_partitions=list(context.partition_keys)
    )
    for record in context.instance.fetch_materializations(recorded, limit=1).records:
        event = record.asset_materialization
        clock = event.metadata.get(CLOCK) if event else None
        if isinstance(clock, dg.TimestampMetadataValue):
            return round(clock.value * 1000)
    return None


def _nothing_due(question: Question) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=True,
        description=f"universe.yaml asks for no {question.table.name} in these months: no rows",
        metadata={"rows": 0},
    )


def _lost(described: Table, hole: tuple[int, int], step_ms: int) -> int | str:
    return (hole[1] - hole[0]) // step_ms if described.dense else "–"


def _remedy(question: Question, found: Sequence[Coverage], absent: Sequence[str]) -> str:
    """Return what a person can do about the first gap: it depends on where it lies."""
    if absent:
        road = question.universe.market[question.table.name].source
        return (
            f": no row at all of {', '.join(absent)} came from {road}, which was asked for "
            f"{question.table.name}; see what it looked for on the asset, or take the table out of "
            "universe.yaml, or accept that there is none (`tidegate data accept`)"
        )
    holed = [one for one in found if one.missing]
    if not holed:
        return ""
    first = holed[0]
    start_ms, end_ms = first.missing[-1]
    name = question.table.name
    who = first.window.symbol
    ends = " ".join(moment(one).replace(" ", "T") for one in first.missing[0])
    accept = f"`tidegate data accept {name} {who} {ends} {BY}`"
    if len(first.missing) == 1 and end_ms >= first.due[1]:
        return (
            f": the source of {who} ends at {moment(start_ms)}, and rows were due up to "
            f"{moment(end_ms)}: bring newer rows to it and ingest again, or train up to there "
            f"after {accept}"
        )
    return (
        f": launch ingest_job over their months; where the source will never have them, {accept} "
        f"takes them as missing, or history_start in universe.yaml begins after them"
    )


def _ends(question: Question) -> str:
    """Say where the files of candles end, up to which there is something to train on."""
    if question.table.name != "candles":
        return ""
    ends = {one.symbol: question.files_end_ms(one.symbol) for one in question.windows}
    told = [f"{symbol} end at {moment(end)}" for symbol, end in ends.items() if end]
    return f"; the files of {', of '.join(told)}: train on weeks up to there" if told else ""


def _unaccepted_aside(question: Question, window: Window) -> Any:
    """Return the rows of a window in quarantine that nobody has accepted."""
    aside = quarantined_in(question.lake, question.table.name, window)
    taken = accepted_spans(question.lake, question.table.name, window.symbol)
    return aside[~inside(aside["event_time_ms"].to_numpy(), taken)]


def _disagreeing(question: Question, found: Agreement) -> int:
    """Return how many bars disagree that nobody has accepted, of either table."""
    bars = found.disagreeing["event_time_ms"].to_numpy()
    taken = [
        span
        for name in ("candles", question.table.name)
        for span in accepted_spans(question.lake, name, found.window.symbol)
    ]
    return int((~inside(bars, taken)).sum())


def _accepted(question: Question) -> dg.MetadataValue:
    """Return what stands accepted of the table and the run's symbols."""
    symbols = [window.symbol for window in question.windows]
    return accepted_table(question.lake, question.table.name, symbols)


def _met(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record for record in records if record["passed"]]
