"""One ONNX graph in this process, with types around an untyped library."""

from typing import Any, NamedTuple

import numpy as np
import onnxruntime as _onnxruntime  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from kernel.decision import CLASSES
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


class Answers(NamedTuple):
    """What decides rows: probabilities float32[n, 3], and why to abstain int64[n], 0 for no
    reason.
    """

    probabilities: NDArray[np.float32]
    abstain: NDArray[np.int64]


class Graph:
    """A loaded graph: `input` float32[n, F'] to what decides, and to what each base says."""

    def __init__(self, model: bytes) -> None:
        """Load the graph as training did; raises one of GRAPH_ERRORS."""
        options = _ort.SessionOptions()
        for name, value in SESSION_OPTIONS.items():
            setattr(options, name, value)
        self._session = _ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        given = {one.name for one in self._session.get_outputs()}
        self._decides = [name for name in ("probabilities", "abstain") if name in given]

    def answers(self, rows: NDArray[np.float32]) -> Answers:
        """Return what decides each row, in one pass; raises one of GRAPH_ERRORS."""
        found = self._session.run(self._decides, {"input": rows})
        reasons = found[1] if len(found) > 1 else np.zeros(len(rows), np.int64)
        return Answers(probabilities=found[0], abstain=reasons)

    def votes(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32[n, K, 3], the probabilities of each base; raises one of GRAPH_ERRORS."""
        votes = self._session.run(["votes"], {"input": rows})[0]
        return votes.reshape(len(rows), -1, len(CLASSES))
