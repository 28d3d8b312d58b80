"""A base that fails is named and left out, and the week completes."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from research.models.base import Base, FittedBase, TrainingRows
from research.pipeline import Retrained
from research.settings import Settings
from research.training import stack
from research.training.candidate import from_files, to_files


@dataclass(frozen=True, slots=True)
class Failing:
    """A base that goes by its rows: it raises, burns CPU or diverges once it has so many."""

    inner: Base
    fault: str
    rows: int
    name: str = "failing"

    @property
    def settings(self) -> Any:
        return self.inner.settings

    def fit(self, rows: TrainingRows, seed: int, n_jobs: int) -> FittedBase:
        fitted = dataclasses.replace(self.inner.fit(rows, seed, n_jobs), name=self.name)
        if len(rows.y) < self.rows:
            return fitted
        if self.fault == "raises":
            raise ZeroDivisionError("a matrix without an inverse")
        table = np.full((1, 3), np.nan, np.float32)
        return dataclasses.replace(fitted, graph=_constant(table, rows.x.shape[1]))


def _constant(table: np.ndarray, features: int) -> bytes:
    from onnx import helper

    from research.graphs import export

    nodes = [
        helper.make_node("ReduceSum", ["input", "axis"], ["sum"], keepdims=1),
        helper.make_node("Mul", ["sum", "table"], ["probabilities"]),
    ]
    return export.base_graph(nodes, {"table": table, "axis": np.array([1])}, features)


def with_base(small: Settings, base: Base, **changes: Any) -> Settings:
    bases = (*small.models.bases[:1], base)
    chosen = dataclasses.replace(small.models.stack, **changes)
    models = dataclasses.replace(small.models, bases=bases, stack=chosen)
    return dataclasses.replace(small, models=models)


def failing(small: Settings, fault: str, rows: int) -> Failing:
    return Failing(small.models.base("calendar"), fault, rows)


@pytest.mark.parametrize(
    ("fault", "why"),
    [("raises", "ZeroDivisionError: a matrix without an inverse"), ("diverges", "it diverged")],
)
def test_a_base_that_fails_is_left_out_by_name(
    trained: Retrained, small: Settings, fault: str, why: str
) -> None:
    """It has no vote anywhere where it failed from the start, and the reason survives the files."""
    chosen = with_base(small, failing(small, fault, 0))
    found = from_files(to_files(stack.train(trained.prepared.table, chosen)))
    (absent,) = found.absent
    assert absent.base == "failing"
    assert why in absent.why
    assert found.bases == found.shipped == (small.models.bases[0].name,)


def test_a_base_that_fails_later_is_left_out_from_there_on(
    trained: Retrained, small: Settings
) -> None:
    """Its earlier votes stay on record; no graph of a later block has it, and none waits for it."""
    table = trained.prepared.table
    chosen = with_base(small, failing(small, "raises", len(table.y) - 2_000))
    found = stack.train(table, chosen)
    votes = found.oof.votes[:, 3:]
    assert np.isfinite(votes[found.oof.block == 0]).all()
    assert np.isnan(votes[found.oof.block == found.oof.block.max()]).all()
    assert "failing" not in found.shipped
    assert found.absent[0].from_ms > int(found.oof.start_ms[0])
    assert {one.block for one in found.scores if one.base == "failing"} == {0, 1}


def test_a_base_over_its_cpu_budget_is_left_out(trained: Retrained, small: Settings) -> None:
    """A fit that takes longer than allowed is told with its seconds; others carry on."""
    slow = with_base(small, small.models.base("lightgbm"), max_fit_cpu_s=1e-9)
    with pytest.raises(ValueError, match=r"found none .* max_fit_cpu_s = 1e-09 of stack.yaml"):
        stack.train(trained.prepared.table, slow)


def test_a_fold_with_one_class_trains(trained: Retrained, small: Settings) -> None:
    """Where the first blocks have seen BUY only, every base votes and the week completes."""
    table = trained.prepared.table
    early = table.end_ms <= int(trained.candidate.oof.start_ms[0])
    one = dataclasses.replace(table, y=np.where(early, 2, table.y).astype(np.int8))
    found = stack.train(one, small)
    assert found.absent == ()
    assert np.isfinite(found.oof.votes).all()
