"""What was exported is not what decides, when calibration stays outside of the graph."""

import dataclasses

import numpy as np

from research.graphs.export import PROBABILITIES
from research.graphs.fusion import Isotonic, Logistic, Meta, fuse
from research.graphs.runtime import outputs
from research.training.parity import Parts, check, decisions
from tests.research.graphs.test_fusion import BASES, MEDIANS, WIDTH, identity

CONFIDENCE = 0.6
LEAD = 0.08
CURVE = Isotonic(np.array([0.2, 0.5, 0.8]), np.array([0.05, 0.5, 0.95]))
RAW = Meta(Logistic(np.tile(np.eye(3), (len(BASES), 1)) / len(BASES), np.zeros(3)), identity())
CALIBRATED = dataclasses.replace(RAW, curves=(CURVE,) * 3)
GRAPHS = [base.graph for base in BASES]


def rows() -> np.ndarray:
    return np.random.default_rng(4).normal(size=(2_000, WIDTH)).astype(np.float32)


def decided(graph: bytes) -> np.ndarray:
    """Return what a runner would do with each row."""
    (p,) = outputs(graph, [PROBABILITIES], rows())
    return decisions(p.astype(np.float64), CONFIDENCE, LEAD)


def test_the_seeds_exported_graph_trades_otherwise_than_its_calibrated_pickle():
    """ "Calibrated pkl takes priority over ONNX": where only the ONNX is, other trades are made."""
    exported = fuse(MEDIANS, GRAPHS, RAW)
    calibrated = fuse(MEDIANS, GRAPHS, CALIBRATED)
    differ = decided(exported) != decided(calibrated)
    print(f"{differ.mean():.0%} of the rows are decided otherwise")
    assert differ.mean() > 0.05


def test_our_graph_holds_its_calibration_and_a_graph_without_it_is_found_out():
    """One graph decides everywhere, and the certificate of the candidate counts what flips."""
    parts = Parts(MEDIANS, BASES, CALIBRATED)
    ours = check(fuse(MEDIANS, GRAPHS, CALIBRATED), parts, rows(), CONFIDENCE, LEAD)
    theirs = check(fuse(MEDIANS, GRAPHS, RAW), parts, rows(), CONFIDENCE, LEAD)
    assert (ours.flipped_decisions, theirs.flipped_decisions > 0) == (0, True)
    assert ours.max_abs_dp < 1e-6 < theirs.max_abs_dp
