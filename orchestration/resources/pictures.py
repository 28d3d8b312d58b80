"""Small plots of what a partition holds, as PNG bytes."""

import io
from collections.abc import Mapping

from orchestration.resources.frames import Frame

MOST_POINTS = 600


def history_png(frames: Mapping[str, Frame], column: str) -> bytes:
    """Return per label the values of `column` over time, and below them the rows per day."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 0.4 + 1.9 * len(frames)), dpi=80, layout="constrained")
    axes = figure.subplots(2 * len(frames), 1, squeeze=False, height_ratios=[3, 1] * len(frames))
    for number, (label, frame) in enumerate(frames.items()):
        values, coverage = axes[2 * number, 0], axes[2 * number + 1, 0]
        days = frame["event_time_ms"].to_numpy() / 86_400_000
        values.plot(_dates(days[:: _step(days)]), frame[column].to_numpy()[:: _step(days)], lw=0.7)
        values.set_ylabel(f"{label}\n{column}", fontsize=7)
        counts = frame.groupby(days.astype("int64")).size()
        coverage.fill_between(_dates(counts.index.to_numpy()), counts.to_numpy(), step="mid", lw=0)
        coverage.set_ylabel("rows a day", fontsize=6)
        coverage.set_ylim(bottom=0)
        for axis in (values, coverage):
            axis.tick_params(labelsize=6)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _step(values: Frame) -> int:
    return max(1, len(values) // MOST_POINTS)


def _dates(days: Frame) -> Frame:
    return (
        days.astype("datetime64[D]")
        if days.dtype.kind == "i"
        else (days * 86_400).astype("datetime64[s]")
    )
