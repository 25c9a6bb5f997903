"""Runs the network with TensorFlow, for a GPU. The state of all channels stays on the device.

One compiled function gathers the state of a batch's rows, runs a step and scatters the state back. Only blocks and
forecasts are copied between host and device.

All arithmetic is float32. TensorFloat-32, the default for products on GPUs, keeps only ten bits and is turned off.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from monitor.core.arrays import Float32, Rows
from monitor.core.forecasting.forecaster import CarriedState
from monitor.model.engines.device import in_parts, padded_rows, padded_to, sizes, stacked
from monitor.model.network import Shape, quiet_tensorflow


class DeviceState:
    """The state of some channels on the device, plus one spare row for the padding of batches."""

    def __init__(self, values: Any, clear: Callable[[Any, Any], None], channels: int) -> None:
        self.values = values
        self.spare_row = channels
        self._clear = clear

    def reset(self, rows: Rows) -> None:
        """Set the state of ``rows`` to zero."""
        if len(rows):
            self._clear(self.values, padded_rows(rows, self.spare_row))

    def export(self, rows: Rows) -> Float32:
        """A copy of the state of ``rows`` in host memory, (n, width)."""
        found: Float32 = self.values.sparse_read(padded_rows(rows, self.spare_row)).numpy()[: len(rows)]
        return found

    def restore(self, rows: Rows, exported: Float32) -> None:
        """Replace the state of ``rows`` by the result of :meth:`export`."""
        import tensorflow as tf

        padded = padded_rows(rows, self.spare_row)
        self.values.scatter_update(tf.IndexedSlices(padded_to(exported, len(padded)), padded))


class TensorflowEngine:
    """Runs the network on a GPU; see :class:`monitor.core.forecasting.forecaster.Engine`."""

    name = "tensorflow"

    def __init__(self, shape: Shape, weights: list[Float32]) -> None:
        """Copy the weights to the first GPU, or to the CPU if there is none.

        Args:
            shape: dimensions of the network.
            weights: arrays as in :attr:`Shape.weight_shapes`.

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
        """A zero state for ``channels`` rows; also runs every possible batch size once."""
        import tensorflow as tf

        with tf.device(self._device):
            values = tf.Variable(tf.zeros((channels + 1, self._width)), trainable=False)
        state = DeviceState(values, self._clear, channels)
        for count in sizes(channels):
            self._warm(state, count)
        return state

    def _warm(self, state: DeviceState, count: int) -> None:
        rows = np.full(count, state.spare_row, np.int64)
        self._step(np.zeros((count, self.block_samples), np.float32), state.values, rows)
        self._clear(state.values, rows)

    def step(self, blocks: Float32, state: CarriedState, rows: Rows) -> Float32:
        """Run one step of the carried mode; see :class:`monitor.core.forecasting.forecaster.Engine`."""
        assert isinstance(state, DeviceState)  # noqa: S101 - states are made by new_state of the same engine
        padded = padded_rows(rows, state.spare_row)
        blocks = padded_to(blocks, len(padded))
        forecast: Float32 = self._step(blocks, state.values, padded).numpy()[: len(rows)]
        return forecast

    def forecast_windows(self, windows: Float32) -> Float32:
        """Forecast from whole windows and a zero state; see :class:`monitor.core.forecasting.forecaster.Engine`."""
        return in_parts(windows, self.block_samples, lambda part: self._windows(part).numpy())


def _functions(shape: Shape, weights: list[Float32]) -> tuple[Any, Any, Any]:
    """Compile step, windows and clear as TensorFlow functions on the current device."""
    import tensorflow as tf

    first, second = shape.units
    both1, add1, both2, add2, out, add_out = map(tf.constant, stacked(weights))

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
