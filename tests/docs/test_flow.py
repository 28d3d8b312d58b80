"""docs/images/flow.svg shows the stages as the assets hang together."""

import xml.etree.ElementTree as ET
from pathlib import Path

import dagster as dg
import pytest

from orchestration.definitions import code_location
from orchestration.environments import Environment

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "images" / "flow.svg"
SVG = "{http://www.w3.org/2000/svg}"
Edges = set[tuple[str, str]]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Edges:
    """Return which stage reads which, as the asset graph has it."""
    environment = Environment.from_environ({"TIDEGATE_HOME": str(tmp_path_factory.mktemp("home"))})
    location: dg.Definitions = code_location(environment)
    graph = location.resolve_asset_graph()
    return {
        (parent.path[0], key.path[0])
        for key in graph.get_all_asset_keys()
        for parent in graph.get(key).parent_keys
        if parent.path[0] != key.path[0]
    }


def drawn() -> Edges:
    group = ET.parse(PICTURE).getroot().find(f"{SVG}g[@id='stages']")
    assert group is not None
    return {(path.attrib["data-from"], path.attrib["data-to"]) for path in group}


def reachable(edges: Edges) -> Edges:
    """Return every pair of which the second follows from the first along `edges`."""
    found = set(edges)
    while further := {(a, d) for a, b in found for c, d in edges if b == c} - found:
        found |= further
    return found


def test_every_arrow_between_stages_is_a_dependency(real: Edges) -> None:
    """Nothing is drawn that no asset reads: not warehouse → features, for one."""
    assert drawn() - real == set()


def test_every_dependency_between_stages_lies_along_arrows(real: Edges) -> None:
    """A stage reads only what the picture leads from, whether drawn directly or over others."""
    assert real - reachable(drawn()) == set()


def test_every_stage_has_a_box(real: Edges) -> None:
    """The names in the boxes include every stage."""
    names = {one.text for one in ET.parse(PICTURE).iter(f"{SVG}text") if one.get("class") == "name"}
    assert {stage for edge in real for stage in edge} - names == set()
