"""Whether a message continues its channel's stream: contiguous, after missing samples, repeated or late.

A sequence number decides where there is one, else the time of the first sample; with neither, messages are taken as
contiguous. Refuses to know: wall clocks, rings, payload formats.
"""

from dataclasses import dataclass
from enum import Enum

REORDER_WINDOW = 64
"""Messages by which a sequence number may lie behind and still be called late. Further behind, the sensor has
restarted its count. Lower: a burst of late packets looks like a restart. Higher: a sensor that restarts soon after its
start is taken for late and loses that many messages."""


class Arrival(Enum):
    """What a message is to its stream."""

    CONTIGUOUS = "contiguous"
    MISSING = "missing"
    RESTARTED = "restarted"
    REPEATED = "repeated"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement on one message."""

    arrival: Arrival
    """Samples are used if contiguous, missing or restarted; dropped if repeated or late."""
    missing_samples: int = 0
    """Samples between the last message and this one; 0 unless ``arrival`` is missing."""


CONTIGUOUS = Verdict(Arrival.CONTIGUOUS)


class Continuity:
    """Follows one stream of messages (all axes of a message share it)."""

    __slots__ = ("_count", "_sampling_rate_hz", "_seq", "_t")

    def __init__(self, sampling_rate_hz: float) -> None:
        self._sampling_rate_hz = sampling_rate_hz
        self._seq: int | None = None
        self._t: float | None = None
        self._count = 0

    def judge(self, count: int, seq: int | None, t: float | None) -> Verdict:
        """Judge the next message and remember it unless it is to be dropped.

        Args:
            count: samples an axis in the message.
            seq: its sequence number, one a message, if it has one.
            t: UNIX seconds of its first sample, if given.
        """
        if seq is None and t is None:
            return CONTIGUOUS
        verdict = CONTIGUOUS
        if seq is not None and self._seq is not None:
            verdict = self._by_sequence(seq - self._seq)
        elif t is not None and self._t is not None and seq is None:
            verdict = self._by_time(t - self._t, count)
        if verdict.arrival not in {Arrival.REPEATED, Arrival.LATE}:
            self._seq, self._t, self._count = seq, t, count
        return verdict

    def _by_sequence(self, step: int) -> Verdict:
        if step == 1:
            return CONTIGUOUS
        if step > 1:
            # What the missing messages held is not known; the last one's length is the best estimate.
            return Verdict(Arrival.MISSING, (step - 1) * self._count)
        if step == 0:
            return Verdict(Arrival.REPEATED)
        return Verdict(Arrival.LATE if step >= -REORDER_WINDOW else Arrival.RESTARTED)

    def _by_time(self, elapsed_s: float, count: int) -> Verdict:
        # Time stamps jitter, and whole messages get lost: half a message is the line between the two.
        tolerance_s = 0.5 * min(count, self._count) / self._sampling_rate_hz
        ahead_s = elapsed_s - self._count / self._sampling_rate_hz
        if abs(ahead_s) <= tolerance_s:
            return CONTIGUOUS
        if ahead_s > 0:
            return Verdict(Arrival.MISSING, round(ahead_s * self._sampling_rate_hz))
        return Verdict(Arrival.REPEATED if abs(elapsed_s) <= tolerance_s else Arrival.LATE)
