"""Records without a break, of one channel after another: for figures that need seconds of samples at once.

The velocity of standards needs two seconds, and a ring need not hold as much. So a few channels at a time have the
blocks kept that are taken of them. The others wait for their turn. This bounds both the memory and the time that such
figures take, whatever arrives: a channel has a record once in :data:`PERIOD_S`, or less often where there are more
channels than places.
"""

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from monitor.core.arrays import Bool, Float32, Float64, Int64, Rows
from monitor.core.diagnosis.figures import LEAST_S
from monitor.core.samples.rings import DueBlocks

PERIOD_S = 20.0
"""Seconds from a record of a channel to its next. Shorter: the figures cost throughput (one record of 25,600 samples
takes about 0.6 ms). Longer: a machine that shakes is seen later."""

SPARE = 1.5
"""Places over those that records of their length need. Fewer: pauses between records are longer than the period. More:
memory."""

LEAST_PLACES = 8
"""Channels, at least, that have records at the same time. Fewer: a few channels wait for each other for nothing."""

LEAST_BLOCKS = 10
"""Blocks of a record that a break ends, at least. Fewer: crest factor and kurtosis of so few samples say little."""

LOOK_S = 0.1
"""Seconds between two looks for channels whose turn it is. Shorter: it costs time. Longer: places stand empty."""

STALLED_S = 5.0
"""Seconds without a block after which a record ends. Shorter: pauses between messages end records. Longer: silent
channels keep others waiting."""


@dataclass(frozen=True, slots=True)
class Record:
    """Samples of one channel without a break."""

    row: int
    """The channel."""
    samples: Float32
    """(n,) in m/s²."""
    sampling_rate_hz: float
    """Their rate."""


class Records:
    """Collects records of ``channels`` rows, in turn."""

    def __init__(self, channels: int, block_samples: int) -> None:
        self._block_samples = block_samples
        self._rate_hz: Float64 = np.zeros(channels, np.float64)
        self._paused: Bool = np.zeros(channels, np.bool_)
        self._wanted: Int64 = np.zeros(channels, np.int64)
        """Blocks of a record of each row; 0: none."""
        self._needed = 0.0
        """Places that all rows need."""
        self._ended_s: Float64 = np.full(channels, -np.inf)
        self._place: Rows = np.full(channels, -1, np.intp)
        self._look_s = -np.inf
        self._finished: deque[int] = deque()
        """Places whose records wait to be taken."""
        self._make_places(0, 0)

    def _make_places(self, places: int, blocks: int) -> None:
        """Make places for records of so many blocks; open records are dropped."""
        self._place[:] = -1
        self._finished.clear()
        self._samples: Float32 = np.zeros((places, blocks, self._block_samples), np.float32)
        self._row: Rows = np.full(places, -1, np.intp)
        self._filled: Int64 = np.zeros(places, np.int64)
        self._whole: Bool = np.zeros(places, np.bool_)
        """Whether a record began with its context, so that a break shows how long contexts are."""
        self._fed_s: Float64 = np.zeros(places, np.float64)

    def configure(self, row: int, sampling_rate_hz: float) -> None:
        """Set the rate of a row; 0: it has no records. Another rate than before drops what is open."""
        if sampling_rate_hz == self._rate_hz[row]:
            return
        self._drop(row)
        blocks = int(np.ceil(LEAST_S * sampling_rate_hz / self._block_samples))
        self._needed -= self._share(row)
        self._rate_hz[row], self._wanted[row] = sampling_rate_hz, blocks
        self._needed += self._share(row)
        self._ended_s[row] = -np.inf
        places = min(self._rate_hz.size, max(LEAST_PLACES, math.ceil(self._needed)))
        if places > len(self._samples) or blocks > self._samples.shape[1]:
            # Twice as many as needed, since channels come one by one.
            most = min(self._rate_hz.size, max(2 * places, len(self._samples)))
            self._make_places(most, max(blocks, self._samples.shape[1]))

    def _share(self, row: int) -> float:
        """Places that a row needs: the share of the time in which it has a record, with some to spare."""
        rate_hz, blocks = float(self._rate_hz[row]), int(self._wanted[row])
        return SPARE * blocks * self._block_samples / PERIOD_S / rate_hz if rate_hz else 0.0

    def pause(self, row: int, *, paused: bool) -> None:
        """Make no records of a row for a while."""
        self._paused[row] = paused
        if paused:
            self._drop(row)

    def add(self, due: DueBlocks, now_s: float) -> None:
        """Take what is due of the rows whose turn it is; ``now_s`` is a monotonic instant."""
        if now_s >= self._look_s:
            self._look_s = now_s + LOOK_S
            self._end_stalled(now_s)
            self._give_places(due.rows, now_s)
        places = self._place[due.rows]
        at = np.flatnonzero(places >= 0)
        if not at.size:
            return
        places = places[at]
        first = due.first[at]
        if first.any():
            self._break(places[first], now_s)
            open_ = self._place[due.rows[at]] >= 0
            places, at, first = places[open_], at[open_], first[open_]
            self._whole[places[first]] = True
        filled = self._filled[places]
        self._samples[places, filled] = due.samples[at]
        self._filled[places] = filled + 1
        self._fed_s[places] = now_s
        full = filled + 1 >= self._wanted[due.rows[at]]
        for place in places[full].tolist():
            self._finish(place, now_s)

    def take(self) -> Record | None:
        """A record that is finished; None if there is none."""
        if not self._finished:
            return None
        place = self._finished.popleft()
        row = int(self._row[place])
        samples = self._samples[place, : self._filled[place]].reshape(-1).copy()
        self._free(place)
        return Record(row, samples, float(self._rate_hz[row]))

    def _give_places(self, rows: Rows, now_s: float) -> None:
        free = np.flatnonzero(self._row < 0)
        if not free.size:
            return
        ended_s = self._ended_s[rows]
        waits = (self._wanted[rows] > 0) & (self._place[rows] < 0) & ~self._paused[rows]
        waits &= now_s - ended_s >= PERIOD_S
        waiting = rows[waits]
        if not waiting.size:
            return
        # New channels are spread, so that not all records end at the same instant.
        count = min(free.size, waiting.size, max(LEAST_PLACES, int(np.ceil(len(self._row) * LOOK_S / LEAST_S))))
        order = np.argsort(self._ended_s[waiting], kind="stable")[:count]
        self._row[free[:count]] = waiting[order]
        self._place[waiting[order]] = free[:count]
        self._fed_s[free[:count]] = now_s

    def _end_stalled(self, now_s: float) -> None:
        open_ = (self._row >= 0) & (now_s - self._fed_s >= STALLED_S)
        for place in np.flatnonzero(open_).tolist():
            if self._place[self._row[place]] == place:
                self._finish(place, now_s)

    def _break(self, places: Rows, now_s: float) -> None:
        """A context begins in these places: what began with the one before is as long as it gets."""
        for place in places.tolist():
            if self._filled[place] and self._whole[place]:
                self._finish(place, now_s)
            else:
                self._filled[place] = 0

    def _finish(self, place: int, now_s: float) -> None:
        row = self._row[place]
        self._place[row], self._ended_s[row] = -1, now_s
        if self._filled[place] >= min(LEAST_BLOCKS, self._wanted[row]):
            self._finished.append(place)
        else:
            self._free(place)

    def _free(self, place: int) -> None:
        self._row[place] = -1
        self._filled[place] = 0
        self._whole[place] = False

    def _drop(self, row: int) -> None:
        for place in np.flatnonzero(self._row == row).tolist():
            if place in self._finished:
                self._finished.remove(place)
            self._free(place)
        self._place[row] = -1
