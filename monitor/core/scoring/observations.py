"""Measurements of an interval: energy and kurtosis of the head's residual, its whitened band energies, its burstiness.

Forecast and whitening multiply by matrices of the channel, which are too large to read from memory for every block.
Blocks and forecasts are therefore buffered, and several blocks of a channel go through one product. Only the sums of
squares in about twenty bands are kept. For channels with a head only.
"""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from monitor.core.arrays import Float32, Int64, Rows
from monitor.core.gap import ComparedBlocks
from monitor.core.scoring.bands import layout
from monitor.core.scoring.head import Head

HELD_BLOCKS = 32
"""Blocks buffered before they are whitened together. Fewer: the matrices are read from memory more often (at 32, 3.8 kB
a block). More: more memory, 800 bytes a block and channel."""

TURNS = 4
"""Groups of channels that are whitened in different batches. Fewer: if channels run in step, all are whitened at once
and delay each other (40 ms for a thousand). More: products become small and inefficient."""

TOGETHER = 16
"""Channels whitened in one pass, so that the data stay in the CPU cache."""


@dataclass(frozen=True, slots=True)
class Observations:
    """Measurements of closed intervals, one row each."""

    bands: Float32
    """(n, bands) mean energy of the whitened residual, about 1 when healthy; NaN without a head."""
    bursts: Float32
    """(n, parts) burstiness: mean square of a wide part's block energies / square of their mean, at least 1; NaN
    without a head."""
    kurtosis: Float32
    """(n,) kurtosis of the residual: fourth moment / square of the second; 3 for Gaussian noise."""
    residual: Float32
    """(n,) energy of the residual, summed over the interval, in m²/s⁴; 0 without a head."""


