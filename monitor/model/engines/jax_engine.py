"""Runs the network with JAX, for a GPU that TensorFlow does not serve (CUDA 13). The state stays on the device.

One compiled function gathers the state of a batch's rows, runs a step and scatters the state back. The arrays of JAX
never change; the old state is donated to the new one, so its memory is used again instead of copied. Only blocks and
forecasts are copied between host and device.

All arithmetic is float32: products at the highest precision, since the default on GPUs keeps only ten bits.
"""

import os
from typing import Any

import numpy as np

from monitor.core.arrays import Float32, Rows
from monitor.core.forecasting.forecaster import CarriedState
from monitor.model.engines.device import Stacked, in_parts, padded_rows, padded_to, sizes, stacked
from monitor.model.network import Shape


class JaxState:
    """The state of some channels on the device, plus one spare row for the padding of batches."""

    def __init__(self, values: Any, clear: Any, channels: int) -> None:
        self.values = values
        self.spare_row = channels
        self._clear = clear

    def reset(self, rows: Rows) -> None:
        """Set the state of ``rows`` to zero."""
        if len(rows):
            self.values = self._clear(self.values, padded_rows(rows, self.spare_row))

    def export(self, rows: Rows) -> Float32:
        """A copy of the state of ``rows`` in host memory, (n, width)."""
        return np.array(self.values[padded_rows(rows, self.spare_row)], np.float32)[: len(rows)]

    def restore(self, rows: Rows, exported: Float32) -> None:
        """Replace the state of ``rows`` by the result of :meth:`export`."""
        padded = padded_rows(rows, self.spare_row)
        self.values = self.values.at[padded].set(padded_to(exported, len(padded)))


class JaxEngine:
    """Runs the network on a GPU; see :class:`monitor.core.forecasting.forecaster.Engine`."""

    name = "jax"

    def __init__(self, shape: Shape, weights: list[Float32]) -> None:
        """Copy the weights to the first GPU, or to the CPU if there is none.

        Args:
            shape: dimensions of the network.
            weights: arrays as in :attr:`Shape.weight_shapes`.

        Raises:
            ImportError: JAX is not installed.
        """
        # Else JAX takes three quarters of the GPU's memory at once.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        import jax

        self.block_samples = shape.block_samples
        self.window_blocks = shape.window_blocks
        self._width = 2 * sum(shape.units)
        self._device = jax.devices()[0]
        self.device = "cpu" if self._device.platform == "cpu" else str(self._device.device_kind)
        self._weights = jax.device_put(stacked(weights), self._device)
        self._step, self._windows, self._clear = _functions(shape)

    def new_state(self, channels: int) -> JaxState:
        """A zero state for ``channels`` rows; also runs every possible batch size once."""
        import jax

        values = jax.device_put(np.zeros((channels + 1, self._width), np.float32), self._device)
        state = JaxState(values, self._clear, channels)
        for count in sizes(channels):
            rows = np.full(count, state.spare_row, np.int64)
            self.step(np.zeros((count, self.block_samples), np.float32), state, rows)
            state.reset(rows)
        return state

    def step(self, blocks: Float32, state: CarriedState, rows: Rows) -> Float32:
        """Run one step of the carried mode; see :class:`monitor.core.forecasting.forecaster.Engine`."""
        assert isinstance(state, JaxState)  # noqa: S101 - states are made by new_state of the same engine
        padded = padded_rows(rows, state.spare_row)
        forecast, state.values = self._step(self._weights, padded_to(blocks, len(padded)), state.values, padded)
        return np.array(forecast)[: len(rows)]

    def forecast_windows(self, windows: Float32) -> Float32:
        """Forecast from whole windows and a zero state; see :class:`monitor.core.forecasting.forecaster.Engine`."""
        return in_parts(windows, self.block_samples, lambda part: np.array(self._windows(self._weights, part)))


def _functions(shape: Shape) -> tuple[Any, Any, Any]:
    """Step, windows and clear, each compiled at its first call with arrays of a size."""
    import jax
    from jax import lax, nn
    from jax import numpy as jnp

    first, second = shape.units
    width = 2 * (first + second)

    def product(left: Any, right: Any) -> Any:
        return jnp.matmul(left, right, precision=lax.Precision.HIGHEST)

    def cell(x: Any, h: Any, c: Any, both: Any, add: Any) -> tuple[Any, Any]:
        i, f, g, o = jnp.split(product(jnp.concatenate([x, h], 1), both) + add, 4, axis=1)
        c = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(g)
        return nn.sigmoid(o) * jnp.tanh(c), c

    def advance(weights: Stacked, block: Any, state: Any) -> Any:
        h1, c1, h2, c2 = jnp.split(state, [first, 2 * first, 2 * first + second], axis=1)
        h1, c1 = cell(block, h1, c1, weights.both1, weights.add1)
        h2, c2 = cell(h1, h2, c2, weights.both2, weights.add2)
        return jnp.concatenate([h1, c1, h2, c2], 1)

    def forecast(weights: Stacked, state: Any) -> Any:
        return product(state[:, 2 * first : 2 * first + second], weights.out) + weights.add_out

    def step(weights: Stacked, blocks: Any, values: Any, rows: Any) -> tuple[Any, Any]:
        state = advance(weights, blocks, values[rows])
        return forecast(weights, state), values.at[rows].set(state)

    def windows(weights: Stacked, blocks: Any) -> Any:
        by_step = jnp.swapaxes(blocks, 0, 1)
        state, _ = lax.scan(
            lambda state, block: (advance(weights, block, state), None), jnp.zeros((blocks.shape[0], width)), by_step
        )
        return forecast(weights, state)

    def clear(values: Any, rows: Any) -> Any:
        return values.at[rows].set(0.0)

    return jax.jit(step, donate_argnums=2), jax.jit(windows), jax.jit(clear, donate_argnums=0)
