"""Whether a raw table is fit to build on: what its blocking checks find."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from market_data.ingest.ingestion import quarantined_in
from market_data.quality import inventory
from market_data.quality.agreement import MOST_APART, agreement, bars_apart
from market_data.quality.coverage import coverage
from market_data.quality.data_docs import DataDocs
from market_data.quality.expectations import validate
from market_data.quality.lags import earliest_ms
from market_data.storage.lake import Lake
from market_data.tables import TABLES, Table
from market_data.universe import UniverseSettings
from market_data.window import Window, moment
from orchestration.partitions import RunContext, month_windows
from orchestration.presentation.findings import CLOCK, MOST_SHOWN, opened
from orchestration.presentation.metadata import span, table

REQUIRED = frozenset({"candles"})  # of any other table a source may have nothing


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


def asked(
    context: RunContext, name: str, lake: Lake, universe: UniverseSettings, docs: DataDocs
) -> Question:
    """Return the question that a run's partitions put to a check of the table."""
    windows = opened(universe, name, month_windows(context))
    return Question(lake, TABLES[name], windows, universe, docs, _clock_ms(context, name))


def meets_expectations(question: Question) -> dg.AssetCheckResult:
    """Pass when the stored rows meet every expectation of the suite; write their page."""
    if not question.windows:
        return _nothing_due(question)
    lake, described, bar_ms = question.lake, question.table, question.universe.bar_ms
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
    """Pass when nothing is missing from the symbol's first row to the ingest's clock."""
    if not question.windows:
        return _nothing_due(question)
    bar_ms, step = question.universe.bar_ms, question.table.step(question.universe.bar_ms)
    found = [
        coverage(
            question.lake, question.table, one, bar_ms, question.earliest_ms, question.clock_ms
        )
        for one in question.windows
    ]
    holes = [
        {
            "symbol": one.window.symbol,
            "missing": span(*hole),
            "rows": (hole[1] - hole[0]) // step if question.table.dense else "–",
        }
        for one in found
        for hole in one.missing
    ]
    if question.table.name in REQUIRED:
        holes += [
            {"symbol": one.window.symbol, "missing": span(*_whole(one.window)), "rows": "all"}
            for one in found
            if not one.rows and not one.expected and not _before_first(question, one.window)
        ]
    empty = [one.window.symbol for one in found if not one.rows]
    what = f"gaps in {question.table.name}, expected none"
    remedy = ": ingest again, or have universe.yaml begin after the hole" if holes else ""
    none = f"; no rows of {', '.join(dict.fromkeys(empty))}" if empty and not holes else ""
    return dg.AssetCheckResult(
        passed=not holes,
        description=f"{len(holes)} {what}{remedy}{none}",
        metadata={
            "count": len(holes),
            "rows": sum(one.rows for one in found),
            "expected": sum(one.expected for one in found),
            "up_to": moment(question.clock_ms) if question.clock_ms else "the last row",
            "first": table(holes[:MOST_SHOWN]),
        },
    )


def has_nothing_in_quarantine(question: Question) -> dg.AssetCheckResult:
    """Pass when no row of the windows is set aside."""
    frames = [
        (one.symbol, quarantined_in(question.lake, question.table.name, one))
        for one in question.windows
    ]
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
    remedy = ": ingest again when the source has them right" if count else ""
    return dg.AssetCheckResult(
        passed=not count,
        description=f"{count} rows of {question.table.name} in market/quarantine, "
        f"expected none{remedy}",
        metadata={
            "count": count,
            "rules": table({"rule": rule, "rows": number} for rule, number in rules.items()),
            "first": table(rows[:MOST_SHOWN]),
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
    disagreeing = sum(len(one.disagreeing) for one in found)
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
                    "disagreeing": len(one.disagreeing),
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


def _before_first(question: Question, window: Window) -> bool:
    """Say whether the window lies before the symbol's first row: it was not listed yet."""
    months = question.lake.months(question.table.name, window.symbol)
    return bool(months) and months[0] > moment(window.end_ms - 1)[:7]


def _whole(window: Window) -> tuple[int, int]:
    return window.start_ms, window.end_ms


def _met(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record for record in records if record["passed"]]
