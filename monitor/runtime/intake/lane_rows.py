"""The rows of one lane: which channel has which, and which are free."""

from collections.abc import Iterable, Sequence

from monitor.runtime.intake.channel import Channel


class LaneRows:
    """Gives out the rows of a lane, and finds the channel of a row without a look at all channels."""

    def __init__(self, rows: Sequence[int], channels: Iterable[Channel]) -> None:
        """Take up the rows of a lane, in the order in which they are given out, and its present channels."""
        self.channels = {channel.row: channel for channel in channels}
        """The channels by row."""
        self._free = [row for row in reversed(rows) if row not in self.channels]

    @property
    def free(self) -> int:
        """Number of free rows."""
        return len(self._free)

    def take(self) -> int:
        """A free row, for a channel that the caller puts into ``channels``; IndexError: there is none."""
        return self._free.pop()

    def give_back(self, channel: Channel) -> None:
        """Free the row of a channel; it may be given out at once."""
        channel.gone = True
        del self.channels[channel.row]
        self._free.append(channel.row)
