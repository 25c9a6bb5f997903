"""The latest figures of every channel of a lane: written by its workers, read by the daemon.

Each part has one writer and a version (a seqlock). The worker increments the version before and after it writes, so the
version is odd during a write. A reader copies one part at a time, and retries a part whose version changed meanwhile.
Readers never block a worker, and a write delays only the readers of its own part.
"""

import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from functools import partial
from itertools import pairwise
from typing import Any, Self, TypeVar

import numpy as np

from monitor.core.arrays import AnyArray, Bool, Float32, Float64, Int8, Int64, Rows, Zeros
from monitor.core.diagnosis.figures import Figures
from monitor.core.pipeline import Intervals
from monitor.core.samples.rings import part_borders
from monitor.core.scoring.calibration.conditions import MOST_PROTOTYPES
from monitor.core.scoring.evidence.kinds import KINDS
from monitor.core.scoring.plausibility import BY_WORKER, REFUSALS, Skip

Seen = TypeVar("Seen")

READS = 100
"""Attempts to read a part before a torn read (figures of two batches) is accepted. Lower: torn reads happen. Higher: a
worker that was killed during a write delays the last scrape for longer."""


FIGURES = ("gap", "gap_ratio", "gap_whitened", "rms", "peak", "score", "condition_distance")
"""Columns of the board that hold one figure of the last interval each; NaN: no figure."""

USUAL = ("velocity_rms", "crest_factor", "kurtosis", "peak_to_peak", "record_s")
"""Columns that hold one figure of the last record each; NaN: no figure."""


