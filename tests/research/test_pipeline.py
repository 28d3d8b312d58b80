import dataclasses

import numpy as np
import pytest

from research.pipeline import Prepared, Retrained, judge, prepare, retrain
from tests.research.worlds import light_settings, world

SETTINGS = light_settings()
FIRST_SEED = 1
SEEDS = [FIRST_SEED, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3))]
STRONG_EDGE = 0.25


def shown(result: Retrained) -> str:
    folds = ", ".join(
        f"WR {one.win_rate:.2f} PF {one.profit_factor:.2f} n {one.trades}"
        for one in result.walk.folds
    )
    return f"calibration {result.evaluation.calibration_mae:.3f}; {folds}; {result.report.refusals}"


@pytest.fixture(scope="module", params=SEEDS)
def strong(request: pytest.FixtureRequest) -> Prepared:
    """Return a market with a planted edge, ready to train on."""
    return prepare(world(request.param, STRONG_EDGE, SETTINGS), SETTINGS)


def test_gates_accept_a_market_with_a_planted_edge(strong: Prepared):
    """What open interest tells of the next hours is learnt, traded and let through."""
    result = judge(strong, SETTINGS)
    assert result.report.accepted, shown(result)


@pytest.mark.parametrize("seed", SEEDS)
def test_gates_refuse_a_market_without_an_edge(seed: int):
    """The same market without drift has nothing to trade on, and the gates say which figures
    lack.
    """
    result = retrain(world(seed, 0.0, SETTINGS), SETTINGS)
    refused = {one.gate for one in result.report.outcomes if not one.passed}
    assert refused & {"fold_trades", "fold_profit_factor", "fold_win_rate"}, shown(result)


def test_gates_refuse_a_shuffled_target():
    """Labels dealt out anew, spans kept, teach nothing even where there is an edge."""
    prepared = prepare(world(FIRST_SEED, STRONG_EDGE, SETTINGS), SETTINGS)
    table = prepared.table
    y = table.y.copy()
    labelled = np.flatnonzero(y >= 0)
    y[labelled] = y[np.random.default_rng(1).permutation(labelled)]
    result = judge(dataclasses.replace(prepared, table=dataclasses.replace(table, y=y)), SETTINGS)
    assert not result.report.accepted, shown(result)
