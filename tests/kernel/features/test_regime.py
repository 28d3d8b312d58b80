"""The regime: the laws, and the rule once more over the columns of other groups."""

import numpy as np

from kernel.features import trend, volatility
from kernel.features.regime import CHOPPY, GROUP, RANGING, REGIMES, STRONG_TREND, VOLATILE
from tests.kernel.features import alone
from tests.kernel.features.handmade import candles, feature
from tests.kernel.features.worlds import market

WARM = GROUP.features[0].warmup_bars


def test_the_regime_keeps_the_laws() -> None:
    """Parity, extremes, warm-up, inputs and certificates hold."""
    alone.check_laws(GROUP)


def test_the_regime_is_what_three_bars_of_adx_and_rank_say() -> None:
    """Told from the trend group's ADX and the volatility group's rank it is the same, bar by bar,
    and a market of 20,000 bars has seen all four.
    """
    obs = market(20_000, seed=3)
    adx = alone.column(trend.GROUP, alone.batch(trend.GROUP, obs)[0], "adx_14")
    rank = alone.column(volatility.GROUP, alone.batch(volatility.GROUP, obs)[0], "atr_percentile")
    found = alone.batch(GROUP, obs)[0][:, 0]
    strong = _slow(adx > 28.0, adx < 22.0)
    quiet = _slow(rank < 0.40, rank >= 0.40)
    violent = _slow(rank >= 0.75, rank < 0.75)
    expected = np.select(
        [violent, strong, quiet], [VOLATILE, STRONG_TREND, RANGING], default=CHOPPY
    )
    assert np.array_equal(found[WARM - 1 :], expected[WARM - 1 :])
    assert np.isnan(found[: WARM - 1]).all()
    assert set(found[WARM - 1 :]) == {float(code) for code in range(len(REGIMES))}
    assert np.count_nonzero(np.diff(found[WARM - 1 :])) < 20_000 / 5


def _slow(on: np.ndarray, off: np.ndarray) -> np.ndarray:
    """Return a switch that turns after three bars in a row that say so."""
    state = np.zeros(len(on), dtype=np.bool_)
    for i in range(2, len(on)):
        seen = (off if state[i - 1] else on)[i - 2 : i + 1]
        state[i] = state[i - 1] ^ bool(seen.all())
    return state


def test_a_climb_is_a_trend_until_it_is_over() -> None:
    """Every bar one higher is STRONG_TREND; once price stands, ADX falls below 22 only later, and
    until then the regime stays.
    """
    close = [*np.arange(200.0) + 100.0, *[299.0 + i % 2 for i in range(80)]]
    obs = candles(close, high=[one + 1.0 for one in close], low=[one - 1.0 for one in close])
    told = feature(GROUP, "regime", obs)
    assert set(told[WARM - 1 : 200]) == {STRONG_TREND}
    left = next(i for i in range(200, 280) if told[i] != STRONG_TREND)
    assert left > 203
    assert STRONG_TREND not in told[left:]
