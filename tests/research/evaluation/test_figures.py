import pytest

from research.evaluation import figures
from research.pipeline import Retrained


@pytest.mark.parametrize("kind", ["reliability", "equity", "features"])
def test_figures_are_pictures_that_repeat(trained: Retrained, kind: str):
    """Each figure is a PNG of its data, the same bytes each time."""
    result = trained.walk.result
    draw = {
        "reliability": lambda: figures.reliability_png(trained.evaluation.curves),
        "equity": lambda: figures.equity_png(result.rows[:, 0], result.equity),
        "features": lambda: figures.features_png("SHAP", trained.candidate.contributions),
    }[kind]
    picture = draw()
    assert picture.startswith(b"\x89PNG")
    assert picture == draw()
    assert len(picture) > 5_000
