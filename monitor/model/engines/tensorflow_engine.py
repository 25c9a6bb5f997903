"""The network with TensorFlow, for a GPU: the state of all channels stays on the device.

One compiled function gathers the state of a batch's rows, takes a step and scatters the state back; only new blocks go
up and forecasts come down. A batch is filled up to one of few sizes, each run once beforehand, so that no first use
stalls. The rows that fill up belong to no channel. Refuses to know: how weights came about, units, time.

The arithmetic is float32 throughout: TensorFloat-32, which GPUs otherwise use for products, keeps ten bits.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from monitor.core.arrays import Float32, Rows
from monitor.core.forecaster import CarriedState
from monitor.model.network import Shape, quiet_tensorflow

LARGEST_POWER = 4096
"""Batches up to here are filled to a power of two, larger ones to a multiple of it: at most a half is wasted, little
where it counts."""

MAX_WINDOWS = 4096
"""Most windows at once; 25 blocks each take memory on the device."""


def filled(count: int) -> int:
    """The size a batch of ``count`` rows is filled up to."""
    if count > LARGEST_POWER:
        return -(-count // LARGEST_POWER) * LARGEST_POWER
    return 1 << max(count - 1, 0).bit_length()


class DeviceState:
    """The state of some channels on the device; one more row takes what fills up a batch."""

    def __init__(self, values: Any, clear: Callable[[Any, Any], None], channels: int) -> None:
        self.values = values
        self.spare_row = channels
        self._clear = clear

    def rows(self, rows: Rows) -> Rows:
        """The rows of a batch, filled up with the spare one."""
        padded = np.full(filled(len(rows)), self.spare_row, np.int64)
        padded[: len(rows)] = rows
        return padded

    def reset(self, rows: Rows) -> None:
        """Zero state for ``rows``."""
        if len(rows):
            self._clear(self.values, self.rows(rows))


class TensorflowEngine:
    """See :class:`monitor.core.forecaster.Engine`."""

    name = "tensorflow"

    def __init__(self, shape: Shape, weights: list[Float32]) -> None:
        """Put the weights on the first GPU, or the CPU without one.

        Args:
            shape: the network's dimensions.
            weights: as :attr:`Shape.weight_shapes` says.

        Raises:
            ImportError: TensorFlow is not installed.
        """
        quiet_tensorflow()
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(False)
        self.block_samples = shape.block_samples
        self.window_blocks = shape.window_blocks
        self._width = 2 * sum(shape.units)
        gpus = tf.config.list_physical_devices("GPU")
        self._device = "/GPU:0" if gpus else "/CPU:0"
        self.device = "cpu"
        if gpus:
            self.device = str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "gpu"))
        with tf.device(self._device):
            self._step, self._windows, self._clear = _functions(shape, weights)

    def new_state(self, channels: int) -> DeviceState:
        """A zero state; every batch size up to ``channels`` that can occur is run once."""
        import tensorflow as tf

        with tf.device(self._device):
            values = tf.Variable(tf.zeros((channels + 1, self._width)), trainable=False)
        state = DeviceState(values, self._clear, channels)
        count = 1
        while count < filled(channels):
            self._warm(state, count)
            count = count * 2 if count < LARGEST_POWER else count + LARGEST_POWER
        self._warm(state, filled(channels))
        return state

    def _warm(self, state: DeviceState, count: int) -> None:
        rows = np.full(count, state.spare_row, np.int64)
        self._step(np.zeros((count, self.block_samples), np.float32), state.values, rows)
        self._clear(state.values, rows)

    def step(self, blocks: Float32, state: CarriedState, rows: Rows) -> Float32:
        """One step of the carried mode; see :class:`monitor.core.forecaster.Engine`."""
        assert isinstance(state, DeviceState)  # noqa: S101 - states are made by new_state of the same engine
        padded = state.rows(rows)
        if len(padded) != len(blocks):
            blocks = np.concatenate([blocks, np.zeros((len(padded) - len(blocks), self.block_samples), np.float32)])
        forecast: Float32 = self._step(blocks, state.values, padded).numpy()[: len(rows)]
        return forecast

    def forecast_windows(self, windows: Float32) -> Float32:
        """Whole windows from a zero state; see :class:`monitor.core.forecaster.Engine`."""
        parts = []
        for first in range(0, len(windows), MAX_WINDOWS):
            part = windows[first : first + MAX_WINDOWS]
            padded = np.zeros((filled(len(part)), *part.shape[1:]), np.float32)
            padded[: len(part)] = part
            parts.append(self._windows(padded).numpy()[: len(part)])
        return np.concatenate(parts) if parts else np.empty((0, self.block_samples), np.float32)


def _functions(shape: Shape, weights: list[Float32]) -> tuple[Any, Any, Any]:
    """Step, windows and clear as TensorFlow functions on the current device."""
    import tensorflow as tf

    kernel1, recurrent1, bias1, kernel2, recurrent2, bias2, dense1, offset1, dense2, offset2 = weights
    first, second = shape.units
    # Two linear layers are one: the product is taken in float64 and stored in float32.
    product = dense1.astype(np.float64) @ dense2.astype(np.float64)
    offset = offset1.astype(np.float64) @ dense2.astype(np.float64) + offset2
    # Input and recurrent products are one product of both side by side.
    both1 = tf.constant(np.concatenate([kernel1, recurrent1]))
    both2 = tf.constant(np.concatenate([kernel2, recurrent2]))
    add1, add2 = tf.constant(bias1), tf.constant(bias2)
    out, add_out = tf.constant(product.astype(np.float32)), tf.constant(offset.astype(np.float32))

    def cell(x: Any, h: Any, c: Any, both: Any, add: Any) -> tuple[Any, Any]:
        i, f, g, o = tf.split(tf.matmul(tf.concat([x, h], 1), both) + add, 4, axis=1)
        c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
        return tf.sigmoid(o) * tf.tanh(c), c

    def advance(block: Any, state: Any) -> tuple[Any, Any]:
        h1, c1, h2, c2 = tf.split(state, [first, first, second, second], axis=1)
        h1, c1 = cell(block, h1, c1, both1, add1)
        h2, c2 = cell(h1, h2, c2, both2, add2)
        return h2, tf.concat([h1, c1, h2, c2], 1)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def step(blocks: Any, values: Any, rows: Any) -> Any:
        h2, state = advance(blocks, tf.gather(values, rows))
        values.scatter_update(tf.IndexedSlices(state, rows))
        return tf.matmul(h2, out) + add_out

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def windows(blocks: Any) -> Any:
        state = tf.zeros((tf.shape(blocks)[0], 2 * (first + second)))
        h2 = state[:, :second]
        for k in range(shape.window_blocks):
            h2, state = advance(blocks[:, k], state)
        return tf.matmul(h2, out) + add_out

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def clear(values: Any, rows: Any) -> None:
        values.scatter_update(tf.IndexedSlices(tf.zeros((tf.shape(rows)[0], 2 * (first + second))), rows))

    return step, windows, clear
