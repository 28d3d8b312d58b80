"""Great Expectations over raw tables, in a context that leaves nothing behind."""

import logging
from typing import Any

from orchestration.resources.frames import Frame

PRICES = ("open", "high", "low", "close")
KEY = ("event_time_ms", "known_at_ms", "source", "revision")
MAX_FUNDING_RATE = 0.05  # per settlement; the venue caps its own rates below this
MAX_SETTLEMENT_HOURS = 8.05  # stamps are some milliseconds off the hour
HOUR_MS = 3_600_000


def candle_expectations(frame: Frame, bar_ms: int) -> list[dict[str, Any]]:
    """Return one record per expectation of candles in the order of their open time."""
    import great_expectations.expectations as gxe

    at_least = gxe.ExpectColumnPairValuesAToBeGreaterThanB
    expectations: list[Any] = [
        gxe.ExpectTableColumnsToMatchSet(column_set=[*KEY, *PRICES, "volume", "known_after_ms"]),
        gxe.ExpectColumnValuesToBeUnique(column="event_time_ms"),
        gxe.ExpectColumnValuesToBeBetween(
            column="known_after_ms", min_value=bar_ms
        ),  # never known before the close
        gxe.ExpectColumnValuesToNotBeNull(column="volume"),
        gxe.ExpectColumnValuesToBeBetween(column="volume", min_value=0),
    ]
    for name in PRICES:
        expectations += [
            gxe.ExpectColumnValuesToNotBeNull(column=name),
            gxe.ExpectColumnValuesToBeBetween(column=name, min_value=0, strict_min=True),
            at_least(column_A="high", column_B=name, or_equal=True),
            at_least(column_A=name, column_B="low", or_equal=True),
        ]
    lasting = frame["known_at_ms"] - frame["event_time_ms"]
    return _validated(frame.assign(known_after_ms=lasting), expectations)


def funding_expectations(frame: Frame) -> list[dict[str, Any]]:
    """Return one record per expectation of funding settlements in the order of their time."""
    import great_expectations.expectations as gxe

    limits: Any = {"min_value": -MAX_FUNDING_RATE, "max_value": MAX_FUNDING_RATE}
    spacing: Any = {"min_value": 0, "strict_min": True, "max_value": MAX_SETTLEMENT_HOURS}
    expectations = [
        gxe.ExpectTableColumnsToMatchSet(column_set=[*KEY, "funding_rate", "hours_since_last"]),
        gxe.ExpectColumnValuesToBeUnique(column="event_time_ms"),
        gxe.ExpectColumnValuesToNotBeNull(column="funding_rate"),
        gxe.ExpectColumnValuesToBeBetween(column="funding_rate", **limits),
        gxe.ExpectColumnValuesToBeBetween(column="hours_since_last", **spacing),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="known_at_ms", column_B="event_time_ms", or_equal=True
        ),
    ]
    hours = frame["event_time_ms"].diff() / HOUR_MS
    return _validated(frame.assign(hours_since_last=hours), expectations)


def _validated(frame: Frame, expectations: list[Any]) -> list[dict[str, Any]]:
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    whole = context.data_sources.add_pandas("lake").add_dataframe_asset("rows")
    batch = whole.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    suite = gx.ExpectationSuite(name="raw", expectations=expectations)
    return [_record(one) for one in batch.validate(suite).results]


def _record(result: Any) -> dict[str, Any]:
    """Return what a person looks at in the result of one expectation."""
    config, found = result.expectation_config, result.result
    limits = {
        key: value
        for key, value in config.kwargs.items()
        if key not in {"batch_id", "column", "column_set"} and not key.startswith("column_")
    }
    columns = [
        config.kwargs[key] for key in ("column", "column_A", "column_B") if key in config.kwargs
    ]
    return {
        "expectation": config.type.removeprefix("expect_").replace("_", " "),
        "column": ", ".join(columns) or "all",
        "limits": ", ".join(f"{key} {value}" for key, value in limits.items()),
        "rows": found.get("element_count", "–"),
        "unexpected": found.get("unexpected_count", 0 if result.success else "–"),
        "examples": ", ".join(map(str, found.get("partial_unexpected_list", [])[:3])),
        "passed": bool(result.success),
    }
