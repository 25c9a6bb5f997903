"""A lane: everything of one model that more than one process sees; its channels are rows, its rows come in parts.

The daemon writes samples into the rings; one worker a part takes the blocks of its rows, and posts what they are worth
to the board. Refuses to know: engines, channels' names, processes.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from monitor.core.forecaster import Engine
from monitor.core.rings import Rings, Zeros
from monitor.runtime.lanes.board import Board
from monitor.runtime.lanes.histogram import Histogram

LATENCY_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
DURATION_BOUNDS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)
BATCH_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384)


@dataclass(frozen=True, slots=True)
class LaneShape:
    """What a lane is made of."""

    name: str
    """The model's name in the configuration."""
    channels: int
    """Rows."""
    block_samples: int
    """Samples in a block."""
    window_blocks: int
    """Blocks in the network's window."""
    capacity_blocks: int
    """Blocks that a row's ring holds."""
    level_blocks: int = 100
    """Blocks over which the level averages."""
    mode: str = "carried"
    """``carried`` or ``windowed``."""
    parts: int = 1
    """Workers that share the rows."""


class Lane:
    """Rings, board and histograms of a number of rows."""

    def __init__(self, shape: LaneShape, zeros: Zeros = np.zeros, *, joining: bool = False) -> None:
        """Make a lane; ``joining``: of arrays that another process has made already."""
        parts = shape.parts
        self.shape = shape
        self.first_row = 0
        """Of a part, its first row in the whole lane."""
        self.rings = Rings(shape.channels, shape.capacity_blocks, shape.block_samples, parts, zeros)
        """The samples."""
        self.board = Board(shape.channels, parts, zeros, joining=joining)
        """The latest figures."""
        self.durations = Histogram(DURATION_BOUNDS_S, parts, zeros)
        """Seconds of one batch through the pipeline."""
        self.batches = Histogram(BATCH_BOUNDS, parts, zeros)
        """Blocks in a batch."""
        self.latencies = Histogram(LATENCY_BOUNDS_S, parts, zeros)
        """Seconds from the arrival of a block's last sample to its score."""
        self.beat_s: npt.NDArray[np.float64] = zeros(parts, np.float64)
        """(parts,) monotonic instant of each worker's last sign of life; 0: it has not begun."""
        self.ordered: npt.NDArray[np.int64] = zeros(parts, np.int64)
        """(parts,) orders ever given to each worker."""
        self.viewer: Callable[[], Engine] | None = None
        """Makes an engine of the same network for those who look, on a thread of theirs; None: there is none."""

    @property
    def name(self) -> str:
        """The model's name in the configuration."""
        return self.shape.name

    def part(self, number: int) -> Self:
        """One part as a lane of its own, whose rows count from 0; for its worker."""
        part = copy(self)
        first, end = self.rings.borders[number : number + 2]
        part.shape = replace(self.shape, channels=end - first, parts=1)
        part.first_row = first
        part.rings, part.board = self.rings.part(number), self.board.part(number, first, end)
        part.durations, part.batches = self.durations.part(number), self.batches.part(number)
        part.latencies = self.latencies.part(number)
        part.beat_s, part.ordered = self.beat_s[number : number + 1], self.ordered[number : number + 1]
        return part
