"""Better by half a point on 114 trades is mostly luck; a paired test says how much there is."""

import numpy as np

from research.evaluation.paired import compare

TRADES = 114
TRADES_A_YEAR = 477
PAIRS = 400
BARS = 4_000
MEMORY = 96
LABEL = 48


def seed_score(returns: np.ndarray) -> float:
    """Return a figure per year of risk-adjusted return, as the seed's gate compared."""
    return float(returns.mean() / returns.std() * np.sqrt(TRADES_A_YEAR))


def test_the_seeds_gate_takes_an_equal_model_for_a_better_one():
    """Of pairs of equally good models, each judged on its own 114 trades, more than a third differ
    by half a point in favour of the second.
    """
    rng = np.random.default_rng(6)
    taken = [
        seed_score(rng.normal(0.05, 1.0, TRADES)) >= seed_score(rng.normal(0.05, 1.0, TRADES)) + 0.5
        for _ in range(PAIRS)
    ]
    print(f"{np.mean(taken):.0%} of equal models pass")
    assert np.mean(taken) > 1 / 3


def test_our_paired_test_rarely_does():
    """On the same rows, whose labels overlap, the lower end of the interval is above 0 for one
    equal model in forty, and above it for one that is better.
    """
    rng = np.random.default_rng(6)

    def losses(better_by: float) -> np.ndarray:
        noise = rng.normal(0.0, 1.0, BARS + LABEL)
        overlapping = np.convolve(noise, np.ones(LABEL) / np.sqrt(LABEL), "valid")[:BARS]
        return overlapping + better_by

    equal = [compare(losses(0.0), MEMORY).low > 0.0 for _ in range(PAIRS)]
    better = [compare(losses(0.6), MEMORY).low > 0.0 for _ in range(50)]
    print(f"{np.mean(equal):.1%} of equal models pass, {np.mean(better):.0%} of better ones")
    assert np.mean(equal) < 0.05
    assert np.mean(better) > 0.9
