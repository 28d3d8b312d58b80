"""Memory of returns against pandas, arch and numpy, on noise of known and published exponents."""

import math
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from arch.unitroot import VarianceRatio
from numpy.typing import NDArray

from kernel.features import memory
from kernel.features.recursions import CLOSE
from tests.kernel.features import alone
from tests.kernel.features.worlds import market

GROUP = memory.GROUP
TOLERANCE = {  # absolute, and whom it is compared with
    **{f"lagged_return_{n}": 1e-14 for n in (2, 8, 32, 96, 192, 384, 672)},  # numpy
    "rolling_skew": 1e-9,  # pandas
    "rolling_kurtosis": 1e-8,  # pandas
    "hurst": 1e-11,  # numpy's polyfit over all five points
    "autocorrelation_1": 1e-11,  # numpy
    "variance_ratio": 1e-10,  # arch
}


def test_memory_is_the_same_in_batch_stream_and_chunks() -> None:
    """Compiled, plain and cut anywhere: the same bytes."""
    alone.check_parity(GROUP)


def test_memory_stays_in_range_in_extreme_worlds() -> None:
    """Values stay within their range or are NaN by policy."""
    alone.check_extremes(GROUP, 1_500)


def test_memory_warms_up_as_stated() -> None:
    """Each feature is NaN before its warm-up bar and has a value from it on."""
    alone.check_warm_up(GROUP)


def test_memory_reads_its_inputs_only() -> None:
    """Inputs that are not named change no byte."""
    alone.check_inputs(GROUP)


def test_memory_never_sees_the_future() -> None:
    """Cutting off or scrambling the future changes no value of the past."""
    alone.check_certificates(GROUP)


def _worlds() -> list[NDArray[np.float64]]:
    heavy = np.random.default_rng(3).standard_t(3.0, 1_600) * 0.003
    return [market(1_600, 1)[:, CLOSE], 0.002 * np.exp(np.cumsum(heavy)), *_trending()]


def _trending() -> list[NDArray[np.float64]]:
    drift = np.random.default_rng(4).normal(0.002, 0.003, 1_600)
    return [30_000.0 * np.exp(np.cumsum(drift))]


def _run(close: NDArray[np.float64]) -> NDArray[np.float64]:
    obs = market(len(close), seed=1)
    obs[:, 1:5] = close[:, None]
    return alone.batch(GROUP, obs)[0]


def _check(name: str, values: NDArray[np.float64], expected: dict[int, float]) -> None:
    found = alone.column(GROUP, values, name)
    for bar, wanted in expected.items():
        assert found[bar] == pytest.approx(wanted, rel=0.0, abs=TOLERANCE[name]), (name, bar)


@pytest.mark.parametrize("world", [0, 1, 2])
def test_lagged_returns_agree_with_numpy(world: int) -> None:
    """The last 2 to 672 bars' log returns equal numpy's, at every bar."""
    close = _worlds()[world]
    values = _run(close)
    for bars in (2, 8, 32, 96, 192, 384, 672):
        name = f"lagged_return_{bars}"
        found = alone.column(GROUP, values, name)
        expected = np.log(close[bars:] / close[:-bars])
        assert np.isnan(found[:bars]).all()
        assert np.abs(found[bars:] - expected).max() <= TOLERANCE[name]


@pytest.mark.parametrize("world", [0, 1, 2])
def test_rolling_moments_agree_with_pandas(world: int) -> None:
    """Skewness and excess kurtosis equal pandas' of each window by itself."""
    close = _worlds()[world]
    values = _run(close)
    returns = pd.Series(np.log(close)).diff()
    bars = range(96, len(close), 7)
    _check("rolling_skew", values, {i: returns[i - 95 : i + 1].skew() for i in bars})
    _check("rolling_kurtosis", values, {i: returns[i - 95 : i + 1].kurt() for i in bars})


@pytest.mark.parametrize("world", [0, 1, 2])
def test_autocorrelation_agrees_with_its_textbook_sum(world: int) -> None:
    """The first autocorrelation equals Box and Jenkins' estimate of each window by itself."""
    close = _worlds()[world]
    returns = np.diff(np.log(close))
    expected: dict[int, float] = {}
    for i in range(96, len(close), 7):
        gap = returns[i - 96 : i] - returns[i - 96 : i].mean()
        expected[i] = float(gap[1:] @ gap[:-1] / (gap @ gap))
    _check("autocorrelation_1", _run(close), expected)


@pytest.mark.parametrize("world", [0, 1, 2])
def test_variance_ratio_agrees_with_arch(world: int) -> None:
    """VR(4) equals arch's debiased overlapping variance ratio of each window by itself."""
    close = _worlds()[world]
    logs = np.log(close)
    expected = {
        i: float(VarianceRatio(logs[i - 480 : i + 1], lags=4).vr)
        for i in range(480, len(close), 29)
    }
    _check("variance_ratio", _run(close), expected)


