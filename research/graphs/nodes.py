"""What the parts of a graph have in common."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def tensor(name: str, values: NDArray[Any]) -> Any:
    """Return an ONNX tensor that holds the values, whatever their layout in memory."""
    from onnx import numpy_helper

    return numpy_helper.from_array(np.array(values, order="C", copy=True), name)
