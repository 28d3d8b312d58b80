# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pandas and matplotlib leave their cells unknown; what leaves this file is bytes.
"""The feature report at a glance, as PNG bytes that are equal for equal data."""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from research.canvas import off_screen, png
from research.features.collinearity import SAME, Collinearity
from research.features.report import DRIFTED_PSI, STABLE_PSI, Table, drifted, out_of_range

MOST_ROWS = 48  # features below each other; more are drawn in further columns
PANELS_PER_ROW = 8
CLUSTERS_NAMED = 24
ALIKE = 0.7  # |ρ| to another feature from which one is drawn among those that are alike
MUCH_PSI = 1.0
CALM = "#e6efe9"
SOME = "#f6c667"
LARGE = "#e2703a"
EXTREME = "#8c1c13"
INK = "#22313f"
FAINT = "#8a97a3"
NOTHING = "#c9ced3"
PLAIN = "#2f6f8f"
SMALL = 7
_DRAWN = ("q05", "q25", "q50", "q75", "q95")
T = TypeVar("T")


def stability_figure(table: Table) -> Any:
    """Return feature × month in four colours of PSI, from the rows of `feature_report.months`.

    What is right of the line came after the training window; features that drifted are in red. A
    month without a value, or of less than a week, is grey.
    """
    from matplotlib.colors import BoundaryNorm, ListedColormap

    found = drifted(table)
    names = list(dict.fromkeys(table["feature"]))
    shown = table.assign(psi=table["psi"].where(table["missing"] < 1.0))
    cells = shown.pivot_table(index="feature", columns="month", values="psi", dropna=False)
    inside = int(table.drop_duplicates("month")["inside"].sum())
    columns = in_columns(names)
    tall = max(len(part) for part in columns)
    width = len(columns) * (1.7 + 0.12 * max(cells.shape[1], 8))
    figure = off_screen(width, 1.2 + 0.155 * tall)
    colours = ListedColormap([CALM, SOME, LARGE, EXTREME]).with_extremes(bad=NOTHING)
    norm = BoundaryNorm([0.0, STABLE_PSI, DRIFTED_PSI, MUCH_PSI, np.inf], 4)
    groups = dict(zip(table["feature"], table["group"], strict=True))
    for axes, part in zip(_row_of(figure, len(columns)), columns, strict=True):
        values = np.ma.masked_invalid(cells.loc[part].to_numpy())
        axes.pcolormesh(values, cmap=colours, norm=norm, ec="white", lw=0.4)
        axes.axvline(inside, color=INK, lw=1.2)
        axes.set_xlim(0, cells.shape[1])
        axes.set_ylim(tall, 0)
        _name_rows(axes, part, groups, found)
        _name_months(axes, list(cells.columns))
    title(figure, _sentence(found, len(names)))
    _psi_legend(figure)
    return figure


def stability_png(table: Table) -> bytes:
    """Return the picture of `stability_figure`."""
    return png(stability_figure(table))


def _sentence(found: Sequence[str], count: int) -> str:
    if not found:
        return f"None of {count} features left its training window's distribution"
    listed = ", ".join(found[:4]) + (f" and {len(found) - 4} more" if len(found) > 4 else "")
    return f"{len(found)} of {count} features left their training window's distribution: {listed}"


def _psi_legend(figure: Any) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    words = (f"under {STABLE_PSI}", f"to {DRIFTED_PSI}", f"to {MUCH_PSI:.0f}", "above")
    colours = (CALM, SOME, LARGE, EXTREME)
    marks: list[Any] = [Patch(color=c, label=w) for c, w in zip(colours, words, strict=True)]
    marks.append(Patch(color=NOTHING, label="no value"))
    marks.append(Line2D([], [], color=INK, lw=1.2, label="end of training window"))
    figure.legend(
        handles=marks, loc="outside lower left", ncols=6, fontsize=SMALL + 1, frameon=False,
        title="PSI of the month against the training window", title_fontsize=SMALL + 1,
        alignment="left",
    )  # fmt: skip


