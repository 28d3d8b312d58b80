"""Luck is seen where it is, and a real edge is not called luck."""

import json

import numpy as np
import pytest

from research.evaluation.luck import Luck, luck
from research.evaluation.metrics import max_drawdown

EQUITY = 10_000.0
BARS_PER_YEAR = 35_040.0


def record_of(pnl: np.ndarray, seed: int = 7) -> Luck | None:
    """Put each trade's profit evenly on twenty bars, and ask."""
    bars = np.repeat(pnl / EQUITY / 20, 20)
    return luck(pnl, bars, initial_equity=EQUITY, bars_per_year=BARS_PER_YEAR, seed=seed)


def test_trades_without_an_edge_are_called_luck_as_often_as_they_say() -> None:
    """Over 40 records of nothing the p-value is below 0.1 in about one of ten, the interval of
    the mean trade holds 0 in about nine of ten, that of the Sharpe ratio in about eight.
    """
    rng = np.random.default_rng(1)
    found = [record_of(rng.normal(0.0, 50.0, 60)) for _ in range(40)]
    known = [one for one in found if one is not None]
    assert len(known) == 40
    assert 0.02 <= np.mean([one.p_value < 0.1 for one in known]) <= 0.2
    assert np.mean([one.mean_trade[0] <= 0.0 <= one.mean_trade[1] for one in known]) > 0.8
    assert np.mean([one.sharpe[0] <= 0.0 <= one.sharpe[1] for one in known]) > 0.65


def test_an_edge_is_not_called_luck() -> None:
    """Trades that earn half their spread on average leave no interval with 0."""
    found = record_of(np.random.default_rng(2).normal(25.0, 50.0, 120))
    assert found is not None
    assert found.p_value < 1e-4
    assert found.mean_trade[0] > 0.0
    assert found.sharpe[0] > 0.0
    assert found.block_bars > 5.0


def test_drawdowns_are_those_of_other_orders() -> None:
    """The deepest fall lies between those of the kindest and the cruellest order."""
    pnl = np.random.default_rng(3).normal(5.0, 100.0, 40)
    found = record_of(pnl)
    assert found is not None
    cruel = EQUITY + np.cumsum(np.r_[0.0, np.sort(pnl)])
    kind = EQUITY + np.cumsum(np.r_[0.0, np.sort(pnl)[::-1]])
    low, middle, high = found.drawdown
    assert low < middle < high
    assert high < max(max_drawdown(cruel), max_drawdown(kind))
    assert low > float(-pnl.min() / (EQUITY + pnl.clip(0).sum()))


def test_the_same_record_gives_the_same_figures_and_reads_back() -> None:
    """Draws are seeded, and a stored record is the record."""
    pnl = np.random.default_rng(4).normal(5.0, 100.0, 40)
    found = record_of(pnl)
    assert found is not None
    assert record_of(pnl) == found != record_of(pnl, seed=8)
    assert Luck.from_dict(json.loads(json.dumps(found.to_dict()))) == found


@pytest.mark.parametrize("pnl", [np.ones(9), np.empty(0), np.full(30, 12.0)])
def test_what_cannot_tell_says_nothing(pnl: np.ndarray) -> None:
    """Nine trades, none, or thirty equal ones give no figures to mistake for knowledge."""
    assert record_of(pnl) is None
