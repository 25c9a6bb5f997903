"""How a forecast is made: an engine runs the network, a forecaster keeps each channel's context for it.

An engine knows one network and nothing of channels' histories beyond the state it hands out. A forecaster turns "the
next block of these channels" into "the forecast of the block after it", either with the LSTM state carried on for ever
(the normal mode, one step a block) or from the last 25 blocks and a zero state (the reference network's use, 25 steps a
block). Refuses to know: units, time, what a residual is.
"""

from typing import Protocol

import numpy as np

from monitor.core.arrays import Float32, Rows


class CarriedState(Protocol):
    """The LSTM state of a number of channels, kept where the engine computes (host or device memory)."""

    def reset(self, rows: Rows) -> None:
        """Set the state of these rows to zero, as at the start of a recording."""


class Engine(Protocol):
    """Runs one network; thread-compatible (one caller at a time), deterministic."""

    name: str
    """``onnxruntime`` or ``tensorflow``."""
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

    def reset(self, rows: Rows) -> None:
        """Forget the context of these channels."""

    def step(self, blocks: Float32, rows: Rows) -> Float32:
        """Take the next block of ``rows`` (n, block_samples), return the forecast of the block after it."""


class CarriedForecaster:
    """Carries the LSTM state of each channel from block to block for ever."""

    mode = "carried"

    def __init__(self, engine: Engine, channels: int) -> None:
        self.engine = engine
        self.state = engine.new_state(channels)

    def reset(self, rows: Rows) -> None:
        """Zero state for ``rows``."""
        self.state.reset(rows)

    def step(self, blocks: Float32, rows: Rows) -> Float32:
        """One step of the network; see :class:`Forecaster`."""
        return self.engine.step(blocks, self.state, rows)


class WindowedForecaster:
    """Keeps each channel's last ``window_blocks`` blocks and starts from a zero state every time.

    Until a channel has a full window the missing blocks are zero; such forecasts are warm-up.
    """

    mode = "windowed"

    def __init__(self, engine: Engine, channels: int) -> None:
        self.engine = engine
        self.windows: Float32 = np.zeros((channels, engine.window_blocks, engine.block_samples), np.float32)

    def reset(self, rows: Rows) -> None:
        """Empty the windows of ``rows``."""
        self.windows[rows] = 0.0

    def step(self, blocks: Float32, rows: Rows) -> Float32:
        """One whole window a row; see :class:`Forecaster`."""
        windows = self.windows[rows]
        windows[:, :-1] = windows[:, 1:]
        windows[:, -1] = blocks
        self.windows[rows] = windows
        return self.engine.forecast_windows(windows)
