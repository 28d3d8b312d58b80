"""On a random walk with features of noise nobody is told that the stack knows something."""

import pytest

from research.gates.evidence import evaluate
from research.settings import Settings
from tests.research.training.trained_bytes import trained
from tests.research.worlds import smaller

WEEKS = 17
SEEDS = [1, 2, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 13))]


@pytest.mark.parametrize("seed", SEEDS)
def test_no_skill_is_found_where_there_is_none(small: Settings, seed: int) -> None:
    """The interval of the stack's skill over the class prior does not lie above zero."""
    light = smaller(small, trees=4, rounds=8)
    skill = evaluate(trained(light, WEEKS, seed), light).skill
    assert skill is not None
    found = skill.stack
    assert found.over_prior is not None
    print(f"skill {found.over_prior}, timing {found.timing_auc}, direction {found.direction_auc}")
    assert found.over_prior.low <= 0.0
    assert "not shown to be worth more than the class prior" in skill.sentence