def _slope(logs: NDArray[np.float64]) -> float:
    lags = np.array([1, 2, 4, 8, 16])
    squares = [np.mean((logs[k:] - logs[:-k]) ** 2) for k in lags]
    return float(np.polyfit(np.log(lags), np.log(squares), 1)[0]) / 2.0


@pytest.mark.parametrize("world", [0, 1, 2])
def test_hurst_agrees_with_a_straight_line_through_all_five_points(world: int) -> None:
    """The closed form equals numpy's least-squares line over 1, 2, 4, 8 and 16 bars."""
    close = _worlds()[world]
    logs = np.log(close)
    expected = {i: min(_slope(logs[i - 480 : i + 1]), 1.0) for i in range(480, len(close), 11)}
    _check("hurst", _run(close), expected)


def _fractional_noise(hurst: float, rows: int, bars: int) -> NDArray[np.float64]:
    """Return exact fractional Gaussian noise, float64[rows, bars] (Davies and Harte, 1987)."""
    rng = np.random.default_rng(round(1_000 * hurst))
    k = np.arange(bars + 1.0)
    powers = [np.abs(k + shift) ** (2.0 * hurst) for shift in (1.0, 0.0, -1.0)]
    covariance = 0.5 * (powers[0] - 2.0 * powers[1] + powers[2])
    ring = np.concatenate([covariance, covariance[-2:0:-1]])
    weights = np.sqrt(np.maximum(np.fft.fft(ring).real, 0.0) / len(ring))
    draws = rng.normal(size=(rows, len(ring))) + 1j * rng.normal(size=(rows, len(ring)))
    return np.fft.fft(weights * draws, axis=1).real[:, :bars]


@pytest.mark.parametrize(
    ("known", "bias", "deviation"),
    [(0.3, 0.00, 0.031), (0.5, 0.00, 0.037), (0.7, -0.01, 0.043), (0.9, -0.02, 0.049)],
)
def test_hurst_is_as_biased_as_its_formula_says(
    known: float, bias: float, deviation: float
) -> None:
    """Over 400 paths of known exponent, bias and deviation are those that the formula states."""
    noise = 0.001 * _fractional_noise(known, 400, 480)
    found = np.array([_last_hurst(path) for path in noise])
    print(f"H={known}: bias {found.mean() - known:+.4f}, deviation {found.std():.4f}")
    assert found.mean() - known == pytest.approx(bias, abs=0.01)
    assert found.std() == pytest.approx(deviation, rel=0.2)


def _last_hurst(returns: NDArray[np.float64]) -> float:
    close = 100.0 * np.exp(np.concatenate([[0.0], np.cumsum(returns)]))
    return float(alone.column(GROUP, _run(close), "hurst")[-1])


def test_hurst_of_a_published_series_is_the_published_one() -> None:
    """`brown72`, 1,024 steps published with an exponent of 0.72, has it within our error.

    Kaplan, Estimating the Hurst Exponent, 2003, as handed on by the package nolds (read, not
    imported). Windows of 480 steps overlap; our deviation in one is 0.045.
    """
    package = find_spec("nolds")
    assert package is not None
    (folder,) = package.submodule_search_locations or ()
    steps = np.load(Path(folder) / "datasets" / "brown72.npy")
    assert len(steps) == 1_024
    returns = 1e-3 * (steps - steps.mean()) / steps.std()
    close = 100.0 * np.exp(np.concatenate([[0.0], np.cumsum(returns)]))
    found = alone.column(GROUP, _run(close), "hurst")[480:]
    assert found.mean() == pytest.approx(0.72, abs=0.03)
    assert np.abs(found - 0.72).max() < 0.09


def test_hurst_of_a_price_that_turns_back_each_bar_is_zero() -> None:
    """One tick up, one tick down: no change over two bars, and an exponent of 0."""
    close = 100.0 + 0.1 * (np.arange(600) % 2)
    values = _run(close)
    assert alone.column(GROUP, values, "hurst")[-1] == 0.0
    assert alone.column(GROUP, values, "autocorrelation_1")[-1] == pytest.approx(-95 / 96, abs=1e-9)
    assert alone.column(GROUP, values, "variance_ratio")[-1] == pytest.approx(0.0, abs=1e-9)


def test_memory_of_a_flat_price_is_missing() -> None:
    """Nothing moved: lagged returns are 0, and what divides by the variance is NaN."""
    values = _run(np.full(700, 100.0))
    assert (values[-1, :7] == 0.0).all()
    assert np.isnan(values[-1, 7:]).all()


def test_rolling_moments_of_one_leap_are_the_largest_there_are() -> None:
    """A single return among 95 zeros has skewness sqrt(96) and excess kurtosis 96."""
    close = np.where(np.arange(200) < 150, 100.0, 125.0)
    values = _run(close)
    skew = alone.column(GROUP, values, "rolling_skew")
    assert skew[-1] == pytest.approx(math.sqrt(96.0), abs=1e-9)
    assert alone.column(GROUP, values, "rolling_kurtosis")[-1] == pytest.approx(96.0, abs=1e-6)
