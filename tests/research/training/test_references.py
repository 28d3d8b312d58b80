import dataclasses

import numpy as np

from research.datasets.table import blocks
from research.pipeline import Retrained
from research.settings import Settings
from research.training.references import (
    CALENDAR,
    PERSISTENCE,
    PRIOR,
    RULES,
    calendar_cells,
    references,
)


def test_references_stand_beside_every_vote(trained: Retrained, small: Settings):
    """Prior, calendar, persistence and rules are probabilities on all out-of-fold rows."""
    oof = trained.candidate.oof
    assert set(oof.references) == {PRIOR, CALENDAR, PERSISTENCE, RULES}
    for p in oof.references.values():
        assert p.shape == (len(oof.rows), 3)
        assert np.abs(p.sum(axis=1) - 1).max() < 1e-5
    for block in np.unique(oof.block):
        prior = oof.references[PRIOR][oof.block == block]
        assert np.ptp(prior, axis=0).max() == 0.0
        assert np.allclose(prior[:, 0], prior[:, 2])


def test_the_calendar_that_votes_is_the_calendar_beside_it(trained: Retrained, small: Settings):
    """Read off the features inside the graph or off the clock, the table says the same."""
    oof = trained.candidate.oof
    at = oof.bases.index("calendar")
    assert np.abs(oof.votes[:, 3 * at : 3 * at + 3] - oof.references[CALENDAR]).max() < 1e-5


def test_references_know_no_label_before_it_is_known(trained: Retrained, small: Settings):
    """Turning every label that ends after a row was decided leaves what stands beside the row."""
    table = trained.prepared.table
    fold = blocks(table.start_ms, table.end_ms, small.validation)[-1]
    row = fold.test[len(fold.test) // 2]
    moment = int(table.start_ms[row])
    later = (table.end_ms > moment) & (table.y >= 0)
    y = np.where(later, 2 - table.y, table.y).astype(np.int8)
    other = dataclasses.replace(table, y=y)
    at = int(np.flatnonzero(fold.test == row)[0])
    for name, p in references(table, fold, 26.0).items():
        assert np.array_equal(p[at], references(other, fold, 26.0)[name][at]), name


def test_cells_are_those_of_the_clock():
    """Monday to Sunday, two hours a slot, in UTC."""
    when = np.array(["2025-12-05T23:45", "2025-12-06T00:00", "2025-12-08T03:15"], "datetime64[ms]")
    assert calendar_cells(when.astype(np.int64)).tolist() == [22, 1, 2]
    assert calendar_cells(np.array([0])).tolist() == [0]
