# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# The model libraries ship no types; what leaves this file is typed.
"""Running ONNX graphs as the live runner does: one thread, bitwise repeatable."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.inference import SESSION_OPTIONS, RowCost, cost_of_a_row
from research.graphs.export import INPUT


def session(graph: bytes) -> Any:
    """Return a one-threaded CPU session of the graph."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    for name, value in SESSION_OPTIONS.items():
        setattr(options, name, value)
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def outputs(graph: bytes, names: list[str], x: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return the named float32 outputs for the rows `x`, float32[n,F]."""
    return session(graph).run(names, {INPUT: x})


def answers(graph: bytes, x: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return what decides the rows `x`, float32[n,F]: probabilities float32[n,3], and the reasons
    to abstain int64[n], 0 for none.
    """
    runner = session(graph)
    if "abstain" not in {one.name for one in runner.get_outputs()}:
        return runner.run(["probabilities"], {INPUT: x})[0], np.zeros(len(x), np.int64)
    probabilities, abstain = runner.run(["probabilities", "abstain"], {INPUT: x})
    return probabilities, abstain


def row_cost(graph: bytes, x: NDArray[np.float32]) -> RowCost:
    """Return what one row through the graph takes, measured over the rows `x`, float32[n,F]."""
    runner = session(graph)
    return cost_of_a_row(lambda row: runner.run(None, {INPUT: row}), x)
