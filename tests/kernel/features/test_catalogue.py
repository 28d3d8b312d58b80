"""What the catalogue says about a feature is true of it."""

import ast
import dataclasses
from pathlib import Path

import numpy as np
import pytest

from kernel.features import calendar, registry
from kernel.features.definition import Group
from kernel.features.engine import Stream, compute
from kernel.features.registry import (
    FEATURES,
    GROUPS,
    SHARED_SOURCES,
    STATE_SIZE,
    WARMUP_BARS,
    code_without_prose,
    feature,
    feature_hash,
    warmup_bars,
)
from kernel.observation import (
    DEPTH_FIELDS,
    FUNDING_FIELDS,
    MINUTE_FIELDS,
    OBSERVATION_FIELDS,
    SERIES,
    TRADE_FIELDS,
)
from tests.kernel.features.fitted import fitted_state
from tests.kernel.features.worlds import differing_bytes, market

ROADMAP = {
    "calendar": "is_asian_session is_london_session is_ny_session session_hour_sin "
    "session_hour_cos weekday_sin weekday_cos",
    "returns": "return_1 hourly_return return_16",
    "trend": "price_vs_ema20 price_vs_ema50 price_vs_ema200 ema_stack ema20_slope adx_14 "
    "plus_di_14 minus_di_14 aroon_oscillator_25",
    "momentum": "rsi_14 rsi_slope rsi_7 macd_norm macd_signal_norm macd_hist_norm stoch_k stoch_d "
    "cci_20 price_acceleration momentum_decay",
    "candles": "candle_direction consecutive_direction candle_body_ratio upper_wick_ratio "
    "lower_wick_ratio adverse_candle_ratio",
    "volatility": "atr_14 atr_percentile volatility_regime bb_width bb_squeeze bb_position "
    "market_quality choppiness_14",
    "volume": "volume_ratio volume_delta volume_surge mfi_14 obv_slope",
    "levels": "dist_to_round_number near_daily_high_low daily_range_position",
    "context": "h4_ema_bias h4_rsi_norm h4_macd_dir d1_ema_bias d1_rsi_norm d1_macd_dir d1_trend "
    "price_vs_d1_open w1_ema_bias w1_rsi_norm",
}
BESIDE = {
    "minutes": "m1_price_accel_5 m1_vol_ratio_5 m1_rsi_9 m1_atr_3 m1_body_pct minutes_missing",
    "derivatives": "funding_rate_norm funding_zscore funding_cumulated oi_change basis "
    "long_short_pressure funding_missing open_interest_missing basis_missing",
    "sentiment": "fear_greed fear_greed_missing",
    "onchain": "mvrv mvrv_zscore exchange_net_flow_norm exchange_net_flow_zscore "
    "active_addresses_growth transactions_growth hash_ribbon fee_pressure onchain_missing",
    "smart_money": "ob_bullish_present ob_bearish_present ob_bullish_dist ob_bearish_dist "
    "ob_volume_ratio fvg_bull_above fvg_bear_below fvg_bull_dist fvg_bear_dist recent_bos "
    "recent_choch structure_bias liq_above_dist liq_below_dist liq_above_present liq_below_present",
    "microstructure": "book_imbalance book_imbalance_100 spread_bps microprice_drift "
    "order_flow_imbalance vpin kyle_lambda trade_sign_autocorrelation amihud book_missing "
    "trades_missing",
    "volatility_models": "garch_volatility parkinson_volatility garman_klass_volatility "
    "yang_zhang_volatility realized_vol_ratio vol_of_vol",
    "spillover": "btc_correlation btc_beta btc_lead_1 btc_lead_4 btc_lead_16 btc_missing",
    "memory": "lagged_return_2 lagged_return_8 lagged_return_32 lagged_return_96 "
    "lagged_return_192 lagged_return_384 lagged_return_672 rolling_skew rolling_kurtosis hurst "
    "autocorrelation_1 variance_ratio",
    "regime": "regime",
}
FOLDER = Path(registry.__file__).parent
PACKAGE = "kernel.features."
MOST_STATE = 256 * 1024 // 8


def test_the_catalogue_is_complete_and_unique() -> None:
    """Every promised feature exists once, in its group, and the sizes follow from the rows."""
    promised = {
        name: group for group, names in (ROADMAP | BESIDE).items() for name in names.split()
    }
    assert {name: feature(name).group for name in FEATURES} == promised
    assert len(FEATURES) == len(promised)
    assert 0 < STATE_SIZE <= MOST_STATE


def test_the_calendar_comes_first_for_it_counts_the_bars() -> None:
    """Whether a state goes on, and from where, is read off its first slots: those of the group
    that counts bars and remembers when the last one opened.
    """
    assert GROUPS[0] is calendar.GROUP
    assert Stream(fitted_state()).bars_seen == 0
    state = compute(market(7, seed=57))[1]
    assert Stream(state).bars_seen == state[calendar.BARS_SEEN] == 7


