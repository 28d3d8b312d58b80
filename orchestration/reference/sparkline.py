"""A feature at a glance, as a small SVG: its course over the last bars, and its distribution."""

import numpy as np
from numpy.typing import NDArray

WIDTH = 260
HEIGHT = 44
COLUMNS = 88
COLUMN_WIDTH = 2
BINS = 24
BIN_WIDTH = 3
RIGHT = WIDTH - BINS * BIN_WIDTH
COURSE = "#2a78b5"
SPREAD = "#c76b29"
EMPTY = "#8a8a8a"


def sparkline(values: NDArray[np.float64], course_bars: int) -> str:
    """Return the SVG of one feature's values, float64[n] in time order; NaN is a gap.

    Left: the last `course_bars` bars, each column from the least to the greatest value in it.
    Right: the histogram of all values. Both reach from the 0.5th to the 99.5th percentile. The
    same values give the same text.
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return _svg(f'<text x="4" y="27" font-size="12" fill="{EMPTY}">not recorded</text>')
    low, high = (float(x) for x in np.quantile(finite, (0.005, 0.995)))
    if not high > low:
        low, high = low - 0.5, low + 0.5
    strokes = _course(values[-course_bars:], low, high)
    bars = _histogram(finite, low, high)
    return _svg(
        f'<path d="{strokes}" stroke="{COURSE}" stroke-width="{COLUMN_WIDTH}"/>'
        f'<path d="{bars}" fill="{SPREAD}"/>'
    )


def _svg(content: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}">{content}</svg>\n'
    )


def _course(values: NDArray[np.float64], low: float, high: float) -> str:
    """Return a vertical stroke for each column that has a value."""
    strokes: list[str] = []
    for i, part in enumerate(np.array_split(values, min(COLUMNS, len(values)))):
        there = part[np.isfinite(part)]
        if len(there):
            top, bottom = (_height(float(x), low, high) for x in (there.max(), there.min()))
            strokes.append(f"M{1 + i * COLUMN_WIDTH},{top}V{max(bottom, top + 1)}")
    return "".join(strokes)


def _histogram(values: NDArray[np.float64], low: float, high: float) -> str:
    counts, _ = np.histogram(np.clip(values, low, high), BINS, (low, high))
    tall = np.ceil(counts / counts.max() * (HEIGHT - 4)).astype(int).tolist()
    return "".join(
        f"M{RIGHT + i * BIN_WIDTH},{HEIGHT - 1}v-{bar}h{BIN_WIDTH - 1}v{bar}z"
        for i, bar in enumerate(tall)
        if bar
    )


def _height(x: float, low: float, high: float) -> int:
    """Return the y of a value: the top of the picture is `high`."""
    share = (min(max(x, low), high) - low) / (high - low)
    return round(2 + (1.0 - share) * (HEIGHT - 5))
