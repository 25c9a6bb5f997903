"""The level of each channel: the running mean and RMS that normalise its blocks before the network.

A network trained at one gain forecasts badly at another. Dividing by a slow running RMS makes the forecast, and the
evidence of the signal's shape, independent of gain and load. The level itself is a separate kind of evidence. It is
updated once a block, so it does not depend on how samples are split into messages.

The variance is taken about the running mean, so a constant offset such as gravity costs no precision. A block far
outside the level, a spike, is left out: a single wrong sample would otherwise dominate the level for many seconds.
"""

from typing import NamedTuple

import numpy as np

from monitor.core.arrays import Bool, Float32, Float64, Rows
from monitor.core.samples.rings import index_of

TIME_CONSTANT_BLOCKS = 100
"""Time constant of the running mean and RMS, in blocks. Lower: the level follows single bursts of a fault and hides
them from the shape evidence. Higher: after a change of load the network's input stays outside its trained range
longer."""

FLOOR = np.float32(1e-12)
"""Smallest variance; it prevents a division by zero on a dead channel, whose intervals are refused as a flat line."""

LEAST_RMS = np.sqrt(FLOOR)
"""The RMS of a channel without signal, and before the first block."""

SPIKE_LEVELS = np.float32(200.0)
"""A block lies outside the level if it reaches more than this many RMS from the mean, or if its range is below the RMS
divided by this. Lower: impacts of a fault are left out. The largest impact measured in the CWRU, UESTC, FEMTO (to the
end of life) and gearbox recordings was 86; one wrong sample every 100 blocks, included in the level, reaches 164.
Higher: a wrong sample just below it raises the level further (at 200 by a factor of 2.2)."""

SPIKE_BLOCKS = 3
"""Blocks outside the level, within one time constant, that count as isolated. One more starts a new context, so that a
lasting shock or a new level is scored. Lower: a few wrong samples end the context. Higher: each adds one block before a
real change is seen."""

CLIP_LEVELS = np.float32(10.0)
"""The samples of a spike are clipped to this many RMS before they enter the network. Lower: the good samples of that
block are distorted. Higher: the forecasts after it are disturbed."""


class Outside(NamedTuple):
    """Which blocks lie outside the level of their channel."""

    spikes: Bool
    """(n,) isolated spikes; leave them out."""
    renewed: Bool
    """(n,) too many to be isolated; start a new context with this block."""


