from dataclasses import replace

import numpy as np
import onnx
import pytest

from kernel.errors import SettingsError
from research.graphs.fusion import VOTE_FLOOR
from research.graphs.runtime import outputs
from research.models.base import Base, TrainingRows, with_every_class
from research.models.bases import load
from tests.research.worlds import CONFIGS

FILES = sorted(path.stem for path in (CONFIGS / "models").glob("*.yaml"))
NAMES = [name for name in FILES if name not in {"meta", "stack"}]


COLUMNS = ("rsi_14", "rsi_7", "session_hour_sin", "session_hour_cos", "weekday_sin", "weekday_cos")
TELLING = (0, 2, 3)


def rows(classes: tuple[int, ...], n: int = 4_000) -> TrainingRows:
    """Return rows whose first column tells a later class from an earlier, and whose hour tells the
    middle one; the other columns have few values, so splits fall on them.
    """
    rng = np.random.default_rng(1)
    minute = rng.integers(0, 96, n) * 15
    weekday = rng.integers(0, 7, n)
    turns = np.stack([minute / 1440, (minute / 1440 + 0.25), weekday / 7, weekday / 7 + 0.25])
    x = np.concatenate([rng.normal(size=(n, 2)), np.sin(2 * np.pi * turns.T)], axis=1)
    score = np.where(minute < 480, 0.3, 1.0) * (1.5 * x[:, 0] + rng.normal(0, 1, n))
    order = np.digitize(score, np.quantile(score, np.linspace(0, 1, len(classes) + 1)[1:-1]))
    y = np.array(classes, np.int8)[order]
    return TrainingRows(x.astype(np.float32), y, np.ones(n), COLUMNS)


def base(name: str) -> Base:
    return load(name, CONFIGS / "models")


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
    """A fitted base beats the class shares on rows it has not seen, and sees which columns
    count.
    """
    training = rows((0, 1, 2), 8_000)
    seen = replace(
        training, x=training.x[:6_000], y=training.y[:6_000], weight=training.weight[:6_000]
    )
    fitted = base(name).fit(seen, seed=1, n_jobs=1)
    p = outputs(fitted.graph, ["probabilities"], training.x[6_000:])[0]
    said = p[np.arange(2_000), training.y[6_000:]]
    loss = -np.log(np.maximum(said, VOTE_FLOOR)).mean()
    assert loss < 1.06 < np.log(3)
    assert int(np.argmax(fitted.importance)) in TELLING
    assert fitted.importance.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("name", NAMES)
def test_bases_give_equal_bytes_for_equal_rows(name: str):
    """Fitting twice gives one graph, byte for byte, without labels or random names in it."""
    training = rows((0, 1, 2))
    first, second = (base(name).fit(training, seed=3, n_jobs=1).graph for _ in range(2))
    assert first == second
    assert [out.name for out in onnx.load_model_from_string(first).graph.output] == [
        "probabilities"
    ]


def test_boosters_explain_their_rows():
    """Mean absolute SHAP values are one per feature, the telling column first."""
    training = rows((0, 1, 2))
    fitted = [base(name).fit(training, seed=1, n_jobs=1) for name in NAMES]
    explained = [one.contributions for one in fitted if one.contributions is not None]
    assert len(explained) >= 2
    for contributions in explained:
        assert int(np.argmax(contributions(training.x[:200]))) in TELLING


def test_with_every_class_changes_nothing_when_all_are_there():
    """Rows with all classes come back as they were."""
    training = rows((0, 1, 2), 100)
    assert with_every_class(training) is training


@pytest.mark.parametrize("name", NAMES)
def test_a_base_goes_by_the_name_of_its_files(name: str):
    """The name under which votes, figures and runs are shown leads to the code and the settings."""
    assert base(name).name == name


def test_a_base_without_a_file_is_refused_with_the_place_where_it_was_looked_for():
    """A name in stack.yaml that leads nowhere says what to write, and a helper is no base."""
    for name in ("moon", "calibration", "no name"):
        with pytest.raises(SettingsError, match=f"research/models/{name}.py, expected one"):
            load(name, CONFIGS / "models")
