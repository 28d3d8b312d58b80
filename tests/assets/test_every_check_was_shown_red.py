"""A check that was never red may be one that cannot be."""

import importlib
from collections.abc import Iterator
from pathlib import Path

from orchestration.definitions import code_location
from orchestration.environments import Environment

FOLDER = Path(__file__).parent


def promised() -> Iterator[str]:
    """Yield the names of `@pytest.mark.red(name, …)` on the tests of this folder, each of which
    fails if it does not see that check red, and of their parameters.
    """
    for path in FOLDER.glob("test_*.py"):
        module = importlib.import_module(f"tests.assets.{path.stem}")
        for test in vars(module).values():
            for mark in getattr(test, "pytestmark", []):
                if mark.name == "red":
                    yield from mark.args
                if mark.name == "parametrize":
                    yield from _of_parameters(mark.args[1])


def _of_parameters(values: object) -> Iterator[str]:
    for value in values if isinstance(values, list) else []:
        for mark in getattr(value, "marks", ()):
            if mark.name == "red":
                yield from mark.args


def test_every_check_was_shown_red(tmp_path: Path) -> None:
    """Each asset check of the code location is named by a test that shows it red, and no name is
    of a check that is gone.
    """
    location = code_location(Environment.from_environ({"TIDEGATE_HOME": str(tmp_path)}))
    checks = {check.name for check in location.resolve_asset_graph().asset_check_keys}
    shown = set(promised())
    assert checks - shown == set(), "mark the test that shows it red: @pytest.mark.red(name)"
    assert shown - checks == set()
