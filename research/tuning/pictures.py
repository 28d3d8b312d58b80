# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# matplotlib and Optuna leave their objects unknown; what leaves this file is typed.
"""A search at a glance, as PNG bytes: what each trial came to, and which settings mattered."""

from typing import Any

import numpy as np

from research.canvas import off_screen, png

FEWEST = 4  # complete trials, below which nothing can be said of what mattered


def history_figure(study: Any) -> Any:
    """Return the score of every trial by its number with the best so far, and what mattered."""
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False)
    complete = [one for one in trials if one.state == TrialState.COMPLETE]
    pruned = [one for one in trials if one.state == TrialState.PRUNED and one.intermediate_values]
    figure = off_screen(10.0, 3.6)
    left, right = figure.subplots(1, 2)
    numbers = [one.number for one in complete]
    values = np.array([one.value for one in complete], np.float64)
    best = np.minimum if study.direction.name == "MINIMIZE" else np.maximum
    left.plot(numbers, values, "o", ms=4, label="complete")
    left.plot(
        [one.number for one in pruned],
        [one.intermediate_values[max(one.intermediate_values)] for one in pruned],
        "x",
        ms=5,
        label="pruned, after the folds it had",
    )
    if len(values):
        left.step(numbers, best.accumulate(values), where="post", label="best so far")
    left.set_xlabel("trial")
    left.set_ylabel("mean over the inner folds")
    left.legend(fontsize=8, frameon=False)
    weights = importances(study, len(complete))
    right.barh(list(weights), list(weights.values()))
    right.set_xlabel("share of the variance of scores (fANOVA)")
    right.set_title("" if weights else f"fewer than {FEWEST} complete trials", fontsize=9)
    return figure


def importances(study: Any, complete: int) -> dict[str, float]:
    """Return the share of each setting in what makes scores differ, {} where trials are too few."""
    import optuna

    values = {one.value for one in study.get_trials(deepcopy=False) if one.value is not None}
    if complete < FEWEST or len(values) < 2:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return dict(reversed(found.items()))


def history_png(study: Any) -> bytes:
    """Return the picture of `history_figure`."""
    return png(history_figure(study))
