"""Measurements of an interval: band energies of the whitened residual, its burstiness and its kurtosis.

Whitening multiplies by a matrix of the channel, which is too large to read from memory for every block. Residuals are
therefore buffered, and several blocks of a channel are whitened in one product. Only the sums of squares in about
twenty bands are kept. A channel without a calibration has no whitening; only its kurtosis is measured.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from monitor.core.arrays import Float32, Int64, Rows
from monitor.core.gap import Residuals
from monitor.core.scoring.bands import layout
from monitor.core.scoring.whitening import history

HELD_BLOCKS = 32
"""Blocks buffered before they are whitened together. Fewer: the matrices are read from memory more often (at 32, 2.5 kB
a block). More: more memory, 400 bytes a block and channel."""

TURNS = 4
"""Groups of channels that are whitened in different batches. Fewer: if channels run in step, all are whitened at once
and delay each other (40 ms for a thousand). More: products become small and inefficient."""

TOGETHER = 16
"""Channels whitened in one pass, so that the data stay in the CPU cache."""


@dataclass(frozen=True, slots=True)
class Observations:
    """Measurements of closed intervals, one row each."""

    bands: Float32
    """(n, bands) mean energy of the whitened residual, about 1 when healthy; NaN without whitening."""
    bursts: Float32
    """(n, parts) burstiness: mean square of a wide part's block energies / square of their mean, at least 1; NaN
    without whitening."""
    kurtosis: Float32
    """(n,) kurtosis of the residual: fourth moment / square of the second; 3 for Gaussian noise."""


class ObservationSums:
    """Sums over the open interval of each channel."""

    def __init__(self, channels: int, block_samples: int) -> None:
        self.layout = layout(block_samples)
        bands, parts = self.layout.bands, self.layout.wide.shape[1]
        self._whitening: dict[int, Float32] = {}
        self._of_row: Int64 = np.full(channels, -1, np.int64)
        self._second: Float32 = np.zeros(channels, np.float32)
        self._fourth: Float32 = np.zeros(channels, np.float32)
        # Slot 0 holds the block before the buffered ones.
        self._held: Float32 = np.zeros((channels, HELD_BLOCKS + 1, block_samples), np.float32)
        self._count: Rows = np.zeros(channels, np.intp)
        # Buffered blocks at which a channel is whitened: first as its group requires, then every HELD_BLOCKS.
        self._first: Rows = HELD_BLOCKS * (1 + np.arange(channels) * TURNS // channels) // TURNS
        self._full = self._first.copy()
        self._bands: Float32 = np.zeros((channels, bands), np.float32)
        self._wide: Float32 = np.zeros((channels, parts), np.float32)
        self._wide_squares: Float32 = np.zeros((channels, parts), np.float32)

    def assign(self, rows: Rows, whitening: Float32 | None) -> None:
        """Assign a whitening matrix to ``rows``, or remove it with None; their intervals restart.

        Rows with the same array object are whitened together.
        """
        self.reset(rows)
        if whitening is None:
            self._of_row[rows] = -1
        else:
            self._whitening[id(whitening)] = whitening
            self._of_row[rows] = id(whitening)
        for key in self._whitening.keys() - set(np.unique(self._of_row).tolist()):
            del self._whitening[key]

    def reset(self, rows: Rows) -> None:
        """End the context of ``rows``: empty the buffer, and start without a previous block."""
        self._empty(rows)
        self._held[rows, 0] = 0.0
        self._count[rows] = 0
        self._full[rows] = self._first[rows]

    def add(self, batch: Residuals) -> None:
        """Add one scored block of each channel in the batch; NaN makes the figures of its channel NaN."""
        rows = batch.rows
        count = self._count[rows] + 1
        self._held[rows, count] = batch.residual
        self._count[rows] = count
        full = count >= self._full[rows]
        if full.any():
            self._flush(rows[full])
            self._full[rows[full]] = HELD_BLOCKS

    def close(self, rows: Rows, samples: Int64) -> Observations:
        """Return the measurements of the intervals of ``rows``, ``samples`` (n,) long, and start new ones."""
        self._flush(rows)
        self._full[rows] = self._first[rows]
        blocks = (samples // self.layout.block_samples).astype(np.float32)[:, None]
        second = self._second[rows]
        whitened = (self._of_row[rows] >= 0)[:, None]
        nan = np.float32(np.nan)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            wide = self._wide[rows] / blocks
            bursts = np.where(whitened, self._wide_squares[rows] / blocks / (wide * wide), nan)
            kurtosis = self._fourth[rows] / (second * second) * samples.astype(np.float32)
        bands = np.where(whitened, self._bands[rows] / blocks, nan)
        self._empty(rows)
        return Observations(bands, bursts, kurtosis)

    def _empty(self, rows: Rows) -> None:
        self._second[rows] = 0.0
        self._fourth[rows] = 0.0
        self._bands[rows] = 0.0
        self._wide[rows] = 0.0
        self._wide_squares[rows] = 0.0

    def _flush(self, rows: Rows) -> None:
        """Add the buffered blocks of ``rows`` to their sums; the last one becomes the previous block."""
        keys, counts = self._of_row[rows], self._count[rows]
        # Rows with the same calibration and the same number of buffered blocks share one product.
        order = np.lexsort((counts, keys))
        keys, counts, rows = keys[order], counts[order], rows[order]
        for count in np.unique(counts).tolist():
            if count:
                chosen = counts == count
                for first in range(0, int(chosen.sum()), TOGETHER):
                    part = slice(first, first + TOGETHER)
                    self._take(rows[chosen][part], keys[chosen][part], count)
        self._held[rows, 0] = self._held[rows, counts]
        self._count[rows] = 0

    def _take(self, rows: Rows, keys: Int64, count: int) -> None:
        """Whiten ``count`` buffered blocks of each of ``rows``, sorted by key, and sum their energies."""
        size = self.layout.block_samples
        before = history(size)
        pairs = np.empty((rows.size, count, before + size), np.float32)
        pairs[:, :, before:] = self._held[rows, 1 : count + 1]
        pairs[:, 0, :before] = self._held[rows, 0, -before:]
        pairs[:, 1:, :before] = pairs[:, :-1, -before:]
        components = np.multiply(pairs[:, :, before:], pairs[:, :, before:])
        self._second[rows] += np.einsum("ijk->i", components)
        self._fourth[rows] += np.einsum("ijk,ijk->i", components, components)
        border = [0, *(np.flatnonzero(np.diff(keys)) + 1).tolist(), rows.size]
        for first, end in pairwise(border):
            whitening = self._whitening.get(int(keys[first]))
            if whitening is None:
                components[first:end] = 0.0
            else:
                flat = components[first:end].reshape(-1, size)
                np.matmul(pairs[first:end].reshape(-1, before + size), whitening, out=flat)
        components *= components
        energy = components.reshape(-1, size) @ self.layout.pool
        wide = energy @ self.layout.wide
        self._bands[rows] += energy.reshape(rows.size, count, -1).sum(axis=1)
        self._wide[rows] += wide.reshape(rows.size, count, -1).sum(axis=1)
        wide *= wide
        self._wide_squares[rows] += wide.reshape(rows.size, count, -1).sum(axis=1)
