"""Small plots of what a partition holds, as PNG bytes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from market_data.quality.glance import Glance
from market_data.tables import DAY_MS, Table
from research.canvas import off_screen, png
from research.gates.accounts import Curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_WINDOWS = 4
WIDTH = 6.0
LEFT = 0.75
RIGHT = 0.1
TOP = 0.1
BOTTOM = 0.2
BETWEEN = 0.22
MOST_COLUMNS = 3
SHOWN = {"depth": ("best_bid", "best_ask"), "trades": ("price",), "arrivals": ("lag_ms",)}
TOGETHER = frozenset({"depth"})  # one scale for all columns


def history_figure(glances: Sequence[Glance], table: Table) -> "Figure":
    """Return per window the values of the table over time, and below them the rows per day.

    Of many windows the first few are drawn.
    """
    drawn = glances[:MOST_WINDOWS]
    panels = [_panels(one, table) for one in drawn]
    heights = [height for columns in panels for height in (*(3,) * len(columns), 1)]
    figure = off_screen(WIDTH, 0.4 + 0.48 * sum(heights), layout=None)
    axes = iter(figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0])
    _set_out(figure, len(heights))
    for one, columns in zip(drawn, panels, strict=True):
        for names in columns:
            _values(next(axes), one, names, table)
        _rows(next(axes), one)
    return figure


def equities_figure(curves: Curves) -> "Figure":
    """Return the equity of each account over the same days, on one scale that starts at one."""
    figure = off_screen(WIDTH, 3.2)
    axes = figure.subplots()
    days = _dates(np.array(curves.at_ms, np.int64))
    for name, equity in curves.equity.items():
        values = np.array(equity)
        axes.plot(days, values / values[0], label=name, lw=1)
    axes.set(ylabel="equity, first day = 1", title="On the same bars of the gate folds")
    axes.tick_params(labelsize=7)
    if curves.equity:
        axes.legend(frameon=False)
    return figure


def equities_png(curves: Curves) -> bytes:
    """Return the picture of `equities_figure`."""
    return png(equities_figure(curves))


def _set_out(figure: "Figure", rows: int) -> None:
    """Give axes below one another the room that their labels take, in inches.

    To have it measured, label by label, takes longer than to draw them.
    """
    height = figure.get_figheight()
    free = height - TOP - BOTTOM - (rows - 1) * BETWEEN
    figure.subplots_adjust(
        left=LEFT / WIDTH,
        right=1.0 - RIGHT / WIDTH,
        top=1.0 - TOP / height,
        bottom=BOTTOM / height,
        hspace=BETWEEN / (free / rows),
    )


def history_png(glances: Sequence[Glance], table: Table) -> bytes:
    """Return the picture of `history_figure`."""
    return png(history_figure(glances, table))


def _panels(found: Glance, table: Table) -> list[tuple[str, ...]]:
    """Return which columns share an axis, those without any value left out."""
    names = SHOWN.get(table.name, ("close",) if table.shape == "candle" else tuple(table.columns))
    filled = tuple(name for name in names if found.sample[name].notna().any())
    if table.name in TOGETHER:
        return [filled]
    return [(name,) for name in filled[:MOST_COLUMNS]]


def _values(axis: "Axes", found: Glance, names: Sequence[str], table: Table) -> None:
    times = _dates(found.sample["event_time_ms"].to_numpy())
    if table.shape == "candle":
        low = found.sample["low"].to_numpy()
        high = found.sample["high"].to_numpy()
        axis.fill_between(times, low, high, alpha=0.3, lw=0)
    line = "." if table.name == "arrivals" else "-"
    for name in names:
        axis.plot(times, found.sample[name].to_numpy(), line, label=name, lw=0.7, ms=2)
    if len(names) > 1:
        axis.legend(fontsize=6, frameon=False)
    units = table.columns[names[0]].unit
    axis.set_ylabel(f"{found.window.symbol}\n{', '.join(names)}\n{units}", fontsize=6)
    axis.tick_params(labelsize=6)


def _rows(axis: "Axes", found: Glance) -> None:
    days = np.arange(min(found.per_day), max(found.per_day) + 2)
    counts = [found.per_day.get(day, 0) for day in days.tolist()]
    axis.fill_between(_dates(days * DAY_MS), counts, step="post", lw=0)
    axis.set_ylabel("rows a day", fontsize=6)
    axis.set_ylim(bottom=0)
    axis.tick_params(labelsize=6)


def _dates(times_ms: Any) -> Any:
    return times_ms.astype("datetime64[ms]")
