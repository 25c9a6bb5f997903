"""Pauses in a stream without numbers and times: were samples lost, or did the connection stall?

The first messages after the pause decide. If the missing samples now arrive in a burst, nothing was lost and the stream
continues. If messages arrive in real time, the samples of the pause are missing. Until that is clear, the messages are
held. Arrival times are arguments. Does not handle: what counts as a pause.
"""

from typing import Generic

from monitor.core.messages.order.continuity import Arrival, Item, Piece, Verdict

CATCH_UP_S = 0.5
"""Seconds after a pause within which a stalled connection must deliver its messages. Shorter: a slow one ends the
context. Longer: after every real loss a stream is scored later."""


class Silence(Generic[Item]):
    """Holds the first messages after a pause of one stream."""

    __slots__ = ("_kept", "_open_samples", "_sampling_rate_hz", "kept_bytes")

    def __init__(self, sampling_rate_hz: float) -> None:
        self.kept_bytes = 0
        """Memory of the held messages."""
        self._sampling_rate_hz = sampling_rate_hz
        self._kept: list[Piece[Item]] = []
        self._open_samples = 0

    @property
    def keeps(self) -> bool:
        """Whether the last pause is undecided; every message must then go to :meth:`take`."""
        return bool(self._kept)

    @property
    def kept_samples(self) -> int:
        """Samples of each axis in the held messages, which come all at once."""
        return sum(piece.count for piece in self._kept)

    def begin(self, piece: Piece[Item], open_samples: int, *, may_keep: bool = True) -> list[Verdict[Item]]:
        """Take the first message after a pause.

        Args:
            piece: the message.
            open_samples: samples that would have fitted into the pause.
            may_keep: whether there is memory to hold it; if not, the samples count as missing.

        Returns:
            The decisions made now, as from :meth:`monitor.core.messages.order.continuity.Continuity.take`.
        """
        self._open_samples = open_samples
        return self.take(piece, may_keep=may_keep)

    def take(self, piece: Piece[Item], *, may_keep: bool = True) -> list[Verdict[Item]]:
        """Take the next message while earlier ones are held."""
        self._kept.append(piece)
        self.kept_bytes += piece.size_bytes
        return self._judge(at_last=not may_keep)

    def overdue(self, now_s: float) -> list[Verdict[Item]]:
        """Decide if, at the monotonic time ``now_s``, the messages have been held for too long."""
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
