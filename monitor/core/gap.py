"""The gap between forecast and observed blocks, summed over the blocks of an interval, for many channels at once.

An interval is a number of consecutive scored blocks of one context. Sums, not lists: an interval of any length costs a
few numbers a channel. Refuses to know: forecasters, limits, wall time.
"""

from dataclasses import dataclass

import numpy as np

from monitor.core.arrays import Float32, Int64, Rows


@dataclass(frozen=True, slots=True)
class Residuals:
    """A batch of blocks beside their forecasts, one of each of some channels; in m/s², or the unit of the samples."""

    rows: Rows
    """(n,) distinct channel rows."""
    start_sample: Int64
    """(n,) stream index of each block's first sample."""
    samples: Float32
    """(n, block_samples) the blocks as they came."""
    high: Float32
    """(n,) largest sample of each block; NaN where one is."""
    low: Float32
    """(n,) smallest sample of each block; NaN where one is."""
    signal: Float32
    """(n, block_samples) the same without the mean."""
    residual: Float32
    """(n, block_samples) observed minus forecast."""
    mean_mps2: Float32
    """(n,) running mean before the block."""
    level_mps2: Float32
    """(n,) the level: running RMS before the block."""


@dataclass(frozen=True, slots=True)
class GapFigures:
    """The figures of intervals that closed; every array is (n,) float32."""

    gap_mps2: Float32
    """RMS of the residual."""
    gap_ratio: Float32
    """Residual energy / signal energy; 0 perfectly forecast, 1 as bad as forecasting the mean. NaN if no signal."""
    rms_mps2: Float32
    """RMS of the acceleration about its running mean."""
    peak_mps2: Float32
    """Largest absolute acceleration about its running mean."""


class GapSums:
    """Sums over the open interval of each channel."""

    def __init__(self, channels: int) -> None:
        self._residual = np.zeros(channels, np.float32)
        self._energy = np.zeros(channels, np.float32)
        self._peak = np.zeros(channels, np.float32)

    def reset(self, rows: Rows) -> None:
        """Empty the open intervals of ``rows``."""
        self._residual[rows] = 0.0
        self._energy[rows] = 0.0
        self._peak[rows] = 0.0

    def add(self, batch: Residuals) -> None:
        """Add one block to the open interval of each row; NaN makes the interval's figures NaN."""
        rows = batch.rows
        self._residual[rows] += np.einsum("ij,ij->i", batch.residual, batch.residual)
        self._energy[rows] += np.einsum("ij,ij->i", batch.signal, batch.signal)
        peak = np.maximum(batch.high - batch.mean_mps2, batch.mean_mps2 - batch.low)
        self._peak[rows] = np.maximum(self._peak[rows], peak)

    def close(self, rows: Rows, samples: Int64) -> GapFigures:
        """The figures of the intervals of ``rows``, ``samples`` long each (n,); empties them."""
        residual, energy = self._residual[rows], self._energy[rows]
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.where(energy > 0, residual / energy, np.float32(np.nan))
        count = samples.astype(np.float32)
        figures = GapFigures(np.sqrt(residual / count), ratio, np.sqrt(energy / count), self._peak[rows])
        self.reset(rows)
        return figures
