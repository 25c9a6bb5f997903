"""Checks that an ONNX file holds the graph that this package writes, before ONNX Runtime loads it.

A hostile graph can loop forever, read other files or use all memory, and ONNX Runtime would execute it. Two models of
one shape differ only in their weights, so everything else is compared with what
:mod:`monitor.model.artefact.onnx_graph` writes: operators, their order, names, attributes, and the shapes of all
constants. The file is parsed here (protocol buffers: tag, length, value), so that a CPU daemon needs no library for it.
Source of the field numbers: onnx.proto, ONNX 1.18. Does not handle: whether the weights are right; the golden vectors
check that.
"""

import math
from collections.abc import Iterator

from monitor.errors import ArtefactError
from monitor.model.artefact.onnx_graph import OPSET, Node, graph_integers, graph_nodes, graph_weights
from monitor.model.network import Shape

MAX_FIELDS = 10_000
"""Most fields in one message of the file; the graph has about forty."""

FLOAT, INT64 = 1, 7
"""ONNX element types of the constants."""

INTEGER = 2
"""ONNX type of an integer attribute."""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

Fields = dict[int, list[int | bytes]]


def check_graph(data: bytes, shape: Shape) -> None:
    """Reject a graph that differs from the one written for this shape in anything but the weights.

    Args:
        data: contents of the file.
        shape: dimensions from the manifest.

    Raises:
        ArtefactError: it is not an ONNX file, or the graph differs.
    """
    try:
        model = _fields(data)
        _only(model, {1: "ir_version", 2: "producer_name", 3: "producer_version", 7: "graph", 8: "opset_import"})
        for opset in model.get(8, []):
            imported = _fields(opset)
            _require(_text(imported, 1) == "" and imported.get(2) == [OPSET], "it uses other operator sets")
        _require(len(model.get(8, [])) == 1, "it uses other operator sets")
        _require(len(model.get(7, [])) == 1, "it has no graph")
        graph = _fields(model[7][0])
        _only(graph, {1: "node", 2: "name", 5: "initializer", 11: "input", 12: "output"})
        expected = graph_nodes(shape)
        _require(len(graph.get(1, [])) == len(expected), f"it has {len(graph.get(1, []))} operators")
        for found, node in zip(graph[1], expected, strict=True):
            _check_node(_fields(found), node)
        _check_constants(graph, shape)
    except (ValueError, TypeError) as error:
        raise ArtefactError(f"the graph is not what the manifest's shape asks for: {error}") from error


def _check_node(found: Fields, expected: Node) -> None:
    _only(found, {1: "input", 2: "output", 3: "name", 4: "op_type", 5: "attribute", 7: "domain"})
    operator = _text(found, 4)
    what = f"operator {operator[:40]!r}"
    _require(operator == expected.operator, f"{what} found where {expected.operator} is expected")
    _require(_text(found, 7) == "", f"{what} belongs to another domain")
    names = [[_decoded(name) for name in found.get(number, [])] for number in (1, 2)]
    _require(names == [list(expected.inputs), list(expected.outputs)], f"{what} has other inputs or outputs")
    attributes = {}
    for each in found.get(5, []):
        attribute = _fields(each)
        _only(attribute, {1: "name", 3: "i", 20: "type"})
        _require(attribute.get(20) == [INTEGER], f"{what} has an attribute that is not an integer")
        attributes[_text(attribute, 1)] = attribute.get(3)
    _require(attributes == {name: [value] for name, value in expected.attributes.items()}, f"{what} has other settings")


def _check_constants(graph: Fields, shape: Shape) -> None:
    integers, weights = graph_integers(shape), graph_weights(shape)
    tensors = [_fields(each) for each in graph.get(5, [])]
    names = sorted(_text(tensor, 8) for tensor in tensors)
    _require(names == sorted([*integers, *weights]), "its constants have other names")
    for tensor in tensors:
        _only(tensor, {1: "dims", 2: "data_type", 8: "name", 9: "raw_data"})
        name = _text(tensor, 8)
        what = f"constant '{name}'"
        raw = tensor.get(9, [b""])[-1]
        values = integers.get(name)
        dims = weights[name] if values is None else values.shape
        kind, size = (FLOAT, 4) if values is None else (INT64, 8)
        _require(tensor.get(1) == list(dims), f"{what} has other dimensions than {dims}")
        _require(tensor.get(2) == [kind], f"{what} has another type")
        _require(isinstance(raw, bytes) and len(raw) == size * math.prod(dims), f"{what} has the wrong number of bytes")
        if values is not None:
            _require(raw == values.astype("<i8").tobytes(), f"{what} has other values")


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


def _only(found: Fields, known: dict[int, str]) -> None:
    """Reject all other fields, such as subgraphs, functions, external data and sparse constants."""
    strange = sorted(found.keys() - known.keys())
    _require(not strange, f"field {strange[:1]} beside {', '.join(known.values())}")


def _text(found: Fields, number: int) -> str:
    return _decoded(found.get(number, [b""])[-1])


def _decoded(value: int | bytes) -> str:
    if isinstance(value, int):
        raise TypeError("found a number where a name is expected")
    return value.decode("utf-8")


def _fields(message: int | bytes) -> Fields:
    """The fields of one message by number; nested messages are not parsed.

    Raises:
        ValueError: it is not a message.
    """
    if isinstance(message, int):
        raise TypeError("found a number where a message is expected")
    found: Fields = {}
    for count, (number, value) in enumerate(_read(message)):
        _require(count < MAX_FIELDS, f"a message has more than {MAX_FIELDS} fields")
        found.setdefault(number, []).append(value)
    return found


def _read(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        value: int | bytes
        if kind == VARINT:
            value, at = _varint(message, at)
        else:
            _require(kind in {FIXED64, BYTES, FIXED32}, "it is not an ONNX file")
            size, at = _varint(message, at) if kind == BYTES else ({FIXED64: 8, FIXED32: 4}[kind], at)
            _require(size <= len(message) - at, "it is truncated")
            value, at = message[at : at + size], at + size
        yield number, value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        _require(at < len(message), "it is truncated")
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("it is not an ONNX file")
