"""A lane: the arrays of one model that the daemon and its workers share.

Each channel of the model is a row, and the rows are divided into parts. The daemon writes samples into the rings. One
worker for each part takes the blocks of its rows and posts their figures to the board.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from monitor.core.arrays import Float64, Int64, Zeros
from monitor.core.forecasting.forecaster import Engine
from monitor.core.samples.condition_values import ConditionValues
from monitor.core.samples.rings import Rings
from monitor.runtime.lanes.board import Board
from monitor.runtime.lanes.histogram import Histogram

LATENCY_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
DURATION_BOUNDS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)
BATCH_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384)


@dataclass(frozen=True, slots=True)
class LaneShape:
    """Sizes and mode of a lane."""

    name: str
    """The model's name in the configuration."""
    channels: int
    """Number of rows."""
    block_samples: int
    """Samples in a block."""
    window_blocks: int
    """Blocks in the network's window."""
    capacity_blocks: int
    """Blocks that the ring of a row holds."""
    level_blocks: int = 100
    """Blocks over which the level averages."""
    mode: str = "carried"
    """``carried`` or ``windowed``."""
    parts: int = 1
    """Workers that share the rows."""


class Lane:
    """The rings, board and histograms of one model's rows."""

    def __init__(self, shape: LaneShape, zeros: Zeros = np.zeros, *, joining: bool = False) -> None:
        """Make a lane; ``joining``: another process has initialised its arrays already."""
        parts = shape.parts
        self.shape = shape
        self.first_row = 0
        """For a part of a lane: its first row in the whole lane."""
        self.rings = Rings(shape.channels, shape.capacity_blocks, shape.block_samples, parts, zeros)
        """The samples of every row."""
        self.board = Board(shape.channels, parts, zeros, joining=joining)
        """The latest figures of every row."""
        self.conditions = ConditionValues(shape.channels, zeros)
        """The measured operating quantities of every row."""
        self.durations = Histogram(DURATION_BOUNDS_S, parts, zeros)
        """Seconds that the pipeline took for a batch."""
        self.batches = Histogram(BATCH_BOUNDS, parts, zeros)
        """Blocks in a batch."""
        self.latencies = Histogram(LATENCY_BOUNDS_S, parts, zeros)
        """Seconds from the arrival of a block's last sample to its score."""
        self.beat_s: Float64 = zeros(parts, np.float64)
        """(parts,) monotonic instant of each worker's last heartbeat; 0: it has not begun."""
        self.ordered: Int64 = zeros(parts, np.int64)
        """(parts,) number of orders given to each worker so far."""
        self.viewer: Callable[[], Engine] | None = None
        """Loads an engine of the same network for the page and captures, which run it on a thread; None: no engine."""

    @property
    def name(self) -> str:
        """The model's name in the configuration."""
        return self.shape.name

    def part(self, number: int) -> Self:
        """One part as a lane of its own, with rows numbered from 0; for its worker."""
        part = copy(self)
        first, end = self.rings.borders[number : number + 2]
        part.shape = replace(self.shape, channels=end - first, parts=1)
        part.first_row = first
        part.rings, part.board = self.rings.part(number), self.board.part(number, first, end)
        part.conditions = self.conditions.part(first, end)
        part.durations, part.batches = self.durations.part(number), self.batches.part(number)
        part.latencies = self.latencies.part(number)
        part.beat_s, part.ordered = self.beat_s[number : number + 1], self.ordered[number : number + 1]
        return part
