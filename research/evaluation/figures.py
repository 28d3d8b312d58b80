"""Pictures a person looks at, as PNG bytes that are equal for equal data."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from research.canvas import off_screen, png
from research.evaluation.reliability import Reliability
from research.evaluation.skill import SkillReport

SHOWN_FEATURES = 15


def reliability_figure(curves: Sequence[Reliability]) -> Any:
    """Return predicted against observed shares, a line per class."""
    figure, axes = _panel()
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for curve in curves:
        label = f"{curve.name} ({curve.mae:.3f})"
        axes.plot(curve.predicted, curve.observed, marker="o", label=label)
    axes.set(xlabel="predicted probability", ylabel="observed share", title="Reliability (MAE)")
    axes.legend()
    return figure


def reliability_png(curves: Sequence[Reliability]) -> bytes:
    """Return the picture of `reliability_figure`."""
    return png(reliability_figure(curves))


def skill_figure(report: SkillReport) -> Any:
    """Return every model's skill over the prior, and its timing and direction AUC, with intervals;
    the line in each panel is what knows nothing.
    """
    figure = off_screen(10, 4.5)
    panels = figure.subplots(1, 3, sharey=True)
    shown = [one for one in report.rows if one.block is None][::-1]
    names = [one.model for one in shown]
    figures = (
        ("skill over the class prior", 0.0, [one.over_prior for one in shown]),
        ("timing AUC", 0.5, [one.timing_auc for one in shown]),
        ("direction AUC", 0.5, [one.direction_auc for one in shown]),
    )
    colours = {"stack": "tab:blue", "base": "tab:orange", "reference": "0.5"}
    for axes, (title, nothing, found) in zip(panels, figures, strict=True):
        axes.axvline(nothing, color="0.7", linewidth=1)
        for at, (one, value) in enumerate(zip(shown, found, strict=True)):
            if value is not None:
                colour = colours[one.kind]
                axes.plot([value.low, value.high], [at, at], color=colour)
                axes.plot([value.value], [at], marker="o", color=colour)
        axes.set(title=title, yticks=range(len(names)), yticklabels=names)
    return figure


def skill_png(report: SkillReport) -> bytes:
    """Return the picture of `skill_figure`."""
    return png(skill_figure(report))


def equity_figure(open_time_ms: NDArray[Any], equity: NDArray[np.float64]) -> Any:
    """Return the account's equity at each close."""
    figure, axes = _panel()
    axes.plot(open_time_ms.astype(np.int64).astype("datetime64[ms]"), equity, linewidth=1)
    axes.set(ylabel="equity", title="Equity over the gate folds")
    axes.tick_params(axis="x", rotation=30)
    return figure


def equity_png(open_time_ms: NDArray[Any], equity: NDArray[np.float64]) -> bytes:
    """Return the picture of `equity_figure`."""
    return png(equity_figure(open_time_ms, equity))


def features_figure(title: str, values: Mapping[str, Mapping[str, float]]) -> Any:
    """Return the strongest features as bars, the bases side by side; `values` is base → feature →
    strength.
    """
    figure, axes = _panel()
    total = {
        name: sum(shares.get(name, 0.0) for shares in values.values())
        for shares_of in values.values()
        for name in shares_of
    }
    names = sorted(total, key=lambda name: (-total[name], name))[:SHOWN_FEATURES][::-1]
    left = np.zeros(len(names))
    for base, shares in values.items():
        width = np.array([shares.get(name, 0.0) for name in names])
        axes.barh(names, width, left=left, label=base)
        left = left + width
    axes.set(title=title)
    axes.legend()
    return figure


def features_png(title: str, values: Mapping[str, Mapping[str, float]]) -> bytes:
    """Return the picture of `features_figure`."""
    return png(features_figure(title, values))


def _panel() -> tuple[Any, Any]:
    figure = off_screen(7, 4.5)
    return figure, figure.subplots()
