# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# matplotlib leaves its objects unknown; what leaves this file is bytes.
"""The proposals at a glance, as PNG bytes that are equal for equal data."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from research.canvas import off_screen, png
from research.evaluation.paired import Difference
from research.features.pictures import (
    EXTREME,
    FAINT,
    INK,
    LARGE,
    PLAIN,
    SMALL,
    in_columns,
    title,
)
from research.training.selection import NEGLIGIBLE_SHAP, Proposals, Strength, Verdict

COLOUR: dict[Verdict, str] = {"carries": PLAIN, "nothing shown": FAINT, "harms": EXTREME}
SHOWN_SHAP = 1e-4  # the left end of the axis; what is weaker has no bar
TOGETHER = "all proposals"


def proposals_figure(found: Proposals) -> Any:
    """Return every feature's mean |SHAP|, and what leaving each group out costs, with intervals."""
    ordered = sorted(found.strengths, key=lambda one: (-one.mean, one.feature))
    columns = in_columns(ordered)
    tall = max(len(part) for part in columns)
    rows = len(found.ablations) + 1
    height = 1.3 + 0.155 * max(tall, 1.6 * rows)
    figure = off_screen(3.0 * len(columns) + 5.0, height)
    widths = [3.0] * len(columns) + [5.0]
    axes = figure.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0]
    for panel, part in zip(axes, columns, strict=False):
        _bars(panel, part, tall, max(ordered[0].mean, NEGLIGIBLE_SHAP))
    _forest(axes[-1], found)
    _explain(figure)
    weak = sum(one.negligible for one in found.strengths)
    carrying = [one.group for one in found.ablations if one.verdict == "carries"]
    title(
        figure,
        f"{weak} of {len(ordered)} features are negligible; "
        f"{len(carrying)} of {len(found.ablations)} groups are missed when left out"
        + (f": {', '.join(carrying)}" if carrying else ""),
    )
    return figure


def proposals_png(found: Proposals) -> bytes:
    """Return the picture of `proposals_figure`."""
    return png(proposals_figure(found))


def _bars(axes: Any, part: Sequence[Strength], tall: int, largest: float) -> None:
    at = np.arange(len(part))
    colours = [LARGE if one.negligible else PLAIN for one in part]
    axes.barh(at, [max(one.mean, SHOWN_SHAP) for one in part], color=colours, height=0.7)
    low, high = ([max(end(one.by_fold), SHOWN_SHAP) for one in part] for end in (min, max))
    axes.hlines(at, low, high, color=INK, lw=0.8)
    axes.axvline(NEGLIGIBLE_SHAP, color=LARGE, lw=0.8, ls=":")
    axes.set_xscale("log")
    axes.set_xlim(SHOWN_SHAP, 3 * largest)
    axes.set_ylim(tall - 0.4, -0.6)
    axes.set_yticks(at, [one.feature for one in part], fontsize=SMALL)
    axes.tick_params(axis="x", labelsize=SMALL)
    axes.tick_params(axis="y", length=0, pad=2)
    axes.set_xlabel("mean |SHAP|, line: least to most of the folds", fontsize=SMALL)
    axes.spines[["top", "right"]].set_visible(False)


def _forest(axes: Any, found: Proposals) -> None:
    """Draw a line per group, what is missed most on top, and all proposals at once below."""
    ordered = sorted(found.ablations, key=lambda one: -one.difference.mean)
    lines: list[tuple[str, Difference, str]] = [
        (f"{one.group} ({len(one.features)})", one.difference, COLOUR[one.verdict])
        for one in ordered
    ]
    if found.together is not None:
        lines.append((f"{TOGETHER} ({len(found.removed)})", found.together, INK))
    for at, (_, one, colour) in enumerate(lines):
        axes.plot([1e3 * one.low, 1e3 * one.high], [at, at], color=colour, lw=2.2)
        axes.plot([1e3 * one.mean], [at], "o", color=colour, ms=5)
    axes.axvline(0.0, color=INK, lw=0.8)
    axes.set_yticks(np.arange(len(lines)), [name for name, _, _ in lines], fontsize=SMALL + 1)
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.tick_params(axis="x", labelsize=SMALL)
    axes.tick_params(axis="y", length=0, pad=2)
    axes.set_xlabel(
        "log-loss without − with, ×1000, 95 % intervals of each alone\n"
        "right of 0: missed when left out",
        fontsize=SMALL,
    )
    axes.spines[["top", "right"]].set_visible(False)


def _explain(figure: Any) -> None:
    from matplotlib.lines import Line2D

    words = {"carries": "carries (5 %, Holm)", "nothing shown": "nothing shown", "harms": "harms"}
    marks = [Line2D([], [], color=c, lw=2.2, label=words[verdict]) for verdict, c in COLOUR.items()]
    figure.legend(
        handles=marks, fontsize=SMALL + 1, frameon=False, ncols=3, loc="outside lower right"
    )
