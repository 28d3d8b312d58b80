"""How a graph is run and what a row through it costs, alike in training and live.

No inference library is imported here: whoever has one opens the session and hands over the call.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# One thread gives the same bytes every time, is fastest for one row, and leaves every nanosecond
# of the work on the thread whose clock is read below.
SESSION_OPTIONS: Mapping[str, int] = {
    "intra_op_num_threads": 1,
    "inter_op_num_threads": 1,
    "log_severity_level": 3,
}
ROUNDS = 5
ROUND_ROWS = 200  # some 10 ms of the smallest stacks: many ticks of any clock


@dataclass(frozen=True, slots=True)
class RowCost:
    """What one row takes in milliseconds.

    `cpu_ms` is thread CPU time and may be judged. `wall_p99_ms` is what a caller waited, 99 times
    of 100; a busy machine multiplies it, so it is shown and never judged.
    """

    cpu_ms: float
    wall_p99_ms: float


def cost_of_a_row(
    infer: Callable[[NDArray[np.float32]], object],
    rows: NDArray[np.float32],
    cpu_ns: Callable[[], int] = time.thread_time_ns,
    wall_ns: Callable[[], int] = time.perf_counter_ns,
) -> RowCost:
    """Return what `infer` takes for one of `rows`, float32[n,F'], asked one by one as bars come.

    CPU time is that of the quietest of `ROUNDS` rounds, divided by its rows: other processes never
    take from it, but they empty the caches, which only ever adds. `infer` must do its work on the
    calling thread.
    """
    asked = [rows[i % len(rows)][None] for i in range(max(len(rows), ROUND_ROWS))]
    rounds: list[float] = []
    waited: list[int] = []
    for _ in range(ROUNDS):
        began_cpu = cpu_ns()
        for row in asked:
            began_wall = wall_ns()
            infer(row)
            waited.append(wall_ns() - began_wall)
        rounds.append((cpu_ns() - began_cpu) / len(asked))
    return RowCost(
        cpu_ms=min(rounds) / 1e6,
        wall_p99_ms=float(np.percentile(waited, 99)) / 1e6,
    )
