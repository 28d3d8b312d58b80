"""Harder worlds leave less, and the break-even is where nothing is left."""

import json
from dataclasses import replace

import numpy as np
import pytest

from research.backtest.scrutiny import Scrutiny, break_even_bps, scrutinize
from research.backtest.walk_forward import backtest, backtest_stream
from research.backtest.worlds import WORLDS, World
from research.pipeline import Retrained
from research.settings import Settings


def test_every_world_has_its_account_and_dear_ones_leave_less(trained: Retrained) -> None:
    """The first world is the account itself; dearer fills leave less of the same trades."""
    found = trained.walk.scrutiny
    assert list(found.worlds) == [world.name for world in WORLDS]
    plain = found.worlds["as assumed"]
    assert plain == trained.walk.whole
    for dear in ("fees doubled", "spread and slippage tripled"):
        assert found.worlds[dear].total_return < plain.total_return
    assert found.worlds["one bar late"] != plain


def test_at_the_break_even_nothing_is_left(trained: Retrained, small: Settings) -> None:
    """An account at that cost ends where it began, within what a thousandth of the cost makes."""
    walk = trained.walk
    trading = small.trading
    assumed = trading.fee_bps + trading.half_spread_bps + trading.slippage_bps
    times = walk.scrutiny.break_even_bps / assumed
    assert times > 1.0
    dear = replace(
        small,
        trading=World("dear", fees=times, slippage=times).costs(trading),
    )
    candidate = trained.candidate
    again = backtest(trained.prepared.market, candidate.folds, candidate.feature_names, dear)
    left = again.whole.total_return
    turned = walk.whole.turnover * walk.scrutiny.days / 365.0 * assumed * 1e-4
    assert 0.0 <= left <= 0.01 * turned * times


def test_what_loses_without_costs_has_no_break_even(trained: Retrained, small: Settings) -> None:
    """The reverse of a model that earns has nothing to pay costs with, and says that it lost."""
    parts = [(fold.bar, fold.probabilities[:, ::-1]) for fold in trained.candidate.folds]
    names = trained.candidate.feature_names
    found = backtest_stream(trained.prepared.market, parts, names, small).scrutiny
    assert found.break_even_bps == 0.0
    assert found.skill < 0.5
    assert found.least_days == float("inf")
    assert "it lost" in " ".join(found.sentences())


def test_a_model_that_never_trades_is_scrutinized_too(trained: Retrained, small: Settings) -> None:
    """Nothing earned, nothing lost, nothing known: no figure fails, and the words say so."""
    bars = trained.candidate.folds[0].bar
    hold = np.tile(np.array([0.0, 1.0, 0.0], np.float32), (len(bars), 1))
    names = trained.candidate.feature_names
    found = backtest_stream(trained.prepared.market, [(bars, hold)], names, small).scrutiny
    assert found.luck is None
    assert found.skill == 0.5
    assert "Too few trades" in " ".join(found.sentences())
    assert Scrutiny.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_scrutiny_reads_back(trained: Retrained) -> None:
    """A stored scrutiny is the scrutiny."""
    found = trained.walk.scrutiny
    assert found.luck is not None
    assert Scrutiny.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_what_earns_at_any_cost_is_capped(trained: Retrained, small: Settings) -> None:
    """An account that no cost touches answers with 64 times the costs, and the search ends."""
    result = trained.walk.result
    assert result.equity[-1] > small.trading.initial_equity
    trading = small.trading
    assumed = trading.fee_bps + trading.half_spread_bps + trading.slippage_bps
    assert break_even_bps(lambda world: result, trading) == pytest.approx(64.0 * assumed)
    assert (
        scrutinize(
            lambda world: result, lambda one: trained.walk.whole, trading, small.bar_ms
        ).worlds["two bars late"]
        == trained.walk.whole
    )
