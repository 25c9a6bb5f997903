"""The order of one stream of messages: detects missing, reordered, repeated and late messages and clock steps.

The sequence number decides; without one, the time of the first sample. A message with neither counts as the next one.
Two kinds of messages are held back for a moment:

- *Early*: a few messages are missing before it. If they arrive now, all are used in the right order.
- *Doubted*: its time lies before the stream, or too far ahead to be explained by missing messages or by the local
  clock. A single one has a wrong time and is dropped when the stream continues. Several in order mean that the sensor's
  clock was set: they are used and start a new context.

Arrival times are arguments; no clock is read. Does not handle: pauses in a stream without numbers and times
(``silence``).
"""

from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

Item = TypeVar("Item")

LATE_MESSAGES = 64
"""A message up to this many messages behind is late, for example a broker's redelivery after a lost connection. Further
behind, the sensor has restarted its count. Lower: a burst of late messages looks like a restart. Higher: when a sensor
restarts soon after its start, its first messages are dropped as late."""

EARLY_MESSAGES = 4
"""Messages held while an earlier one is missing. Fewer: messages reordered by more are lost. More: after a real loss
the stream waits longer before it continues."""

LONGEST_WAIT_S = 2.0
"""Seconds for which a message is held for an earlier one. Shorter: messages reordered by a slow network are lost.
Longer: after a real loss a sensor with long messages is scored later."""

VAIN_WAITS = 16
"""Consecutive failed waits after which a stream no longer waits for missing messages; a late message turns waiting on
again. Fewer: rare losses turn the reordering off. More: a stream of bursts with short pauses is scored a few messages
late for longer."""

AGREEING = 3
"""Doubted messages in order that are accepted as a new time base. Fewer: two wrong times in a row are accepted. More: a
sensor whose clock was set is scored again later, and more messages are held meanwhile."""

AHEAD_S = 60.0
"""Seconds by which a message's time may run ahead of the local clock without being doubted; recordings replayed faster
than real time have such pauses between their records. Lower: these records are held. Higher: one wrong time within this
range counts as that many seconds of missing samples."""

LONGEST_PAUSE_S = 86_400.0
"""Longest pause between the records of a recording that is learned from consistent times. Longer: a wrong clock teaches
that any jump is normal."""

STANDING = 8
"""Consecutive repetitions of a number or time after which it is ignored. Fewer: a message that is sent repeatedly is
used more than once. More: a sensor whose clock is stuck loses that many messages."""

COUNTER_RANGES = (2**8, 2**16, 2**32)
"""Values at which the counters of sensors wrap around to 0."""


class Arrival(Enum):
    """How a message fits into its stream."""

    CONTIGUOUS = "contiguous"
    CAUGHT_UP = "caught_up"
    MISSING = "missing"
    RESTARTED = "restarted"
    CLOCK_STEP = "clock_step"
    REPEATED = "repeated"
    LATE = "late"
    FAR_AHEAD = "far_ahead"

    @property
    def used(self) -> bool:
        """Whether the samples are used."""
        return self not in {Arrival.REPEATED, Arrival.LATE, Arrival.FAR_AHEAD}

    @property
    def starts(self) -> bool:
        """Whether the samples start a new context."""
        return self in {Arrival.MISSING, Arrival.RESTARTED, Arrival.CLOCK_STEP}


@dataclass(frozen=True, slots=True, eq=False)
class Piece(Generic[Item]):
    """What decides the order of one message."""

    item: Item
    """The message itself; only passed through."""
    count: int
    """Samples per axis, at least 1."""
    seq: int | None
    """Sequence number, which counts messages; None if it has none."""
    t: float | None
    """UNIX seconds of its first sample; None if it has none."""
    arrived_s: float
    """Monotonic arrival time."""
    size_bytes: int = 0
    """Memory that it takes while it is held."""


