"""Tells sensors that send bursts, by the contexts of their streams: short ones, none with room for an interval.

A sensor with a battery sends a second of samples every few minutes. Each burst begins with a warm-up of its own. So a
burst is one interval, as long as the shortest of them allows, and it stands for the time until the next one.
"""

from typing import NamedTuple

import numpy as np

from monitor.core.arrays import Bool, Float64, Int64, Rows
from monitor.core.scoring.calibration.calibration import Calibration

WARMUP_BLOCKS = 5
"""Warm-up blocks of a burst. Fewer: the poor first forecasts widen what counts as normal. More: less of a short burst
is scored."""

CONTEXTS = 5
"""Contexts in a row without an interval by which a sensor of bursts is told. Fewer: a few losses one after the other
look like bursts. More: it takes longer until such a sensor learns."""

LONGER = 1.5
"""Seconds from one interval to the next, over the length of one, from which a calibration is one of bursts. Lower:
rounding makes bursts of a stream. Higher: bursts with short pauses count as a stream."""


class Burst(NamedTuple):
    """What a sensor sends at a time."""

    blocks: int
    """Blocks of the shortest burst, at least 2."""
    every_s: float
    """Seconds from one burst to the next."""


def cut(blocks: int, window_blocks: int) -> tuple[int, int]:
    """Scored blocks and warm-up of bursts with so many blocks.

    Args:
        blocks: blocks of the shortest burst.
        window_blocks: warm-up of the model; bursts of up to two such windows get a shorter one.
    """
    warmup = min(WARMUP_BLOCKS, max(1, blocks // 4)) if blocks <= 2 * window_blocks else window_blocks
    return max(1, blocks - warmup), warmup


def burst_of(calibration: Calibration) -> Burst | None:
    """The bursts that a calibration was made from; None: a stream."""
    length_s = calibration.interval_blocks * calibration.block_samples / calibration.sampling_rate_hz
    if calibration.interval_s <= LONGER * length_s:
        return None
    return Burst(calibration.interval_blocks + calibration.warmup_blocks, calibration.interval_s)


class Bursts:
    """The last contexts of a fixed number of channels."""

    def __init__(self, channels: int) -> None:
        self._blocks: Int64 = np.zeros(channels, np.int64)
        self._began: Float64 = np.zeros(channels, np.float64)
        self._closed: Bool = np.zeros(channels, np.bool_)
        self._short: Int64 = np.zeros(channels, np.int64)
        self._last_blocks: Int64 = np.zeros((channels, CONTEXTS), np.int64)
        self._last_began: Float64 = np.zeros((channels, CONTEXTS), np.float64)

    def forget(self, row: int) -> None:
        """Begin anew with a channel; the context that it is in does not count, its beginning was not seen."""
        self._blocks[row] = 0
        self._short[row] = -1

    def add(self, rows: Rows, first: Bool, arrived_s: Float64) -> Rows:
        """Count a block of each of ``rows``.

        Args:
            rows: (n,) the channels.
            first: (n,) True where a context begins with the block.
            arrived_s: (n,) when it came.

        Returns:
            The channels that turn out to send bursts with this block.
        """
        told = rows[:0]
        if first.any():
            begun = rows[first]
            ended = begun[self._blocks[begun] > 0]
            place = self._short[ended] % CONTEXTS
            self._last_blocks[ended, place], self._last_began[ended, place] = self._blocks[ended], self._began[ended]
            self._short[ended] = np.where(self._closed[ended], 0, self._short[ended] + 1)
            told = ended[self._short[ended] >= CONTEXTS]
            self._blocks[begun], self._closed[begun], self._began[begun] = 0, False, arrived_s[first]
        self._blocks[rows] += 1
        return told

    def close(self, rows: Rows) -> None:
        """The present contexts of ``rows`` had room for an interval."""
        self._closed[rows] = True

    def of(self, rows: Rows) -> tuple[Int64, Float64]:
        """Blocks of the shortest burst, 0 for a stream, and seconds between bursts, (n,) each."""
        blocks = np.where(self._short[rows] >= CONTEXTS, self._last_blocks[rows].min(axis=1), 0)
        apart_s = np.median(np.diff(np.sort(self._last_began[rows], axis=1), axis=1), axis=1)
        return blocks, apart_s