class ObservationSums:
    """Sums over the open interval of each channel."""

    def __init__(self, channels: int, block_samples: int) -> None:
        self.layout = layout(block_samples)
        bands, parts = self.layout.bands, self.layout.wide.shape[1]
        self._heads: dict[int, Head] = {}
        self._uses: Counter[int] = Counter()
        """Rows that have each head."""
        self._of_row: Int64 = np.full(channels, -1, np.int64)
        self._second: Float32 = np.zeros(channels, np.float32)
        self._fourth: Float32 = np.zeros(channels, np.float32)
        # Slot 0 holds the block before the buffered ones.
        self._signal: Float32 = np.zeros((channels, HELD_BLOCKS + 1, block_samples), np.float32)
        self._forecast: Float32 = np.zeros((channels, HELD_BLOCKS, block_samples), np.float32)
        self._count: Rows = np.zeros(channels, np.intp)
        # Buffered blocks at which a channel is whitened: first as its group requires, then every HELD_BLOCKS.
        self._first: Rows = HELD_BLOCKS * (1 + np.arange(channels) * TURNS // channels) // TURNS
        self._full = self._first.copy()
        self._bands: Float32 = np.zeros((channels, bands), np.float32)
        self._wide: Float32 = np.zeros((channels, parts), np.float32)
        self._wide_squares: Float32 = np.zeros((channels, parts), np.float32)

    def assign(self, rows: Rows, head: Head | None) -> None:
        """Assign a head to ``rows``, or remove it with None; their intervals restart.

        Rows with the same object are computed together.
        """
        self.reset(rows)
        before = Counter(self._of_row[rows].tolist())
        if head is None:
            self._of_row[rows] = -1
        else:
            self._heads[id(head)] = head
            self._uses[id(head)] += rows.size
            self._of_row[rows] = id(head)
        # Counted, since to look through all rows for each of ten thousand channels that come takes seconds.
        for key, count in before.items():
            if key >= 0:
                self._uses[key] -= count
                if not self._uses[key]:
                    del self._uses[key], self._heads[key]

    def reset(self, rows: Rows) -> None:
        """End the context of ``rows``: empty the buffer; their next block does not follow."""
        self._empty(rows)
        self._count[rows] = 0
        self._full[rows] = self._first[rows]

    def last(self, rows: Rows) -> Float32:
        """The last block of ``rows`` right after :meth:`close`, (n, block_samples); meaningless without a head."""
        found: Float32 = self._signal[rows, 0]
        return found

    def add(self, batch: ComparedBlocks) -> None:
        """Add one block of each channel in the batch, all with a head; NaN makes the figures of its channel NaN."""
        rows = batch.rows
        if batch.before is not None:
            broken = rows[~batch.follows]
            self._flush(broken)
            self._signal[broken, 0] = batch.before[~batch.follows]
        count = self._count[rows] + 1
        self._signal[rows, count] = batch.signal
        self._forecast[rows, count - 1] = batch.forecast
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
        with_head = (self._of_row[rows] >= 0)[:, None]
        nan = np.float32(np.nan)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            wide = self._wide[rows] / blocks
            bursts = np.where(with_head, self._wide_squares[rows] / blocks / (wide * wide), nan)
            kurtosis = self._fourth[rows] / (second * second) * samples.astype(np.float32)
        bands = np.where(with_head, self._bands[rows] / blocks, nan)
        self._empty(rows)
        return Observations(bands, bursts, kurtosis, second)

    def _empty(self, rows: Rows) -> None:
        self._second[rows] = 0.0
        self._fourth[rows] = 0.0
        self._bands[rows] = 0.0
        self._wide[rows] = 0.0
        self._wide_squares[rows] = 0.0

    def _flush(self, rows: Rows) -> None:
        """Add the buffered blocks of ``rows`` to their sums; the last one becomes the block before."""
        keys, counts = self._of_row[rows], self._count[rows]
        # Rows with the same head and the same number of buffered blocks share one product.
        order = np.lexsort((counts, keys))
        keys, counts, rows = keys[order], counts[order], rows[order]
        for count in np.unique(counts).tolist():
            if count:
                chosen = counts == count
                for first in range(0, int(chosen.sum()), TOGETHER):
                    part = slice(first, first + TOGETHER)
                    self._take(rows[chosen][part], keys[chosen][part], count)
        self._signal[rows, 0] = self._signal[rows, counts]
        self._count[rows] = 0

    def _take(self, rows: Rows, keys: Int64, count: int) -> None:
        """Add ``count`` buffered blocks of each of ``rows``, sorted by key, to the sums."""
        size = self.layout.block_samples
        known = np.empty((rows.size, count, 3 * size), np.float32)
        known[:, :, :size] = self._signal[rows, :count]
        known[:, :, size : 2 * size] = residual = self._signal[rows, 1 : count + 1]
        known[:, :, 2 * size :] = self._forecast[rows, :count]
        components = np.empty_like(residual)
        border = [0, *(np.flatnonzero(np.diff(keys)) + 1).tolist(), rows.size]
        for first, end in pairwise(border):
            head = self._heads[int(keys[first])]
            flat, product = known[first:end].reshape(-1, 3 * size), components[first:end].reshape(-1, size)
            np.matmul(flat[:, :size], head.ahead, out=product)
            residual[first:end] -= components[first:end]
            if head.forecasts_with_network:
                np.matmul(flat[:, 2 * size :], head.network, out=product)
                residual[first:end] -= components[first:end]
            np.matmul(flat[:, : len(head.whitening)], head.whitening, out=product)
        residual *= residual
        self._second[rows] += np.einsum("ijk->i", residual)
        self._fourth[rows] += np.einsum("ijk,ijk->i", residual, residual)
        components *= components
        energy = components.reshape(-1, size) @ self.layout.pool
        wide = energy @ self.layout.wide
        self._bands[rows] += energy.reshape(rows.size, count, -1).sum(axis=1)
        self._wide[rows] += wide.reshape(rows.size, count, -1).sum(axis=1)
        wide *= wide
        self._wide_squares[rows] += wide.reshape(rows.size, count, -1).sum(axis=1)
