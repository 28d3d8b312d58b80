# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# The model libraries ship no types; what leaves this file is typed.
"""Trained bases to ONNX graphs that decide as the library does, to the last float32 row."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

OPSET = 15
ML_OPSET = 3
INPUT = "input"
PROBABILITIES = "probabilities"
_LIGHTGBM_ZERO = np.float32(1e-35)


def scikit_learn(model: Any, features: int) -> bytes:
    """Return the graph of a fitted scikit-learn classifier; its rows must hold no NaN, which a
    forest would export wrong.
    """
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    types: Any = [(INPUT, FloatTensorType([None, features]))]
    converted = to_onnx(
        model,
        initial_types=types,
        options={id(model): {"zipmap": False}},
        target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
    )
    return _canonical(converted, features)


def xgboost(model: Any, features: int) -> bytes:
    """Return the graph of a fitted `XGBClassifier` on nameless columns."""
    from onnxmltools.convert import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    types = [(INPUT, FloatTensorType([None, features]))]
    return _canonical(convert_xgboost(model, initial_types=types, target_opset=OPSET), features)


def lightgbm(booster: Any, features: int) -> bytes:
    """Return the graph of a multiclass LightGBM booster whose thresholds are float32 already."""
    from onnxmltools.convert import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    types = [(INPUT, FloatTensorType([None, features]))]
    converted = convert_lightgbm(booster, initial_types=types, target_opset=OPSET, zipmap=False)
    return _canonical(converted, features)


def base_graph(nodes: Sequence[Any], tensors: Mapping[str, NDArray[Any]], features: int) -> bytes:
    """Return the graph of a base that is written by hand, from `input` to `probabilities`."""
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        list(nodes),
        "base",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, features])],
        [helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, [None, 3])],
        [numpy_helper.from_array(np.ascontiguousarray(v), name) for name, v in tensors.items()],
    )
    return model_bytes(graph)


def with_float32_thresholds(booster: Any) -> Any:
    """Return the LightGBM booster with each split threshold rounded down to a float32.

    For float32 inputs `x <= threshold` is unchanged, and ONNX, which stores thresholds as float32,
    agrees with it. What lies within ±1e-35 LightGBM takes for 0 before it looks: of its bins about
    zero, the lower edge itself belongs to 0, so that it is moved a step further down.
    """
    from lightgbm import Booster

    lines: list[str] = []
    for line in booster.model_to_string().split("\n"):
        if line.startswith("threshold="):
            values = (_off_zero(floor_to_float32(float(value))) for value in line[10:].split())
            lines.append("threshold=" + " ".join(repr(value) for value in values))
        elif not line.startswith(
            "tree_sizes="
        ):  # byte offsets of the old text; re-derived when absent
            lines.append(line)
    return Booster(model_str="\n".join(lines))


def _off_zero(threshold: float) -> float:
    """Return a threshold that is not the lowest float32 that LightGBM takes for 0."""
    if threshold == float(-_LIGHTGBM_ZERO):
        return float(np.nextafter(-_LIGHTGBM_ZERO, np.float32(-np.inf)))
    return threshold


def floor_to_float32(value: float) -> float:
    """Return the largest float32 that is not above `value`."""
    nearest = np.float32(value)
    return float(nearest if float(nearest) <= value else np.nextafter(nearest, np.float32(-np.inf)))


def _canonical(converted: Any, features: int) -> bytes:
    """Keep what leads to the class probabilities, under fixed names: no labels, no random graph
    names.
    """
    from onnx import TensorProto, helper

    graph = converted.graph
    source = _probability_output(graph)
    kept = []
    needed = {source}
    for node in reversed(graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= set(node.input)
    nodes = list(reversed(kept))
    if source != PROBABILITIES:
        nodes.append(helper.make_node("Identity", [source], [PROBABILITIES]))
    result = helper.make_graph(
        nodes,
        "base",
        [helper.make_tensor_value_info(graph.input[0].name, TensorProto.FLOAT, [None, features])],
        [helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, [None, 3])],
        [tensor for tensor in graph.initializer if tensor.name in needed],
    )
    return model_bytes(result)


def _probability_output(graph: Any) -> str:
    names = [output.name for output in graph.output if "prob" in output.name]
    if not names:
        found = [output.name for output in graph.output]
        raise ValueError(
            f"converted base: found outputs {found}, expected one of class probabilities"
        )
    return names[-1]


def model_bytes(graph: Any) -> bytes:
    """Return the checked, serialised model of an ONNX graph, equal bytes for equal graphs."""
    from onnx import checker, helper

    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="tidegate")
    checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)
