"""A "Score" without a definition moves with leverage and length; ours is one pure function."""

import inspect

import numpy as np
import pytest

from kernel.trading import TRADE_DTYPE
from research.evaluation import metrics
from research.evaluation.metrics import score, summarize

BAR_MS = 900_000


def account(bars: int, leverage: float) -> np.ndarray:
    """Return the equity of one strategy over so many bars, at a leverage."""
    returns = np.random.default_rng(5).normal(2e-5, 4e-4, bars)
    return 10_000.0 * np.cumprod(np.append(1.0, 1.0 + leverage * returns))


def seed_score(equity: np.ndarray) -> float:
    """Return one reading of the seed's Score that gives both its 0.34 and its 54: the return in
    per cent over the drawdown in per cent, of however long the window was.
    """
    top = np.maximum.accumulate(equity)
    return float((equity[-1] / equity[0] - 1.0) / ((top - equity) / top).max())


def test_the_seeds_gate_passes_by_a_longer_window_alone():
    """The same strategy is "better by 0.5" when its window is: the gate compares lengths."""
    short, long = (seed_score(account(bars, 1.0)) for bars in (3_500, 35_000))
    print(f"37 days: {short:.2f}, a year: {long:.2f}")
    assert long >= short + 0.5


def test_our_score_is_defined_once_and_depends_on_what_it_says():
    """Sharpe, drawdown and trades, documented beside the code; twice the leverage is no merit."""
    calm, bold = (
        summarize(np.zeros(40, TRADE_DTYPE), account(35_000, leverage), BAR_MS)
        for leverage in (1.0, 2.0)
    )
    assert calm.score == score(calm.sharpe, calm.max_drawdown, 40)
    assert bold.score < calm.score
    assert "Sharpe × (1 − maximum drawdown)" in inspect.getdoc(metrics.score)


BETTER_AND_WORSE = [((1, 0.1, 40), (1, 0.2, 40)), ((1, 0.1, 30), (1, 0.1, 3))]


@pytest.mark.parametrize(("better", "worse"), BETTER_AND_WORSE)
def test_our_score_falls_with_drawdown_and_with_few_trades(
    better: tuple[float, float, int], worse: tuple[float, float, int]
):
    """More of what an owner fears is never a better Score."""
    assert score(*better) > score(*worse)
