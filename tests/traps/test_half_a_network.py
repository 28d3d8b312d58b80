"""A network trained in both directions and run in one is another function; parity tells."""

import dataclasses

import numpy as np

from research.graphs.fusion import Logistic, Meta, fuse
from research.training.parity import Parts, check
from tests.research.graphs.test_fusion import BASES, MEDIANS, WIDTH, identity

STEPS = 12
HIDDEN = 8


def both_ways(x: np.ndarray, *, backward: bool = True) -> np.ndarray:
    """Return the class probabilities, float64[n, 3], of a small recurrent network over the steps
    of x, float[n, STEPS, F]; without `backward` the second half of what it read is zeros.
    """
    rng = np.random.default_rng(7)
    read = [_run(x, rng), _run(x[:, ::-1], rng)]
    if not backward:
        read[1] = np.zeros_like(read[1])
    logits = np.concatenate(read, axis=1) @ rng.normal(0, 1.5, (2 * HIDDEN, 3))
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def _run(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    seen = rng.normal(0, 0.5, (x.shape[2], HIDDEN))
    kept = rng.normal(0, 0.4, (HIDDEN, HIDDEN))
    state = np.zeros((len(x), HIDDEN))
    for step in range(x.shape[1]):
        state = np.tanh(x[:, step] @ seen + state @ kept)
    return state


def windows(x: np.ndarray) -> np.ndarray:
    """Return one sequence per row, the row last."""
    padded = np.concatenate([np.repeat(x[:1], STEPS - 1, axis=0), x])
    return np.stack([padded[at : at + len(x)] for at in range(STEPS)], axis=1)


def test_the_seeds_forward_pass_alone_says_something_else():
    """The class changes for many of the very windows that the whole network was fitted on."""
    x = windows(np.random.default_rng(1).normal(size=(1_000, WIDTH)))
    whole = both_ways(x)
    half = both_ways(x, backward=False)
    changed = (whole.argmax(axis=1) != half.argmax(axis=1)).mean()
    print(f"{changed:.0%} of the windows change their class")
    assert changed > 0.2


def test_our_certificate_refuses_a_graph_that_is_not_the_trained_function():
    """A base whose library answers as the whole network, beside a graph of something less, differs
    in its votes: training stops at `graph_decides_as_its_parts_do` or at the gate of parity.
    """
    x = np.random.default_rng(1).normal(size=(500, WIDTH)).astype(np.float32)
    meta = Meta(Logistic(np.tile(np.eye(3), (len(BASES), 1)) / len(BASES), np.zeros(3)), identity())
    graph = fuse(MEDIANS, [base.graph for base in BASES], meta)
    trained = dataclasses.replace(BASES[0], native=lambda rows: both_ways(windows(rows)))
    sound = check(graph, Parts(MEDIANS, BASES, meta), x, 0.6, 0.08)
    found = check(graph, Parts(MEDIANS, (trained, *BASES[1:]), meta), x, 0.6, 0.08)
    assert sound.max_abs_votes < 1e-5
    assert found.max_abs_votes > 0.1
