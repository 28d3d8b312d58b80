"""The page of the features says what the registry says, and shows what the recorded markets did."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from kernel.features.registry import FEATURES, GROUPS, feature
from kernel.observation import Market
from orchestration.cli import feature_page
from orchestration.cli.recorded_markets import DATA, Recording
from orchestration.cli.sparkline import sparkline
from replay_venue.generator import generate

DOCS = Path(__file__).resolve().parents[3] / "docs"
ROW = re.compile(r"^\| \*\*`(\w+)`\*\*", re.MULTILINE)


@pytest.mark.skipif(not DATA.exists(), reason=f"no recorded markets at {DATA}")
def test_the_page_and_its_pictures_are_current() -> None:
    """`make docs` would change nothing."""
    for name, text in feature_page.files(DOCS).items():
        assert (DOCS / name).read_text() == text, f"run `make docs`: {name} is not current"


def test_a_page_of_a_generated_market_has_every_feature_and_its_proof() -> None:
    """Three weeks that nobody recorded are shown alike; what they do not hold says so."""
    start_ms, days_ms = 1_764_547_200_000, 21 * 86_400_000  # 2025-12-01
    bars = generate(5, "BTCUSDT", 0.1, start_ms, start_ms + days_ms, "15m").bars
    found = feature_page.seen([Recording("three weeks", Market(bars, {}))])
    costs = {group.name: {"compiled_us": 0.01, "live_us": 1.0} for group in GROUPS}
    text = feature_page.page(found, costs)
    rows = {line.split("`")[1]: line for line in text.splitlines() if ROW.match(line)}
    assert list(rows) == list(FEATURES)
    assert rows["rsi_14"].endswith("| 0 of 2,000 |")
    assert "100.0% missing" in rows["vpin"]
    assert rows["vpin"].endswith("| no values here |")
    assert text.count("three weeks") == sum(
        any(np.isfinite(found[one.name].values).any() for one in group.features) for group in GROUPS
    )


def test_the_page_names_every_feature_in_order() -> None:
    """Each row of the registry is there with its formula and its picture, and no other is."""
    page = (DOCS / "features.md").read_text()
    assert ROW.findall(page) == list(FEATURES)
    for name in FEATURES:
        assert feature(name).formula.replace("|", "\\|").replace("*", "\\*") in page, name
    pictures = {path.stem for path in (DOCS / "features").glob("*.svg")}
    assert pictures == set(FEATURES)


def test_every_group_has_a_measured_cost() -> None:
    """The costs are those of the groups that exist, compiled and live."""
    costs = json.loads((DOCS / feature_page.COSTS).read_text())
    assert set(costs) == {group.name for group in GROUPS}
    assert all(0 < cost["compiled_us"] < cost["live_us"] for cost in costs.values())


def test_the_page_shows_no_change_of_the_past() -> None:
    """Every proof on the page counts 0 changed values, on real ones for most features."""
    page = (DOCS / "features.md").read_text()
    proofs = re.findall(r"\| (\d+) of ([\d,]+) \|$", page, re.MULTILINE)
    assert {changed for changed, _ in proofs} == {"0"}
    assert len(proofs) > 100


def test_a_sparkline_is_the_same_for_the_same_values() -> None:
    """Equal values give equal bytes, and other values another picture."""
    values = np.sin(np.arange(4_000) / 50.0)
    assert sparkline(values, 2_880) == sparkline(values.copy(), 2_880)
    assert sparkline(values, 2_880) != sparkline(values + 0.5 * np.cos(np.arange(4_000)), 2_880)


@pytest.mark.parametrize("values", [np.ones(50), np.array([1.0]), np.array([np.nan, 2.0, np.nan])])
def test_a_sparkline_copes_with_constants_and_gaps(values: np.ndarray) -> None:
    """One value, or the same one for ever, is drawn; a gap leaves its columns empty."""
    picture = sparkline(values, 10)
    assert picture.startswith("<svg")
    assert "nan" not in picture
    assert picture.count("V") == min(10, int(np.isfinite(values[-10:]).sum()))


def test_a_feature_without_values_says_so() -> None:
    """Where nothing was recorded there is no line to mistake for one."""
    assert "not recorded" in sparkline(np.full(9, np.nan), 5)
