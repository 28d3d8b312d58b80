"""The generated market looks like one: fat tails, clustered volatility, no linear memory."""

import numpy as np
import pytest

from benchmarks import stylised
from benchmarks.stylised import Facts, measure
from replay_venue.market.generator import generate
from replay_venue.market.recorded import RecordedSource
from tests.replay_venue.served import RECORDED


@pytest.fixture(scope="module", params=["BTCUSDT", "ETHUSDT"])
def facts(request: pytest.FixtureRequest) -> Facts:
    span = (stylised.START_MS, stylised.END_MS)
    return measure(generate(11, request.param, 0.0, *span, "15m").bars)


def test_tails_are_fat(facts: Facts) -> None:
    """Kurtosis far above normal, less so over a day, and a tail index of three to five."""
    assert facts.kurtosis > 6
    assert facts.kurtosis > facts.daily_kurtosis
    assert 2.5 < facts.left_tail < 5
    assert 2.5 < facts.right_tail < 5


def test_volatility_clusters_for_days(facts: Facts) -> None:
    """Absolute returns correlate at every lag up to a day and beyond, the less the longer."""
    assert np.all(facts.of_sizes > 0.08)
    assert facts.of_sizes[0] > 0.2
    assert facts.of_sizes[:10].mean() > 1.2 * facts.of_sizes[40:60].mean()


def test_returns_have_no_linear_memory(facts: Facts) -> None:
    """No autocorrelation of returns stands out; fat tails make its error a few times larger."""
    assert np.abs(facts.of_returns).max() < 0.02
    assert abs(facts.of_returns.mean()) < 0.004


def test_the_day_has_a_shape(facts: Facts) -> None:
    """Busiest in New York's afternoon, quietest at night, and volume moves with volatility."""
    assert int(facts.by_hour.argmax()) in (14, 15)
    assert facts.by_hour[15] > 1.4 * facts.by_hour[4]
    assert facts.volume_size > 0.2
    assert abs(facts.leverage) < 0.03


def test_hill_finds_the_index_of_a_known_tail() -> None:
    """Of Pareto values with index three, one percent tells it within five percent."""
    values = 1.0 + np.random.default_rng(3).pareto(3.0, 400_000)
    assert stylised.hill(values, 0.01) == pytest.approx(3.0, rel=0.05)


def test_autocorrelation_finds_that_of_a_known_process() -> None:
    """Of an AR(1) with coefficient 0.8, lag k shows 0.8 to the power of k."""
    shocks = np.random.default_rng(4).standard_normal(200_000)
    path = np.convolve(shocks, 0.8 ** np.arange(60), "valid")
    assert np.allclose(stylised.autocorrelation(path, 5), 0.8 ** np.arange(1, 6), atol=0.02)


def test_page_shows_what_is_measured() -> None:
    """The generated columns of the table in the documentation are those of this code."""
    span = (stylised.START_MS, stylised.END_MS)
    market = generate(stylised.SEED, "BTCUSDT", 0.0, *span, "15m").bars
    page = stylised.PAGE.read_text()
    measured = stylised.table({"generated BTC": measure(market)}).splitlines()[2:]
    assert measured
    for line in measured:
        assert line.removesuffix("|") in page


@pytest.mark.skipif(
    not RECORDED.is_dir(), reason="recorded data (../shared/data) is not on this machine"
)
def test_real_bitcoin_has_the_same_facts() -> None:
    """What is asserted of the generated market holds for the real one."""
    source = RecordedSource(RECORDED, ("BTCUSDT",), "okx-swap")
    found = measure(source.bars("BTCUSDT", "15m", stylised.START_MS, stylised.END_MS))
    assert found.of_sizes[0] > 0.2
    assert np.all(found.of_sizes > 0.05)
    assert found.kurtosis > 6
    assert 2.5 < found.left_tail < 5
    assert np.abs(found.of_returns).max() < 0.03
    assert found.by_hour[15] > 1.4 * found.by_hour[4]
