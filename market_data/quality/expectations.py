"""Great Expectations over raw tables: one suite per description, validated in bounded memory."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from market_data.frames import Frame
from market_data.quality.acceptance import accepted_spans
from market_data.spans import Span, Times, inside, minus
from market_data.storage.lake import FOREVER_MS, Lake
from market_data.storage.revisions import month_start_ms
from market_data.tables import ABOVE_0, DAY_MS, Column, Table
from market_data.window import Window

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult

MOST_ROWS = 1_000_000  # validated at once: a second and some hundred megabytes
MOST_DAYS = 4  # of ticks, read at once while there are few of them
MOST_EXAMPLES = 20
PRICES = ("open", "high", "low", "close")
_TYPES = {"double": "float64", "int64": "int64", "int32": "int32", "string": "str"}
_LIMITS = ("min_value", "max_value", "strict_min", "type_", "or_equal")
_EXAMPLES = (
    "partial_unexpected_list",
    "partial_unexpected_index_list",
    "partial_unexpected_counts",
)
_PLACE = ["symbol", "event_time_ms"]


@dataclass(frozen=True, slots=True)
class Validation:
    """The outcome of a suite: a record per expectation, and what its page is rendered from."""

    rows: int
    records: list[dict[str, Any]]
    result: "ExpectationSuiteValidationResult | None"

    @property
    def broken(self) -> list[dict[str, Any]]:
        """Return the records of what was not met."""
        return [record for record in self.records if not record["passed"]]


def validate(
    lake: Lake, table: Table, windows: Sequence[Window], bar_ms: int, earliest_ms: int
) -> Validation:
    """Hold the latest rows of the windows against the table's suite.

    `earliest_ms` after its event a row may count as known. Rows that a person accepted are left
    out, as if they were missing. Rows are read and validated up to `MOST_ROWS` at a time; no rows
    meet everything.
    """
    merged: ExpectationSuiteValidationResult | None = None
    rows = 0
    for batch in _batches(lake, table, windows, bar_ms):
        result = _validated(batch, suite(table, bar_ms, earliest_ms), table.name)
        merged = result if merged is None else _joined(merged, result)
        rows += len(batch)
    records = [] if merged is None else [_record(one) for one in merged.results]
    return Validation(rows, records, merged)


def suite(table: Table, bar_ms: int, earliest_ms: int) -> list[Any]:
    """Return the expectations that follow from a table's description.

    They speak of the stored columns, of `symbol`, and of the helpers that `prepared` adds.
    """
    import great_expectations.expectations as gxe

    helpers = [name for name, limits in _helpers(table, bar_ms, earliest_ms).items() if limits]
    key = [*_PLACE, *table.identity]
    expected: list[Any] = [
        gxe.ExpectTableColumnsToMatchSet(column_set=["symbol", *table.kinds, *helpers]),
        gxe.ExpectCompoundColumnsToBeUnique(column_list=key),
    ]
    for name, kind in table.kinds.items():
        expected.append(gxe.ExpectColumnValuesToBeOfType(column=name, type_=_TYPES[kind]))
        column = table.columns.get(name)
        if column is None or column.required:
            expected.append(gxe.ExpectColumnValuesToNotBeNull(column=name))
        if column and column.kind != "string":
            expected.append(gxe.ExpectColumnValuesToBeBetween(column=name, **_bounds(column)))
    for name, limits in _helpers(table, bar_ms, earliest_ms).items():
        if limits:
            expected.append(gxe.ExpectColumnValuesToBeBetween(column=name, **limits))
    pairs = []
    if table.shape == "candle":
        pairs = [("high", name) for name in PRICES if name != "high"]
        pairs += [(name, "low") for name in PRICES if name not in {"high", "low"}]
    if {"best_bid", "best_ask"} <= set(table.columns):
        pairs = [("best_ask", "best_bid")]
    return expected + [
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A=above, column_B=below, or_equal=table.shape == "candle"
        )
        for above, below in pairs
    ]


def prepared(
    table: Table, symbol: str, frame: Frame, bar_ms: int, accepted: Sequence[Span] = ()
) -> Frame:
    """Return rows of one symbol, without those accepted, with the helpers the suite speaks of.

    `known_after_ms`: from the event to when the row counts as known. `since_last_ms`: from the row
    before, accepted silence left out, none for the first. `off_grid_ms`: to the nearest point of
    the grid. `bars_without_volume`: how many in a row, this one included.
    """
    if accepted:
        taken = inside(frame["event_time_ms"].to_numpy(np.int64), accepted)
        frame = frame[~taken].reset_index(drop=True)
    times = frame["event_time_ms"].to_numpy(np.int64)
    added: dict[str, Any] = {
        "symbol": symbol,
        "known_after_ms": frame["known_at_ms"].to_numpy(np.int64) - times,
        "since_last_ms": _since_last(table, times, accepted),
    }
    step = table.step(bar_ms)
    if step:
        added["off_grid_ms"] = np.minimum(times % step, -times % step)
    if table.flat_bars:
        flat = frame["volume"].to_numpy() == 0.0
        row = np.arange(len(flat))
        added["bars_without_volume"] = row - np.maximum.accumulate(np.where(flat, -1, row))
    return frame.assign(**added)


def _since_last(table: Table, times: Times, accepted: Sequence[Span]) -> Any:
    """Return float64[n]: milliseconds since the row before; NaN for the first.

    Of a silence too long counts the longest part that nobody has accepted.
    """
    since = np.diff(times, prepend=np.nan)
    for row in np.flatnonzero(since > table.longest_silence_ms) if accepted else ():
        rest = minus([(int(times[row - 1]), int(times[row]))], accepted)
        since[row] = max([end - start for start, end in rest], default=1)
    return since


def _helpers(table: Table, bar_ms: int, earliest_ms: int) -> dict[str, dict[str, Any]]:
    """Return, per helper column, the limits that it has to keep; none where it is not made."""
    since: dict[str, Any] = {"min_value": 0, "strict_min": not table.identity}
    if table.longest_silence_ms:
        since["max_value"] = table.longest_silence_ms
    return {
        "known_after_ms": {"min_value": earliest_ms},
        "since_last_ms": since,
        "off_grid_ms": {"max_value": table.jitter_ms} if table.step(bar_ms) else {},
        "bars_without_volume": {"max_value": table.flat_bars} if table.flat_bars else {},
    }


def _bounds(column: Column) -> dict[str, Any]:
    """Return the column's bounds as an expectation takes them: above 0 is 0, not included."""
    above_0 = column.low == ABOVE_0
    bounds: dict[str, Any] = {"strict_min": True} if above_0 else {}
    if column.low > -inf:
        bounds["min_value"] = 0.0 if above_0 else column.low
    if column.high < inf:
        bounds["max_value"] = column.high
    return bounds


