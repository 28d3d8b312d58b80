"""One ONNX graph in this process, with types around an untyped library."""

from typing import Any

import numpy as np
import onnxruntime as _onnxruntime  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from kernel.inference import SESSION_OPTIONS

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
        """Load the graph as training did; raises one of GRAPH_ERRORS."""
        options = _ort.SessionOptions()
        for name, value in SESSION_OPTIONS.items():
            setattr(options, name, value)
        self._session = _ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def probabilities(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32[n, 3]; raises one of GRAPH_ERRORS."""
        return self._session.run(["probabilities"], {"input": rows})[0]

    def votes(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32[n, 9], the base models' probabilities; raises one of GRAPH_ERRORS."""
        return self._session.run(["votes"], {"input": rows})[0]
