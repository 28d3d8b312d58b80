"""Generated markets as the lake would hand them to research."""

import dataclasses
from pathlib import Path

import numpy as np

from kernel.observation import Market, Series
from market_data.quality.lags import earliest_by_series
from market_data.universe import load_universe
from replay_venue.market.generator import generate
from research.settings import WEEK_MS, Settings, load_settings

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
END_MS = 1_766_275_200_000  # 2025-12-21T00:00Z, a Sunday
FULL_WEEKS = 37  # the history that configs/universe.yaml asks for


def settings() -> Settings:
    """Return the settings of the repository."""
    return load_settings(CONFIGS, load_universe(CONFIGS).timeframe)


def light_settings() -> Settings:
    """Return the same settings with a third of the trees: a test needs the shape, not the last
    digit.
    """
    full = settings()
    models = dataclasses.replace(
        full.models,
        random_forest=dataclasses.replace(full.models.random_forest, trees=20),
    )
    return dataclasses.replace(full, models=models)


def small_settings() -> Settings:
    """Return settings under which twelve weeks of warm bars make three blocks, in about a
    second.
    """
    full = light_settings()
    validation = dataclasses.replace(
        full.validation, first_train_weeks=6, block_weeks=2, gate_folds=2
    )
    models = dataclasses.replace(
        full.models,
        random_forest=dataclasses.replace(full.models.random_forest, trees=8),
        xgboost=dataclasses.replace(full.models.xgboost, rounds=15),
        lightgbm=dataclasses.replace(full.models.lightgbm, rounds=15),
    )
    return dataclasses.replace(full, validation=validation, models=models)


def world(seed: int, edge: float, chosen: Settings, weeks: int = FULL_WEEKS) -> Market:
    """Return bars and series of a generated market that ends at `END_MS`, known after their
    lags.
    """
    begin_ms = END_MS - weeks * WEEK_MS
    market = generate(
        seed=seed,
        symbol="BTCUSDT",
        edge=edge,
        start_ms=begin_ms,
        end_ms=END_MS,
        timeframe=chosen.timeframe,
    )
    chain = market.onchain
    net_flow = chain.value["FlowInExUSD"] - chain.value["FlowOutExUSD"]
    values = {
        "funding_rate": (market.funding.time_ms, market.funding.value),
        "open_interest": (market.open_interest.time_ms, market.open_interest.value),
        "fear_greed": (market.fear_greed.time_ms, market.fear_greed.value),
        "exchange_net_flow": (chain.time_ms, net_flow),
        "mvrv": (chain.time_ms, chain.value["CapMVRVCur"]),
    }
    lags_ms = earliest_by_series(load_universe(CONFIGS))
    series: dict[str, Series] = {}
    for name, (time_ms, value) in values.items():
        present = np.isfinite(value)
        lag_ms = lags_ms[name]
        series[name] = Series(name, time_ms[present], time_ms[present] + lag_ms, value[present])
    return Market(market.bars, series)