def test_the_signal_features_of_the_roadmap_are_62() -> None:
    """The roadmap's count, over which its documents disagree, is settled: they come first."""
    named = [name for names in ROADMAP.values() for name in names.split()]
    assert len(named) == 62
    assert sorted(FEATURES[:62]) == sorted(named)


def test_the_longest_warm_up_is_that_of_the_weeks() -> None:
    """A week has 672 bars, and a fourteen-week RSI needs fifteen of them; a set has its own."""
    assert warmup_bars(FEATURES) == WARMUP_BARS == feature("w1_rsi_norm").warmup_bars == 15 * 672
    assert warmup_bars(["rsi_14", "price_vs_ema200"]) == 200
    assert warmup_bars([]) == 0


def test_an_unknown_feature_is_refused() -> None:
    """An unknown name is an error that lists the known ones, alone or within a hash."""
    with pytest.raises(ValueError, match=r"feature: found 'rsi', expected one of .*rsi_14"):
        feature("rsi")
    for asked in (feature_hash, warmup_bars):
        with pytest.raises(ValueError, match="found 'rsi'"):
            asked(["rsi_14", "rsi"])


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
    assert row.missing in ("never", "nan", "absent")
    assert row.warmup_bars >= 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        row.name = "other"  # type: ignore[misc]


def test_every_field_of_an_observation_serves_a_feature() -> None:
    """Nothing is joined to a bar, stored in a journal and asked of a venue for nobody."""
    read = {name for one in FEATURES for name in feature(one).inputs}
    # The latest rate is what people are shown; features read the settlements of each hour.
    assert set(OBSERVATION_FIELDS) - read == {"funding_rate"}


BLOCKS = {
    **{name: (name,) for name in SERIES},
    "funding_rate": ("funding_rate", *FUNDING_FIELDS),
    "trades": TRADE_FIELDS,
    "depth": DEPTH_FIELDS,
    "minutes": MINUTE_FIELDS,
}


@pytest.mark.parametrize("block", BLOCKS)
def test_a_missing_input_costs_its_own_features_only(block: str) -> None:
    """Where one input is missing its features are NaN or flag it, and all others are untouched."""
    start = fitted_state()
    obs = market(10_300, seed=55)
    whole, _ = compute(obs, start)
    gap = slice(10_200, 10_300)
    obs[gap, [OBSERVATION_FIELDS.index(name) for name in BLOCKS[block]]] = np.nan
    gapped, _ = compute(obs, start)
    for column, name in enumerate(FEATURES):
        row = feature(name)
        if set(BLOCKS[block]).isdisjoint(row.inputs):
            assert differing_bytes(gapped[:, column], whole[:, column]) == 0, name
        elif row.missing == "nan":
            assert np.isnan(gapped[10_299, column]), name
    flags = [n for n in FEATURES if n.endswith("_missing")]
    raised = [n for n in flags if gapped[10_299, FEATURES.index(n)] == 1.0]
    assert raised, block
    assert all(whole[10_299, FEATURES.index(name)] == 0.0 for name in flags)


def test_ranges_hold_on_an_ordinary_market() -> None:
    """20,000 ordinary bars give values within the stated range; few are missing, but for want of
    anything to measure.
    """
    features, _ = compute(market(20_000, seed=56), fitted_state())
    for column, name in enumerate(FEATURES):
        row = feature(name)
        values = features[row.warmup_bars - 1 :, column]
        there = values[~np.isnan(values)]
        assert len(there) == len(values) or row.missing != "never", name
        assert len(there) > (0.0 if row.missing == "absent" else 0.5) * len(values), name
        assert there.min() >= row.low, name
        assert there.max() <= row.high, name


def test_a_flat_market_is_neutral() -> None:
    """Without any movement RSI is 50, price is mid-band, and trend strength is 0."""
    obs = market(1_200, seed=5)
    obs[:, 1:5] = 100.0
    features = dict(zip(FEATURES, compute(obs)[0][-1], strict=True))
    assert features["rsi_14"] == 50.0
    assert features["h4_rsi_norm"] == 0.5
    assert features["bb_position"] == 0.5
    assert features["adx_14"] == features["atr_14"] == features["bb_width"] == 0.0
    assert features["ema_stack"] == 0.0


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_the_hash_of_a_group_covers_all_of_its_code(group: Group) -> None:
    """Every module that a group's step can reach is its own, listed beside it, or shared by all."""
    shared = {Path(name).stem for name in SHARED_SOURCES} | {"definition"}
    reached = {group.name}
    waiting = [group.name]
    while waiting:
        tree = ast.parse((FOLDER / f"{waiting.pop()}.py").read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE):
                module = str(node.module).removeprefix(PACKAGE)
                if module not in reached | shared:
                    reached.add(module)
                    waiting.append(module)
    assert reached == {group.name, *group.modules}
