"""A small market with an edge in one feature, for trials that take milliseconds."""

import dataclasses

import numpy as np

from kernel.bars import Bars
from kernel.observation import FUNDING_HOURS
from research.backtest.walk_forward import TradedMarket
from research.datasets.table import TrainingTable
from research.models.base import Base
from research.models.bases import load
from research.settings import Settings, ValidationSettings
from research.tuning import scoring
from research.tuning.search import Search
from research.tuning.spaces import Integers, Reals, Space, TuningSettings, with_parameters
from tests.research.worlds import CONFIGS, settings

BAR_MS = 900_000
WEEK = 672
WEEKS = 8
BARS = WEEKS * WEEK + 1
NAMES = ("return_1", "rsi_14", "session_hour_sin")
VALIDATION = ValidationSettings(
    first_train_weeks=2,
    block_weeks=1,
    gate_folds=2,
    max_blocks=9,
    max_train_weeks=104,
    min_coverage=0.9,
    recency_half_life_weeks=26.0,
)
TUNING = TuningSettings(
    objective="log_loss", seed=3, startup_trials=3, min_confidence=0.5, min_prob_diff=0.05
)
SPACE = Space(
    parameters={
        "rounds": Integers(kind="integer", low=2, high=10),
        "learning_rate": Reals(kind="real", low=0.01, high=0.3, log=True),
    }
)


def chosen() -> Settings:
    full = settings()
    labels = dataclasses.replace(full.labels, horizon_bars=48)
    return dataclasses.replace(full, validation=VALIDATION, labels=labels, features=NAMES)


def base() -> Base:
    """Return LightGBM of a few trees."""
    return with_parameters(
        load("lightgbm", CONFIGS / "models"),
        {"rounds": 4, "min_child_samples": 100, "learning_rate": 0.3},
    )


def table(seed: int = 21) -> TrainingTable:
    """Return eight weeks in which `rsi_14` moves the odds of BUY."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(BARS, len(NAMES))).astype(np.float32)
    buy = rng.random(BARS) < 1 / (1 + np.exp(-1.2 * x[:, NAMES.index("rsi_14")]))
    start = BAR_MS * np.arange(1, BARS + 1, dtype=np.int64)
    end = start + BAR_MS * rng.integers(1, 49, BARS)
    return TrainingTable(
        x=x,
        y=np.where(rng.random(BARS) < 0.1, 1, 2 * buy).astype(np.int8),
        start_ms=start,
        end_ms=end,
        closed_ms=end,
        bar=np.arange(BARS),
        feature_names=NAMES,
        coverage=dict.fromkeys(NAMES, 1.0),
        left_out=(),
        cutoff_ms=int(start[-1]),
        let_out=0,
        digest="",
    )


def market(built: TrainingTable) -> TradedMarket:
    """Return a random walk that leans the way of each bar's label."""
    rng = np.random.default_rng(5)
    lean = 0.0005 * (built.y.astype(np.float64) - 1)
    close = 100.0 * np.exp(np.cumsum(np.roll(lean, 1) + 0.002 * rng.normal(size=BARS)))
    first = np.roll(close, 1)
    first[0] = 100.0
    bars = Bars(
        open_time_ms=built.start_ms - BAR_MS,
        open=first,
        high=np.maximum(first, close) * 1.001,
        low=np.minimum(first, close) * 0.999,
        close=close,
        volume=np.ones(BARS),
    )
    return TradedMarket(bars, 0.003 * close, np.full((BARS, FUNDING_HOURS), np.nan))


def ground(built: TrainingTable | None = None, tuning: TuningSettings = TUNING) -> scoring.Ground:
    """Return what trials are judged on."""
    built = built or table()
    return scoring.ground(
        symbol="BTCUSDT",
        week="2025-12-07",
        table=built,
        market=market(table()),
        settings=chosen(),
        tuning=tuning,
    )


def search(tuning: TuningSettings = TUNING, space: Space = SPACE) -> Search:
    """Return a search of LightGBM on the small market."""
    return Search(ground=ground(tuning=tuning), base=base(), space=space, tuning=tuning)
