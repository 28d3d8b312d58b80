"""Each command installs what it needs, and `platform` is enough to run what is ours."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
MAKEFILE = (ROOT / "Makefile").read_text()
ROOMS = {
    "tidegate": ("kernel", "live_runner", "replay_venue"),
    "tidegate[market-data]": ("market_data",),
    "tidegate[research]": ("research",),
    "tidegate[platform]": ("assets", "jobs", "sensors", "orchestration"),
}
OURS = tuple(room for rooms in ROOMS.values() for room in rooms)
WHERE_INSTALLED = {
    "numba",  # the kernel compiles its steps where it is there
    "pyarrow",  # the venue plays recorded files where it is there
    "optuna",  # draws the trials of a search: `make tuning`
    "s3fs",  # opens s3:// only: `make s3`
}
WITHOUT_IT = ("torch", "shap", "optuna", "pytorch-forecasting", "pytest", "polars", "ruff")


def closure(requirements: Iterable[str]) -> set[str]:
    """Return the names of all that an installation of `requirements` brings, as installed here."""
    waiting = [Requirement(one) for one in requirements]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        key = (name, frozenset(one.extras))
        if key in seen or (one.marker and not one.marker.evaluate({"extra": ""})):
            continue
        seen.add(key)
        waiting.extend(needs(name, one.extras))
    return {name for name, _ in seen}


def needs(name: str, extras: set[str]) -> list[Requirement]:
    if name == "tidegate":
        wanted = [*PROJECT["dependencies"], *(line for one in extras for line in EXTRAS[one])]
        return [Requirement(line) for line in wanted]
    try:
        lines = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []
    kept = []
    for line in lines:
        one = Requirement(line)
        asked = [{"extra": ""}, *({"extra": extra} for extra in extras)]
        if one.marker is None or any(one.marker.evaluate(env) for env in asked):
            one.marker = None
            kept.append(one)
    return kept


def imported(folders: Iterable[str]) -> set[str]:
    """Return the third-party top-level modules that folders import, wherever in a file."""
    found: set[str] = set()
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - set(OURS) - set(sys.stdlib_module_names) - WHERE_INSTALLED


@pytest.mark.parametrize("extra", ROOMS)
def test_an_extra_brings_all_that_its_rooms_import(extra: str) -> None:
    """Each room runs with its own extra; none needs what only `make test` or `make deep` brings."""
    there = closure([extra])
    if "xgboost-cpu" in there:
        there.add("xgboost")  # one module under two names of a package
    homes = metadata.packages_distributions()
    lacking = {
        module
        for module in imported(ROOMS[extra])
        if there.isdisjoint(canonicalize_name(home) for home in homes.get(module, [module]))
    }
    assert lacking == set()


@pytest.mark.parametrize("package", WITHOUT_IT)
def test_the_demo_does_not_install_what_only_tests_and_later_models_need(package: str) -> None:
    """What `make test` and `make deep` add stays out of the first command."""
    assert package not in closure(["tidegate[platform]"])


def test_every_extra_is_a_group_of_the_makefile() -> None:
    """A new extra is installed by some target, and says what it brings before pip starts."""
    groups = set(re.findall(r"^about_(\S+) :=", MAKEFILE, re.MULTILINE))
    assert groups == {"runner", *EXTRAS}
