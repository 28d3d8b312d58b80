"""What an ingest left in the lake, as a person looks at it on the asset."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import dagster as dg

from market_data.ingest.ingestion import Ingest, quarantined_in
from market_data.quality import acceptance
from market_data.quality.acceptance import standing
from market_data.quality.coverage import coverage
from market_data.quality.glance import Glance, glance
from market_data.quality.lags import earliest_ms
from market_data.storage.lake import FOREVER_MS, Lake
from market_data.tables import TABLES
from market_data.universe import UniverseSettings
from market_data.window import Window, exact, moment
from orchestration.presentation.metadata import picture, span, table
from orchestration.presentation.pictures import history_png

CLOCK = "clock"
MOST_SHOWN = 20


def opened(universe: UniverseSettings, name: str, windows: Sequence[Window]) -> list[Window]:
    """Return the parts of the windows in which universe.yaml has a source for the table."""
    if name not in universe.market:
        return []
    start_ms = universe.table_start_ms(name)
    clipped = [replace(one, start_ms=max(one.start_ms, start_ms)) for one in windows]
    return [one for one in clipped if one.start_ms < one.end_ms]


def described(
    name: str, reports: Sequence[Ingest], lake: Lake, universe: UniverseSettings
) -> dict[str, Any]:
    """Return metadata of a market asset: rows, span, digest, what was read and what became of it.

    Without reports nothing was asked of the table, and the metadata says why.
    """
    if not reports:
        return {"dagster/row_count": 0, "not_ingested": _why_not(name, universe)}
    glances = [glance(lake, TABLES[name], report.window) for report in reports]
    holdings = [_holding(one, report, lake) for one, report in zip(glances, reports, strict=True)]
    shown = [one for one in glances if one.rows]
    aside = _set_aside(lake, reports)
    metadata = {
        "dagster/row_count": sum(one.rows for one in glances),
        "received_rows": sum(report.received for report in reports),
        "new_rows": sum(report.added for report in reports),
        "revised_rows": sum(report.revised for report in reports),
        "in_quarantine": sum(row["events"] for row in aside),
        "span": "; ".join(f"{one['symbol']} {one['span']}" for one in holdings),
        "digest": "; ".join(f"{one['symbol']} {one['digest']}" for one in holdings),
        CLOCK: dg.MetadataValue.timestamp(max(one.until_ms for one in reports) / 1000),
        "windows": table(holdings),
        "read": table(map(_reading, reports)),
        "moved": table(_moved(lake, reports)),
        "quarantine": table(aside),
        "coverage": table(_covered(lake, universe, reports)),
        "accepted": accepted_table(lake, name, [report.window.symbol for report in reports]),
    }
    searched = [text for report in reports for text in report.searched]
    if searched:
        metadata["nothing_found"] = "; ".join(dict.fromkeys(searched))
    if shown:
        metadata["plot"] = picture(history_png(shown, TABLES[name]), f"{name}: values and rows")
    return metadata


def accepted_table(lake: Lake, name: str, symbols: Sequence[str]) -> dg.MetadataValue:
    """Return what people have accepted as missing of a table and symbols, and not taken back."""
    return table(acceptance.described(one, moment) for one in standing(lake, name, symbols))


def _why_not(name: str, universe: UniverseSettings) -> str:
    if name not in universe.market:
        return f"universe.yaml lists no source of {name}: add it under `market` to ingest it"
    start = moment(universe.table_start_ms(name))[:10]
    return f"universe.yaml has {name} begin on {start}: these months lie before it"


def _holding(found: Glance, report: Ingest, lake: Lake) -> dict[str, Any]:
    return {
        "symbol": report.window.symbol,
        "span": span(found.first_ms, found.last_ms) if found.rows else "no rows",
        "rows": found.rows,
        "digest": _digest(found, report, lake)[:16],
    }


def _digest(found: Glance, report: Ingest, lake: Lake) -> str:
    """Return the digest of the symbol's whole table; of ticks, which are many, of the window."""
    if TABLES[report.table].shape == "tick":
        return found.digest
    return lake.table_digest(report.table, report.window.symbol, FOREVER_MS)


def _reading(report: Ingest) -> dict[str, Any]:
    """Return what was asked of which source; every row received is in one of the counts after it,
    one that was asked for twice in two.
    """
    spans = [span(*one) for one in report.read_ms]
    return {
        "symbol": report.window.symbol,
        "source": ", ".join(report.sources) or "none asked",
        "read": "; ".join(spans[:3]) + (f" and {len(spans) - 3} more" if len(spans) > 3 else ""),
        "up to": moment(report.until_ms),
        "received": report.received,
        "= new": report.added,
        "+ revised": report.revised,
        "+ already there": report.unchanged,
        "+ quarantined": report.quarantined,
        "+ not over": report.unfinished,
        "seconds": round(report.seconds, 1),
    }


def _moved(lake: Lake, reports: Sequence[Ingest]) -> list[dict[str, Any]]:
    """Return what the corrections of this ingest changed, cell by cell, the latest first."""
    rows = [
        {
            "symbol": report.window.symbol,
            "event": moment(row.event_time_ms),
            "column": row.column,
            "before": exact(row.before),
            "after": exact(row.after),
            "source": row.source,
            "revision": row.revision,
        }
        for report in reports
        if report.revised
        for row in _corrections(lake, report).itertuples()
    ]
    return rows[:MOST_SHOWN]


def _corrections(lake: Lake, report: Ingest) -> Any:
    """Return the cells of the window that a reader sees differently since the ingest's clock."""
    name = report.table
    symbol = report.window.symbol
    moved = lake.diff(name, symbol, report.until_ms - 1, FOREVER_MS)
    inside = moved["event_time_ms"].between(report.window.start_ms, report.window.end_ms - 1)
    corrected = moved[inside & (moved["revision"] > 0)]
    return corrected.sort_values("event_time_ms", ascending=False)


def _set_aside(lake: Lake, reports: Sequence[Ingest]) -> list[dict[str, Any]]:
    """Return how many events are in quarantine, by symbol, source and rule."""
    return [
        {"symbol": report.window.symbol, "source": source, "rule": rule, "events": len(rows)}
        for report in reports
        for (source, rule), rows in quarantined_in(lake, report.table, report.window).groupby(
            ["source", "rule"]
        )
    ]


def _covered(
    lake: Lake, universe: UniverseSettings, reports: Sequence[Ingest]
) -> list[dict[str, Any]]:
    """Return, per window, the rows due and found, and the first holes."""
    found = [
        coverage(
            lake=lake,
            table=TABLES[report.table],
            window=report.window,
            bar_ms=universe.bar_ms,
            earliest_ms=earliest_ms(universe, report.table),
            clock_ms=report.until_ms,
            silent_bars=universe.market[report.table].silent_bars,
        )
        for report in reports
    ]
    return [
        {
            "symbol": one.window.symbol,
            "due": span(*one.due) if one.due[0] < one.due[1] else "nothing",
            "expected": one.expected or "–",
            "rows": one.rows,
            "share": f"{one.share:.2%}" if one.expected else "–",
            "missing": "; ".join(span(*hole) for hole in one.missing[:3]) or "none",
            "accepted": "; ".join(span(*hole) for hole in one.accepted[:3]) or "none",
        }
        for one in found
    ]
