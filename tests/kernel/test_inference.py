"""What a row costs is its own work, not what else the machine does."""

import numpy as np

from kernel.inference import ROUND_ROWS, ROUNDS, RowCost, cost_of_a_row
from tests.spinning import spinning

ROWS = np.zeros((4, 3), np.float32)


class Thread:
    """A thread whose rounds cost what they are told to, in nanoseconds of CPU a row; each row
    waits twice as long.
    """

    def __init__(self, rounds: list[int]) -> None:
        self._rounds = rounds
        self.asked: list[np.ndarray] = []
        self.cpu_ns = 0
        self.wall_ns = 0

    def infer(self, row: np.ndarray) -> None:
        taken = self._rounds[len(self.asked) // ROUND_ROWS]
        self.asked.append(row)
        self.cpu_ns += taken
        self.wall_ns += 2 * taken


def _cost(thread: Thread, rows: np.ndarray = ROWS) -> RowCost:
    return cost_of_a_row(thread.infer, rows, lambda: thread.cpu_ns, lambda: thread.wall_ns)


def test_the_quietest_round_is_the_cost() -> None:
    """Four rounds beside which something emptied the caches do not count; the wait is of all."""
    assert _cost(Thread([9_000, 9_000, 2_000, 9_000, 9_000])) == RowCost(0.002, 0.018)


def test_rows_are_asked_one_by_one_and_all_of_them() -> None:
    """Each inference sees one row, as a live bar does, and every row is asked for."""
    thread = Thread([1] * ROUNDS)
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    _cost(thread, rows)
    assert {row.shape for row in thread.asked} == {(1, 3)}
    assert {tuple(row[0]) for row in thread.asked} == {tuple(row) for row in rows}
    assert len(thread.asked) == ROUNDS * ROUND_ROWS


def test_waiting_is_no_cost() -> None:
    """A thread that others keep from working has waited and not spent."""
    thread = Thread([0] * ROUNDS)

    def wall_ns() -> int:
        thread.wall_ns += 7_000_000
        return thread.wall_ns

    assert cost_of_a_row(thread.infer, ROWS, lambda: thread.cpu_ns, wall_ns) == RowCost(0.0, 7.0)


def test_verdicts_are_the_same_beside_two_spinning_processes() -> None:
    """A budget of ten times the quiet cost is kept, and one of a tenth is broken, busy or not."""

    def work(row: np.ndarray) -> float:
        return sum(float(value) * i for i in range(200) for value in row[0])

    quiet = cost_of_a_row(work, ROWS)
    with spinning(2):
        busy = cost_of_a_row(work, ROWS)
    for cost in (quiet, busy):
        assert quiet.cpu_ms / 10 < cost.cpu_ms < quiet.cpu_ms * 10
