"""What today's stack knows on recorded BTC, and what 104 weeks cost: the table of docs/models.md.

`python -m benchmarks.skill` prints it; the recorded files are read in ../shared/data.
"""

import time
from pathlib import Path

import numpy as np

from kernel.observation import Market, Series
from market_data.quality.lags import earliest_by_series
from market_data.universe import load_universe
from replay_venue.market import recorded_files
from research.gates.evidence import evaluate
from research.pipeline import prepare
from research.settings import Settings
from research.training import stack
from research.training.candidate import base_rows
from tests.research.worlds import CONFIGS, settings

RECORDED = Path(__file__).resolve().parents[2] / "shared/data"
SYMBOL = "BTCUSDT"
VENUE = "okx-swap"


def recorded(chosen: Settings, folder: Path) -> Market:
    """Return the recorded candles with funding, fear and greed and on-chain figures as known."""
    bars = recorded_files.candle_venues(folder, SYMBOL)[VENUE][chosen.timeframe]
    funding = recorded_files.funding(folder, SYMBOL, "binance")
    greed = recorded_files.fear_greed(folder)
    chain = recorded_files.onchain(folder)["BTC"]
    flow = chain.value["FlowInExUSD"] - chain.value["FlowOutExUSD"]
    values = {
        "funding_rate": (funding.time_ms, funding.value),
        "fear_greed": (greed.time_ms, greed.value),
        "exchange_net_flow": (chain.time_ms, flow),
        "mvrv": (chain.time_ms, chain.value["CapMVRVCur"]),
    }
    lags_ms = earliest_by_series(load_universe(CONFIGS))
    series: dict[str, Series] = {}
    for name, (time_ms, value) in values.items():
        there = np.isfinite(value)
        known_ms = time_ms[there] + lags_ms[name]
        series[name] = Series(name, time_ms[there], known_ms, value[there])
    return Market(bars, series)


def _lines(rows: list[dict[str, object]]) -> str:
    names = list(rows[0])
    shown = [[_cell(row[name]) for name in names] for row in rows]
    return "\n".join(
        "| " + " | ".join(line) + " |" for line in [names, ["---"] * len(names), *shown]
    )


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main() -> None:
    """Train on the recorded market and print skill, bases in and out, and CPU seconds."""
    if not RECORDED.is_dir():
        raise SystemExit(f"{RECORDED}: found no such folder, expected the recorded markets")
    chosen = settings()
    prepared = prepare(recorded(chosen, RECORDED), chosen)
    table = prepared.table
    began = time.process_time()
    candidate = stack.train(table, chosen)
    trained_s = time.process_time() - began
    skill = evaluate(candidate, chosen).skill
    first, last = (np.datetime64(int(at), "ms") for at in (table.start_ms[0], table.cutoff_ms))
    print(f"{SYMBOL} of {VENUE}, {first} to {last}: {len(table.y):,} rows,", end=" ")
    print(f"{len(table.feature_names)} features, left out: {', '.join(table.left_out) or 'none'}")
    if skill is not None:
        print(f"\n{skill.sentence}\n\n{_lines(list(skill.table()))}")
    print(f"\nshipped: {', '.join(candidate.shipped)}\n\n{_lines(base_rows(candidate))}")
    for k, fold in enumerate(candidate.folds):
        print(f"fold {k}: {', '.join(fold.bases)}; highest {fold.decisions[:, [0, 2]].max():.3f}")
    print(f"training: {trained_s:.0f} CPU s on {chosen.models.stack.n_jobs} thread")


if __name__ == "__main__":
    main()
