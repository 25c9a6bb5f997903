"""Any graph but the one written for the shape is rejected before ONNX Runtime loads it."""

import numpy as np
import onnx
import pytest

from monitor.errors import ArtefactError
from monitor.model.artefact.artefact import load_artefact
from monitor.model.artefact.onnx_border import check_graph
from monitor.model.artefact.onnx_graph import onnx_bytes
from monitor.shipped import shipped
from tests.support.networks.tiny_model import TINY, tiny_weights


def tampered(kind: str) -> bytes:
    """The graph of the tiny model with one change that ONNX Runtime would accept."""
    graph = onnx.load_from_string(onnx_bytes(TINY, tiny_weights()))
    nodes, tensors = graph.graph.node, graph.graph.initializer
    match kind:
        case "operator":
            nodes[-1].op_type = "MatMul"
        case "domain":
            nodes[-1].domain = "com.microsoft"
        case "wiring":
            nodes[-1].input[0] = "h1_new"
        case "attribute":
            nodes[0].attribute[0].i = 0
        case "function":
            graph.functions.add(name="f", domain="local")
        case "constant":
            tensors.append(onnx.numpy_helper.from_array(np.zeros(4, np.float32), "more"))
        case "split":
            [split] = [one for one in tensors if one.name == "split"]
            split.raw_data = np.array([6, 6, 5, 4], np.int64).tobytes()
        case "short":
            [dense] = [one for one in tensors if one.name == "dense"]
            dense.raw_data = dense.raw_data[:-4]
        case "opset":
            graph.opset_import[0].version = 18
    data: bytes = graph.SerializeToString()
    return data


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("operator", "operator 'MatMul' found where Gemm is expected"),
        ("domain", "operator 'Gemm' belongs to another domain"),
        ("wiring", "operator 'Gemm' has other inputs or outputs"),
        ("attribute", "operator 'Split' has other settings"),
        ("function", r"field \[25\] beside ir_version"),
        ("constant", "its constants have other names"),
        ("split", "constant 'split' has other values"),
        ("short", "constant 'dense' has the wrong number of bytes"),
        ("opset", "it uses other operator sets"),
    ],
)
def test_a_graph_that_is_not_ours(kind: str, message: str) -> None:
    with pytest.raises(ArtefactError, match=message):
        check_graph(tampered(kind), TINY)


def test_our_own_graphs_pass() -> None:
    check_graph(onnx_bytes(TINY, tiny_weights()), TINY)
    for name in ("reference", "demo"):
        artefact = load_artefact(shipped(f"models/{name}"))
        check_graph(artefact.contents["model.onnx"], artefact.manifest.shape)


def test_a_damaged_graph_is_refused_or_has_other_weights() -> None:
    whole = onnx_bytes(TINY, tiny_weights())
    rng = np.random.default_rng(3)
    for _ in range(2000):
        damaged = bytearray(whole)
        for at in rng.integers(0, len(whole), 3):
            damaged[at] = rng.integers(256)
        try:
            check_graph(bytes(damaged[: rng.integers(1, 2 * len(whole))]), TINY)
        except ArtefactError as error:
            assert "the graph is not what the manifest's shape asks for" in str(error)  # noqa: PT017 - either is right
