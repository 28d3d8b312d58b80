"""BTC spillover against pandas, on planted leads, and where there is no other market."""

import numpy as np
import pandas as pd
import pytest

from kernel.features import spillover
from kernel.features.recursions import BTC_CLOSE, CLOSE
from tests.kernel.features import alone
from tests.kernel.features.worlds import market

GROUP = spillover.GROUP
TOLERANCE = {  # absolute, against pandas, which sums about a running mean
    "btc_correlation": 1e-10,
    "btc_beta": 1e-10,
    "btc_lead_1": 1e-13,
    "btc_lead_4": 1e-13,
    "btc_lead_16": 1e-13,
    "btc_missing": 0.0,
}


def test_spillover_is_the_same_in_batch_stream_and_chunks() -> None:
    """Compiled, plain and cut anywhere: the same bytes."""
    alone.check_parity(GROUP)


def test_spillover_stays_in_range_in_extreme_worlds() -> None:
    """Values stay within their range or are NaN by policy."""
    alone.check_extremes(GROUP, 300)


def test_spillover_warms_up_as_stated() -> None:
    """Each feature is NaN before its warm-up bar and has a value from it on."""
    alone.check_warm_up(GROUP)


def test_spillover_reads_its_inputs_only() -> None:
    """Inputs that are not named change no byte."""
    alone.check_inputs(GROUP)


def test_spillover_never_sees_the_future() -> None:
    """Cutting off or scrambling the future changes no value of the past."""
    alone.check_certificates(GROUP)


def _with_holes(seed: int) -> np.ndarray:
    obs = market(1_500, seed)
    rng = np.random.default_rng(seed)
    obs[rng.random(len(obs)) < 0.05, BTC_CLOSE] = np.nan
    obs[700:760, BTC_CLOSE] = np.nan
    return obs


def _expected(obs: np.ndarray) -> pd.DataFrame:
    frame = pd.DataFrame({"own": np.log(obs[:, CLOSE]), "btc": np.log(obs[:, BTC_CLOSE])})
    returns = frame.diff()
    returns.loc[returns["btc"].isna(), "own"] = np.nan
    window = returns.rolling(96, min_periods=48)
    covariance = window["own"].cov(returns["btc"])
    found = pd.DataFrame(
        {
            "btc_correlation": window["own"].corr(returns["btc"]),
            "btc_beta": covariance / window["btc"].var(),
        }
    )
    found.iloc[:96] = np.nan
    for bars in (1, 4, 16):
        found[f"btc_lead_{bars}"] = frame["btc"].diff(bars) - frame["own"].diff(bars)
    found["btc_missing"] = frame["btc"].isna().astype(float)
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_spillover_agrees_with_pandas(seed: int) -> None:
    """Rolling correlation, beta and leads equal pandas', also where BTC has holes."""
    obs = _with_holes(seed)
    values, _ = alone.batch(GROUP, obs)
    expected = _expected(obs)
    for name, tolerance in TOLERANCE.items():
        found = alone.column(GROUP, values, name)
        wanted = expected[name].to_numpy()
        assert (np.isnan(found) == np.isnan(wanted)).all(), name
        assert np.nanmax(np.abs(found - wanted)) <= tolerance, name
    assert expected["btc_correlation"].notna().sum() > 1_000
    assert expected["btc_correlation"].iloc[97:].isna().any()


def test_spillover_needs_half_of_the_pairs() -> None:
    """With 47 pairs in the window correlation and beta are NaN; with 48 they have a value."""
    obs = market(200, seed=3)
    obs[: 200 - 48, BTC_CLOSE] = np.nan
    values, _ = alone.batch(GROUP, obs)
    assert np.isnan(alone.column(GROUP, values, "btc_correlation")).all()
    obs = market(200, seed=3)
    obs[: 200 - 49, BTC_CLOSE] = np.nan
    values, _ = alone.batch(GROUP, obs)
    found = alone.column(GROUP, values, "btc_correlation")
    assert np.isnan(found[:-1]).all()
    assert np.isfinite(found[-1])


def test_spillover_finds_a_planted_beta() -> None:
    """A symbol that moves 1.7 times as BTC has beta 1.7 and correlation 1."""
    obs = market(150, seed=4)
    obs[:, CLOSE] = 20.0 * (obs[:, BTC_CLOSE] / 40_000.0) ** 1.7
    values, _ = alone.batch(GROUP, obs)
    assert alone.column(GROUP, values, "btc_beta")[-1] == pytest.approx(1.7, abs=1e-9)
    assert alone.column(GROUP, values, "btc_correlation")[-1] == pytest.approx(1.0, abs=1e-9)


def test_spillover_leads_what_follows_btc() -> None:
    """Where the symbol repeats BTC's moves a bar later, the lead says what it does next."""
    obs = market(500, seed=5)
    obs[1:, CLOSE] = obs[:-1, BTC_CLOSE] / 10.0
    values, _ = alone.batch(GROUP, obs)
    lead = alone.column(GROUP, values, "btc_lead_1")
    own = np.diff(np.log(obs[:, CLOSE]))
    gap = np.log(obs[:, BTC_CLOSE] / (10.0 * obs[:, CLOSE]))
    assert np.allclose(lead[2:], np.diff(gap)[1:], atol=1e-12)
    assert np.corrcoef(lead[2:-1], own[2:])[0, 1] > 0.6


def test_spillover_of_btc_itself_is_missing() -> None:
    """Where the symbol is BTC, no feature claims a correlation of 1 and the flag is up."""
    obs = market(300, seed=6)
    obs[:, BTC_CLOSE] = obs[:, CLOSE]
    values, _ = alone.batch(GROUP, obs)
    assert np.isnan(values[:, :5]).all()
    assert (alone.column(GROUP, values, "btc_missing") == 1.0).all()