def clusters_figure(found: Collinearity) -> Any:
    """Return |Spearman's ρ| of the features that have a like, side by side, clusters boxed and
    named.
    """
    strongest = (found.strength - np.eye(len(found.names))).max(axis=1, initial=0.0)
    order = [at for at in found.order if strongest[at] >= ALIKE]
    figure = off_screen(13.0, max(4.0, 1.6 + 0.115 * len(order)))
    left, right = figure.subplots(1, 2, width_ratios=[7.6, 5.4])
    names = [found.names[at] for at in order]
    image = left.pcolormesh(found.strength[np.ix_(order, order)], cmap="Blues", vmin=0, vmax=1)
    left.set(aspect="equal", ylim=(max(len(names), 1), 0), xlim=(0, max(len(names), 1)))
    left.set_xticks([])
    left.set_yticks(np.arange(len(names)) + 0.5, names, fontsize=SMALL - 1)
    left.tick_params(length=0, pad=2)
    for number, cluster in enumerate(found.clusters, 1):
        at = sorted(names.index(name) for name in cluster.names)
        left.add_patch(_box(at[0], len(at)))
        middle = (at[0] + at[-1] + 1) / 2
        left.text(middle, middle, str(number), fontsize=8, color="white", ha="center", va="center")
    figure.colorbar(image, ax=left, location="bottom", shrink=0.5, aspect=40, label="|ρ|, ranks")
    right.axis("off")
    right.set(xlim=(0, 1), ylim=(CLUSTERS_NAMED, 0))
    _list_clusters(right, found)
    inside = sum(len(one.names) for one in found.clusters)
    title(
        figure,
        f"{inside} of {len(found.names)} features say what another says (|ρ| ≥ {SAME:.1f}): "
        f"{len(found.clusters)} clusters; drawn are the {len(order)} with a like at {ALIKE:.1f}",
    )
    return figure


def clusters_png(found: Collinearity) -> bytes:
    """Return the picture of `clusters_figure`."""
    return png(clusters_figure(found))


def _box(begin: int, size: int) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((begin, begin), size, size, fill=False, ec=LARGE, lw=1.4)


def _list_clusters(axes: Any, found: Collinearity) -> None:
    line = 0.5
    for number, cluster in enumerate(found.clusters, 1):
        words = _lines([cluster.centre, *(n for n in cluster.names if n != cluster.centre)])
        if line + 0.8 * len(words) > CLUSTERS_NAMED:
            axes.text(0.0, line, f"and {len(found.clusters) - number + 1} more", color=FAINT)
            return
        axes.text(0.0, line, f"{number}", color=LARGE, weight="bold", fontsize=SMALL + 1)
        axes.text(0.93, line, f"≥ {cluster.weakest:.2f}", color=FAINT, fontsize=SMALL + 1)
        for text in words:
            axes.text(0.05, line, text, color=INK, fontsize=SMALL + 1)
            line += 0.62
        line += 0.28


def _lines(names: Sequence[str]) -> list[str]:
    """Return the names, the first of them first, broken into lines that fit."""
    lines = [""]
    for name in names:
        if lines[-1] and len(lines[-1]) + len(name) > 62:
            lines.append("")
        lines[-1] += f"{', ' if lines[-1] else ''}{name}"
    return lines


