"""What every engine keeps to, and that all give what Keras gives."""

from collections.abc import Callable

import numpy as np
import pytest

from monitor.core.arrays import Float32
from monitor.core.forecasting.forecaster import Engine
from monitor.model.artefact.onnx_graph import onnx_bytes
from monitor.model.engines.jax_engine import JaxEngine
from monitor.model.engines.onnx_engine import OnnxEngine
from monitor.model.engines.tensorflow_engine import TensorflowEngine
from monitor.model.network import Shape, build_network
from tests.support.networks.numpy_network import NumpyNetwork

Make = Callable[[Shape, list[Float32]], Engine]

SHAPES = [Shape(), Shape(block_samples=16, window_blocks=4, units=(12, 7), hidden=5)]

ENGINES: dict[str, Make] = {
    "onnxruntime": lambda shape, weights: OnnxEngine(shape, onnx_bytes(shape, weights)),
    "tensorflow": TensorflowEngine,
    "jax": JaxEngine,
    "numpy": NumpyNetwork,
}

MADE: dict[tuple[str, int], tuple[Engine, list[Float32]]] = {}


def random_weights(shape: Shape) -> list[Float32]:
    rng = np.random.default_rng(7)
    return [(rng.normal(size=size) / max(size[0], 8) ** 0.5).astype(np.float32) for size in shape.weight_shapes]


@pytest.fixture(params=list(ENGINES))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[0, 1], ids=["reference-shape", "small-shape"])
def made(kind: str, request: pytest.FixtureRequest) -> tuple[Engine, list[Float32], Shape]:
    number = int(request.param)
    if (kind, number) not in MADE:
        weights = random_weights(SHAPES[number])
        MADE[kind, number] = ENGINES[kind](SHAPES[number], weights), weights
    engine, weights = MADE[kind, number]
    return engine, weights, SHAPES[number]


def blocks_for(shape: Shape, channels: int, count: int, seed: int = 1) -> Float32:
    return np.random.default_rng(seed).normal(size=(count, channels, shape.block_samples)).astype(np.float32)


def run(engine: Engine, blocks: Float32) -> Float32:
    state = engine.new_state(blocks.shape[1])
    rows = np.arange(blocks.shape[1])
    return np.stack([engine.step(block, state, rows) for block in blocks])


def close(found: Float32, expected: Float32, relative: float = 1e-5) -> None:
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() <= relative * np.abs(expected).max()


@pytest.mark.parametrize("batch", [1, 3, 64, 129])
def test_equals_keras_in_both_modes(made: tuple[Engine, list[Float32], Shape], batch: int) -> None:
    engine, weights, shape = made
    if isinstance(engine, NumpyNetwork) and batch > 3:
        batch = 5
    network = build_network(shape, every_block=True)
    network.set_weights(weights)
    blocks = blocks_for(shape, batch, shape.window_blocks)
    windows = np.ascontiguousarray(blocks.transpose(1, 0, 2))
    expected = np.asarray(network(windows, training=False))
    close(run(engine, blocks).transpose(1, 0, 2), expected)
    close(engine.forecast_windows(windows), expected[:, -1])


def test_carried_state_equals_one_long_pass(made: tuple[Engine, list[Float32], Shape]) -> None:
    engine, weights, shape = made
    network = build_network(shape, every_block=True)
    network.set_weights(weights)
    blocks = blocks_for(shape, 2, 3 * shape.window_blocks)
    expected = np.asarray(network(np.ascontiguousarray(blocks.transpose(1, 0, 2)), training=False))
    close(run(engine, blocks).transpose(1, 0, 2), expected)


def test_rows_in_any_order_and_part_of_the_channels(made: tuple[Engine, list[Float32], Shape]) -> None:
    engine, _, shape = made
    blocks = blocks_for(shape, 6, 8)
    expected = run(engine, blocks)
    state = engine.new_state(6)
    rng = np.random.default_rng(2)
    for k, block in enumerate(blocks):
        order = rng.permutation(6)
        for rows in (order[:2], order[2:]):
            close(engine.step(block[rows], state, rows), expected[k][rows])


def test_reset_rows_start_anew_and_others_go_on(made: tuple[Engine, list[Float32], Shape]) -> None:
    engine, _, shape = made
    blocks = blocks_for(shape, 4, 10)
    state = engine.new_state(4)
    rows = np.arange(4)
    for block in blocks[:5]:
        engine.step(block, state, rows)
    state.reset(np.array([1, 3]))
    state.reset(np.array([], np.intp))
    found = np.stack([engine.step(block, state, rows) for block in blocks[5:]])
    close(found[:, [0, 2]], run(engine, blocks)[5:, [0, 2]])
    close(found[:, [1, 3]], run(engine, blocks[5:])[:, [1, 3]])


def test_a_state_goes_on_in_other_rows_and_in_another_engine(made: tuple[Engine, list[Float32], Shape]) -> None:
    engine, weights, shape = made
    blocks = blocks_for(shape, 3, 10)
    expected = run(engine, blocks)
    before = engine.new_state(3)
    for block in blocks[:5]:
        engine.step(block, before, np.arange(3))
    exported = before.export(np.array([2, 0]))
    for other in (engine, NumpyNetwork(shape, weights)):
        after = other.new_state(5)
        after.restore(np.array([1, 4]), exported)
        found = np.stack([other.step(block[[2, 0]], after, np.array([1, 4])) for block in blocks[5:]])
        close(found, expected[5:, [2, 0]])


def test_nan_stays_in_its_row_until_the_reset(made: tuple[Engine, list[Float32], Shape]) -> None:
    engine, _, shape = made
    blocks = blocks_for(shape, 5, 4)
    clean = run(engine, blocks)
    blocks[1, 2, 3] = np.nan
    found = run(engine, blocks)
    others = [0, 1, 3, 4]
    close(found[:, others], clean[:, others])
    assert np.isnan(found[1:, 2]).all()
    state = engine.new_state(5)
    for block in blocks:
        engine.step(block, state, np.arange(5))
    state.reset(np.array([2]))
    assert np.isfinite(engine.step(blocks[0], state, np.arange(5))).all()
    windows = blocks_for(shape, 3, shape.window_blocks).transpose(1, 0, 2).copy()
    expected = engine.forecast_windows(windows)
    windows[1, 0, 0] = np.nan
    close(engine.forecast_windows(windows)[[0, 2]], expected[[0, 2]])
    assert np.isnan(engine.forecast_windows(windows)[1]).all()


def test_the_same_input_gives_the_same_bits(made: tuple[Engine, list[Float32], Shape]) -> None:
    engine, _, shape = made
    blocks = blocks_for(shape, 9, 5)
    assert np.array_equal(run(engine, blocks), run(engine, blocks))


def test_states_do_not_know_each_other(made: tuple[Engine, list[Float32], Shape]) -> None:
    engine, _, shape = made
    blocks = blocks_for(shape, 2, 3)
    first, second = engine.new_state(2), engine.new_state(2)
    rows = np.arange(2)
    engine.step(blocks[0], first, rows)
    close(engine.step(blocks[1], second, rows), run(engine, blocks[1:2])[0])


def test_says_what_it_is(made: tuple[Engine, list[Float32], Shape], kind: str) -> None:
    engine, _, shape = made
    assert engine.name == kind.split("-", maxsplit=1)[0]
    assert engine.device
    assert (engine.block_samples, engine.window_blocks) == (shape.block_samples, shape.window_blocks)
