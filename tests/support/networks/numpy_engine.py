"""The network in plain numpy, one channel and one block at a time: the slow obvious twin of every engine."""

import numpy as np

from monitor.core.arrays import Float32, Rows
from monitor.core.forecasting.forecaster import CarriedState


class NumpyState:
    def __init__(self, channels: int, units: int) -> None:
        self.values: Float32 = np.zeros((channels, 4, units), np.float32)

    def reset(self, rows: Rows) -> None:
        self.values[rows] = 0.0

    def export(self, rows: Rows) -> Float32:
        return self.values[rows].reshape(len(rows), -1)

    def restore(self, rows: Rows, exported: Float32) -> None:
        self.values[rows] = exported.reshape(len(rows), *self.values.shape[1:])


class NumpyEngine:
    name = "numpy"
    device = "cpu"

    def __init__(self, block_samples: int = 8, units: int = 5, window_blocks: int = 6, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.block_samples = block_samples
        self.window_blocks = window_blocks
        self.units = units

        def weights(*shape: int) -> Float32:
            values: Float32 = (rng.normal(size=shape) / shape[0] ** 0.5).astype(np.float32)
            return values

        self.lstm = [
            (weights(size, 4 * units), weights(units, 4 * units), weights(4 * units)) for size in (block_samples, units)
        ]
        self.out = (weights(units, block_samples), weights(block_samples))

    def new_state(self, channels: int) -> NumpyState:
        return NumpyState(channels, self.units)

    def _one(self, block: Float32, state: Float32) -> Float32:
        x = block
        for layer, (kernel, recurrent, bias) in enumerate(self.lstm):
            h, c = state[2 * layer], state[2 * layer + 1]
            i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4)
            c[:] = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
            h[:] = np.tanh(c) / (1 + np.exp(-o))
            x = h
        forecast: Float32 = x @ self.out[0] + self.out[1]
        return forecast

    def step(self, blocks: Float32, state: CarriedState, rows: Rows) -> Float32:
        assert isinstance(state, NumpyState)
        return np.stack([self._one(block, state.values[row]) for block, row in zip(blocks, rows, strict=True)])

    def forecast_windows(self, windows: Float32) -> Float32:
        forecasts = []
        for window in windows:
            state = np.zeros((4, self.units), np.float32)
            for block in window:
                forecast = self._one(block, state)
            forecasts.append(forecast)
        return np.stack(forecasts)


class LastBlock(NumpyEngine):
    """An engine whose forecast is the last block."""

    def step(self, blocks: Float32, state: CarriedState, rows: Rows) -> Float32:  # noqa: ARG002 - the protocol's
        assert isinstance(state, NumpyState)
        return blocks.copy()


class Exploding(NumpyEngine):
    """An engine whose forecast of ``row`` ends with ``value`` after every ``EVERY`` blocks, up to ``times`` times."""

    EVERY = 20

    def __init__(self, block_samples: int = 8, row: int = 0, value: float = np.inf, times: int = 10**9) -> None:
        super().__init__(block_samples)
        self.row, self.value, self.times = row, value, times
        self.taken = 0

    def step(self, blocks: Float32, state: CarriedState, rows: Rows) -> Float32:
        forecast = super().step(blocks, state, rows)
        if self.row in rows:
            self.taken += 1
            if self.taken % self.EVERY == 0 and self.taken <= self.EVERY * self.times:
                forecast[rows == self.row, -1] = self.value
        return forecast
