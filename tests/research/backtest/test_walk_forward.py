import dataclasses

import numpy as np

from kernel.bars import Bars
from kernel.decision import Abstain
from kernel.trading import ABSTAIN, ORDER
from research.backtest.walk_forward import TradedMarket, backtest, backtest_stream
from research.pipeline import Retrained
from research.settings import Settings


def test_walk_forward_trades_each_fold_alone_and_all_in_one_account(
    trained: Retrained, small: Settings
):
    """A fold's figures do not depend on the others; the one account spans all of their bars."""
    market, folds, walk = trained.prepared.market, trained.candidate.folds, trained.walk
    alone = backtest(market, folds[1:], trained.candidate.feature_names, small)
    assert alone.folds[0] == walk.folds[1]
    assert len(walk.result.rows) == sum(len(fold.bar) for fold in folds)
    assert walk.result.rows[0, 0] == market.bars.open_time_ms[folds[0].bar[0]] == walk.start_ms
    assert walk.whole.trades > 0


def test_walk_forward_stress_costs_money(trained: Retrained, small: Settings):
    """Twice the costs and a bar of delay leave less than the plain account."""
    assert trained.walk.stressed.total_return < trained.walk.whole.total_return
    none = dataclasses.replace(
        small,
        gates=dataclasses.replace(small.gates, stress_cost_multiplier=1.0, stress_delay_bars=0),
    )
    same = backtest(
        trained.prepared.market, trained.candidate.folds, trained.candidate.feature_names, none
    )
    assert same.stressed == same.whole == trained.walk.whole


def test_walk_forward_stays_out_where_nothing_was_predicted(trained: Retrained, small: Settings):
    """Bars without probabilities between two parts bring no order."""
    market = trained.prepared.market
    p = np.tile(np.array([0.05, 0.05, 0.9], np.float32), (200, 1))
    parts = [(np.arange(2_000, 2_200), p), (np.arange(2_600, 2_800), p)]
    walk = backtest_stream(market, parts, ["rsi_14"], small)
    orders = walk.result.out[:, ORDER]
    assert orders[:200].any() and orders[600:].any()
    assert not orders[200:600].any()


def test_walk_forward_stays_out_where_a_graph_abstains(trained: Retrained, small: Settings):
    """A bar out of the hull brings no order, whatever its probabilities; its reason stands in the
    row that the kernel trades, as it does live.
    """
    market, names = trained.prepared.market, trained.candidate.feature_names
    sure = np.array([0.05, 0.05, 0.9], np.float32)
    folds = [
        dataclasses.replace(
            fold,
            probabilities=np.tile(sure, (len(fold.bar), 1)),
            abstain=np.full(len(fold.bar), reason),
        )
        for fold, reason in zip(trained.candidate.folds, (Abstain.OUT_OF_HULL, 0), strict=True)
    ]
    result = backtest(market, folds, names, small).result
    first = len(folds[0].bar)
    assert not result.out[:first, ORDER].any()
    assert result.out[first:, ORDER].any()
    assert set(result.rows[:first, ABSTAIN]) == {float(Abstain.OUT_OF_HULL)}
    assert folds[0].decisions[0].tolist() == [0.0, 1.0, 0.0]
    assert folds[1].decisions[0].tolist() == sure.tolist()


def test_walk_forward_opens_nothing_after_a_hole(trained: Retrained, small: Settings):
    """Bars that follow missing ones are let out for a day, as the runner lets them out."""
    held = trained.prepared.market
    kept = np.ones(len(held.bars), np.bool_)
    kept[2_100:2_150] = False
    names = [field.name for field in dataclasses.fields(held.bars)]
    bars = Bars(*(getattr(held.bars, name)[kept] for name in names))
    market = TradedMarket(bars, held.atr[kept], held.funding[kept])
    p = np.tile(np.array([0.05, 0.05, 0.9], np.float32), (400, 1))
    walk = backtest_stream(market, [(np.arange(2_000, 2_400), p)], ["price_vs_ema200"], small)
    ordered = np.flatnonzero(walk.result.out[:, ORDER])
    assert (ordered < 100).any()
    assert not ((ordered >= 100) & (ordered < 195)).any()
    assert (ordered >= 195).any()
