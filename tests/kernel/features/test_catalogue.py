"""What the catalogue says about a feature is true of it."""

import dataclasses
import math

import numpy as np
import pytest

from kernel.features.engine import compute
from kernel.features.registry import (
    FEATURES,
    STATE_SIZE,
    WARMUP_BARS,
    code_without_prose,
    feature,
    feature_hash,
)
from kernel.observation import OBSERVATION_FIELDS, SERIES
from tests.kernel.features.worlds import EXTREMES, differing_bytes, extreme, market

PROMISED = {
    "calendar": "is_asian_session is_london_session is_ny_session session_hour_sin session_hour_cos",
    "returns": "return_1 hourly_return return_16",
    "trend": "price_vs_ema20 price_vs_ema50 price_vs_ema200 ema_stack adx_14",
    "momentum": "rsi_14 rsi_slope macd_hist_norm",
    "volatility": "atr_14 atr_percentile bb_width bb_position",
    "volume": "volume_ratio volume_delta",
    "context": "h4_ema_bias h4_rsi_norm d1_trend price_vs_d1_open",
    "derivatives": "funding_rate_norm oi_change",
    "sentiment": "fear_greed",
    "onchain": "exchange_net_flow_norm mvrv",
}


def test_the_catalogue_is_complete_and_unique() -> None:
    """Every promised feature exists once, in its group, and the sizes follow from the rows."""
    promised = {name: group for group, names in PROMISED.items() for name in names.split()}
    assert {name: feature(name).group for name in FEATURES} == promised
    assert len(FEATURES) == len(promised) == 31
    assert max(feature(name).warmup_bars for name in FEATURES) == WARMUP_BARS == 960
    assert STATE_SIZE > 0


def test_an_unknown_feature_is_refused() -> None:
    """An unknown name is an error that lists the known ones, alone or within a hash."""
    with pytest.raises(ValueError, match=r"feature: found 'rsi', expected one of .*rsi_14"):
        feature("rsi")
    with pytest.raises(ValueError, match="found 'rsi'"):
        feature_hash(["rsi_14", "rsi"])


def test_the_hash_covers_names_and_their_order() -> None:
    """Another order, another set, or one name more is another hash; the same list is the same."""
    names = ["rsi_14", "atr_14", "mvrv"]
    hashes = {feature_hash(order) for order in (names, names[::-1], names[:2], [*names, "adx_14"])}
    assert len(hashes) == 4
    assert feature_hash(tuple(names)) == feature_hash(names)
    assert all(len(feature(name).hash) == 64 for name in FEATURES)
    assert len({feature(name).hash for name in FEATURES}) == len(FEATURES)


def test_the_hash_covers_code_and_not_prose() -> None:
    """Comments, docstrings and layout do not void a bundle; a changed constant or operator does."""
    source = 'def f(x):\n    """Say so."""\n    return x + 1.5  # why\n'
    reworded = 'def f(x):\n    """Say it better."""\n\n    return (x\n        + 1.5)\n'
    assert code_without_prose(source) == code_without_prose(reworded)
    assert code_without_prose(source) != code_without_prose(source.replace("1.5", "1.6"))
    assert code_without_prose(source) != code_without_prose(source.replace("+", "-"))


@pytest.mark.parametrize("name", FEATURES)
def test_each_row_of_the_catalogue_is_filled_in(name: str) -> None:
    """A feature states unit, range, formula, source and inputs that exist."""
    row = feature(name)
    assert row.name == name
    assert row.low < row.high
    assert all(text.strip() for text in (row.group, row.unit, row.formula, row.source))
    assert row.inputs
    assert set(row.inputs) <= set(OBSERVATION_FIELDS)
    assert row.missing in ("never", "nan")
    with pytest.raises(dataclasses.FrozenInstanceError):
        row.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("name", FEATURES)
def test_warm_up_is_exact(name: str) -> None:
    """From midnight on, a feature is NaN before its warm-up bar and has a value from it on.

    The distance to the daily open has one at once, since the first bar is the day's.
    """
    column = compute(market(1_100, seed=51))[0][:, FEATURES.index(name)]
    warm = feature(name).warmup_bars - 1
    assert np.isfinite(column[warm:]).all()
    assert np.isnan(column[:warm]).all() or name == "price_vs_d1_open"


