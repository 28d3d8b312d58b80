import numpy as np

from research.graphs.fusion import Isotonic, Logistic, Meta, fuse
from research.graphs.runtime import p99_ms
from research.models.base import TrainingRows, bases
from tests.research.worlds import light_settings


class Clock:
    """A clock that jumps by the next of its steps at every second reading, in nanoseconds."""

    def __init__(self, steps: list[int]) -> None:
        self.steps = steps
        self.readings = 0
        self.now = 0

    def __call__(self) -> int:
        if self.readings % 2:
            self.now += self.steps[(self.readings // 2) % len(self.steps)]
        self.readings += 1
        return self.now


def test_p99_is_of_the_calmest_of_three_rounds():
    """A round disturbed by another process does not count against the graph."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2_000, 3)).astype(np.float32)
    rows = TrainingRows(x, rng.integers(0, 3, 2_000).astype(np.int8), np.ones(2_000))
    graphs = [base.fit(rows, 1, 1).graph for base in bases(light_settings().models)]
    curve = Isotonic(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    meta = Meta(Logistic(np.zeros((9, 3)), np.zeros(3)), (curve,) * 3)
    graph = fuse(np.zeros(3, np.float32), graphs, meta)
    disturbed, calm = [9_000_000] * 50, [2_000_000] * 50
    assert p99_ms(graph, x[:50], Clock(disturbed + calm + disturbed)) == 2.0
