"""The intervals that a worker has closed, one after the other, for whoever wants each of them and not only the latest.

The board has the latest figures of a channel, and a reader that comes late misses what was there between. So a worker
that is asked to (:class:`monitor.runtime.lanes.orders.Report`) also keeps a row of figures of every interval of a
channel with a calibration, and hands them over together, a few times a second. Does not handle: who wants them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from monitor.core.arrays import AnyArray, Float64, Int64
from monitor.core.pipeline import Intervals
from monitor.core.scoring.calibration.conditions import MOST_PROTOTYPES
from monitor.core.scoring.evidence.kinds import KINDS
from monitor.runtime.lanes.board import FIGURES, Board

ROOM = 4096
"""Intervals that wait to be handed over. Fewer: more messages, where many channels close an interval together. More:
memory, 0.2 kB each."""

HAND_OVER_S = 0.2
"""Seconds between two messages. Shorter: more messages, where channels close their intervals at different times.
Longer: scores are published later."""

LATEST = (*FIGURES, "coverage", "evidence", "band", "times_healthy", "weights", "alarm_state", "refusal")
"""Columns of the board that are kept of each interval."""

CLOSED = np.dtype(
    [
        ("row", np.int64),
        ("clears", np.int64),
        ("first_sample", np.int64),
        ("end_sample", np.int64),
        ("ended_s", np.float64),
        *((name, np.float32) for name in (*FIGURES, "coverage")),
        ("evidence", np.float32, len(KINDS)),
        ("band", np.float32, 2),
        ("times_healthy", np.float32, 2),
        ("weights", np.float32, MOST_PROTOTYPES),
        ("alarm_state", np.int8),
        ("refusal", np.int8),
    ]
)
"""One interval: row in the lane; how often the row had been cleared, which tells its channels apart; stream indices of
the first sample and after the last one; monotonic arrival of the last one; and the board's columns."""


@dataclass(frozen=True, slots=True)
class Closed:
    """Intervals that a worker closed, in order."""

    intervals: AnyArray
    """(n,) of :data:`CLOSED`."""


class ClosedIntervals:
    """Collects the intervals of one worker's part."""

    def __init__(self, channels: int, first_row: int, tell: Callable[[Closed], None]) -> None:
        """Make one that collects nothing yet.

        Args:
            channels: rows of the part.
            first_row: the part's first row in the whole lane.
            tell: called with what is handed over.
        """
        self.wanted = False
        self._clears: Int64 = np.zeros(channels, np.int64)
        self._first_row = first_row
        self._tell = tell
        self._waiting: AnyArray = np.zeros(0, CLOSED)
        self._count = 0
        self._due_s = 0.0

    def cleared(self, row: int) -> None:
        """Note that a row has another channel from now on."""
        self._clears[row] += 1

    def want(self, wanted: bool) -> None:
        """Begin or end to collect."""
        self.wanted = wanted
        self._waiting, self._count = np.zeros(ROOM if wanted else 0, CLOSED), 0

    def add(self, intervals: Intervals, ended_s: Float64, board: Board) -> None:
        """Keep the intervals of channels with a calibration that were just posted to ``board``.

        Args:
            intervals: the n intervals.
            ended_s: (n,) monotonic arrival of their last samples.
            board: the part's board, which only this process writes.
        """
        if not self.wanted:
            return
        judged = np.flatnonzero(intervals.judgements.alarm_state >= 0)
        for at in range(0, judged.size, ROOM):
            chosen = judged[at : at + ROOM]
            if self._count + chosen.size > ROOM:
                self.hand_over()
            rows = intervals.rows[chosen]
            kept = self._waiting[self._count : self._count + chosen.size]
            kept["row"], kept["clears"] = rows + self._first_row, self._clears[rows]
            kept["first_sample"], kept["end_sample"] = intervals.start_sample[chosen], intervals.end_sample[chosen]
            kept["ended_s"] = ended_s[chosen]
            for name in LATEST:
                kept[name] = getattr(board, name)[rows]
            self._count += chosen.size

    def hand_over_due(self, now_s: float) -> None:
        """Hand over what waits, if the last time was long enough ago."""
        if self._count and now_s >= self._due_s:
            self._due_s = now_s + HAND_OVER_S
            self.hand_over()

    def hand_over(self) -> None:
        """Hand over what waits."""
        if self._count:
            self._tell(Closed(self._waiting[: self._count].copy()))
            self._count = 0
