"""One weekly retrain of one symbol on one core: seconds by stage, size and latency of what comes
out.
"""

import time

from research.backtest.walk_forward import backtest
from research.gates.evidence import evaluate
from research.pipeline import prepare
from research.training import stack
from tests.research.worlds import settings, world


def main() -> None:
    """Print the stages of a retrain on 37 weeks of generated bars."""
    chosen = settings()
    market = world(1, 0.25, chosen)
    prepare(market, chosen)  # compiles
    times = [time.perf_counter()]
    prepared = prepare(market, chosen)
    times.append(time.perf_counter())
    candidate = stack.train(prepared.table, chosen)
    times.append(time.perf_counter())
    backtest(prepared.market, candidate.folds, chosen)
    evaluation = evaluate(candidate, chosen)
    times.append(time.perf_counter())
    rows, columns = prepared.table.x.shape
    names = (
        "features, labels, table",
        "walk-forward training and export",
        "backtests, calibration",
    )
    print(f"{rows:,} rows × {columns} features, {chosen.models.stack.n_jobs} thread")
    for name, began, ended in zip(names, times, times[1:], strict=False):
        print(f"{name:34} {ended - began:6.2f} s")
    print(
        f"signal.onnx {len(candidate.signal) / 1e6:.2f} MB,"
        f" {candidate.cost.cpu_ms:.3f} ms of CPU a row,"
        f" waited p99 {candidate.cost.wall_p99_ms:.3f} ms"
    )
    parity = candidate.parity
    print(
        f"parity over {parity.rows:,} rows: |Δp| {parity.max_abs_dp:.1e},"
        f" votes {parity.max_abs_votes:.1e},"
        f" {parity.flipped_decisions} other decisions; calibration {evaluation.calibration_mae:.3f}"
    )


if __name__ == "__main__":
    main()
