"""Writes the network as an ONNX graph, node by node, from its weights.

One graph serves both modes: ``blocks`` has any number of steps, and ``state`` is zero or the result of the last call.
The graph is written here instead of converted from TensorFlow. This fixes its inputs and operator set, and the same
weights always give the same bytes. It uses the LSTM operator: a step written as matrix products had the same speed in
a separate graph, and was 10 % slower in the same graph. Operators: ONNX operator set 17 (LSTM: gates in the order
i, o, f, c; Keras has i, f, c, o).
"""

from typing import Any, NamedTuple

import numpy as np

from monitor.core.arrays import Float32, Int64
from monitor.model.network import Shape

OPSET = 17
STATES = ("h1", "c1", "h2", "c2")


class Node(NamedTuple):
    """One operator of the graph."""

    operator: str
    """Name in the standard operator set."""
    inputs: tuple[str, ...]
    """Names of the inputs; an empty name leaves an optional input out."""
    outputs: tuple[str, ...]
    """Names of the outputs."""
    attributes: dict[str, int]
    """Attributes by name; all are integers."""


def graph_nodes(shape: Shape) -> list[Node]:
    """The operators of the graph, in the order in which they run."""
    return [
        Node("Split", ("state", "split"), STATES, {"axis": 1}),
        *(Node("Unsqueeze", (name, "axis0"), (f"{name}_in",), {}) for name in STATES),
        _lstm_node("1", "blocks", shape.units[0]),
        Node("Squeeze", ("y1", "axis1"), ("x2",), {}),
        _lstm_node("2", "x2", shape.units[1]),
        *(Node("Squeeze", (f"{name}_out", "axis0"), (f"{name}_new",), {}) for name in STATES),
        Node("Concat", tuple(f"{name}_new" for name in STATES), ("new_state",), {"axis": 1}),
        Node("Gemm", ("h2_new", "dense", "offset"), ("forecast",), {}),
    ]


def graph_integers(shape: Shape) -> dict[str, Int64]:
    """The integer constants, which are not weights, by name."""
    first, second = shape.units
    return {
        "split": np.array([first, first, second, second], np.int64),
        "axis0": np.array([0], np.int64),
        "axis1": np.array([1], np.int64),
    }


def graph_weights(shape: Shape) -> dict[str, tuple[int, ...]]:
    """The shapes of the float32 constants, by name."""
    found: dict[str, tuple[int, ...]] = {}
    before = shape.block_samples
    for layer, units in zip("12", shape.units, strict=True):
        found |= {f"w{layer}": (1, 4 * units, before), f"r{layer}": (1, 4 * units, units), f"b{layer}": (1, 8 * units)}
        before = units
    return found | {"dense": (before, shape.block_samples), "offset": (shape.block_samples,)}


def onnx_bytes(shape: Shape, weights: list[Float32]) -> bytes:
    """Serialise the graph.

    Args:
        shape: dimensions of the network.
        weights: arrays as in :attr:`Shape.weight_shapes`.

    Returns:
        A model, all float32. Inputs: ``blocks`` (steps, n, block_samples) and ``state`` (n, units of h1, c1, h2, c2
        side by side). Outputs: ``forecast`` (n, block_samples) of the block after the last one, and ``new_state``.
    """
    from onnx import TensorProto, helper, numpy_helper

    kernel1, recurrent1, bias1, kernel2, recurrent2, bias2, dense1, offset1, dense2, offset2 = weights
    # Two linear layers are merged into one; the product is computed in float64 and stored in float32.
    product = (dense1.astype(np.float64) @ dense2.astype(np.float64)).astype(np.float32)
    offset = (offset1.astype(np.float64) @ dense2.astype(np.float64) + offset2).astype(np.float32)
    constants: dict[str, Any] = {
        **_lstm_weights("1", kernel1, recurrent1, bias1),
        **_lstm_weights("2", kernel2, recurrent2, bias2),
        "dense": product,
        "offset": offset,
        **graph_integers(shape),
    }
    state = 2 * sum(shape.units)
    graph = helper.make_graph(
        [helper.make_node(operator, ins, outs, **attributes) for operator, ins, outs, attributes in graph_nodes(shape)],
        "forecaster",
        [
            helper.make_tensor_value_info("blocks", TensorProto.FLOAT, ["steps", "n", shape.block_samples]),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, ["n", state]),
        ],
        [
            helper.make_tensor_value_info("forecast", TensorProto.FLOAT, ["n", shape.block_samples]),
            helper.make_tensor_value_info("new_state", TensorProto.FLOAT, ["n", state]),
        ],
        [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="vibration-monitor")
    model.ir_version = 8
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _lstm_weights(layer: str, kernel: Float32, recurrent: Float32, bias: Float32) -> dict[str, Float32]:
    def reorder(columns: Float32) -> Float32:
        i, f, c, o = np.split(columns, 4, axis=-1)
        return np.concatenate([i, o, f, c], axis=-1)

    return {
        f"w{layer}": reorder(kernel).T[None],
        f"r{layer}": reorder(recurrent).T[None],
        f"b{layer}": np.concatenate([reorder(bias), np.zeros_like(bias)])[None],
    }


def _lstm_node(layer: str, source: str, units: int) -> Node:
    return Node(
        "LSTM",
        (source, f"w{layer}", f"r{layer}", f"b{layer}", "", f"h{layer}_in", f"c{layer}_in"),
        (f"y{layer}", f"h{layer}_out", f"c{layer}_out"),
        {"hidden_size": units},
    )