def pieces(lake: Lake, table: Table, window: Window) -> Iterator[Frame]:
    """Yield the latest rows of a window: at once, or of ticks some days at a time."""
    months = lake.months(table.name, window.symbol)
    at_ms = max(window.start_ms, month_start_ms(months[0])) if months else window.end_ms
    step = DAY_MS if table.shape == "tick" else window.end_ms
    while at_ms < window.end_ms:
        end_ms = min(at_ms + step, window.end_ms)
        frame = lake.as_of(table.name, window.symbol, FOREVER_MS, at_ms, end_ms)
        if len(frame):
            yield frame
        at_ms = end_ms
        step = min(2 * step, MOST_DAYS * DAY_MS) if len(frame) < MOST_ROWS // 4 else DAY_MS


def _batches(lake: Lake, table: Table, windows: Iterable[Window], bar_ms: int) -> Iterator[Frame]:
    """Yield prepared rows, as many whole pieces at a time as make `MOST_ROWS`."""
    import pandas as pd

    held: list[Frame] = []
    for window in windows:
        accepted = accepted_spans(lake, table.name, window.symbol)
        for frame in pieces(lake, table, window):
            if held and sum(map(len, held)) + len(frame) > MOST_ROWS:
                yield pd.concat(held, ignore_index=True)
                held = []
            held.append(prepared(table, window.symbol, frame, bar_ms, accepted))
    if held:
        yield pd.concat(held, ignore_index=True)


def _validated(
    frame: Frame, expectations: list[Any], name: str
) -> "ExpectationSuiteValidationResult":
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    whole = context.data_sources.add_pandas("lake").add_dataframe_asset(name)
    batch = whole.add_batch_definition_whole_dataframe("rows").get_batch({"dataframe": frame})
    shown: Any = {"result_format": "SUMMARY", "unexpected_index_column_names": _PLACE}
    result = batch.validate(
        gx.ExpectationSuite(name=name, expectations=expectations), result_format=shown
    )
    for one in result.results:
        _place_examples(one.result)
    return result


def _place_examples(found: dict[str, Any]) -> None:
    """Have the page say where the unexpected values are, which it counts by value else."""
    examples = found.get("partial_unexpected_index_list")
    if examples:
        places = list(map(_example, examples))
        found["partial_unexpected_list"] = places
        found["partial_unexpected_counts"] = [{"value": one, "count": 1} for one in places]


def _joined(
    one: "ExpectationSuiteValidationResult", other: "ExpectationSuiteValidationResult"
) -> "ExpectationSuiteValidationResult":
    """Add the counts and examples of a further batch to those of the batches before."""
    for mine, further in zip(one.results, other.results, strict=True):
        mine.success = bool(mine.success and further.success)
        for name in ("element_count", "unexpected_count", "missing_count"):
            if name in mine.result:
                mine.result[name] += further.result[name]
        for name in _EXAMPLES:
            if name in further.result:
                both = mine.result.get(name, []) + further.result[name]
                mine.result[name] = both[:MOST_EXAMPLES]
        if mine.result.get("element_count"):
            share = 100.0 * mine.result["unexpected_count"] / mine.result["element_count"]
            mine.result["unexpected_percent"] = share
    one.success = bool(one.success and other.success)
    met = sum(bool(result.success) for result in one.results)
    one.statistics["successful_expectations"] = met
    one.statistics["unsuccessful_expectations"] = len(one.results) - met
    one.statistics["success_percent"] = 100.0 * met / len(one.results)
    return one


def _record(result: Any) -> dict[str, Any]:
    """Return what a person looks at in the result of one expectation."""
    asked = result.expectation_config.kwargs
    found = result.result
    columns = [asked[name] for name in ("column", "column_A", "column_B") if name in asked]
    limits = {name: asked.get(name) for name in _LIMITS}
    examples = found.get("partial_unexpected_index_list") or []
    return {
        "expectation": result.expectation_config.type.removeprefix("expect_").replace("_", " "),
        "column": ", ".join([*columns, *asked.get("column_list", [])]) or "all",
        "limits": ", ".join(
            f"{k} {v}" for k, v in limits.items() if v is not None and v is not False
        ),
        "rows": found.get("element_count", "–"),
        "unexpected": found.get("unexpected_count", 0 if result.success else "–"),
        "examples": "; ".join(map(_example, examples[:3])),
        "passed": bool(result.success),
    }


def _example(row: dict[str, Any]) -> str:
    from market_data.window import moment

    values = ", ".join(f"{name} {row[name]}" for name in row if name not in _PLACE)
    return f"{row['symbol']} {moment(row['event_time_ms'])} {values}".strip()
