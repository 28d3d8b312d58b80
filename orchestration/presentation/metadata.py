"""Metadata that a person looks at: figures, short tables, pictures and spans of time."""

import base64
import math
import numbers
from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from kernel.text import plain
from market_data.window import moment

DIGITS = 4  # significant ones: more say nothing, and Dagster shows all that a number has
DIGEST = 12
NOTHING = "–"


def picture(png: bytes, title: str) -> dg.MarkdownMetadataValue:
    """Return a PNG as an inline image."""
    return dg.MetadataValue.md(
        f"![{title}](data:image/png;base64,{base64.b64encode(png).decode()})"
    )


def table(rows: Iterable[Mapping[str, Any]]) -> dg.MetadataValue[Any]:
    """Return records with equal keys as a table that Dagster shows at once, as plain text."""
    records = [{name: cell(one) for name, one in row.items()} for row in rows]
    if not records:
        return dg.MetadataValue.text("nothing")
    columns = [dg.TableColumn(name=name) for name in records[0]]
    return dg.MetadataValue.table(
        records=[dg.TableRecord(one) for one in records],
        schema=dg.TableSchema(columns=columns),
    )


def figures(values: Mapping[str, float | int | None]) -> dict[str, float | int]:
    """Return numbers as *Plots* draws them over the weeks; what is no number is left out."""
    return {
        name: number(value)
        for name, value in values.items()
        if value is not None and math.isfinite(value)
    }


def number(value: float) -> float | int:
    """Return a finite number with as many digits as a person reads."""
    return value if isinstance(value, int) else float(f"{value:.{DIGITS}g}")


def link(name: str, url: str) -> dict[str, dg.MetadataValue[Any]]:
    """Return a page to go to from here under a name, and nothing where there is no such page."""
    return {name: dg.MetadataValue.url(url)} if url else {}


def short(digest: str) -> str:
    """Return as much of a digest as tells it from others."""
    return digest[:DIGEST] or "none"


def span(start_ms: int, end_ms: int) -> str:
    """Return two moments (milliseconds UTC) as a person reads them."""
    return f"{moment(start_ms)} … {moment(end_ms)}"


def cell(value: Any) -> str:
    """Return a value as a cell shows it: no `nan`, no long figure, words as they are."""
    if value is None:
        return NOTHING
    if isinstance(value, numbers.Integral):
        return str(value)
    if isinstance(value, numbers.Real):
        return f"{value:.{DIGITS}g}" if math.isfinite(value) else NOTHING
    return plain(str(value))
