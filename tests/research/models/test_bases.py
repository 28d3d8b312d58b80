import dataclasses

import numpy as np
import onnx
import pytest

from research.graphs.runtime import outputs
from research.models.base import Base, TrainingRows, with_every_class
from research.models.bases import bases
from research.settings import ModelSettings
from tests.research.worlds import light_settings

NAMES = [each.name for each in bases(light_settings().models)]


def rows(classes: tuple[int, ...], n: int = 4_000) -> TrainingRows:
    """Return rows whose first columns tell the class; one column has few values, so splits fall
    on them.
    """
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, 6)).astype(np.float32)
    x[:, 4] = np.round(x[:, 4], 1)
    score = x[:, 0] + 0.5 * x[:, 4] + rng.normal(0, 1, n)
    order = np.digitize(score, np.quantile(score, np.linspace(0, 1, len(classes) + 1)[1:-1]))
    return TrainingRows(x, np.array(classes, np.int8)[order], np.ones(n))


def base(name: str) -> Base:
    return next(each for each in bases(light_settings().models) if each.name == name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [(0, 1, 2), (0, 2), (2,)])
def test_bases_give_three_columns_whatever_was_seen(name: str, classes: tuple[int, ...]):
    """An absent class has a column of small probabilities; graph and library agree to 1e-6."""
    training = with_every_class(rows(classes))
    fitted = base(name).fit(training, seed=1, n_jobs=1)
    p = outputs(fitted.graph, ["probabilities"], training.x)[0]
    assert p.shape == (len(training.x), 3)
    assert np.abs(p.sum(axis=1) - 1).max() < 1e-5
    assert np.abs(p - fitted.native(training.x)).max() <= 1e-6
    absent = sorted({0, 1, 2} - set(classes))
    assert p[:, absent].mean() < 0.1 if absent else p.mean() > 0.3


@pytest.mark.parametrize("name", NAMES)
def test_bases_learn_what_can_be_learnt(name: str):
    """A fitted base beats the class shares on rows it has not seen, and sees which column
    counts.
    """
    training = rows((0, 1, 2), 8_000)
    seen = TrainingRows(training.x[:6_000], training.y[:6_000], training.weight[:6_000])
    fitted = base(name).fit(seen, seed=1, n_jobs=1)
    p = outputs(fitted.graph, ["probabilities"], training.x[6_000:])[0]
    loss = -np.log(p[np.arange(2_000), training.y[6_000:]]).mean()
    assert loss < 0.98 < np.log(3)
    assert int(np.argmax(fitted.importance)) == 0
    assert fitted.importance.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("name", NAMES)
def test_bases_give_equal_bytes_for_equal_rows(name: str):
    """Fitting twice gives one graph, byte for byte, without labels or random names in it."""
    training = rows((0, 1, 2))
    first, second = (base(name).fit(training, seed=3, n_jobs=1).graph for _ in range(2))
    assert first == second
    assert base(name).fit(training, seed=4, n_jobs=1).graph != first
    assert [out.name for out in onnx.load_model_from_string(first).graph.output] == [
        "probabilities"
    ]


def test_boosters_explain_their_rows():
    """Mean absolute SHAP values are one per feature, the telling column first."""
    training = rows((0, 1, 2))
    for name in ("xgboost", "lightgbm"):
        contributions = base(name).fit(training, seed=1, n_jobs=1).contributions
        assert contributions is not None
        assert int(np.argmax(contributions(training.x[:200]))) == 0


def test_with_every_class_changes_nothing_when_all_are_there():
    """Rows with all classes come back as they were."""
    training = rows((0, 1, 2), 100)
    assert with_every_class(training) is training


def test_every_base_has_a_file_of_settings_and_no_file_is_without_a_base():
    """The one list of bases and the settings of models name the same things."""
    names = {field.name for field in dataclasses.fields(ModelSettings)}
    assert names - {"meta", "stack"} == set(NAMES)
