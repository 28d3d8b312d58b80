"""One ONNX graph in this process, with types around an untyped library."""

from typing import Any

import numpy as np
import onnxruntime as _onnxruntime  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

_ort: Any = _onnxruntime
_errors: Any = _ort.capi.onnxruntime_pybind11_state
GRAPH_ERRORS: tuple[type[Exception], ...] = (
    _errors.Fail,
    _errors.InvalidArgument,
    _errors.InvalidGraph,
    _errors.InvalidProtobuf,
    _errors.NotImplemented,
    _errors.RuntimeException,
)


class Graph:
    """A loaded graph: `input` float32[n, F'] to `probabilities` [n, 3] and `votes` [n, 9]."""

    def __init__(self, model: bytes) -> None:
        """Load the graph for one thread: bitwise repeatable, and fastest for a single row."""
        options = _ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = _ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def probabilities(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32[n, 3]; raises one of GRAPH_ERRORS."""
        return self._session.run(["probabilities"], {"input": rows})[0]

    def votes(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32[n, 9], the base models' probabilities; raises one of GRAPH_ERRORS."""
        return self._session.run(["votes"], {"input": rows})[0]
