"""The gap between forecast and observed blocks, summed over the blocks of an interval.

An interval is a number of consecutive scored blocks of one context. Only sums are kept, so an interval of any length
takes three numbers a channel. The forecast of a calibrated channel is that of its head, which is known only when its
blocks are whitened; its residual comes from :mod:`monitor.core.scoring.interval.observations`.
"""

from dataclasses import dataclass

import numpy as np

from monitor.core.arrays import Bool, Float32, Int64, Rows


@dataclass(frozen=True, slots=True)
class ComparedBlocks:
    """A batch of blocks and their forecasts, at most one block a channel; in m/s², or in the unit of the samples."""

    rows: Rows
    """(n,) distinct channel rows."""
    start_sample: Int64
    """(n,) stream index of each block's first sample."""
    samples: Float32
    """(n, block_samples) observed samples, mean included."""
    high: Float32
    """(n,) largest sample of each block; NaN if the block holds a NaN."""
    low: Float32
    """(n,) smallest sample of each block; NaN if the block holds a NaN."""
    signal: Float32
    """(n, block_samples) observed samples minus the running mean."""
    forecast: Float32
    """(n, block_samples) the network's forecast of them."""
    mean_mps2: Float32
    """(n,) running mean before the block."""
    follows: Bool
    """(n,) True where the block before, of the same context, was compared too."""
    before: Float32 | None
    """(n, block_samples) the block before each that does not follow, minus its running mean; None if all follow."""

    def of(self, chosen: Bool) -> "ComparedBlocks":
        """The blocks where ``chosen`` (n,) is True."""
        return ComparedBlocks(
            self.rows[chosen],
            self.start_sample[chosen],
            self.samples[chosen],
            self.high[chosen],
            self.low[chosen],
            self.signal[chosen],
            self.forecast[chosen],
            self.mean_mps2[chosen],
            self.follows[chosen],
            None if self.before is None else self.before[chosen],
        )


@dataclass(frozen=True, slots=True)
class GapFigures:
    """Figures of closed intervals; every array is (n,) float32."""

    gap_mps2: Float32
    """RMS of the residual."""
    gap_ratio: Float32
    """Residual energy / signal energy: 0 for a perfect forecast, 1 for one no better than the mean. NaN without
    signal."""
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

    def add(self, batch: ComparedBlocks, with_head: Bool) -> None:
        """Add one block to the open interval of each row; NaN makes the interval's figures NaN.

        Args:
            batch: the blocks.
            with_head: (n,) True where the residual is that of a head, and comes with :meth:`close`.
        """
        rows = batch.rows
        if not with_head.all():
            plain = batch.of(~with_head) if with_head.any() else batch
            residual = plain.signal - plain.forecast
            self._residual[plain.rows] += np.einsum("ij,ij->i", residual, residual)
        self._energy[rows] += np.einsum("ij,ij->i", batch.signal, batch.signal)
        peak = np.maximum(batch.high - batch.mean_mps2, batch.mean_mps2 - batch.low)
        self._peak[rows] = np.maximum(self._peak[rows], peak)

    def close(self, rows: Rows, samples: Int64, with_head: Bool, head_residual: Float32) -> GapFigures:
        """Return the figures of the open intervals of ``rows``, ``samples`` (n,) long, and start new ones.

        Args:
            rows: the channels.
            samples: samples in each interval.
            with_head: (n,) True for channels with a head.
            head_residual: (n,) energy of the residual of their head, summed over the interval.
        """
        energy = self._energy[rows]
        residual = np.where(with_head, head_residual, self._residual[rows])
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.where(energy > 0, residual / energy, np.float32(np.nan))
        count = samples.astype(np.float32)
        figures = GapFigures(np.sqrt(residual / count), ratio, np.sqrt(energy / count), self._peak[rows])
        self.reset(rows)
        return figures
