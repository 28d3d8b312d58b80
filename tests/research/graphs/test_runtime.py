import numpy as np

from research.gates.gates import at_most
from research.graphs.fusion import Isotonic, Logistic, Meta, fuse
from research.graphs.runtime import row_cost
from research.models.base import TrainingRows
from tests.research.graphs.test_fusion import NAMES, WIDTH
from tests.research.worlds import light_settings, settings
from tests.spinning import spinning


def test_the_cost_gate_says_the_same_beside_two_spinning_processes():
    """A stack of trees is far below the threshold, and a hundredth of its cost far too little,
    whatever else runs.
    """
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2_000, WIDTH)).astype(np.float32)
    rows = TrainingRows(x, rng.integers(0, 3, 2_000).astype(np.int8), np.ones(2_000), NAMES)
    graphs = [base.fit(rows, 1, 1).graph for base in light_settings().models.bases]
    curve = Isotonic(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    meta = Meta(Logistic(np.zeros((3 * len(graphs), 3)), np.zeros(3)), (curve,) * 3)
    graph = fuse(np.zeros(WIDTH, np.float32), graphs, meta)
    quiet = row_cost(graph, x[:50])
    with spinning(2):
        busy = row_cost(graph, x[:50])
    for threshold, passed in ((settings().gates.max_inference_cpu_ms, True), (1e-4, False)):
        for cost in (quiet, busy):
            assert at_most("inference_cpu_ms", cost.cpu_ms, threshold).passed is passed
