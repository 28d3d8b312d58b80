import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from research.datasets.table import TrainingTable, blocks
from research.graphs.runtime import outputs
from research.labels.triple_barrier import UNRESOLVED_MS
from research.pipeline import Retrained
from research.settings import Settings
from research.training import stack
from research.training.hindsight import look, scrambled
from research.training.sides import with_even_sides


def test_stack_gives_the_same_bytes_from_the_same_table(trained: Retrained, small: Settings):
    """A candidate rebuilt from its table is the same graph, byte for byte, and so is each
    fold's.
    """
    again = stack.train(trained.prepared.table, small)
    assert again.signal == trained.candidate.signal
    assert [fold.graph for fold in again.folds] == [fold.graph for fold in trained.candidate.folds]
    assert np.array_equal(again.oof.votes, trained.candidate.oof.votes)


def test_stack_gives_the_same_bytes_however_it_is_launched():
    """Processes that are allowed one thread and four train the same graphs from the same table."""
    found = {
        subprocess.run(
            [sys.executable, "-m", "tests.research.training.trained_bytes"],
            cwd=Path(__file__).resolve().parents[3],
            env=os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads),
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for threads in ("1", "4")
    }
    assert len(found) == 1


def test_stack_predicts_a_fold_without_knowing_what_happened_in_it(
    trained: Retrained, small: Settings
):
    """Another class and another end of every label that ends after a fold began change not a byte
    of that fold's graph.
    """
    table = trained.prepared.table
    first, second = trained.candidate.folds
    other = stack.train(
        scrambled(table, first.start_ms, small.bar_ms, np.random.default_rng(1)), small
    )
    assert other.folds[0].graph == first.graph
    assert other.folds[0].probabilities.tobytes() == first.probabilities.tobytes()
    assert other.folds[1].graph != second.graph
    assert other.signal != trained.candidate.signal


def test_hindsight_finds_a_fold_that_knew_a_later_label(trained: Retrained, small: Settings):
    """A gate fold made again under other later labels is the same; the graph of the cutoff, which
    knew what happened in the fold, is not.
    """
    table = trained.prepared.table
    candidate = trained.candidate
    knowing = tuple(dataclasses.replace(one, graph=candidate.signal) for one in candidate.folds)
    assert not look(table, candidate, small).differs
    assert look(table, dataclasses.replace(candidate, folds=knowing), small).differs


@pytest.mark.slow
def test_no_fold_knows_a_later_label(trained: Retrained, small: Settings):
    """What the weekly check asks of one gate fold holds for all of them, at any draw."""
    table = trained.prepared.table
    for fold, model in enumerate(trained.candidate.folds):
        for seed in range(3):
            rng = np.random.default_rng(seed)
            other = scrambled(table, model.start_ms, small.bar_ms, rng)
            assert stack.refit(other, trained.candidate, fold, small) == model.graph
            assert stack.train(other, small).folds[fold].graph == model.graph


def cut_at(table: TrainingTable, moment_ms: int) -> TrainingTable:
    """Return the table as it was at the moment: no later row, and no label that was open."""
    there = table.start_ms <= moment_ms
    open_still = table.end_ms[there] > moment_ms
    return dataclasses.replace(
        table,
        x=table.x[there],
        y=np.where(open_still, -1, table.y[there]).astype(np.int8),
        start_ms=table.start_ms[there],
        end_ms=np.where(open_still, UNRESOLVED_MS, table.end_ms[there]),
        closed_ms=np.where(
            table.closed_ms[there] > moment_ms, UNRESOLVED_MS, table.closed_ms[there]
        ),
        bar=table.bar[there],
        cutoff_ms=moment_ms,
    )


