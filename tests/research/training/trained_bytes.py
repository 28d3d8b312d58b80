"""Train on a generated table and print the digest of every graph: run as a process of its own."""

import dataclasses
import hashlib

import numpy as np

from kernel.bars import Bars
from research.datasets.table import build
from research.labels.triple_barrier import triple_barrier
from research.settings import LabelSettings, Settings
from research.training import stack
from research.training.candidate import Candidate
from tests.research.worlds import small_settings, smaller

BAR_MS = 900_000
WEEKS = 80  # so many rows that BLAS would share them among its threads
NAMES = (
    "rsi_14", "oi_change", "mvrv",
    "session_hour_sin", "session_hour_cos", "weekday_sin", "weekday_cos",
)  # fmt: skip


def trained(chosen: Settings, weeks: int, seed: int = 5) -> Candidate:
    """Return the candidate of a random walk of so many weeks with features of noise."""
    rng = np.random.default_rng(seed)
    bars = weeks * 672
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.003, bars)))
    spread = rng.uniform(1.0005, 1.004, bars)
    market = Bars(
        open_time_ms=np.arange(bars) * BAR_MS,
        open=close,
        high=close * spread,
        low=close / spread,
        close=close,
        volume=np.ones(bars),
    )
    labels = triple_barrier(market, close * 0.004, LabelSettings(3.0, 3.0, 48), BAR_MS)
    features = rng.normal(size=(bars, len(NAMES)))
    table = build(market, features, labels, NAMES, chosen.validation, bar_ms=BAR_MS, silent_bars=0)
    return stack.train(table, chosen)


def main() -> None:
    """Print one digest of the candidate's graphs."""
    small = smaller(small_settings(), trees=2, rounds=3)
    validation = dataclasses.replace(
        small.validation, first_train_weeks=10, block_weeks=10, max_blocks=10
    )
    candidate = trained(dataclasses.replace(small, validation=validation), WEEKS)
    graphs = [candidate.signal, *(fold.graph for fold in candidate.folds)]
    print(hashlib.sha256(b"".join(graphs)).hexdigest())


if __name__ == "__main__":
    main()
