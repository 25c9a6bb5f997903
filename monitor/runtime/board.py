"""The latest figures of every channel of a lane: what the inference thread knows and everybody else may look at.

One short lock guards it, so nobody who looks ever stops the forecasts. Refuses to know: names, labels, who looks.
"""

import threading
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from monitor.core.kinds import KINDS
from monitor.core.pipeline import Intervals
from monitor.core.refusal import REFUSALS


class Skip(StrEnum):
    """Why a block was not scored; the values of the metric's label ``reason``."""

    WARM_UP = "warm_up"
    OVERLOAD = "overload"
    INCOMPLETE = "incomplete"


FIGURES = ("gap", "gap_ratio", "gap_whitened", "rms", "peak", "score")
"""Columns of the board that hold one figure of the last interval; NaN: there is none."""


class Board:
    """The latest figures of every row of a lane, and its counters. Written by the inference thread under ``lock``."""

    def __init__(self, channels: int) -> None:
        self.lock = threading.Lock()
        self.blocks_scored = np.zeros(channels, np.int64)
        self.skipped = {reason: np.zeros(channels, np.int64) for reason in (Skip.WARM_UP, Skip.OVERLOAD)}
        self.refused = {reason: np.zeros(channels, np.int64) for reason in REFUSALS}
        self.scored_at_s = np.zeros(channels, np.float64)
        self.gap = np.full(channels, np.nan, np.float32)
        self.gap_ratio = np.full(channels, np.nan, np.float32)
        self.gap_whitened = np.full(channels, np.nan, np.float32)
        self.rms = np.full(channels, np.nan, np.float32)
        self.peak = np.full(channels, np.nan, np.float32)
        self.score = np.full(channels, np.nan, np.float32)
        self.evidence = np.full((channels, len(KINDS)), np.nan, np.float32)
        self.dominant = np.full(channels, -1, np.int64)
        self.band = np.full((channels, 2), np.nan, np.float32)
        self.alarm_state = np.full(channels, -1, np.int64)
        self.refusal = np.zeros(channels, np.int8)
        """Code of the reason why the last interval has no score; 0: none."""
        self.coverage = np.full(channels, np.nan, np.float32)
        self.warm_up_belongs = np.zeros(channels, np.bool_)
        """Channels whose bursts always begin with a warm-up, which coverage does not count against them."""
        self._seen = np.zeros((2, channels), np.int64)

    def post(self, intervals: Intervals, at_s: npt.NDArray[np.float64], received: npt.NDArray[np.int64]) -> None:
        """Show the figures of closed intervals.

        Args:
            intervals: what closed.
            at_s: (n,) monotonic instants of their last samples.
            received: (n,) blocks that their channels have received so far.
        """
        rows, gaps, judged = intervals.rows, intervals.gaps, intervals.judgements
        self.scored_at_s[rows] = at_s
        self.gap[rows] = gaps.gap_mps2
        self.gap_ratio[rows] = gaps.gap_ratio
        self.gap_whitened[rows] = judged.gap_whitened
        self.rms[rows] = gaps.rms_mps2
        self.peak[rows] = gaps.peak_mps2
        self.score[rows] = judged.score
        self.evidence[rows] = judged.evidence
        self.dominant[rows] = judged.dominant
        self.band[rows] = judged.band
        self.alarm_state[rows] = judged.alarm_state
        self.refusal[rows] = judged.refusal
        for number in np.unique(judged.refusal[judged.refusal > 0]).tolist():
            self.refused[REFUSALS[number - 1]][rows[judged.refusal == number]] += 1
        received = received - np.where(self.warm_up_belongs[rows], self.skipped[Skip.WARM_UP][rows], 0)
        scored_before, received_before = self._seen[:, rows]
        scored = self.blocks_scored[rows]
        with np.errstate(invalid="ignore", divide="ignore"):
            share = (scored - scored_before) / (received - received_before)
        self.coverage[rows] = np.clip(share, 0.0, 1.0)
        self._seen[0, rows] = scored
        self._seen[1, rows] = received

    def clear(self, rows: npt.NDArray[np.intp], received: npt.NDArray[np.int64] | int = 0) -> None:
        """Forget ``rows``, whose rings have seen ``received`` blocks: another channel moves in."""
        with self.lock:
            for array in (self.blocks_scored, self.scored_at_s, *self.skipped.values(), *self.refused.values()):
                array[rows] = 0
            for figures in (*(getattr(self, name) for name in FIGURES), self.evidence, self.band, self.coverage):
                figures[rows] = np.nan
            self.dominant[rows] = self.alarm_state[rows] = -1
            self.refusal[rows] = 0
            self.warm_up_belongs[rows] = False
            self._seen[0, rows] = 0
            self._seen[1, rows] = received

    def counts(self, row: int) -> npt.NDArray[np.int64]:
        """The counters of a row, (n,), for a restart; the caller holds ``lock`` or is the thread that writes."""
        columns = (self.blocks_scored, *self.skipped.values(), *self.refused.values())
        return np.array([column[row] for column in columns], np.int64)

    def restore(self, row: int, counts: npt.NDArray[np.int64]) -> None:
        """Let the counters of a row that was just cleared go on from what :meth:`counts` gave."""
        columns = (self.blocks_scored, *self.skipped.values(), *self.refused.values())
        with self.lock:
            for column, count in zip(columns, counts.tolist(), strict=True):
                column[row] = count
            self._seen[0, row] = self.blocks_scored[row]
            if self.warm_up_belongs[row]:
                self._seen[1, row] -= self.skipped[Skip.WARM_UP][row]
