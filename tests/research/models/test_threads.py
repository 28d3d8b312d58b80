"""Whatever fits a model runs on one thread, so that the same rows give the same bytes."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from research.models.threads import pinned_threads

RESEARCH = Path(__file__).parents[3] / "research"
OPTIMISERS = {"minimize", "minimize_scalar", "curve_fit", "least_squares", "root"}


def _fits(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Yield each function that fits something, and whether it is pinned."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and any(map(_is_fit, ast.walk(node))):
            decorators = [ast.unparse(one) for one in node.decorator_list]
            yield node.name, any(one.startswith("pinned_threads(") for one in decorators)


def _is_fit(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    called = node.func
    if isinstance(called, ast.Attribute):
        return called.attr in {"fit", "fit_predict", "fit_transform", "partial_fit"}
    return isinstance(called, ast.Name) and called.id in OPTIMISERS


def test_whatever_fits_is_pinned() -> None:
    """Every function of the research library that calls a fit or an optimiser stands under
    `pinned_threads`."""
    found = {
        f"{path.relative_to(RESEARCH)}: {name}": pinned
        for path in sorted(RESEARCH.rglob("*.py"))
        for name, pinned in _fits(ast.parse(path.read_text()))
    }
    assert [name for name, pinned in found.items() if not pinned] == []
    assert {"models/xgboost.py: fit", "features/garch.py: _maximum"} <= set(found)


@pytest.mark.parametrize("libraries", [(), ("arch", "scipy.optimize")])
def test_a_pinned_function_runs_on_one_thread_and_gives_back_what_was(
    libraries: tuple[str, ...],
) -> None:
    """All pools hold one thread within, and as many as before afterwards."""

    @pinned_threads(*libraries)
    def threads() -> set[int]:
        return {pool["num_threads"] for pool in threadpool_info()}

    with pinned_threads():  # loads what there is
        pass
    with threadpool_limits(limits=2):
        before = [pool["num_threads"] for pool in threadpool_info()]
        assert threads() == {1}
        assert [pool["num_threads"] for pool in threadpool_info()] == before
        assert 2 in before
