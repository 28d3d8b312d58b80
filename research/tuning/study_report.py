# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# matplotlib leaves its objects unknown; what leaves this file is text and bytes.
"""A study as a person reads it: sentences, a table, and the variants side by side."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from research.canvas import off_screen, png
from research.evaluation.paired import Difference
from research.tuning.studies import (
    CONFIDENCE_SIZE,
    FEWEST_DAYS,
    LEVEL,
    Findings,
    Measure,
    VariantComparison,
    VariantLine,
)

INK = "#222222"


def sentences(found: Findings) -> list[str]:
    """Return what may be said, a sentence per comparison and one per variant that is no other."""
    told = [_said(found, one) for one in found.comparisons]
    same = found.comparisons[0].same
    told += [f"{name} decides as {twin} does, and counts once." for name, twin in same.items()]
    if not found.study.same_labels:
        told.append("Labels differ, so log-losses are not comparable: returns after costs are.")
    return told


def _said(found: Findings, one: VariantComparison) -> str:
    variants = len(found.study.variants)
    by = f"By {one.measure}, {one.days} days"
    if one.p_value is None:
        return (
            f"{by}: nothing can be said of {variants} variants: at least {FEWEST_DAYS} days and "
            "two that differ are needed."
        )
    survive = ", ".join(one.survivors)
    beaten = (
        f"{', '.join(one.beat)} beat {found.study.benchmark} (SPA, p = {one.p_value:.3f})"
        if one.beat
        else f"none is shown to beat {found.study.benchmark} (SPA, p = {one.p_value:.3f})"
    )
    return (
        f"{by}: {len(one.survivors)} of {variants} variants survive in the "
        f"{1 - CONFIDENCE_SIZE:.0%} confidence set (MCS): {survive}; {beaten}."
    )


def rows(found: Findings) -> list[dict[str, str]]:
    """Return a record per variant, in the order of the file, numbers as text."""
    return [_row(found, one) for one in found.lines]


def _row(found: Findings, line: VariantLine) -> dict[str, str]:
    row = {"variant": line.name + (" (benchmark)" if line.name == found.study.benchmark else "")}
    if found.study.same_labels:
        row["log-loss"] = f"{line.log_loss:.5f}"
        row["better by, ×1000"] = _interval(line.log_loss_gain, 1e3)
    row["Sharpe after costs"] = f"{line.sharpe:.2f}"
    row["return"] = f"{line.total_return:+.2%}"
    row["better by, bps a bar"] = _interval(line.return_gain, 1e4)
    for one in found.comparisons:
        survives = one.same.get(line.name, line.name) in one.survivors
        row[f"survives by {one.measure}"] = "yes" if survives else "no"
    return row


def _interval(gain: Difference | None, scale: float) -> str:
    if gain is None:
        return "too few rows"
    mean, low, high = (scale * one for one in (gain.mean, gain.low, gain.high))
    return f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"


def markdown(found: Findings) -> str:
    """Return the page of a study; its figure lies beside it."""
    study = found.study
    table = rows(found)
    names = list(table[0])
    lines = [
        f"# {study.name}\n",
        f"{study.symbol}, weeks {', '.join(study.weeks)}: {len(study.variants)} variants on the "
        "folds before the gates. Each variant and week is a row of the trial ledger.\n",
        *(f"- {one}" for one in sentences(found)),
        "",
        f"| {' | '.join(names)} |",
        f"|{'---|' * len(names)}",
        *(f"| {' | '.join(row.values())} |" for row in table),
        "",
        "Intervals are paired with the benchmark and of each variant alone, 95 %; what survives "
        f"the comparison of all (MCS {1 - CONFIDENCE_SIZE:.0%}, SPA {LEVEL:.0%}) stands above. "
        "Days of one week are resampled together.\n",
        "![variants side by side](comparison.png)\n",
        "## Variants\n",
        *_variants(found),
    ]
    return "\n".join(lines)


def _variants(found: Findings) -> Iterator[str]:
    for name, one in found.study.variants.items():
        said = {"base": one.base, "parameters": one.parameters, "features": one.features}
        said |= {"labels": one.labels, "trading": one.trading}
        told = ", ".join(f"{key} {value}" for key, value in said.items() if value)
        yield f"- **{name}**: {told}"


def figure(found: Findings) -> Any:
    """Return each variant's gain on the benchmark with its interval, and its account."""
    measures: Sequence[Measure] = [one.measure for one in found.comparisons]
    drawn = off_screen(5.0 * (len(measures) + 1), 1.4 + 0.35 * max(6, len(found.lines)))
    panels = drawn.subplots(1, len(measures) + 1, squeeze=False)[0]
    for axes, one in zip(panels, found.comparisons, strict=False):
        _forest(axes, found, one)
    axes = panels[-1]
    days = found.open_time_ms.astype("datetime64[ms]")
    for name, equity in found.equity.items():
        axes.plot(days, equity - 1.0, label=name, lw=1.2)
    axes.axhline(0.0, color=INK, lw=0.8)
    axes.set_ylabel("compounded return after costs")
    axes.tick_params(axis="x", rotation=30, labelsize=8)
    axes.legend(fontsize=8, frameon=False)
    return drawn


def _forest(axes: Any, found: Findings, comparison: VariantComparison) -> None:
    scale, unit = (1e3, "×1000") if comparison.measure == "log-loss" else (1e4, "bps a bar")
    for at, line in enumerate(found.lines):
        gain = line.log_loss_gain if comparison.measure == "log-loss" else line.return_gain
        if gain is None:
            continue
        survives = comparison.same.get(line.name, line.name) in comparison.survivors
        axes.plot(
            [scale * gain.low, scale * gain.high], [at, at], color=INK, lw=2 if survives else 1
        )
        axes.plot([scale * gain.mean], [at], "o" if survives else "x", color=INK)
    axes.axvline(0.0, color=INK, lw=0.8)
    axes.set_yticks(np.arange(len(found.lines)), [one.name for one in found.lines], fontsize=8)
    axes.set_ylim(len(found.lines) - 0.5, -0.5)
    axes.set_xlabel(
        f"{comparison.measure} better than {found.study.benchmark}, {unit}\n"
        "dot: survives the comparison of all, cross: does not",
        fontsize=8,
    )


def figure_png(found: Findings) -> bytes:
    """Return the picture of `figure`."""
    return png(figure(found))
