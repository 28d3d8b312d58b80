"""What an ingest left in the lake and whether it is fit to build on: metadata and checks."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from orchestration.partitions import Window
from orchestration.resources.expectations import candle_expectations, funding_expectations
from orchestration.resources.frames import Frame
from orchestration.resources.ingestion import Ingest, quarantined_in, rows_in
from orchestration.resources.lake import FOREVER_MS, MARKET_TABLES, Lake
from orchestration.resources.pictures import history_png
from orchestration.resources.presentation import picture, span, table

MOST_SHOWN = 20


def described(reports: Sequence[Ingest], lake: Lake, windows: Sequence[Window]) -> dict[str, Any]:
    """Return what a person looks at on a market asset: rows, span, digest, quarantine, a plot."""
    name = reports[0].table
    frames = {
        f"{window.symbol} {span(window.start_ms, window.end_ms)[:7]}": rows_in(lake, name, window)
        for window in windows
    }
    summaries = [
        _summary(report, window, frame, lake)
        for report, window, frame in zip(reports, windows, frames.values(), strict=True)
    ]
    shown = {label: frame for label, frame in frames.items() if len(frame)}
    metadata = {
        "dagster/row_count": sum(len(frame) for frame in frames.values()),
        "new_rows": sum(report.added for report in reports),
        "revised_rows": sum(report.revised for report in reports),
        "quarantined": sum(report.quarantined for report in reports),
        "span": "; ".join(f"{one['symbol']} {one['span']}" for one in summaries),
        "digest": "; ".join(f"{one['symbol']} {one['digest']}" for one in summaries),
        "windows": table(summaries),
    }
    if shown:
        column = "close" if name == "candles" else next(iter(MARKET_TABLES[name]))
        metadata["plot"] = picture(history_png(shown, column), f"{name}: {column} and rows a day")
    return metadata


def _summary(report: Ingest, window: Window, frame: Frame, lake: Lake) -> dict[str, Any]:
    times = frame["event_time_ms"]
    return {
        "symbol": window.symbol,
        "span": span(int(times.min()), int(times.max())) if len(frame) else "no rows",
        "rows": len(frame),
        "received": report.received,
        "new": report.added,
        "revised": report.revised,
        "quarantined": report.quarantined,
        "read to": span(report.until_ms, report.until_ms)[:16],
        "digest": lake.table_digest(report.table, window.symbol, FOREVER_MS)[:16],
    }


def consistency(lake: Lake, windows: Sequence[Window]) -> dg.AssetCheckResult:
    """Pass when no candle of the windows is set aside."""
    rows = [
        {
            "symbol": window.symbol,
            "open time": span(row.event_time_ms, row.event_time_ms)[:16],
            "rule": row.rule,
            "found": row.found,
            "expected": row.expected,
            "source": row.source,
        }
        for window in windows
        for row in quarantined_in(lake, window).itertuples()
    ]
    return _verdict(
        rows,
        "candles are in quarantine (market/quarantine)",
        "ingest again when the venue has them",
    )


def gaps(lake: Lake, windows: Sequence[Window], bar_ms: int) -> dg.AssetCheckResult:
    """Pass when every bar is there from the symbol's first candle to the last that was ingested."""
    rows = [gap for window in windows for gap in _gaps_of(lake, window, bar_ms)]
    return _verdict(
        rows, "gaps in the candles", "ingest again, or accept the hole by starting later"
    )


def _gaps_of(lake: Lake, window: Window, bar_ms: int) -> list[dict[str, Any]]:
    import numpy as np

    times = lake.as_of("candles", window.symbol, FOREVER_MS)["event_time_ms"].to_numpy()
    if not len(times):
        return [_gap(window.symbol, window.start_ms, window.end_ms, bar_ms)]
    first = max(int(times[0]), window.start_ms)
    last = min(int(times[-1]), window.end_ms - bar_ms)
    missing = np.setdiff1d(np.arange(first, last + 1, bar_ms), times)
    runs = np.split(missing, np.flatnonzero(np.diff(missing) != bar_ms) + 1)
    return [
        _gap(window.symbol, int(run[0]), int(run[-1]) + bar_ms, bar_ms) for run in runs if len(run)
    ]


def _gap(symbol: str, start_ms: int, end_ms: int, bar_ms: int) -> dict[str, Any]:
    bars = (end_ms - start_ms) // bar_ms
    return {"symbol": symbol, "missing": span(start_ms, end_ms), "bars": bars}


def expected_candles(lake: Lake, windows: Sequence[Window], bar_ms: int) -> dg.AssetCheckResult:
    """Pass when the stored candles meet every expectation of the suite."""
    return _validation(
        [(one, candle_expectations(rows_in(lake, "candles", one), bar_ms)) for one in windows]
    )


def expected_funding(lake: Lake, windows: Sequence[Window]) -> dg.AssetCheckResult:
    """Pass when the stored settlements meet every expectation of the suite."""
    return _validation(
        [(one, funding_expectations(rows_in(lake, "funding", one))) for one in windows]
    )


def _validation(suites: Sequence[tuple[Window, list[dict[str, Any]]]]) -> dg.AssetCheckResult:
    rows = [{"symbol": window.symbol} | one for window, suite in suites for one in suite]
    broken = [row for row in rows if not row["passed"]]
    first = f": {broken[0]['expectation']} ({broken[0]['column']})" if broken else ""
    return dg.AssetCheckResult(
        passed=not broken,
        description=f"{len(broken)} of {len(rows)} expectations broken{first}",
        metadata={"expectations": table(rows), "broken": len(broken)},
    )


def within(
    lake: Lake, name: str, windows: Sequence[Window], limits: dict[str, tuple[float, float]]
) -> dg.AssetCheckResult:
    """Pass when every value that is there lies within its column's limits, both included."""
    rows = [
        {
            "symbol": window.symbol,
            "event": span(time, time)[:16],
            "column": column,
            "found": value,
            "expected": f"{low:g} … {high:g}",
        }
        for window in windows
        for frame in [rows_in(lake, name, window)]
        for column, (low, high) in limits.items()
        for time, value in zip(frame["event_time_ms"], frame[column], strict=True)
        if value < low or value > high
    ]
    return _verdict(rows, f"values of {name} out of range", "see the source, then ingest again")


def _verdict(rows: list[dict[str, Any]], what: str, remedy: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=not rows,
        description=f"{len(rows)} {what}, expected none" + (f": {remedy}" if rows else ""),
        metadata={"count": len(rows), "first": table(rows[:MOST_SHOWN])},
    )
