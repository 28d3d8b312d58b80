"""How often the gates accept a market with a planted edge, and refuse one without.

Usage: python -m benchmarks.gates [worlds per edge] [edge ...]
"""

import sys
import time

from research.pipeline import Retrained, retrain
from tests.research.worlds import settings, world

FIRST_SEED = 5_000  # not looked at while settings and gates were chosen, and used by no test


def measure(edge: float, worlds: int) -> float:
    """Print a line per world and return the share that the gates accepted."""
    chosen = settings()
    accepted = 0
    for seed in range(FIRST_SEED, FIRST_SEED + worlds):
        began = time.perf_counter()
        result = retrain(world(seed, edge, chosen), chosen)
        accepted += result.report.accepted
        print(
            f"edge {edge} seed {seed} {time.perf_counter() - began:5.1f} s {_line(result)}",
            flush=True,
        )
    return accepted / worlds


def _line(result: Retrained) -> str:
    folds = " ".join(
        f"WR {fold.win_rate:.2f} PF {fold.profit_factor:.2f} n {fold.trades}"
        for fold in result.walk.folds
    )
    refused = sorted({outcome.gate for outcome in result.report.outcomes if not outcome.passed})
    verdict = "accepted" if result.report.accepted else f"refused by {', '.join(refused)}"
    return f"MAE {result.evaluation.calibration_mae:.3f} | {folds} | {verdict}"


def main(worlds: int = 3, edges: tuple[float, ...] = (0.0, 0.25)) -> None:
    """Print acceptance rates for each edge."""
    rates = {edge: measure(edge, worlds) for edge in edges}
    for edge, rate in rates.items():
        print(f"edge {edge}: accepted {rate:.0%} of {worlds} worlds")


if __name__ == "__main__":
    count, *planted = sys.argv[1:] or ["3"]
    main(int(count), tuple(float(edge) for edge in planted) or (0.0, 0.25))
