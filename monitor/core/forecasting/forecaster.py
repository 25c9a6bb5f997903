"""Forecasting: an engine runs the network, a forecaster keeps the context of each channel.

An engine runs one network and holds no history except the state that it hands out. A forecaster takes the next block of
each channel and returns the forecast of the block after it. In the carried mode (the default) the LSTM state continues
from block to block, one step a block. In the windowed mode each forecast starts from a zero state and takes the last 25
blocks, 25 steps a block. What a network returns need not be a forecast: :func:`unusable` tells.
"""

from typing import Protocol

import numpy as np

from monitor.core.arrays import Bool, Float32, Rows

LARGEST_LEVELS = 1000.0
"""RMS, in units of the channel's level, above which a forecast is not used. Lower: a forecast of loud impacts is lost,
since a block that is no spike may reach 200 levels, and so may a network that repeats it. Higher: a network that
explodes is compared with the signal, and its gap ratio of more than a million looks like a fault."""


def unusable(forecasts: Float32) -> Bool | None:
    """Which rows are not a forecast: not finite, or far louder than any signal (:data:`LARGEST_LEVELS`).

    Both are the same defect, a network that explodes on this input, so both count the same way. The energy of all rows
    together tells in one pass that none is unusable, which takes less time than asking whether each number is finite.

    Args:
        forecasts: (n, block_samples) float32 in units of each channel's level.

    Returns:
        (n,) True where there is no usable forecast; None if all are usable.
    """
    largest = LARGEST_LEVELS**2 * forecasts.shape[1]
    if np.vdot(forecasts, forecasts) <= largest:  # false for NaN
        return None
    return ~np.asarray(np.einsum("ij,ij->i", forecasts, forecasts) <= largest)


class CarriedState(Protocol):
    """The LSTM state of a number of channels, kept where the engine computes (host or device memory)."""

    def reset(self, rows: Rows) -> None:
        """Set the state of these rows to zero, as at the start of a recording."""

    def export(self, rows: Rows) -> Float32:
        """Copy the state of these rows to host memory, (n, width)."""

    def restore(self, rows: Rows, exported: Float32) -> None:
        """Replace the state of these rows by the result of :meth:`export`, (n, width)."""


class Engine(Protocol):
    """Runs one network. Deterministic; not thread-safe, so one caller at a time."""

    name: str
    """``onnxruntime``, ``tensorflow`` or ``jax``."""
    device: str
    """``cpu`` or the accelerator's name."""
    block_samples: int
    """Samples in a block, the network's step and its horizon."""
    window_blocks: int
    """Blocks in a window of the windowed mode."""

    def new_state(self, channels: int) -> CarriedState:
        """A zero state for ``channels`` rows."""

    def step(self, blocks: Float32, state: CarriedState, rows: Rows) -> Float32:
        """Feed one block a row, update the state of ``rows`` in place, return the forecast of each row's next block.

        Args:
            blocks: (n, block_samples) float32 in units of the channel's level.
            state: from :meth:`new_state` of the same engine.
            rows: (n,) distinct row numbers into the state.

        Returns:
            (n, block_samples) float32. NaN in a block gives NaN in its row only, and in that row's state.
        """

    def forecast_windows(self, windows: Float32) -> Float32:
        """Forecast from whole windows and a zero state: (n, window_blocks, block_samples) to (n, block_samples)."""


class Forecaster(Protocol):
    """Keeps every channel's context; one step a block."""

    mode: str
    """``carried`` or ``windowed``."""
    engine: Engine
    """Runs the network."""

    def reset(self, rows: Rows) -> None:
        """Forget the context of these channels."""

    def export(self, rows: Rows) -> Float32:
        """The context of these channels, (n, width), to be put in place elsewhere."""

    def restore(self, rows: Rows, exported: Float32) -> None:
        """Replace the context of these channels by the result of :meth:`export`, (n, width)."""

    def step(self, blocks: Float32, rows: Rows) -> Float32:
        """Take the next block of ``rows`` (n, block_samples), return the forecast of the block after it."""


class CarriedForecaster:
    """Carries the LSTM state of each channel from block to block, until the channel is reset."""

    mode = "carried"

    def __init__(self, engine: Engine, channels: int) -> None:
        self.engine = engine
        self.state = engine.new_state(channels)

    def reset(self, rows: Rows) -> None:
        """Set the state of ``rows`` to zero."""
        self.state.reset(rows)

    def export(self, rows: Rows) -> Float32:
        """The state of ``rows``; see :class:`Forecaster`."""
        return self.state.export(rows)

    def restore(self, rows: Rows, exported: Float32) -> None:
        """Replace the state of ``rows``; see :class:`Forecaster`."""
        self.state.restore(rows, exported)

    def step(self, blocks: Float32, rows: Rows) -> Float32:
        """Run one step of the network for each row; see :class:`Forecaster`."""
        return self.engine.step(blocks, self.state, rows)


class WindowedForecaster:
    """Keeps each channel's last ``window_blocks`` blocks and starts from a zero state every time.

    Until a channel has a full window, its earlier blocks are zero. These forecasts are warm-up.
    """

    mode = "windowed"

    def __init__(self, engine: Engine, channels: int) -> None:
        self.engine = engine
        self.windows: Float32 = np.zeros((channels, engine.window_blocks, engine.block_samples), np.float32)

    def reset(self, rows: Rows) -> None:
        """Empty the windows of ``rows``."""
        self.windows[rows] = 0.0

    def export(self, rows: Rows) -> Float32:
        """The windows of ``rows``; see :class:`Forecaster`."""
        return self.windows[rows].reshape(rows.size, -1)

    def restore(self, rows: Rows, exported: Float32) -> None:
        """Replace the windows of ``rows``; see :class:`Forecaster`."""
        self.windows[rows] = exported.reshape(rows.size, *self.windows.shape[1:])

    def step(self, blocks: Float32, rows: Rows) -> Float32:
        """Run a whole window for each row; see :class:`Forecaster`."""
        windows = self.windows[rows]
        windows[:, :-1] = windows[:, 1:]
        windows[:, -1] = blocks
        self.windows[rows] = windows
        return self.engine.forecast_windows(windows)


def make_forecaster(engine: Engine, mode: str, channels: int) -> Forecaster:
    """A forecaster of the mode ``carried`` or ``windowed``, with empty contexts."""
    return WindowedForecaster(engine, channels) if mode == "windowed" else CarriedForecaster(engine, channels)
