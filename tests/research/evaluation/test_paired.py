"""The paired test errs as often as it says although labels overlap, and sees what is there."""

import numpy as np
import pytest
from scipy.fft import dct
from scipy.stats import t, ttest_1samp

from research.evaluation.paired import compare, holm

HORIZON = 48
WEEK = 672
ROWS = 12 * WEEK


def overlapping(rng: np.random.Generator, mean: float) -> np.ndarray:
    """Return loss differences whose noise is shared by rows less than a horizon apart."""
    shocks = np.cumsum(np.r_[0.0, rng.normal(0, 0.01, ROWS + HORIZON - 1)])
    return mean + shocks[HORIZON:] - shocks[:-HORIZON]


def test_test_is_the_one_of_the_paper():
    """Statistic and interval are those of scipy's cosine transform with t quantiles."""
    d = overlapping(np.random.default_rng(1), 0.02)
    found = compare(d, WEEK)
    n = len(d)
    terms = -(-n // WEEK)
    deviation = np.sqrt(np.mean(dct(d - d.mean(), norm="ortho")[1 : terms + 1] ** 2) / n)
    assert found.terms == terms
    assert found.p_value == pytest.approx(2 * t.sf(abs(d.mean()) / deviation, terms))
    assert found.high - found.mean == pytest.approx(t.ppf(0.975, terms) * deviation)
    assert found.low == pytest.approx(2 * found.mean - found.high)


def test_test_errs_as_often_as_it_says_on_overlapping_labels():
    """Of 600 worlds without a difference 5 % are called different; rows as if independent: most."""
    rng = np.random.default_rng(2)
    worlds = [overlapping(rng, 0.0) for _ in range(600)]
    ours = np.mean([compare(d, WEEK).p_value < 0.05 for d in worlds])
    naive = np.mean([ttest_1samp(d, 0.0).pvalue < 0.05 for d in worlds])
    assert 0.03 <= ours <= 0.075
    assert naive > 0.5


def test_test_sees_a_difference_that_is_there():
    """A difference of four standard errors is called nearly always, with its sign."""
    rng = np.random.default_rng(3)
    error = 0.01 * HORIZON / np.sqrt(ROWS)
    found = [compare(overlapping(rng, -4.0 * error), WEEK) for _ in range(100)]
    assert np.mean([one.p_value < 0.05 and one.high < 0 for one in found]) > 0.85


def test_no_difference_at_all_is_certain_to_be_none():
    """Equal losses have p = 1; a constant difference has p = 0; neither divides by nothing."""
    assert compare(np.zeros(ROWS), WEEK).p_value == 1.0
    assert compare(np.full(ROWS, 0.25), WEEK).p_value == 0.0


@pytest.mark.parametrize(
    ("differences", "memory"),
    [(np.zeros(3 * WEEK), WEEK), (np.r_[np.zeros(ROWS), np.nan], WEEK), (np.zeros(ROWS), 0)],
)
def test_too_few_rows_or_none_to_compare_are_refused(differences: np.ndarray, memory: int):
    """Three weeks hold three independent stretches: no test is made of them, nor of NaN."""
    with pytest.raises(ValueError, match="expected all finite and more than"):
        compare(differences, memory)


def test_holm_is_the_textbook_example():
    """0.01, 0.04, 0.03, 0.005 become 0.03, 0.06, 0.06, 0.02; nothing passes 1; none is none."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
