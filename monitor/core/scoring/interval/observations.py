"""Measurements of an interval: energy and kurtosis of the head's residual, its whitened band energies, its burstiness.

Forecast and whitening multiply by matrices of the channel, which are too large to read from memory for every block.
Blocks are therefore buffered, and several blocks of a channel go through one product. Only the sums of squares in about
twenty bands are kept. For channels with a head only.
"""

from collections import Counter
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass

import numpy as np

from monitor.core.arrays import Bool, Float32, Int64, Rows
from monitor.core.forecasting.gap import ComparedBlocks
from monitor.core.scoring.interval.bands import layout
from monitor.core.scoring.interval.head import SUMMARY_NUMBERS, Head

HELD_BLOCKS = 64
"""Blocks buffered before they are whitened together. Fewer: the matrices are read from memory more often (at 64, 1.2 kB
a block; with 32, heads take a tenth longer). More: more memory, 400 bytes a block and channel."""

TURNS = 8
"""Groups of channels that are whitened in different batches. Fewer: if channels run in step, all are whitened at once
and delay each other (50 ms for a thousand). More: products become small and inefficient."""

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
        """Heads in use, by their place in the arrays of weights."""
        self._places: dict[int, int] = {}
        """Places by the identity of the head."""
        self._uses: Counter[int] = Counter()
        """Rows that have the head in each place."""
        self._of_row: Int64 = np.full(channels, -1, np.int64)
        numbers = SUMMARY_NUMBERS
        self._numbers: Int64 = np.zeros(channels, np.int64)
        """Of the summary of the head in each place; weights beyond them mean nothing."""
        self._of_network: Bool = np.zeros(channels, np.bool_)
        self._summary: Float32 = np.zeros((channels, block_samples, numbers), np.float32)
        self._network_summary: Float32 = np.zeros((channels, block_samples, numbers), np.float32)
        self._whitening: Float32 = np.zeros((channels, block_samples + numbers, block_samples), np.float32)
        self._ahead: Float32 = np.zeros((channels, numbers, block_samples), np.float32)
        self._second: Float32 = np.zeros(channels, np.float32)
        self._fourth: Float32 = np.zeros(channels, np.float32)
        # Slot 0 holds the block before the buffered ones. Of what no head uses of the network, no page is ever touched.
        self._signal: Float32 = np.zeros((channels, HELD_BLOCKS + 1, block_samples), np.float32)
        self._forecast: Float32 = np.zeros((channels, HELD_BLOCKS, block_samples), np.float32)
        self._count: Rows = np.zeros(channels, np.intp)
        # Buffered blocks at which a channel is whitened: first as its group requires, then every HELD_BLOCKS.
        self._first: Rows = HELD_BLOCKS * (1 + np.arange(channels) * TURNS // channels) // TURNS
        self._full = self._first.copy()
        self._bands: Float32 = np.zeros((channels, bands), np.float32)
        self._wide: Float32 = np.zeros((channels, parts), np.float32)
        self._wide_squares: Float32 = np.zeros((channels, parts), np.float32)
        self._pool_wide: Float32 = self.layout.pool @ self.layout.wide
        self._known: Float32 = np.empty((TOGETHER, HELD_BLOCKS + 1, block_samples + numbers), np.float32)

    def assign(self, rows: Rows, head: Head | None) -> None:
        """Assign a head to ``rows``, or remove it with None; their intervals restart.

        Rows with the same object share its weights.
        """
        self.reset(rows)
        before = Counter(self._of_row[rows].tolist())
        # Counted, since to look through all rows for each of ten thousand channels that come takes seconds. Old heads
        # leave first, so that there are never more than rows.
        for old, count in before.items():
            if old >= 0:
                self._uses[old] -= count
                if not self._uses[old]:
                    del self._uses[old], self._places[id(self._heads.pop(old))]
        self._of_row[rows] = -1
        if head is not None and rows.size:
            place = self._place(head, int(rows[0]))
            self._uses[place] += rows.size
            self._of_row[rows] = place

    def _place(self, head: Head, wanted: int) -> int:
        """The place of a head in the arrays of weights; a new one if it has none, ``wanted`` if that is free."""
        place = self._places.get(id(head))
        if place is not None:
            return place
        place = wanted
        if wanted in self._heads:
            place = next(at for at in range(len(self._ahead)) if at not in self._heads)
        self._heads[place], self._places[id(head)] = head, place
        size, (numbers, _) = self.layout.block_samples, head.ahead.shape
        self._numbers[place] = numbers
        self._summary[place, :, :numbers], self._ahead[place, :numbers] = head.summary[:size], head.ahead
        if head.uses_network or self._of_network[place]:
            self._of_network[place] = head.uses_network
            self._network_summary[place, :, :numbers] = head.summary[size:]
        self._whitening[place, : size + numbers] = copy(head).whitening  # the matrix of the copy is given up again
        return place

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
        of_network = self._of_network[self._of_row[rows]]
        if of_network.any():
            self._forecast[rows[of_network], count[of_network] - 1] = batch.forecast[of_network]
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
        places, counts = self._of_row[rows], self._count[rows]
        # Rows with the same number of buffered blocks go together, those whose weights lie side by side in one product.
        order = np.lexsort((places, counts))
        places, counts, rows = places[order], counts[order], rows[order]
        for count in np.unique(counts).tolist():
            if count:
                chosen = counts == count
                for first in range(0, int(chosen.sum()), TOGETHER):
                    part = slice(first, first + TOGETHER)
                    self._take(rows[chosen][part], places[chosen][part], count)
        self._signal[rows, 0] = self._signal[rows, counts]
        self._count[rows] = 0

    def _take(self, rows: Rows, places: Int64, count: int) -> None:
        """Add ``count`` buffered blocks of each of ``rows``, sorted by place, to the sums."""
        size = self.layout.block_samples
        known = self._known[: rows.size, : count + 1]
        for at, row in enumerate(rows.tolist()):
            known[at, :, :size] = self._signal[row, : count + 1]
        residual = np.empty((rows.size, count, size), np.float32)
        components = np.empty_like(residual)
        for run, of in _runs(places, self._numbers[places]):
            numbers = int(self._numbers[of.start])
            summary = known[run, 1:, size : size + numbers]
            np.matmul(known[run, :-1, :size], self._summary[of, :, :numbers], out=summary)
            if self._of_network[of].any():
                summary += self._forecast[rows[run], :count] @ self._network_summary[of, :, :numbers]
            np.matmul(summary, self._ahead[of, :numbers], out=residual[run])
            np.matmul(known[run, 1:, : size + numbers], self._whitening[of, : size + numbers], out=components[run])
        np.subtract(known[:, 1:, :size], residual, out=residual)
        flat = residual.reshape(rows.size, -1)
        self._second[rows] += np.vecdot(flat, flat)
        residual *= residual
        self._fourth[rows] += np.vecdot(flat, flat)
        components *= components
        # A product with ones is three times as fast as a sum over the blocks.
        ones = np.ones((1, count), np.float32)
        self._bands[rows] += (ones @ components)[:, 0] @ self.layout.pool
        wide = (components.reshape(-1, size) @ self._pool_wide).reshape(rows.size, count, -1)
        self._wide[rows] += (ones @ wide)[:, 0]
        wide *= wide
        self._wide_squares[rows] += (ones @ wide)[:, 0]


def _runs(places: Int64, numbers: Int64) -> Iterator[tuple[slice, slice]]:
    """Runs of equal places, and of places that follow each other, each with the slice of the arrays of weights.

    Args:
        places: (n,) places, sorted.
        numbers: (n,) numbers of the summary in each; equal in a run.
    """
    steps, differs = np.diff(places).tolist(), np.diff(numbers).tolist()
    first = 0
    while first < places.size:
        end, step = first + 1, 0
        if end < places.size and steps[first] <= 1 and not differs[first]:
            step = steps[first]
            while end < places.size and steps[end - 1] == step and not differs[end - 1]:
                end += 1
        place = int(places[first])
        yield slice(first, end), slice(place, place + (end - first if step else 1))
        first = end
