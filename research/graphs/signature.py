# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# The model libraries ship no types; what leaves this file is typed.
"""What goes into a graph and what comes out, as its bundle's manifest tells it."""

from typing import Any

from kernel.digest import sha256_hex
from kernel.manifest import Budgets, GraphSpec, TensorSpec


def spec_of(name: str, graph: bytes, budget: Budgets) -> GraphSpec:
    """Return the manifest's entry of an ONNX graph; raise ValueError for a type it cannot tell."""
    from onnx import load_model_from_string

    body = load_model_from_string(graph).graph
    return GraphSpec(
        name=name,
        inputs=tuple(_tensor(value) for value in body.input),
        outputs=tuple(_tensor(value) for value in body.output),
        sha256=sha256_hex(graph),
        budget=budget,
    )


def _tensor(value: Any) -> TensorSpec:
    from onnx import TensorProto

    kind = value.type.tensor_type
    dtypes = {TensorProto.FLOAT: "float32", TensorProto.INT64: "int64"}
    if kind.elem_type not in dtypes:
        raise ValueError(
            f"graph, {value.name}: found ONNX type {kind.elem_type},"
            f" expected {' or '.join(dtypes.values())}"
        )
    sizes = kind.shape.dim
    return TensorSpec(
        name=value.name,
        shape=tuple(one.dim_value if one.HasField("dim_value") else None for one in sizes),
        dtype=dtypes[kind.elem_type],
    )