@dataclass(frozen=True, slots=True)
class Verdict(Generic[Item]):
    """The decision on one message."""

    piece: Piece[Item]
    arrival: Arrival
    missing_samples: int = 0
    """Samples between the message before and this one; 0 unless ``arrival`` is missing."""
    reordered: bool = False
    """Whether it arrived before a message that precedes it in the stream."""


class Continuity(Generic[Item]):
    """Tracks the order of one stream of messages (all axes of a message share it)."""

    __slots__ = (
        "_arrived_s",
        "_begun",
        "_count",
        "_counter_range",
        "_doubted",
        "_early",
        "_longest_pause_s",
        "_repeats",
        "_sampling_rate_hz",
        "_seq",
        "_t",
        "_vain_waits",
        "kept_bytes",
        "standing",
    )

    def __init__(self, sampling_rate_hz: float) -> None:
        self.kept_bytes = 0
        """Memory of the held messages."""
        self.standing = False
        """Whether the number or time is stuck, so that missing samples cannot be detected."""
        self._sampling_rate_hz = sampling_rate_hz
        self._begun = False
        # From the last message that was used.
        self._seq: int | None = None
        self._t: float | None = None
        self._count = 0
        self._arrived_s = 0.0
        self._counter_range = 0
        self._repeats = 0
        self._longest_pause_s = 0.0
        self._vain_waits = 0
        self._early: list[Piece[Item]] = []
        self._doubted: list[Piece[Item]] = []

    @property
    def keeps(self) -> bool:
        """Whether any message is held."""
        return bool(self._early or self._doubted)

    def continues(self, count: int, seq: int | None, t: float | None, now_s: float) -> bool:
        """Fast path: True, and the message is recorded, if it follows the last one; else call :meth:`take`."""
        if not self._begun or self.standing or self._early or self._doubted or self._ahead(count, seq, t):
            return False
        self._remember(count, seq, t, now_s)
        return True

    def take(self, piece: Piece[Item], *, may_keep: bool = True) -> list[Verdict[Item]]:
        """Decide on the next message, and on held messages that it decides.

        Args:
            piece: the message.
            may_keep: whether there is memory to hold it; if not, a doubted time is accepted at once.

        Returns:
            The decisions made now, used messages in the order of their samples. A held message is in a later result.
        """
        verdicts: list[Verdict[Item]] = []
        self._judge(piece, may_keep, verdicts)
        return verdicts

    def overdue(self, now_s: float) -> list[Verdict[Item]]:
        """Release the early messages if, at the monotonic time ``now_s``, they have waited for too long."""
        verdicts: list[Verdict[Item]] = []
        if self._early and now_s - min(piece.arrived_s for piece in self._early) > LONGEST_WAIT_S:
            self._stop_waiting(verdicts)
        return verdicts

    def _ahead(self, count: int, seq: int | None, t: float | None) -> float:
        """Samples missing between the last message and this one; negative if they overlap."""
        if seq is not None and self._seq is not None:
            step = seq - self._seq
            # The lengths of the missing messages are unknown; the last one's length is the best estimate.
            return 0 if step == 1 else (self._counted(seq, step) - 1) * self._count
        if t is not None and self._t is not None:
            ahead = (t - self._t) * self._sampling_rate_hz - self._count
            # Time stamps jitter, and losses are whole messages: half a message separates the two.
            return 0.0 if abs(ahead) <= 0.5 * min(count, self._count) else ahead
        return 0

    def _counted(self, seq: int, step: int) -> int:
        """The step of a counter that may wrap around to 0."""
        assert self._seq is not None  # noqa: S101 - the caller looked
        if seq >= self._counter_range:
            self._counter_range = 0
            for limit in COUNTER_RANGES:
                if limit - LATE_MESSAGES <= self._seq < limit and seq < LATE_MESSAGES < self._seq:
                    self._counter_range = limit
        half = self._counter_range // 2
        return (step + half) % self._counter_range - half if half else step

    def _judge(self, piece: Piece[Item], may_keep: bool, verdicts: list[Verdict[Item]]) -> None:
        if not self._begun:
            self._use(piece, Arrival.CONTIGUOUS, verdicts)
            return
        ahead = self._ahead(piece.count, piece.seq, piece.t)
        repeated = abs(ahead + self._count) <= 0.5 * min(piece.count, self._count)
        if self.standing and (piece.seq is not None or piece.t is not None):
            self.standing = repeated
            self._use(piece, Arrival.CONTIGUOUS if repeated else self._stepped(piece), verdicts)
        elif ahead == 0:
            self._use(piece, Arrival.CONTIGUOUS, verdicts)
        elif repeated:
            self._repeat(piece, verdicts)
        elif ahead > 0:
            self._judge_ahead(piece, ahead, may_keep, verdicts)
        elif not self._numbered(piece):
            self._doubt(piece, may_keep, verdicts, near=ahead >= -(LATE_MESSAGES + 1) * self._count)
        elif ahead >= -(LATE_MESSAGES + 1) * self._count:
            self._vain_waits = 0
            verdicts.append(Verdict(piece, Arrival.LATE))
        else:
            self._use(piece, Arrival.RESTARTED, verdicts)

    def _judge_ahead(self, piece: Piece[Item], ahead: float, may_keep: bool, verdicts: list[Verdict[Item]]) -> None:
        passed_s = piece.arrived_s - self._arrived_s
        if ahead > (max(AHEAD_S, self._longest_pause_s) + passed_s) * self._sampling_rate_hz:
            if self._numbered(piece):
                self._use(piece, Arrival.RESTARTED, verdicts)
            else:
                self._doubt(piece, may_keep, verdicts, near=False)
        elif may_keep and self._vain_waits < VAIN_WAITS and ahead <= (EARLY_MESSAGES + 0.5) * self._count:
            if any(self._same(piece, early) for early in self._early):
                verdicts.append(Verdict(piece, Arrival.REPEATED))
                return
            self._drop_doubted(verdicts)
            self._early.append(piece)
            self.kept_bytes += piece.size_bytes
            if len(self._early) > EARLY_MESSAGES:
                self._vain_waits += 1
                self._use_next_early(verdicts)
                self._use_following(verdicts)
        elif self._early:
            self._stop_waiting(verdicts)
            self._judge(piece, may_keep, verdicts)
        else:
            self._use(piece, Arrival.MISSING, verdicts, round(ahead))

    def _doubt(self, piece: Piece[Item], may_keep: bool, verdicts: list[Verdict[Item]], *, near: bool) -> None:
        """Hold a message whose time does not fit.

        ``near``: it lies so little behind that it may be a redelivery; those arrive faster than real time.
        """
        if near:
            self._vain_waits = 0
        if self._doubted:
            last = self._doubted[-1]
            if self._same(piece, last):
                self._repeat(piece, verdicts)
                return
            assert piece.t is not None and last.t is not None  # noqa: S101, PT018 - only times are doubted
            pause_s = piece.t - last.t - last.count / self._sampling_rate_hz
            live = piece.arrived_s - last.arrived_s >= 0.5 * last.count / self._sampling_rate_hz
            if pause_s < -0.5 * min(piece.count, last.count) / self._sampling_rate_hz or (near and not live):
                self._drop_doubted(verdicts)
        self._repeats = 0
        self._doubted.append(piece)
        self.kept_bytes += piece.size_bytes
        if len(self._doubted) >= AGREEING or not may_keep:
            self._believe(verdicts)

    def _believe(self, verdicts: list[Verdict[Item]]) -> None:
        """Use the doubted messages and accept their times as the new time base."""
        first, *others = self._doubted
        self._learn_pause(self._ahead_of(first))
        self.kept_bytes -= sum(piece.size_bytes for piece in self._doubted)
        self._doubted.clear()
        self._use(first, Arrival.CLOCK_STEP, verdicts)
        for piece in others:
            ahead = self._ahead(piece.count, piece.seq, piece.t)
            self._learn_pause(ahead)
            self._use(piece, Arrival.MISSING if ahead > 0 else Arrival.CONTIGUOUS, verdicts, round(max(ahead, 0)))

    def _learn_pause(self, ahead: float) -> None:
        """Record a jump between consistent times as a usual pause between records."""
        pause_s = ahead / self._sampling_rate_hz
        if pause_s <= LONGEST_PAUSE_S:
            self._longest_pause_s = max(self._longest_pause_s, 2 * pause_s)

    def _drop_doubted(self, verdicts: list[Verdict[Item]]) -> None:
        for piece in self._doubted:
            late = piece.t is not None and self._t is not None and piece.t < self._t
            verdicts.append(Verdict(piece, Arrival.LATE if late else Arrival.FAR_AHEAD))
            self.kept_bytes -= piece.size_bytes
        self._doubted.clear()

    def _repeat(self, piece: Piece[Item], verdicts: list[Verdict[Item]]) -> None:
        self._repeats += 1
        if self._repeats < STANDING:
            verdicts.append(Verdict(piece, Arrival.REPEATED))
        else:
            self.standing = True
            self._use(piece, self._stepped(piece), verdicts)

    def _use(
        self, piece: Piece[Item], arrival: Arrival, verdicts: list[Verdict[Item]], missing_samples: int = 0
    ) -> None:
        self._drop_doubted(verdicts)
        if self._early and arrival in {Arrival.RESTARTED, Arrival.CLOCK_STEP}:
            self._stop_waiting(verdicts)
        self._remember(piece.count, piece.seq, piece.t, piece.arrived_s)
        verdicts.append(Verdict(piece, arrival, missing_samples))
        if self._early:
            self._vain_waits = 0
            self._use_following(verdicts)

    def _remember(self, count: int, seq: int | None, t: float | None, arrived_s: float) -> None:
        # A message without number or time counts as the next one.
        if seq is None and self._seq is not None:
            seq = self._seq + 1
        if t is None and self._t is not None:
            t = self._t + self._count / self._sampling_rate_hz
        self._seq, self._t, self._count, self._arrived_s = seq, t, count, arrived_s
        self._begun, self._repeats = True, 0

    def _use_following(self, verdicts: list[Verdict[Item]]) -> None:
        """Use the early messages that now follow without a gap."""
        while self._early and self._ahead_of(self._next_early()) <= 0:
            self._use_next_early(verdicts)

    def _stop_waiting(self, verdicts: list[Verdict[Item]]) -> None:
        self._vain_waits += 1
        while self._early:
            self._use_next_early(verdicts)

    def _use_next_early(self, verdicts: list[Verdict[Item]]) -> None:
        piece = self._next_early()
        ahead = self._ahead_of(piece)
        self._early.remove(piece)
        self.kept_bytes -= piece.size_bytes
        if ahead < 0:
            verdicts.append(Verdict(piece, Arrival.LATE))
            return
        self._remember(piece.count, piece.seq, piece.t, piece.arrived_s)
        arrival = Arrival.MISSING if ahead > 0 else Arrival.CONTIGUOUS
        verdicts.append(Verdict(piece, arrival, round(ahead), reordered=ahead == 0))

    def _next_early(self) -> Piece[Item]:
        return min(self._early, key=self._ahead_of)

    def _ahead_of(self, piece: Piece[Item]) -> float:
        return self._ahead(piece.count, piece.seq, piece.t)

    def _same(self, one: Piece[Item], other: Piece[Item]) -> bool:
        if one.seq is not None and other.seq is not None:
            return one.seq == other.seq
        if one.t is not None and other.t is not None:
            return abs(one.t - other.t) * self._sampling_rate_hz <= 0.5 * min(one.count, other.count)
        return False

    def _numbered(self, piece: Piece[Item]) -> bool:
        return piece.seq is not None and self._seq is not None

    def _stepped(self, piece: Piece[Item]) -> Arrival:
        return Arrival.RESTARTED if self._numbered(piece) else Arrival.CLOCK_STEP
