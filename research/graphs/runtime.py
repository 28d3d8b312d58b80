# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# The model libraries ship no types; what leaves this file is typed.
"""Running ONNX graphs as the live runner does: one thread, bitwise repeatable."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from research.graphs.export import INPUT


def session(graph: bytes) -> Any:
    """Return a one-threaded CPU session of the graph."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def outputs(graph: bytes, names: list[str], x: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return the named float32 outputs for the rows `x`, float32[n,F]."""
    return session(graph).run(names, {INPUT: x})


def p99_ms(
    graph: bytes, x: NDArray[np.float32], clock: Callable[[], int] = time.perf_counter_ns
) -> float:
    """Return the 99th percentile of one-row latency in milliseconds, the best of three rounds over
    `x`.

    Other processes only ever add to a latency, so the best round is the closest to the graph's own.
    """
    runner = session(graph)
    rounds = [[_one(runner, x[i : i + 1], clock) for i in range(len(x))] for _ in range(3)]
    return min(float(np.percentile(times, 99)) for times in rounds)


def _one(runner: Any, row: NDArray[np.float32], clock: Callable[[], int]) -> float:
    began = clock()
    runner.run(None, {INPUT: row})
    return (clock() - began) / 1e6
