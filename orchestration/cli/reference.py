"""Write the reference pages under `docs/` from the code that they describe.

Usage: python -m orchestration.cli.reference docs
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import dagster as dg

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
    return {"assets.md": assets_page(definitions), "features.md": features_page()}


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
        lines.append(_table(("asset", "what it is", "reads"), rows))
        checks = sorted(k for k in graph.asset_check_keys if k.asset_key.path[0] == stage)
        rows = [
            (
                f"`{check.name}`",
                f"`{check.asset_key.to_user_string()}`",
                "yes" if graph.get(check).blocking else "no",
            )
            for check in checks
        ]
        lines.append(_table(("check", "of", "blocks"), rows))
    return "\n".join(lines)


def features_page() -> str:
    """Return a row per feature of the kernel's registry, in the order of the catalogue."""
    from kernel.features.registry import FEATURES, feature

    rows = [
        (
            f"`{f.name}`",
            f.group,
            f"{f.unit}, {f.low:g} to {f.high:g}",
            f.formula,
            f.source,
            str(f.warmup_bars),
            f.missing,
        )
        for f in map(feature, FEATURES)
    ]
    header = ("feature", "group", "unit and range", "formula", "source", "warm-up", "missing")
    return "\n".join([f"# The {len(FEATURES)} features\n", MADE_BY, _table(header, rows)])


def write(folder: Path) -> None:
    """Write every page into `folder`."""
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = [header, ["---"] * len(header), *rows]
    body = (" | ".join(cell.replace("|", "\\|") for cell in row) for row in cells)
    return "\n".join(f"| {line} |" for line in body) + "\n"


def _first_sentence(text: str | None) -> str:
    return " ".join((text or "").split("\n\n", 1)[0].split())


if __name__ == "__main__":
    write(Path(sys.argv[1]))
