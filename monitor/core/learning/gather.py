"""Gathers what channels learn from while they run: first blocks to fit a head to, then features of intervals.

The whitening of a head evens out the bands, whatever condition it was fitted under, and conditions are dealt with
behind it. So it is fitted to the first minutes of running. From then on a few numbers of each interval are enough, and
no samples are kept for weeks. Only plausible intervals of a running machine count. What is left out is counted: refused
intervals, and the beginning, after an overhaul or a long standstill, while the machine settles.

Blocks take room (0.4 MB a channel), so a channel takes them only when it is given a turn. Intervals wait in a small
array until they are taken over; which of them are kept is a matter of :mod:`monitor.core.learning.thinning`.
"""

from dataclasses import dataclass

import numpy as np

from monitor.core.arrays import Bool, Float32, Float64, Int8, Int64, Rows
from monitor.core.forecasting.gap import ComparedBlocks
from monitor.core.learning.block_sums import Context
from monitor.core.learning.bursts import Bursts
from monitor.core.learning.head_fit import Stretch
from monitor.core.learning.thinning import kept
from monitor.core.samples.rings import DueBlocks
from monitor.core.scoring.calibration.conditions import MOST_QUANTITIES
from monitor.core.scoring.calibration.measured import Measured
from monitor.core.scoring.interval.bands import layout
from monitor.core.scoring.plausibility import ACCEPTED, REFUSALS, STOPPED_SHARE, Refusal, code

HEAD_BLOCKS = 512
"""Blocks that a head is fitted to. Fewer: too few samples for its coefficients (25,000 for all of the past). More: more
memory during a turn; with 8,192 the head of a bearing rig foresaw as much."""

RUN_BLOCKS = 64
"""Most blocks that are taken from one interval, so that the head sees more than one moment."""

PENDING = 96
"""Most intervals of a channel that wait to be taken over. Fewer: short ones are lost. More: more memory, 144 bytes
each."""

LOUDER_INTERVALS = 30
"""Consecutive intervals so loud that the level known so far was a standstill, after which learning must start again.
Fewer: a passing noise restarts it. More: it goes on with a useless head."""

SETTLING = len(REFUSALS)
"""Column of :attr:`Gathered.left_out` for intervals while the machine settles; the others are those of the refusals."""

LEFT_OUT = (*(str(reason) for reason in REFUSALS), "settling", "overflow")
"""Names of the columns: why an interval of a channel that learns was left out."""

USED = (ACCEPTED, code(Refusal.UNKNOWN_CONDITION))
"""Codes of intervals that are learned: what a provisional calibration does not know yet is what it lacks."""

STILL = (code(Refusal.STOPPED), code(Refusal.FLAT_LINE))
"""Codes of a machine that stands."""


@dataclass(frozen=True)
class Gathered:
    """What was gathered since the last time; n intervals, k channels."""

    number: Int64
    """(n,) number of the learning that each interval belongs to."""
    place: Int64
    """(n,) place of the interval among those that its channel has seen, from 0."""
    at_s: Float64
    """(n,) when it ended, as given to :meth:`Gatherer.close`."""
    raw: Float32
    """(n, R) its raw features."""
    measured: Float32
    """(n, MOST_QUANTITIES) means of the measured quantities, NaN where not known or not named."""
    numbers: Int64
    """(k,) the learnings that went on."""
    seen: Int64
    """(k,) intervals seen so far, the settling ones left out."""
    settled: Bool
    """(k,) whether the machine has settled."""
    left_out: Int64
    """(k, reasons) intervals left out so far, in the order of :data:`LEFT_OUT`."""
    louder: Bool
    """(k,) whether the machine has become so loud that what was learned was a standstill."""
    burst_blocks: Int64
    """(k,) blocks of the shortest burst, where bursts come in which no interval finds room; 0: none do."""
    burst_every_s: Float64
    """(k,) seconds from one burst to the next."""


class _Turn:
    """The blocks for the head of one channel, while they come."""

    def __init__(self, block_samples: int, every: int) -> None:
        self.signal: Float32 = np.empty((HEAD_BLOCKS, block_samples), np.float32)
        self.forecast: Float32 = np.empty((HEAD_BLOCKS, block_samples), np.float32)
        self.starts: list[tuple[int, Float32]] = []
        self.taken, self.open, self.intervals, self.every = 0, 0, 0, every
        self.last: Float32 | None = None

    def add(self, signal: Float32, forecast: Float32, before: Float32 | None) -> None:
        """Add a block; ``before`` is the block before it, None if that was added."""
        at = self.taken + self.open
        before = self.last if before is None else before
        if self.intervals % self.every == 0 and self.open < RUN_BLOCKS and at < HEAD_BLOCKS and before is not None:
            if before is not self.last or not self.open:
                self.starts.append((at, before))
            self.signal[at], self.forecast[at] = signal, forecast
            self.open += 1
        self.last = signal.copy()

    def close(self, *, used: bool) -> None:
        """End an interval; its blocks are dropped unless it is used."""
        if used:
            self.taken += self.open
            self.intervals += 1
        self.starts = [start for start in self.starts if start[0] < self.taken]
        self.open = 0

    @property
    def full(self) -> bool:
        """Whether all blocks are there."""
        return self.taken == HEAD_BLOCKS

    def context(self) -> Context:
        """The blocks, as stretches of consecutive ones."""
        ends = [at for at, _ in self.starts[1:]] + [self.taken]
        return [
            Stretch(before, self.signal[first:end], self.forecast[first:end])
            for (first, before), end in zip(self.starts, ends, strict=True)
        ]