def distributions_figure(table: Table) -> Any:
    """Return a panel per feature: median, half and 90 % of its values in each month."""
    names = list(dict.fromkeys(table["feature"]))
    tall = -(-len(names) // PANELS_PER_ROW)
    figure = off_screen(1.55 * PANELS_PER_ROW, 0.6 + 1.05 * tall, layout="none")
    axes = figure.add_axes((0.035, 0.0, 0.96, 1.05 * tall / (0.6 + 1.05 * tall)))
    axes.set(xlim=(0, PANELS_PER_ROW), ylim=(tall, -0.05))
    axes.axis("off")
    found = set(drifted(table))
    by_feature = dict(tuple(table.groupby("feature")))
    for at, name in enumerate(names):  # all in one axes: a hundred of them take seconds
        corner = at % PANELS_PER_ROW, at // PANELS_PER_ROW
        _distribution(axes, corner, by_feature[name], LARGE if name in found else PLAIN)
    months = sorted(set(table["month"]))
    outside = sum(out_of_range(table).values())
    title(
        figure,
        f"Median, middle half and 90 % of every feature, {months[0]} to {months[-1]}; red drifted, "
        f"grey is missing; {outside} values out of range",
    )
    return figure


def distributions_png(table: Table) -> bytes:
    """Return the picture of `distributions_figure`."""
    return png(distributions_figure(table))


def _distribution(axes: Any, corner: tuple[int, int], part: Table, colour: str) -> None:
    """Draw one feature into the unit square below and right of `corner`, its range beside it."""
    left, top = corner
    low = float(part["q05"].min())
    high = float(part["q95"].max())
    if low == high:  # a line in the middle
        low = low - 0.5
        high = high + 0.5
    x = left + 0.8 * (np.arange(len(part)) + 0.5) / len(part)
    bottom = top + 0.9
    height = 0.66
    scale = height / (high - low) if high > low else 0.0
    y = {name: bottom - (part[name].to_numpy() - low) * scale for name in _DRAWN}
    gone = bottom - height * part["missing"].to_numpy()
    axes.fill_between(x, bottom, gone, color=NOTHING, step="mid", lw=0)
    axes.fill_between(x, y["q05"], y["q95"], color=colour, alpha=0.18, lw=0)
    axes.fill_between(x, y["q25"], y["q75"], color=colour, alpha=0.35, lw=0)
    axes.plot(x, y["q50"], color=colour, lw=1.1)
    ended = left + 0.8 * int(part["inside"].sum()) / len(part)
    axes.plot([ended, ended], [bottom, bottom - height], color=INK, lw=0.7)
    axes.plot([left, left, left + 0.8], [bottom - height, bottom, bottom], color=INK, lw=0.6)
    ink = INK if colour == PLAIN else colour
    name = str(part["feature"].iloc[0])
    axes.text(left + 0.4, top + 0.19, name, fontsize=SMALL, color=ink, ha="center")
    if np.isfinite(low):
        for value, at in ((low, bottom), (high, bottom - height + 0.06)):
            axes.text(left - 0.01, at, f"{value:.2g}", fontsize=5, color=INK, ha="right")


def in_columns(items: Sequence[T]) -> list[list[T]]:
    """Return the items in as few columns of equal height as hold `MOST_ROWS` each."""
    count = max(1, -(-len(items) // MOST_ROWS))
    height = -(-len(items) // count)
    return [list(items[at : at + height]) for at in range(0, len(items), height)]


def _name_rows(
    axes: Any, names: Sequence[str], groups: dict[str, str], found: Sequence[str]
) -> None:
    axes.set_yticks(np.arange(len(names)) + 0.5, names, fontsize=SMALL)
    for label, name in zip(axes.get_yticklabels(), names, strict=True):
        if name in found:
            label.set(color=EXTREME, weight="bold")
    for row in range(1, len(names)):
        if groups[names[row]] != groups[names[row - 1]]:
            axes.axhline(row, color=INK, lw=0.6)
    axes.tick_params(length=0, pad=2)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _name_months(axes: Any, months: Sequence[str]) -> None:
    step = max(1, -(-len(months) // 6) if len(months) > 18 else len(months) // 2)
    at = range(0, len(months), step)
    axes.set_xticks([k + 0.5 for k in at], [months[k] for k in at], fontsize=SMALL - 1)


def _row_of(figure: Any, count: int) -> NDArray[Any]:
    return figure.subplots(1, count, squeeze=False)[0]


def title(figure: Any, text: str) -> None:
    """Write what the picture shows above it."""
    figure.suptitle(text, x=0.01, ha="left", fontsize=11, color=INK, weight="bold", wrap=True)
