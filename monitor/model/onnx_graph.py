"""The network as an ONNX graph, written from its weights, node by node.

One graph serves both uses: ``blocks`` has any number of steps, ``state`` is what the last call returned or zero. A
single step is written out as matrix products, which ONNX Runtime runs faster than one step of its LSTM operator (1.5
times for one channel, a tenth for many); several steps use the operator, which multiplies the inputs of all of them at
once (7 times as fast for one channel). Both branches share the weights. The graph is written here rather than converted
from TensorFlow, so its inputs and its operator set are ours and the same weights always give the same bytes. Source of
the operators: ONNX operator set 17 (LSTM: gates in the order i, o, f, c; Keras keeps them as i, f, c, o).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.model.network import Shape

Float32 = npt.NDArray[np.float32]

OPSET = 17
IR_VERSION = 8
"""The oldest format that operator set 17 goes with, so that older runtimes read it too."""
STATES = ("h1", "c1", "h2", "c2")


def onnx_bytes(shape: Shape, weights: list[Float32]) -> bytes:
    """The serialised graph.

    Args:
        shape: the dimensions.
        weights: as :attr:`Shape.weight_shapes` says.

    Returns:
        A model with inputs ``blocks`` (steps, n, block_samples) and ``state`` (n, units of h1, c1, h2, c2 side by
        side), outputs ``forecast`` (n, block_samples), the one after the last block, and ``new_state``. All float32.
    """
    from onnx import TensorProto, helper, numpy_helper

    first, second = shape.units
    width = 2 * (first + second)
    names = [*(f"{name}_new" for name in STATES), "top"]
    nodes = [
        helper.make_node("Split", ["state", "split"], list(STATES), axis=1),
        helper.make_node("Shape", ["blocks"], ["steps"], start=0, end=1),
        helper.make_node("Equal", ["steps", "one"], ["is_one_step"]),
        helper.make_node("Squeeze", ["is_one_step", "axis0"], ["is_one"]),
        helper.make_node(
            "If", ["is_one"], names, then_branch=_one_step(shape, names), else_branch=_many_steps(shape, names)
        ),
        helper.make_node("Concat", names[:4], ["new_state"], axis=1),
        helper.make_node("Gemm", ["top", "dense", "offset"], ["forecast"]),
    ]
    graph = helper.make_graph(
        nodes,
        "forecaster",
        [
            helper.make_tensor_value_info("blocks", TensorProto.FLOAT, ["steps", "n", shape.block_samples]),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, ["n", width]),
        ],
        [
            helper.make_tensor_value_info("forecast", TensorProto.FLOAT, ["n", shape.block_samples]),
            helper.make_tensor_value_info("new_state", TensorProto.FLOAT, ["n", width]),
        ],
        [
            numpy_helper.from_array(np.ascontiguousarray(value), name)
            for name, value in _constants(shape, weights).items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="vibration-monitor")
    model.ir_version = IR_VERSION
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _constants(shape: Shape, weights: list[Float32]) -> dict[str, Any]:
    kernel1, recurrent1, bias1, kernel2, recurrent2, bias2, dense1, offset1, dense2, offset2 = weights
    first, second = shape.units
    constants: dict[str, Any] = {
        "split": np.array([first, first, second, second], np.int64),
        "one": np.array([1], np.int64),
        "axis0": np.array([0], np.int64),
        "as_rows": np.array([-1, shape.block_samples], np.int64),
        "axis1": np.array([1], np.int64),
        # Two linear layers are one: the product is taken in float64 and stored in float32.
        "dense": (dense1.astype(np.float64) @ dense2.astype(np.float64)).astype(np.float32),
        "offset": (offset1.astype(np.float64) @ dense2.astype(np.float64) + offset2).astype(np.float32),
    }
    for layer, units, kernel, recurrent, bias in (
        (1, first, kernel1, recurrent1, bias1),
        (2, second, kernel2, recurrent2, bias2),
    ):
        constants |= {
            f"w{layer}": _gates_in_order(kernel).T,
            f"r{layer}": _gates_in_order(recurrent).T,
            f"b{layer}": _gates_in_order(bias),
            f"no_bias{layer}": np.zeros_like(bias),
            f"gates{layer}": np.array([3 * units, units], np.int64),
            f"sigmoids{layer}": np.array([units] * 3, np.int64),
        }
    return constants


def _gates_in_order(columns: Float32) -> Float32:
    """Keras' i, f, c, o as ONNX's i, o, f, c, along the last axis."""
    i, f, c, o = np.split(columns, 4, axis=-1)
    return np.concatenate([i, o, f, c], axis=-1)


def _one_step(shape: Shape, names: list[str]) -> Any:
    """Both layers for one block, written out: S. Hochreiter and J. Schmidhuber's cell with a forget gate."""
    from onnx import helper

    nodes = [helper.make_node("Reshape", ["blocks", "as_rows"], ["x1"])]
    for layer, source in ((1, "x1"), (2, "s_h1")):
        part = f"s_{{}}{layer}".format
        nodes += [
            helper.make_node("Gemm", [source, f"w{layer}", f"b{layer}"], [part("wx")], transB=1),
            helper.make_node("Gemm", [f"h{layer}", f"r{layer}", part("wx")], [part("gates")], transB=1),
            helper.make_node("Split", [part("gates"), f"gates{layer}"], [part("iof"), part("g")], axis=1),
            helper.make_node("Sigmoid", [part("iof")], [part("open")]),
            helper.make_node("Tanh", [part("g")], [part("new")]),
            helper.make_node("Split", [part("open"), f"sigmoids{layer}"], [part("i"), part("o"), part("f")], axis=1),
            helper.make_node("Mul", [part("f"), f"c{layer}"], [part("kept")]),
            helper.make_node("Mul", [part("i"), part("new")], [part("added")]),
            helper.make_node("Add", [part("kept"), part("added")], [part("c")]),
            helper.make_node("Tanh", [part("c")], [part("seen")]),
            helper.make_node("Mul", [part("o"), part("seen")], [part("h")]),
        ]
    outputs = ["s_h1", "s_c1", "s_h2", "s_c2", "s_top"]
    nodes.append(helper.make_node("Identity", ["s_h2"], ["s_top"]))
    return _branch("one_step", nodes, outputs, names, shape)