class Gatherer:
    """Gathers for those of a fixed number of channels that learn."""

    def __init__(self, channels: int, block_samples: int) -> None:
        self._block_samples = block_samples
        self._raw = layout(block_samples).raw
        self.measured = Measured(channels)
        self._number: Int64 = np.full(channels, -1, np.int64)
        self._seen: Int64 = np.zeros(channels, np.int64)
        self._settle: Int64 = np.zeros(channels, np.int64)
        self._settling: Int64 = np.zeros(channels, np.int64)
        self._still: Int64 = np.zeros(channels, np.int64)
        self._level: Float32 = np.zeros(channels, np.float32)
        self._louder: Int64 = np.zeros(channels, np.int64)
        self._left_out: Int64 = np.zeros((channels, len(LEFT_OUT)), np.int64)
        self._waiting: Int64 = np.zeros(channels, np.int64)
        self._changed: Bool = np.zeros(channels, np.bool_)
        self._only_unknown: Bool = np.zeros(channels, np.bool_)
        # Never touched, and so without memory, while no channel learns.
        self._pending: Float32 = np.zeros((channels, PENDING, self._raw + MOST_QUANTITIES), np.float32)
        self._places: Int64 = np.zeros((channels, PENDING), np.int64)
        self._ended: Float64 = np.zeros((channels, PENDING), np.float64)
        self._turns: dict[int, _Turn] = {}
        self._bursts = Bursts(channels)

    @property
    def active(self) -> bool:
        """Whether any channel learns."""
        return bool((self._number >= 0).any())

    @property
    def fullest(self) -> int:
        """Most intervals that wait for one channel, of :data:`PENDING`."""
        return int(self._waiting.max(initial=0))

    def number(self, row: int) -> int:
        """The number of a channel's learning; -1: it does not learn."""
        return int(self._number[row])

    def begin(
        self,
        row: int,
        number: int,
        *,
        names: tuple[str, ...] = (),
        settle: int = 0,
        settling: int = 0,
        seen: int = 0,
        left_out: Int64 | None = None,
        only_unknown: bool = False,
    ) -> None:
        """Have a channel learn; what it gathered for another number is dropped.

        Args:
            row: the channel.
            number: identifies the learning.
            names: measured quantities, at most :data:`MOST_QUANTITIES`.
            settle: intervals to leave out after a standstill that was longer than so many.
            settling: intervals to leave out now.
            seen: intervals that were seen in an earlier run.
            left_out: (reasons,) intervals that were left out in an earlier run.
            only_unknown: gather only what the channel's calibration refuses as an unknown condition.
        """
        self.end(row)
        self._number[row], self._only_unknown[row] = number, only_unknown
        self._settle[row], self._settling[row], self._seen[row] = settle, settling, seen
        if left_out is not None:
            self._left_out[row] = left_out
        self._changed[row] = True
        self._bursts.forget(row)
        self.measured.choose(np.array([row]), names)

    def end(self, row: int) -> None:
        """Have a channel learn no longer."""
        rows = np.array([row])
        self._number[row] = -1
        for array in (self._seen, self._settle, self._settling, self._still, self._louder, self._waiting):
            array[row] = 0
        self._left_out[row] = 0
        self._level[row] = 0.0
        self._changed[row] = False
        self._turns.pop(row, None)
        self.measured.choose(rows, ())

    def level(self, row: int, level_mps2: float) -> None:
        """Say how loud the running machine is, in RMS."""
        self._level[row] = level_mps2

    def take_turn(self, row: int, every: int) -> None:
        """Take blocks for the head of a channel from every so many intervals; they come with :meth:`filled`.

        With 0 it gives its turn back.
        """
        self._turns.pop(row, None)
        if every:
            self._turns[row] = _Turn(self._block_samples, every)

    def arrived(self, due: DueBlocks) -> None:
        """Take note of blocks before they are compared: bursts are told by them."""
        told = self._bursts.add(due.rows, due.first, due.arrived_s)
        self._changed[told] |= self._number[told] >= 0

    def reset(self, rows: Rows) -> None:
        """Drop the open intervals of ``rows``."""
        self.measured.reset(rows)
        for row in self._turns.keys() & set(rows.tolist()):
            self._turns[row].close(used=False)
            self._turns[row].last = None

    def add(self, batch: ComparedBlocks, conditions: Float32 | None) -> None:
        """Add one compared block of each channel in the batch; see :meth:`monitor.core.scoring.judge.Judge.add`."""
        self.measured.add(batch.rows, conditions)
        if not self._turns:
            return
        for at, row in enumerate(batch.rows.tolist()):
            turn = self._turns.get(row)
            if turn is not None:
                before = None if batch.before is None or batch.follows[at] else batch.before[at]
                turn.add(batch.signal[at], batch.forecast[at], before)

    def close(self, rows: Rows, refusal: Int8, with_head: Bool, raw: Float32, at_s: Float64) -> None:
        """Take the closed intervals of ``rows``.

        Args:
            rows: (n,) the channels.
            refusal: (n,) codes of the plausibility check.
            with_head: (n,) True where raw features were made.
            raw: (m, R) raw features where they were.
            at_s: (n,) when each ended.
        """
        measured, _ = self.measured.close(rows)
        self._bursts.close(rows)
        learning = self._number[rows] >= 0
        if not learning.any():
            return
        features: Float32 = np.full((rows.size, self._raw), np.nan, np.float32)
        features[with_head] = raw
        values: Float32 = np.full((rows.size, MOST_QUANTITIES), np.nan, np.float32)
        if measured is not None:
            values[:] = measured
        rows, refusal, features = rows[learning], refusal[learning], features[learning]
        used = self._settled(rows, refusal)
        for row in self._turns.keys() & set(rows.tolist()):
            self._turns[row].close(used=bool(used[rows == row][0]))
        used &= np.isfinite(features).all(axis=1)
        rows, features = rows[used], features[used]
        loud = (self._level[rows] > 0) & (np.exp(features[:, -2]) * STOPPED_SHARE > self._level[rows])
        self._louder[rows] = np.where(loud, self._louder[rows] + 1, 0)
        place = self._seen[rows]
        self._seen[rows] += 1
        wanted = kept(place, place + 1)
        room = self._waiting[rows] < PENDING
        self._left_out[rows[wanted & ~room], LEFT_OUT.index("overflow")] += 1
        chosen = wanted & room
        rows, at = rows[chosen], self._waiting[rows[chosen]]
        self._pending[rows, at, : self._raw] = features[chosen]
        self._pending[rows, at, self._raw :] = values[learning][used][chosen]
        self._places[rows, at], self._ended[rows, at] = place[chosen], at_s[learning][used][chosen]
        self._waiting[rows] += 1

    def _settled(self, rows: Rows, refusal: Int8) -> Bool:
        """Count what is left out of closed intervals; returns (n,) True where one is used."""
        self._changed[rows] = True
        used = np.isin(refusal, USED)
        refused = ~used
        used &= ~self._only_unknown[rows] | (refusal == code(Refusal.UNKNOWN_CONDITION))
        self._left_out[rows[refused], refusal[refused].astype(np.int64) - 1] += 1
        still = np.isin(refusal, STILL)
        self._still[rows[still]] += 1
        moving = rows[used]
        long = (self._still[moving] >= self._settle[moving]) & (self._settle[moving] > 0)
        self._settling[moving[long]] = self._settle[moving[long]]
        self._still[moving] = 0
        settling = used & (self._settling[rows] > 0)
        self._settling[rows[settling]] -= 1
        self._left_out[rows[settling], SETTLING] += 1
        return used & ~settling

    def filled(self) -> list[tuple[int, int, Context]]:
        """Row, number and blocks of the channels whose turn is over."""
        done = [row for row, turn in self._turns.items() if turn.full]
        return [(row, int(self._number[row]), self._turns.pop(row).context()) for row in done]

    def take(self) -> Gathered | None:
        """What was gathered since the last call; None if nothing was."""
        rows = np.flatnonzero(self._changed)
        if not rows.size:
            return None
        self._changed[rows] = False
        waiting = self._waiting[rows]
        of, at = np.repeat(rows, waiting), np.concatenate([np.arange(0), *(np.arange(n) for n in waiting.tolist())])
        together = self._pending[of, at]
        found = Gathered(
            self._number[of],
            self._places[of, at],
            self._ended[of, at],
            together[:, : self._raw],
            together[:, self._raw :],
            self._number[rows],
            self._seen[rows],
            self._settling[rows] == 0,
            self._left_out[rows],
            self._louder[rows] >= LOUDER_INTERVALS,
            *self._bursts.of(rows),
        )
        self._waiting[rows] = 0
        return found
