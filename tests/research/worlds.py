"""Generated markets as the lake would hand them to research."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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


def smaller(chosen: Settings, **sizes: int) -> Settings:
    """Return the settings with every base that has a field named in `sizes`, such as trees or
    rounds, of that size.
    """
    bases = tuple(_resized(base, sizes) for base in chosen.models.bases)
    selector = _resized(chosen.models.selector, sizes)
    models = dataclasses.replace(chosen.models, bases=bases, selector=selector)
    return dataclasses.replace(chosen, models=models)


def _resized(base: Any, sizes: Mapping[str, int]) -> Any:
    fields = {field.name for field in dataclasses.fields(base.settings)}
    changes = {name: size for name, size in sizes.items() if name in fields}
    return dataclasses.replace(base, settings=dataclasses.replace(base.settings, **changes))


def light_settings() -> Settings:
    """Return the same settings with a third of the trees: a test needs the shape, not the last
    digit.
    """
    return smaller(settings(), trees=20)


def small_settings() -> Settings:
    """Return settings under which twelve weeks of warm bars make three blocks, in about a
    second.
    """
    full = smaller(settings(), trees=8, rounds=15)
    validation = dataclasses.replace(
        full.validation, first_train_weeks=6, block_weeks=2, gate_folds=2
    )
    return dataclasses.replace(full, validation=validation)


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
