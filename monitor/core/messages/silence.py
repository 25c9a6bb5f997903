"""What a silence was, in a stream without numbers and times: a hole, or a connection that had stalled.

The first messages after it tell. If what is missing comes now, all at once, nothing was lost and the stream goes on; if
messages come as fast as they are measured, what the silence leaves open is missing. Until that is clear they are kept.
Instants of arrival come in as arguments. Does not handle: what is a silence, rings, memory.
"""

from typing import Generic

from monitor.core.messages.continuity import Arrival, Item, Piece, Verdict

CATCH_UP_S = 0.5
"""Seconds after a silence in which the messages of a stalled connection have to come. Shorter: a slow one ends the
context. Longer: after every real silence a stream is scored later."""


class Silence(Generic[Item]):
    """Keeps the first messages after a silence of one stream."""

    __slots__ = ("_kept", "_open_samples", "_sampling_rate_hz", "kept_bytes")

    def __init__(self, sampling_rate_hz: float) -> None:
        self.kept_bytes = 0
        """Memory of the messages that are kept."""
        self._sampling_rate_hz = sampling_rate_hz
        self._kept: list[Piece[Item]] = []
        self._open_samples = 0

    @property
    def keeps(self) -> bool:
        """Whether the last silence is not judged yet; every message goes to :meth:`take` then."""
        return bool(self._kept)

    def begin(self, piece: Piece[Item], open_samples: int, *, may_keep: bool = True) -> list[Verdict[Item]]:
        """Take the first message after a silence.

        Args:
            piece: the message.
            open_samples: samples that the silence leaves open before it.
            may_keep: whether there is memory to keep it; without, the silence is a hole.

        Returns:
            The judgements that are due, as of :meth:`monitor.core.messages.continuity.Continuity.take`.
        """
        self._open_samples = open_samples
        return self.take(piece, may_keep=may_keep)

    def take(self, piece: Piece[Item], *, may_keep: bool = True) -> list[Verdict[Item]]:
        """Take the next message, while earlier ones are kept."""
        self._kept.append(piece)
        self.kept_bytes += piece.size_bytes
        return self._judge(at_last=not may_keep)

    def overdue(self, now_s: float) -> list[Verdict[Item]]:
        """Judge the messages that have been kept for long enough at the monotonic instant ``now_s``."""
        if self._kept and now_s - self._kept[0].arrived_s > CATCH_UP_S:
            return self._judge(at_last=True)
        return []

    def _judge(self, *, at_last: bool) -> list[Verdict[Item]]:
        first, *others = self._kept
        passed_s = others[-1].arrived_s - first.arrived_s if others else 0.0
        caught_up = max(0, sum(piece.count for piece in others) - round(passed_s * self._sampling_rate_hz))
        stalled = 2 * caught_up >= self._open_samples
        if not stalled and not at_last:
            return []
        self._kept.clear()
        self.kept_bytes = 0
        missing = 0 if stalled else self._open_samples - caught_up
        arrival = Arrival.CAUGHT_UP if stalled else Arrival.MISSING
        return [Verdict(first, arrival, missing), *(Verdict(piece, Arrival.CONTIGUOUS) for piece in others)]
