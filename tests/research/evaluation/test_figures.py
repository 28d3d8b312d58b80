"""Each figure holds the numbers it was given, and its bytes repeat."""

import numpy as np

from research.evaluation import figures
from research.evaluation.reliability import Reliability

CURVES = [
    Reliability("buy", np.array([0.1, 0.4]), np.array([0.15, 0.3]), np.array([30, 10])),
    Reliability("hold", np.array([0.2, 0.6]), np.array([0.2, 0.7]), np.array([20, 20])),
]
STRENGTHS = {
    "xgboost": {"rsi_14": 3.0, "mvrv": 1.0},
    "lightgbm": {"rsi_14": 1.0, "atr_14": 5.0},
}


def test_reliability_is_a_line_a_class_beside_the_diagonal():
    """Each class's line runs through its bins and is named with its error."""
    (axes,) = figures.reliability_figure(CURVES).axes
    diagonal, *lines = axes.lines
    assert diagonal.get_xydata().tolist() == [[0.0, 0.0], [1.0, 1.0]]
    assert [line.get_label() for line in lines] == ["buy (0.062)", "hold (0.050)"]
    for line, curve in zip(lines, CURVES, strict=True):
        assert line.get_xdata().tolist() == curve.predicted.tolist()
        assert line.get_ydata().tolist() == curve.observed.tolist()


def test_equity_is_a_line_over_time():
    """The account's equity stands at the moment of each bar."""
    times = 1_765_670_400_000 + 900_000 * np.arange(4)
    equity = np.array([100.0, 101.5, 99.0, 103.0])
    (axes,) = figures.equity_figure(times.astype(np.float64), equity).axes
    (line,) = axes.lines
    assert line.get_ydata().tolist() == equity.tolist()
    assert line.get_xdata(orig=True).astype(np.int64).tolist() == times.tolist()


def test_features_are_bars_on_top_of_each_other_the_strongest_uppermost():
    """A bar's parts are its bases' strengths; what one base lacks has no width."""
    (axes,) = figures.features_figure("Mean |SHAP|", STRENGTHS).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["mvrv", "rsi_14", "atr_14"]
    parts = [[(bar.get_x(), bar.get_width()) for bar in base] for base in axes.containers]
    assert parts == [[(0.0, 1.0), (0.0, 3.0), (0.0, 0.0)], [(1.0, 0.0), (3.0, 1.0), (0.0, 5.0)]]
    assert axes.get_title() == "Mean |SHAP|"


def test_bytes_of_equal_data_are_equal_and_of_other_data_others():
    """MLflow and Dagster show the same picture of the same numbers."""
    assert figures.reliability_png(CURVES) == figures.reliability_png(CURVES)
    assert figures.reliability_png(CURVES) != figures.reliability_png(CURVES[:1])