def _many_steps(shape: Shape, names: list[str]) -> Any:
    """Both layers over all blocks with the LSTM operator."""
    from onnx import helper

    nodes = []
    for layer, source, units in ((1, "blocks", shape.units[0]), (2, "m_x2", shape.units[1])):
        part = f"m_{{}}{layer}".format
        nodes += [
            helper.make_node("Unsqueeze", [f"w{layer}", "axis0"], [part("w")]),
            helper.make_node("Unsqueeze", [f"r{layer}", "axis0"], [part("r")]),
            helper.make_node("Concat", [f"b{layer}", f"no_bias{layer}"], [part("bias")], axis=0),
            helper.make_node("Unsqueeze", [part("bias"), "axis0"], [part("b")]),
            helper.make_node("Unsqueeze", [f"h{layer}", "axis0"], [part("h0")]),
            helper.make_node("Unsqueeze", [f"c{layer}", "axis0"], [part("c0")]),
            helper.make_node(
                "LSTM",
                [source, part("w"), part("r"), part("b"), "", part("h0"), part("c0")],
                [part("y"), part("hn"), part("cn")],
                hidden_size=units,
            ),
            helper.make_node("Squeeze", [part("hn"), "axis0"], [part("h")]),
            helper.make_node("Squeeze", [part("cn"), "axis0"], [part("c")]),
        ]
        if layer == 1:
            nodes.append(helper.make_node("Squeeze", [part("y"), "axis1"], ["m_x2"]))
    outputs = ["m_h1", "m_c1", "m_h2", "m_c2", "m_top"]
    nodes.append(helper.make_node("Identity", ["m_h2"], ["m_top"]))
    return _branch("many_steps", nodes, outputs, names, shape)


def _branch(name: str, nodes: list[Any], outputs: list[str], names: list[str], shape: Shape) -> Any:
    """A branch of ``If``: its outputs stand in the order of ``names``."""
    from onnx import TensorProto, helper

    first, second = shape.units
    widths = dict(zip(names, (first, first, second, second, second), strict=True))
    infos = [
        helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", widths[target]])
        for output, target in zip(outputs, names, strict=True)
    ]
    return helper.make_graph(nodes, name, [], infos)