@pytest.mark.parametrize("offset", [1, 15, 16, 17, 50, 95])
def test_warm_up_is_enough_from_any_start(offset: int) -> None:
    """A history that begins within an H4 bar or a day is warm no later than promised."""
    obs = market(1_200, seed=52)[offset:]
    features, _ = compute(obs)
    for column, name in enumerate(FEATURES):
        assert np.isfinite(features[feature(name).warmup_bars - 1 :, column]).all(), name


@pytest.mark.parametrize("name", FEATURES)
def test_a_feature_reads_its_inputs_and_nothing_else(name: str) -> None:
    """Other values in all fields that are not inputs change no byte; other inputs change some."""
    obs = market(1_100, seed=53)
    other = market(1_100, seed=54)
    column = FEATURES.index(name)
    inputs = [OBSERVATION_FIELDS.index(field) for field in feature(name).inputs]
    rest = [index for index in range(1, 11) if index not in inputs]
    changed = obs.copy()
    changed[:, rest] = other[:, rest]
    expected = compute(obs)[0][:, column]
    assert differing_bytes(compute(changed)[0][:, column], expected) == 0
    moved = obs.copy()
    moved[:, inputs] = other[:, inputs] if inputs != [0] else other[:, inputs] + 6 * 3_600_000
    assert differing_bytes(compute(moved)[0][:, column], expected) > 0


@pytest.mark.parametrize("name", SERIES)
def test_a_missing_series_costs_its_own_features_only(name: str) -> None:
    """Without one series its features are NaN, all others are as before, and it recovers."""
    obs = market(1_600, seed=55)
    gap = slice(1_000, 1_200)
    obs[gap, OBSERVATION_FIELDS.index(name)] = math.nan
    gapped, _ = compute(obs)
    whole, _ = compute(market(1_600, seed=55))
    for column, known in enumerate(FEATURES):
        if name in feature(known).inputs:
            assert np.isnan(gapped[gap, column]).all(), known
            assert np.isfinite(gapped[1_216:, column]).all(), known
        else:
            assert differing_bytes(gapped[:, column], whole[:, column]) == 0, known


@pytest.mark.parametrize("kind", EXTREMES)
def test_extreme_worlds_give_values_in_range_or_nan(kind: str) -> None:
    """Flat, dead, tiny, huge and leaping markets give values within the stated range, or NaN."""
    features, state = compute(extreme(kind, 1_200))
    assert np.isfinite(state).all()
    assert not np.isinf(features).any()
    for column, name in enumerate(FEATURES):
        row = feature(name)
        values = features[np.isfinite(features[:, column]), column]
        assert ((values >= row.low) & (values <= row.high)).all() or name in ("mvrv", "fear_greed")
        if row.missing == "never":
            assert len(values) == 1_200 - row.warmup_bars + 1, name


@pytest.mark.parametrize("value", [0.0, -5e8])
def test_open_interest_that_cannot_be_is_missing(value: float) -> None:
    """Open interest of zero or less is no base and no result: NaN then and 16 bars later."""
    obs = market(100, seed=57)
    obs[50, OBSERVATION_FIELDS.index("open_interest")] = value
    change = compute(obs)[0][16:, FEATURES.index("oi_change")]
    assert np.flatnonzero(np.isnan(change)).tolist() == [50 - 16, 66 - 16]


def test_a_flat_market_is_neutral() -> None:
    """Without any movement RSI is 50, price is mid-band, and trend strength is 0."""
    features = dict(zip(FEATURES, compute(extreme("flat", 1_200))[0][-1], strict=True))
    assert features["rsi_14"] == features["h4_rsi_norm"] == 50.0
    assert features["bb_position"] == 0.5
    assert features["adx_14"] == features["atr_14"] == features["bb_width"] == 0.0
    assert features["ema_stack"] == 0.0


def test_ranges_hold_on_an_ordinary_market() -> None:
    """Every value of 20,000 ordinary bars lies within its stated range."""
    features, _ = compute(market(20_000, seed=56))
    for column, name in enumerate(FEATURES):
        values = features[feature(name).warmup_bars - 1 :, column]
        assert values.min() >= feature(name).low, name
        assert values.max() <= feature(name).high, name
