"""Spaces name settings that there are, and every draw is one that the base takes."""

from pathlib import Path

import optuna
import pytest

from kernel.errors import SettingsError
from research.models.base import Base
from research.models.bases import load
from research.tuning.names import known
from research.tuning.spaces import load_space, load_tuning, suggest, with_parameters
from tests.research.worlds import CONFIGS

DRAWS = 20


def base_of(name: str) -> Base:
    return load(name, CONFIGS / "models")


@pytest.mark.parametrize("name", known(CONFIGS))
def test_what_a_space_of_ours_draws_is_what_its_base_takes(name: str) -> None:
    """Every name in the file is a setting of the base, and no draw is of the wrong kind."""
    base = base_of(name)
    space = load_space(CONFIGS, base)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    drawn = [with_parameters(base, suggest(space, study.ask())).settings for _ in range(DRAWS)]
    for parameter in space.parameters:
        assert len({getattr(one, parameter) for one in drawn}) > 1


def test_today_a_space_stands_for_every_base_of_the_stack() -> None:
    """Whoever looks at the stack may search each of its bases."""
    assert load_tuning(CONFIGS).objective == "log_loss"
    assert set(known(CONFIGS)) >= {"random_forest", "xgboost", "lightgbm"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("parameters: {depth: {kind: integer, low: 1, high: 2}}", "found depth, expected one of"),
        ("parameters: {rounds: {kind: integer, low: 9, high: 2}}", "low is 9 and high 2"),
        ("parameters: {rounds: {kind: real, low: 0.0, high: 2.0, log: true}}", "above 0"),
        ("parameters: {rounds: {kind: guess}}", "rounds"),
        ("parameters: {}", "parameters"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """The sentence names the file, what was found and what is expected."""
    (tmp_path / "tuning").mkdir()
    (tmp_path / "tuning" / "lightgbm.yaml").write_text(text)
    with pytest.raises(SettingsError, match=said):
        load_space(tmp_path, base_of("lightgbm"))
