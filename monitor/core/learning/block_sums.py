"""What is kept of a healthy block, and the intervals that blocks are cut into.

An interval's features follow from sums over its blocks, so blocks are reduced to these sums once. Intervals can then be
counted from any block on.
"""

import numpy as np

from monitor.core.arrays import Float32, Float64
from monitor.core.forecasting.gap import GapFigures
from monitor.core.learning.head_fit import Stretch
from monitor.core.scoring.evidence.kinds import raw_features
from monitor.core.scoring.interval.bands import layout
from monitor.core.scoring.interval.head import Head
from monitor.core.scoring.interval.observations import Observations

CHUNK_BLOCKS = 4096
"""Blocks whitened at once. More: more memory. Fewer: more calls of NumPy."""

FEWEST_INTERVALS = 5
"""Fewest healthy intervals for a calibration. Lower: spreads are guesses. Higher: short recordings are refused."""

FEWEST_BLOCKS = 48
"""Fewest scored blocks for a calibration. Lower: too few samples for the coefficients of the head. Higher: short
recordings are refused."""

Context = list[Stretch]
"""The scored blocks of one healthy context; a spike, and the block after it, part two stretches."""


def fewest_intervals(interval_blocks: int) -> int:
    """Fewest healthy intervals for a calibration."""
    return max(FEWEST_INTERVALS, -(-FEWEST_BLOCKS // interval_blocks))


def context_sums(context: Context, head: Head) -> Float64:
    """The sums per block, as ``ObservationSums`` and ``GapSums`` make them.

    Returns:
        (blocks, bands + 2 parts + 3): band energies, wide energies, their squares, and the sums over the block of
        residual², residual⁴ and signal², in m/s².
    """
    of = layout(head.past.size)
    rows = []
    for stretch in context:
        for first in range(0, len(stretch.signal), CHUNK_BLOCKS):
            part = slice(first, first + CHUNK_BLOCKS)
            signal = stretch.signal[part].astype(np.float64)
            before, network = stretch.blocks_before(part), stretch.forecast[part]
            residual = signal - head.forecast(before, network)
            bands = (head.components(before, signal, network) ** 2) @ of.pool
            wide = bands @ of.wide
            squares = residual**2
            sums = [squares.sum(axis=1), (squares**2).sum(axis=1), (signal**2).sum(axis=1)]
            rows.append(np.concatenate([bands, wide, wide**2, np.stack(sums, axis=1)], axis=1))
    return np.concatenate(rows)


def cut(sums: Float64, start: int, interval_blocks: int, block_samples: int) -> Float32:
    """Raw features of consecutive whole intervals from block ``start`` on, (intervals, raw)."""
    of = layout(block_samples)
    bands, parts = of.bands, of.wide.shape[1]
    count = max(0, (len(sums) - start) // interval_blocks)
    if not count:
        return np.empty((0, of.raw), np.float32)
    mean = sums[start : start + count * interval_blocks].reshape(count, interval_blocks, -1).mean(axis=1)
    wide, squares = mean[:, bands : bands + parts], mean[:, bands + parts : bands + 2 * parts]
    residual, fourth, signal = mean[:, -3:].T / block_samples
    seen = Observations(
        mean[:, :bands].astype(np.float32),
        (squares / wide**2).astype(np.float32),
        (fourth / residual**2).astype(np.float32),
        residual.astype(np.float32),
    )
    rms, ratio = np.sqrt(signal).astype(np.float32), (residual / signal).astype(np.float32)
    return raw_features(seen, GapFigures(np.sqrt(residual).astype(np.float32), ratio, rms, rms))