class Board:
    """The latest figures and the counters of every row of a lane; :meth:`read` copies them."""

    def __init__(self, channels: int, parts: int = 1, zeros: Zeros = np.zeros, *, joining: bool = False) -> None:
        """Make a board.

        Args:
            channels: number of rows.
            parts: number of workers that write.
            zeros: allocates the arrays.
            joining: whether another process has initialised these arrays already; their contents stay.
        """

        def empty(*width: int) -> Float32:
            figures: Float32 = zeros((channels, *width), np.float32)
            if not joining:
                figures[:] = np.nan
            return figures

        self.borders = part_borders(channels, parts)
        self._versions: Int64 = zeros(parts, np.int64)
        self.blocks_scored: Int64 = zeros(channels, np.int64)
        self.skipped = {reason: zeros(channels, np.int64) for reason in BY_WORKER}
        self.refused = {reason: zeros(channels, np.int64) for reason in REFUSALS}
        self.scored_at_s: Float64 = zeros(channels, np.float64)
        self.gap, self.gap_ratio, self.gap_whitened = empty(), empty(), empty()
        self.rms, self.peak, self.score, self.coverage = empty(), empty(), empty(), empty()
        self.condition_distance = empty()
        self.velocity_rms, self.crest_factor, self.kurtosis = empty(), empty(), empty()
        self.peak_to_peak, self.record_s = empty(), empty()
        self.evidence, self.band, self.times_healthy = empty(len(KINDS)), empty(2), empty(2)
        self.weights = empty(MOST_PROTOTYPES)
        """Weights of the learned conditions that explain the last interval."""
        self.alarm_state: Int64 = zeros(channels, np.int64)
        if not joining:
            self.alarm_state[:] = -1
        self.refusal: Int8 = zeros(channels, np.int8)
        """Code of the reason why the last interval has no score; 0: it has one."""
        self.calibrated: Bool = zeros(channels, np.bool_)
        """Channels that have a calibration."""
        self.warm_up_belongs: Bool = zeros(channels, np.bool_)
        """Channels that send bursts: every burst begins with a warm-up, which does not lower their coverage."""
        self._scored_before: Int64 = zeros(channels, np.int64)
        self._received_before: Int64 = zeros(channels, np.int64)

    def part(self, number: int, first: int, end: int) -> Self:
        """The rows from ``first`` up to ``end`` as a board of their own, for the worker that writes them."""
        part = copy(self)
        for name, value in vars(self).items():
            if isinstance(value, dict):
                setattr(part, name, {reason: counts[first:end] for reason, counts in value.items()})
            elif isinstance(value, np.ndarray):
                setattr(part, name, value[first:end])
        part.borders = [0, end - first]
        part._versions = self._versions[number : number + 1]  # noqa: SLF001
        return part

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Readers see all that is written in this context at once; for the one worker of a part."""
        self._versions += 1
        try:
            yield
        finally:
            self._versions += 1

    def consistent(self, part: int, look: Callable[[], Seen]) -> Seen:
        """Call ``look``, which copies figures of one part, until the part's worker did not write during the call."""
        for _ in range(READS):
            before = int(self._versions[part])
            if not before & 1:
                seen = look()
                if self._versions[part] == before:
                    return seen
            time.sleep(0.0001)
        return look()

    def read(self, names: Sequence[str], rows: Rows | None = None) -> dict[str, AnyArray]:
        """Copies of columns; all figures of a row come from the same batch.

        Args:
            names: of attributes, or reasons of :attr:`skipped` and :attr:`refused`.
            rows: the rows to read, in ascending order; None: all.

        Returns:
            Arrays by name, (rows, ...).
        """
        counts = {str(reason): column for reason, column in (self.skipped | self.refused).items()}
        columns = {name: counts[name] if name in counts else getattr(self, name) for name in names}
        at = self.borders if rows is None else np.searchsorted(rows, self.borders).tolist()
        size = at[-1]
        found = {name: np.empty((size, *column.shape[1:]), column.dtype) for name, column in columns.items()}

        def copy_part(target: slice, source: slice | Rows) -> None:
            for name, column in columns.items():
                found[name][target] = column[source]

        for part, (first, end) in enumerate(pairwise(at)):
            if end > first:
                target = slice(first, end)
                self.consistent(part, partial(copy_part, target, target if rows is None else rows[target]))
        return found

    def row(self, names: Sequence[str], row: int) -> list[Any]:
        """The figures of one row, all from the same batch."""
        columns = [getattr(self, name) for name in names]
        part = bisect_right(self.borders, row) - 1
        return self.consistent(part, lambda: [column[row].tolist() for column in columns])

    def post(self, intervals: Intervals, at_s: Float64, received: Int64) -> None:
        """Write the figures of closed intervals.

        Args:
            intervals: the n intervals that closed.
            at_s: (n,) monotonic instants of their last samples.
            received: (n,) blocks taken from their rings so far. Blocks that still wait do not count: their number
                depends on the length of a message.
        """
        rows, gaps, judged = intervals.rows, intervals.gaps, intervals.judgements
        self.scored_at_s[rows] = at_s
        self.gap[rows] = gaps.gap_mps2
        self.gap_ratio[rows] = gaps.gap_ratio
        self.gap_whitened[rows] = judged.gap_whitened
        self.rms[rows] = gaps.rms_mps2
        self.peak[rows] = gaps.peak_mps2
        self.score[rows] = judged.score
        self.condition_distance[rows] = judged.condition_distance
        self.evidence[rows] = judged.evidence
        self.band[rows] = judged.band
        self.times_healthy[rows] = judged.times_healthy
        self.weights[rows] = judged.weights
        self.alarm_state[rows] = judged.alarm_state
        self.refusal[rows] = judged.refusal
        for number in np.unique(judged.refusal[judged.refusal > 0]).tolist():
            self.refused[REFUSALS[number - 1]][rows[judged.refusal == number]] += 1
        received = received - np.where(self.warm_up_belongs[rows], self.skipped[Skip.WARM_UP][rows], 0)
        scored = self.blocks_scored[rows]
        with np.errstate(invalid="ignore", divide="ignore"):
            share = (scored - self._scored_before[rows]) / (received - self._received_before[rows])
        self.coverage[rows] = np.clip(share, 0.0, 1.0)
        self._scored_before[rows] = scored
        self._received_before[rows] = received

    def post_usual(self, row: int, figures: Figures, velocity_mps: float, record_s: float) -> None:
        """Write the figures of a record of one row."""
        self.velocity_rms[row] = velocity_mps
        self.crest_factor[row] = figures.crest_factor
        self.kurtosis[row] = figures.kurtosis
        self.peak_to_peak[row] = figures.peak_to_peak
        self.record_s[row] = record_s

    def clear_usual(self, row: int) -> None:
        """Remove the figures of records of one row."""
        for name in USUAL:
            getattr(self, name)[row] = np.nan

    def clear(self, rows: Rows, received: Int64 | int = 0) -> None:
        """Reset ``rows`` for new channels; their rings have seen ``received`` blocks."""
        with self.writing():
            for array in (self.blocks_scored, self.scored_at_s, *self.skipped.values(), *self.refused.values()):
                array[rows] = 0
            columns = (self.evidence, self.band, self.times_healthy, self.weights, self.coverage)
            for figures in (*(getattr(self, name) for name in FIGURES + USUAL), *columns):
                figures[rows] = np.nan
            self.alarm_state[rows] = -1
            self.refusal[rows] = 0
            self.calibrated[rows] = self.warm_up_belongs[rows] = False
            self._scored_before[rows] = 0
            self._received_before[rows] = received

    def counts(self, rows: Rows) -> Int64:
        """The counters of rows, (rows, n), to be kept over a restart; only the writing worker calls this."""
        columns = (self.blocks_scored, *self.skipped.values(), *self.refused.values())
        return np.stack([column[rows] for column in columns], axis=1)

    def restore(self, row: int, counts: Int64) -> None:
        """Continue the counters of a row that was just cleared from what :meth:`counts` gave, (n,)."""
        columns = (self.blocks_scored, *self.skipped.values(), *self.refused.values())
        with self.writing():
            for column, count in zip(columns, counts.tolist(), strict=True):
                column[row] = count
            self._scored_before[row] = self.blocks_scored[row]
            if self.warm_up_belongs[row]:
                self._received_before[row] -= self.skipped[Skip.WARM_UP][row]
