"""The real network in plain numpy float64, one channel and one block at a time: the slow obvious twin of engines."""

import numpy as np

from monitor.core.arrays import Float32, Float64, Rows
from monitor.core.forecasting.forecaster import CarriedState
from monitor.model.network import Shape


def sigmoid(x: Float64) -> Float64:
    values: Float64 = 1.0 / (1.0 + np.exp(-x))
    return values


class NumpyNetworkState:
    def __init__(self, channels: int, shape: Shape) -> None:
        self.values = [[np.zeros(units) for units in shape.units for _ in "hc"] for _ in range(channels)]

    def reset(self, rows: Rows) -> None:
        for row in rows:
            for part in self.values[row]:
                part[:] = 0.0

    def export(self, rows: Rows) -> Float32:
        return np.stack([np.concatenate(self.values[row]) for row in rows]).astype(np.float32)

    def restore(self, rows: Rows, exported: Float32) -> None:
        for row, values in zip(rows, exported, strict=True):
            borders = np.cumsum([part.size for part in self.values[row]])[:-1]
            for part, own in zip(self.values[row], np.split(values, borders), strict=True):
                part[:] = own


class NumpyNetwork:
    name = "numpy"
    device = "cpu"

    def __init__(self, shape: Shape, weights: list[Float32]) -> None:
        self.shape = shape
        self.block_samples = shape.block_samples
        self.window_blocks = shape.window_blocks
        self.weights = [array.astype(np.float64) for array in weights]

    def new_state(self, channels: int) -> NumpyNetworkState:
        return NumpyNetworkState(channels, self.shape)

    def one(self, block: Float32, state: list[Float64]) -> Float64:
        x = block.astype(np.float64)
        for layer in range(2):
            kernel, recurrent, bias = self.weights[3 * layer : 3 * layer + 3]
            h, c = state[2 * layer], state[2 * layer + 1]
            i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4)
            c[:] = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h[:] = sigmoid(o) * np.tanh(c)
            x = h
        dense1, offset1, dense2, offset2 = self.weights[6:]
        return (x @ dense1 + offset1) @ dense2 + offset2

    def step(self, blocks: Float32, state: CarriedState, rows: Rows) -> Float32:
        assert isinstance(state, NumpyNetworkState)
        return np.stack([self.one(b, state.values[row]) for b, row in zip(blocks, rows, strict=True)]).astype(
            np.float32
        )

    def forecast_windows(self, windows: Float32) -> Float32:
        state = self.new_state(len(windows))
        rows = np.arange(len(windows))
        for k in range(windows.shape[1]):
            forecast = self.step(windows[:, k], state, rows)
        return forecast