class Level:
    """Running mean and RMS of many channels, one row each.

    The k-th block of a context has the weight ``max(1/k, 1/time_constant_blocks)``: a plain average at first, then an
    exponential one.
    """

    def __init__(self, channels: int, time_constant_blocks: int = TIME_CONSTANT_BLOCKS) -> None:
        self.time_constant_blocks = time_constant_blocks
        self._blocks = np.zeros(channels, np.int64)
        # float64: a mean of 100 g in float32 would not move by less than 3 mm/s^2.
        self._mean = np.zeros(channels, np.float64)
        self._variance = np.zeros(channels, np.float64)
        # What is asked for several times a block: mean and RMS in float32.
        self._near = np.zeros(channels, np.float32)
        self._rms = np.full(channels, LEAST_RMS)
        self._outside = np.zeros(channels, np.int64)
        self._outside_at = np.zeros(channels, np.int64)

    def reset(self, rows: Rows) -> None:
        """Start a new context for ``rows``; their next block defines the level."""
        for figures in (self._blocks, self._mean, self._variance, self._near, self._outside, self._outside_at):
            figures[rows] = 0
        self._rms[rows] = LEAST_RMS

    def outside(self, rows: Rows, high: Float32, low: Float32) -> Outside:
        """Whether the next block of each of the distinct ``rows`` lies outside its level, from its extreme samples.

        Args:
            rows: (n,) channels.
            high: (n,) largest sample of each block; NaN is never outside.
            low: (n,) smallest sample of each block.

        Returns:
            Which blocks lie outside; the first block of a context never does.
        """
        index = index_of(rows)
        mean, rms = self._near[index], self._rms[index]
        spikes = (np.maximum(high - mean, mean - low) > SPIKE_LEVELS * rms) & (self._blocks[index] > 0)
        # If a context starts with a spike, the level is that spike and the following blocks lie far below it.
        outside = spikes | (SPIKE_LEVELS * np.maximum(high - low, LEAST_RMS) < rms)
        renewed = np.zeros_like(outside)
        if outside.any():
            at = np.flatnonzero(outside)
            found = rows[at]
            recent = self._blocks[found] - self._outside_at[found] < self.time_constant_blocks
            self._outside[found] = np.where(recent, self._outside[found], 0) + 1
            self._outside_at[found] = self._blocks[found]
            renewed[at] = self._outside[found] > SPIKE_BLOCKS
            spikes &= ~renewed
        return Outside(spikes, renewed)

    def centre(self, rows: Rows, blocks: Float32) -> Float32:
        """Subtract the running mean from the next block of each of the distinct ``rows``, (n, block_samples).

        The first block of a context has its own mean subtracted.
        """
        index = index_of(rows)
        started = self._blocks[index] == 0
        if started.any():
            self._mean[rows[started]] = self._near[rows[started]] = blocks[started].mean(axis=1)
        centred: Float32 = blocks - self._near[index][:, None]
        return centred

    def update(self, rows: Rows, centred: Float32, spikes: Bool | None = None) -> Float32:
        """Update the level with the next block of each of the distinct ``rows``, and normalise the blocks.

        Uses the weighted update of T. Finch, "Incremental calculation of weighted mean and variance", 2009, block by
        block, with deviations from the running mean.

        Args:
            rows: (n,) channels.
            centred: (n, block_samples) the result of :meth:`centre`.
            spikes: (n,) blocks to leave out of the level; None if there are none.

        Returns:
            (n, block_samples) float32: the blocks divided by the updated RMS; spikes are clipped.
        """
        index = index_of(rows)
        taken, mean, variance = self._blocks[index] + 1, self._mean[index], self._variance[index]
        size = np.float32(centred.shape[1])
        offset = np.einsum("ij->i", centred) / size
        square = np.einsum("ij,ij->i", centred, centred) / size
        weight = 1.0 / np.minimum(taken, self.time_constant_blocks)
        if spikes is not None and spikes.any():
            weight[spikes] = 0.0
            taken[spikes] -= 1
        near = self._near[index]
        step = near - mean + offset
        mean = mean + weight * step
        variance = (1.0 - weight) * (variance + weight * step * step) + weight * (square - offset * offset)
        units: Float32 = centred - (mean - near).astype(np.float32)[:, None]
        self._blocks[index], self._mean[index], self._variance[index] = taken, mean, variance
        self._near[index], self._rms[index] = mean, np.sqrt(np.maximum(variance, FLOOR))
        units *= (1.0 / self._rms[index])[:, None]
        if spikes is not None and spikes.any():
            units[spikes] = np.clip(units[spikes], -CLIP_LEVELS, CLIP_LEVELS)
        return units

    def export(self, rows: Rows) -> Float64:
        """The whole level of ``rows``, (n, 7), to be put in place elsewhere; all of it fits into float64 exactly."""
        figures = (self._blocks, self._mean, self._variance, self._near, self._rms, self._outside, self._outside_at)
        return np.stack([each[rows].astype(np.float64) for each in figures], axis=1)

    def restore(self, rows: Rows, exported: Float64) -> None:
        """Replace the level of ``rows`` by the result of :meth:`export`, (n, 7)."""
        self._blocks[rows], self._mean[rows], self._variance[rows], self._near[rows] = exported.T[:4]
        self._rms[rows], self._outside[rows], self._outside_at[rows] = exported.T[4:]

    def mean(self, rows: Rows) -> Float32:
        """Running mean of ``rows``, (n,) float32 in the unit of the blocks; 0 before the first block."""
        return self._near[rows]

    def rms(self, rows: Rows) -> Float32:
        """Running RMS about the running mean of ``rows``, (n,) float32, never zero."""
        return self._rms[rows]


class UnitBlocks(NamedTuple):
    """The normalised blocks of one record, with their level."""

    units: Float32
    """(blocks, block_samples) each block divided by the level that includes it."""
    mean: Float32
    """(blocks,) running mean after each block."""
    rms: Float32
    """(blocks,) running RMS after each block."""
    spikes: Bool
    """(blocks,) True for isolated spikes, which are left out of the level."""
    starts: Bool
    """(blocks,) True where a context starts: at the first block, and after a lasting change of the level."""


def unit_blocks(blocks: Float32, time_constant_blocks: int = TIME_CONSTANT_BLOCKS) -> UnitBlocks:
    """Normalise one contiguous record causally, block by block, as the daemon does.

    Args:
        blocks: (n, block_samples) float32, any unit.
        time_constant_blocks: see :class:`Level`.
    """
    level = Level(1, time_constant_blocks)
    row = np.zeros(1, np.intp)
    high, low = blocks.max(axis=1), blocks.min(axis=1)
    spikes, starts = np.zeros(len(blocks), np.bool_), np.zeros(len(blocks), np.bool_)
    starts[:1] = True
    found = UnitBlocks(np.empty_like(blocks), np.empty_like(high), np.empty_like(high), spikes, starts)
    for k in range(len(blocks)):
        here = slice(k, k + 1)
        outside = level.outside(row, high[here], low[here])
        spikes[k] = outside.spikes[0]
        if outside.renewed[0]:
            level.reset(row)
            starts[k] = True
        found.units[here] = level.update(row, level.centre(row, blocks[here]), outside.spikes)
        found.mean[here], found.rms[here] = level.mean(row), level.rms(row)
    return found
