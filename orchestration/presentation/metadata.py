"""Metadata that a person looks at: pictures, tables and spans of time, in Dagster's markdown."""

import base64
import html
from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from kernel.text import plain
from market_data.window import moment

MARKS = frozenset("\\`*[]|")  # what begins a code, an emphasis, a link or a cell


def picture(png: bytes, title: str) -> dg.MarkdownMetadataValue:
    """Return a PNG as an inline image."""
    return dg.MetadataValue.md(
        f"![{title}](data:image/png;base64,{base64.b64encode(png).decode()})"
    )


def table(rows: Iterable[Mapping[str, Any]]) -> dg.MarkdownMetadataValue:
    """Return records with equal keys as a markdown table."""
    records = list(rows)
    if not records:
        return dg.MetadataValue.md("*nothing*")
    names = list(records[0])
    lines = [names, ["---"] * len(names)]
    lines += [[_cell(record[name]) for name in names] for record in records]
    return dg.MetadataValue.md("\n".join("| " + " | ".join(line) + " |" for line in lines))


def span(start_ms: int, end_ms: int) -> str:
    """Return two moments (milliseconds UTC) as a person reads them."""
    return f"{moment(start_ms)} … {moment(end_ms)}"


def as_markdown(text: str) -> str:
    """Return text that markdown shows as it is: no markup, no HTML, no line of its own."""
    shown = html.escape(plain(text), quote=False)
    return "".join(f"\\{one}" if one in MARKS else one for one in shown)


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else as_markdown(str(value))
