"""Trials see what the folds before the gates hold, and nothing of the gates."""

import dataclasses

import numpy as np
import pytest

from research.training.selection import log_losses
from research.tuning import scoring
from tests.research.tuning.grounds import BAR_MS, NAMES, TUNING, base, chosen, ground, market, table


def test_scrambled_gate_rows_change_no_score() -> None:
    """Whatever the gate folds and their bars hold, every trial comes to the same to the byte."""
    built = table()
    before = ground(built)
    rng = np.random.default_rng(1)
    hidden = built.end_ms > before.data.until_ms
    assert hidden.sum() > 1_000
    x = built.x.copy()
    y = built.y.copy()
    x[hidden] = 1e3 * rng.normal(size=(int(hidden.sum()), len(NAMES)))
    y[hidden] = rng.integers(0, 3, int(hidden.sum()))
    other = dataclasses.replace(built, x=x, y=y)
    traded = market(built)
    close = traded.bars.close.copy()
    late = traded.bars.open_time_ms + BAR_MS > before.data.until_ms
    close[late] *= 5.0
    after = scoring.ground(
        symbol=before.symbol,
        week=before.week,
        table=other,
        market=dataclasses.replace(traded, bars=dataclasses.replace(traded.bars, close=close)),
        settings=chosen(),
        tuning=TUNING,
    )
    assert after.digest == before.digest
    assert _told(after) == _told(before)


def _told(where: scoring.Ground) -> list[bytes]:
    folds = list(scoring.scored(where, base()))
    return [
        *(one.losses.tobytes() for one in folds),
        np.array([one.sharpe for one in folds]).tobytes(),
        scoring.stream(where, folds).to_parquet(),
    ]


def test_a_label_of_an_inner_fold_does_change_the_score() -> None:
    """The test above would also pass for a score of nothing: one label more is seen here."""
    built = table()
    where = ground(built)
    y = built.y.copy()
    last = int(np.flatnonzero(built.end_ms <= where.data.until_ms)[-1])
    y[last] = 2 - y[last] if y[last] != 1 else 0
    assert _told(ground(dataclasses.replace(built, y=y))) != _told(where)


def test_scores_are_those_of_rows_after_the_training_rows() -> None:
    """Each fold is judged on its own bars, in order, and its losses are −ln p of what happened."""
    where = ground()
    folds = list(scoring.scored(where, base()))
    assert len(folds) == len(where.data.folds) == 4
    for fold, score in zip(where.data.folds, folds, strict=True):
        opened = where.market.bars.open_time_ms[score.bar]
        np.testing.assert_array_equal(opened + BAR_MS, where.data.start_ms[fold.test])
        own = log_losses(score.probabilities.astype(np.float64), where.data.y[fold.test])
        np.testing.assert_allclose(score.losses, own, rtol=1e-5)


def test_the_stream_is_the_account_of_all_folds_after_costs() -> None:
    """An edge that is traded earns, on bars in order; dearer fills earn less on the same bars."""
    where = ground()
    folds = list(scoring.scored(where, base()))
    earned = scoring.stream(where, folds)
    assert set(np.diff(earned.open_time_ms)) == {BAR_MS}
    assert np.count_nonzero(earned.returns) > 50
    dear = dataclasses.replace(where.settings.trading, fee_bps=50.0)
    costly = dataclasses.replace(where, settings=dataclasses.replace(where.settings, trading=dear))
    assert scoring.stream(costly, folds).returns.sum() < earned.returns.sum()


def test_a_base_without_an_edge_to_learn_is_worse() -> None:
    """Log-loss tells a base that learns the planted edge from one that hardly moves."""
    where = ground()
    timid = dataclasses.replace(
        base(), settings=dataclasses.replace(base().settings, learning_rate=0.001)
    )
    means = [
        np.mean([one.losses.mean() for one in scoring.scored(where, tried)])
        for tried in (base(), timid)
    ]
    assert means[0] < means[1] - 0.01


def test_a_history_without_a_fold_before_the_gates_says_so() -> None:
    """A search needs a fold of its own."""
    short = dataclasses.replace(chosen().validation, first_train_weeks=7)
    with pytest.raises(ValueError, match="expected more than"):
        scoring.ground(
            symbol="BTCUSDT",
            week="2025-12-07",
            table=table(),
            market=market(table()),
            settings=dataclasses.replace(chosen(), validation=short),
            tuning=TUNING,
        )
