"""The page of the features says what the registry says, and shows what the recorded markets did."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kernel.features.engine import compute
from kernel.features.registry import FEATURES, GROUPS, feature
from kernel.observation import OBSERVATION_FIELDS, Market, Series, observe
from kernel.order_flow import Trades
from orchestration.reference import feature_page
from orchestration.reference.recorded_markets import DATA, Recording, recordings
from orchestration.reference.sparkline import sparkline
from replay_venue.market.generator import generate

DOCS = Path(__file__).resolve().parents[3] / "docs"
ROW = re.compile(r"^\| \*\*`(\w+)`\*\*", re.MULTILINE)


@pytest.mark.slow
@pytest.mark.skipif(not DATA.exists(), reason=f"no recorded markets at {DATA}")
def test_the_page_and_its_pictures_are_current() -> None:
    """`make docs` would change nothing."""
    for name, text in feature_page.files(DOCS).items():
        assert (DOCS / name).read_text() == text, f"run `make docs`: {name} is not current"


def test_a_page_of_a_generated_market_has_every_feature_and_its_proof() -> None:
    """Three weeks that nobody recorded are shown alike; what they do not hold says so."""
    # 2025-12-01
    start_ms = 1_764_547_200_000
    days_ms = 21 * 86_400_000
    bars = generate(
        seed=5,
        symbol="BTCUSDT",
        edge=0.1,
        start_ms=start_ms,
        end_ms=start_ms + days_ms,
        timeframe="15m",
    ).bars
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


def test_a_page_says_what_missing_means_and_whose_a_picture_is() -> None:
    """Every policy is explained before the tables; a market lent from elsewhere, bars of another
    length and what nobody recorded are named.
    """
    start_ms = 1_764_547_200_000  # 2025-12-01
    bars = generate(
        seed=5,
        symbol="BTCUSDT",
        edge=0.1,
        start_ms=start_ms,
        end_ms=start_ms + 3 * 86_400_000,
        timeframe="15m",
    ).bars
    times = bars.open_time_ms
    lent = Series("open_interest", times, times, np.linspace(1e4, 2e4, len(times)))
    quick = Market(bars, {}, trades=Trades(times, times, bars.close, bars.volume, even(len(bars))))
    found = feature_page.seen(
        [
            Recording("slow", Market(bars, {lent.name: lent}), beside={lent.name: "of elsewhere"}),
            Recording("quick", quick, shown=("kyle_lambda",)),
        ]
    )
    costs = {group.name: {"compiled_us": 0.01, "live_us": 1.0} for group in GROUPS}
    text = feature_page.page(found, costs)
    before, _, _ = text.partition("## calendar")
    for policy in {feature(name).missing for name in FEATURES}:
        assert f"- *{policy}*: " in before
    rows = {line.split("`")[1]: line for line in text.splitlines() if ROW.match(line)}
    assert [name for name, row in rows.items() if "of elsewhere" in row] == [
        "oi_change",
        "long_short_pressure",
        "open_interest_missing",
    ]
    assert "missing<br>quick | " in rows["kyle_lambda"]
    assert "missing<br>slow | " in rows["amihud"]
    assert "100.0% missing" in rows["trade_sign_autocorrelation"]
    assert "`trade_sign_autocorrelation`" in before
    assert "`kyle_lambda`" not in before


def even(bars: int) -> NDArray[np.float64]:
    """Return sides that take turns by threes, so that what is bought varies."""
    return np.where(np.arange(bars) % 6 < 3, 1.0, -1.0)


@pytest.fixture(scope="module")
def recorded() -> list[Recording]:
    if not DATA.exists():
        pytest.skip(f"no recorded markets at {DATA}")
    return recordings()


def test_open_interest_of_an_hour_is_known_at_its_end(recorded: list[Recording]) -> None:
    """The first row, stamped 2025-12-07 11:00, is joined to the bar that closes at 12:00, and is
    of BTC's size; from there on every bar has one.
    """
    obs = observe(recorded[0].market, 900_000)
    interest = obs[:, OBSERVATION_FIELDS.index("open_interest")]
    first = int(np.flatnonzero(np.isfinite(interest))[0])
    assert obs[first, 0] == 1_765_107_900_000  # 11:45
    assert np.isfinite(interest[first:]).all()
    assert ((interest[first:] > 20_000) & (interest[first:] < 27_000)).all()


def test_bars_of_seconds_are_made_of_what_was_recorded(recorded: list[Recording]) -> None:
    """Each feature of trades and of best quotes has values on its recording, and only those are
    shown from there.
    """
    for one in recorded:
        assert bool(one.shown) == (one.bar_ms != 900_000)
        if one.shown:
            values, _ = compute(observe(one.market, one.bar_ms))
            for name in one.shown:
                assert np.isfinite(values[:, FEATURES.index(name)]).sum() > 100, name


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