def test_the_graph_of_a_fold_is_the_one_that_its_week_would_have_shipped(
    trained: Retrained, small: Settings
):
    """A retrain on what was there when the first gate fold began ships that fold's graph, byte for
    byte: bases, weights, meta-learner and curves.
    """
    validation = dataclasses.replace(small.validation, block_weeks=1, max_blocks=4)
    weekly = dataclasses.replace(small, validation=validation)
    table = trained.prepared.table
    first, *_ = stack.train(table, weekly).folds
    assert stack.train(cut_at(table, first.start_ms), weekly).signal == first.graph


def test_stack_predicts_every_row_of_its_blocks_once(trained: Retrained, small: Settings):
    """Out-of-fold rows are the blocks' rows, in order, and the gate folds are the last of them."""
    table, candidate = trained.prepared.table, trained.candidate
    folds = blocks(table.start_ms, table.end_ms, small.validation)
    assert np.array_equal(candidate.oof.rows, np.concatenate([fold.test for fold in folds]))
    assert len(candidate.folds) == small.validation.gate_folds
    for model, fold in zip(candidate.folds, folds[-2:], strict=True):
        assert np.array_equal(model.rows, fold.test)
        assert (model.start_ms, model.end_ms) == (fold.test_start_ms, fold.test_end_ms)
        p = outputs(model.graph, ["probabilities"], table.x[model.rows])[0]
        assert np.array_equal(p, model.probabilities)


def test_stack_probabilities_add_up_and_the_graph_is_its_parts(trained: Retrained):
    """Rows sum to 1 and the certificate covers twenty thousand rows without a changed decision."""
    parity = trained.candidate.parity
    p = np.concatenate([fold.probabilities for fold in trained.candidate.folds])
    assert np.abs(p.astype(np.float64).sum(axis=1) - 1).max() < 1e-6
    assert parity.rows >= 20_000
    assert parity.max_abs_dp <= 1e-6 and parity.max_abs_votes <= 1e-6
    assert parity.flipped_decisions == 0


def test_stack_scores_each_base_in_each_block(trained: Retrained, small: Settings):
    """Every base has a log-loss in every block, better than not knowing, on average."""
    scores = trained.candidate.scores
    names = [one.name for one in small.models.bases]
    assert trained.candidate.bases == tuple(names)
    assert trained.candidate.oof.votes.shape[1] == 3 * len(names)
    assert len(scores) == len(names) * (1 + max(trained.candidate.oof.block))
    for name in names:
        assert np.mean([one.log_loss for one in scores if one.base == name]) < np.log(3)
    assert set(trained.candidate.contributions) <= set(names)
    asked = trained.candidate.contributions[small.models.selector.name]
    assert max(asked.items(), key=lambda item: item[1])[0] == "oi_change"


def test_stack_refuses_a_history_without_enough_blocks(trained: Retrained, small: Settings):
    """The meta-learner of the first gate fold needs a block before it."""
    demanding = dataclasses.replace(
        small, validation=dataclasses.replace(small.validation, gate_folds=9, max_blocks=10)
    )
    with pytest.raises(ValueError, match=r"walk-forward blocks, expected at least 10 \(26 weeks"):
        stack.train(trained.prepared.table, demanding)


def test_even_sides_weigh_the_same_and_leave_hold_alone():
    """SELL and BUY end with equal weight, HOLD with what it had."""
    y = np.array([0, 0, 0, 1, 1, 2], np.int8)
    weights = with_even_sides(np.ones(6), y)
    assert weights[y == 0].sum() == pytest.approx(weights[y == 2].sum()) == pytest.approx(2.0)
    assert weights[y == 1].tolist() == [1.0, 1.0]
    assert np.array_equal(with_even_sides(np.ones(2), np.zeros(2, np.int8)), np.ones(2))


def test_column_medians_pass_over_what_is_not_finite():
    """NaN and infinities do not count; an empty column has 0."""
    nan, inf = np.nan, np.inf
    x = np.array([[1, nan, inf], [2, nan, 5], [9, nan, -inf]], np.float32)
    assert stack.column_medians(x).tolist() == [2.0, 0.0, 5.0]
