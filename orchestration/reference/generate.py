"""Write the reference pages under `docs/` from the code that they describe.

Usage: python -m orchestration.reference.generate docs
"""

import sys
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from orchestration.reference.markdown import markdown_table

if TYPE_CHECKING:
    from market_data.tables import Column, Table

STAGES = (
    "market",
    "warehouse",
    "features",
    "labels",
    "datasets",
    "training",
    "evaluation",
    "backtest",
    "gates",
    "bundles",
    "promotion",
    "monitoring",
)
MADE_BY = "Made by `make docs` from the code; do not edit.\n"


def pages() -> dict[str, str]:
    """Return file name → text of every generated page."""
    from orchestration.definitions import defs

    definitions = defs()
    assert isinstance(definitions, dg.Definitions)
    return {
        "assets.md": assets_page(definitions),
        "tables.md": tables_page(),
    }


def assets_page(definitions: dg.Definitions) -> str:
    """Return a heading per stage, with its assets, what they read and the checks beside them."""
    graph = definitions.resolve_asset_graph()
    lines = ["# Assets\n", MADE_BY]
    for stage in STAGES:
        lines.append(f"## {stage}\n")
        keys = sorted(k for k in graph.materializable_asset_keys if k.path[0] == stage)
        rows = [
            (
                f"`{key.to_user_string()}`",
                _first_sentence(graph.get(key).description),
                ", ".join(f"`{p.to_user_string()}`" for p in sorted(graph.get(key).parent_keys)),
            )
            for key in keys
        ]
        lines.append(markdown_table(("asset", "what it is", "reads"), rows))
        checks = sorted(k for k in graph.asset_check_keys if k.asset_key.path[0] == stage)
        rows = [
            (
                f"`{check.name}`",
                f"`{check.asset_key.to_user_string()}`",
                "yes" if graph.get(check).blocking else "no",
            )
            for check in checks
        ]
        lines.append(markdown_table(("check", "of", "blocks"), rows))
    return "\n".join(lines)


def tables_page() -> str:
    """Return a section per raw table of the lake: what a row is, its grid, units and bounds."""
    from market_data.tables import KEY_COLUMNS, TABLES

    lines = [f"# The {len(TABLES)} raw tables\n", MADE_BY]
    key = ", ".join(f"`{name}` ({kind})" for name, kind in KEY_COLUMNS.items())
    lines.append(f"Every row begins with {key}; times are milliseconds UTC.\n")
    for table in TABLES.values():
        lines += [f"## {table.name}\n", f"{table.summary} {_rules(table)}\n"]
        rows = [
            (
                f"`{name}`",
                column.kind,
                column.unit,
                _bounds(column),
                "yes" if column.required else "no",
            )
            for name, column in table.columns.items()
        ]
        lines.append(markdown_table(("column", "type", "unit", "bounds", "required"), rows))
    return "\n".join(lines)


def _rules(table: "Table") -> str:
    rules = {
        f"A row every {_span(table.step_ms)}": table.dense,
        f"Events on a grid of {_span(table.step_ms)}": table.step_ms != 0 and not table.dense,
        f"known {_span(table.period_ms)} after its event at the earliest": table.period_ms != 0,
        f"stale after {_span(table.longest_silence_ms)}": table.longest_silence_ms > 0,
        f"at most {table.flat_bars} bars in a row without volume": table.flat_bars > 0,
        f"told apart by {', '.join(table.identity)}": bool(table.identity),
    }
    text = "; ".join(rule for rule, holds in rules.items() if holds)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _bounds(column: "Column") -> str:
    if column.kind == "string":
        return ""
    low = "above 0" if 0.0 < column.low < 1e-300 else f"{column.low:g}"
    return low if column.high == inf else f"{low} … {column.high:g}"


def _span(span_ms: int | None) -> str:
    if span_ms is None:
        return "one bar"
    for name, unit_ms in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000)):
        if span_ms >= unit_ms:
            return f"{span_ms / unit_ms:g} {name}"
    return f"{span_ms} ms"


def write(folder: Path) -> None:
    """Write every page into `folder`; that of the features needs the recorded markets."""
    from orchestration.reference import feature_page

    for name, text in (pages() | feature_page.files(folder)).items():
        (folder / name).write_text(text, encoding="utf-8")


def _first_sentence(text: str | None) -> str:
    return " ".join((text or "").split("\n\n", 1)[0].split())


if __name__ == "__main__":
    write(Path(sys.argv[1]))
