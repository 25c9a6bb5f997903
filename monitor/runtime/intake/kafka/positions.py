"""Which record of a partition begins with which sample of a channel, for the worker that reads them again.

Who takes a channel over begins to read some blocks before the point at which it goes on. So marks are kept of the
records behind: the offset of one, and the stream indices of its first samples. A record whose samples came in another
order, or after missing ones, gets no mark. Does not handle: how far back to go (``ownership``).
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from monitor.runtime.intake.kafka.places import Place
from monitor.runtime.intake.source import Reached

SPACING_SAMPLES = 2500
"""Fewest samples between two marks of a channel: 25 blocks. Fewer: more memory. More: up to so many more samples are
read again."""

MOST_MARKS = 512
"""Marks of a topic; the oldest go first. Fewer: a channel whose intervals are very long begins anew elsewhere. More:
memory, where the state cannot be written for long."""


class Position(msgspec.Struct, frozen=True):
    """Where in the topic another worker goes on with a channel; stands in a header of its state, as JSON."""

    topic: str
    """Kafka's topic."""
    partition: int
    """Number of the partition."""
    offset: int
    """Offset of the record to begin with."""
    sample: int
    """Stream index of the channel's first sample in that record."""
    read: int
    """Offset of the last record of the channel that was read."""
    next: int
    """Stream index of the first sample behind it."""
    sensor: str
    """Topic of its sensor."""
    last_sample_at_s: float
    """UNIX seconds of its last samples."""

    @property
    def place(self) -> Place:
        """The partition."""
        return self.topic, self.partition


class Mark(NamedTuple):
    """A record and what it begins with."""

    offset: int
    """Its offset."""
    samples: dict[str, int]
    """Stream index of its first sample, by axis."""


@dataclass(slots=True)
class _Read:
    """How far one topic of sensors is read."""

    place: Place
    offset: int = -1
    next_samples: Mapping[str, int] | None = None
    marks: deque[Mark] = field(default_factory=lambda: deque(maxlen=MOST_MARKS))
    marked: int = -(2**62)


class Positions:
    """The marks of all topics of sensors whose partitions are read here."""

    def __init__(self) -> None:
        self._read: dict[str, _Read] = {}

    def note(self, topic: str, place: Place, offset: int, reached: Reached | None) -> None:
        """Take note of a record that was handed on.

        Args:
            topic: of its message.
            place: its partition.
            offset: its offset.
            reached: how far the channels of the topic are now; None: it has none.
        """
        read = self._read.get(topic)
        if reached is None:
            return
        begins = read is None or read.place != place
        if read is None or begins:
            read = self._read[topic] = _Read(place)
        before, read.offset = read.next_samples, offset
        count, now = reached.samples, reached.next_samples
        read.next_samples = None if reached.waits else now
        if reached.waits or (before is None and not begins):
            return
        first = next(iter(now))
        head = now[first] - count
        if before is not None and before.get(first, head) != head:
            return  # nothing was used of it, or samples are missing before it
        if head - read.marked >= SPACING_SAMPLES:
            read.marked = head
            read.marks.append(Mark(offset, {axis: sample - count for axis, sample in now.items()}))

    def of(self, topic: str, axis: str, at: int, warmup_samples: int, last_sample_at_s: float) -> Position | None:
        """Where to begin reading for a channel that goes on elsewhere.

        Args:
            topic: of its sensor.
            axis: its axis.
            at: stream index at which it goes on.
            warmup_samples: samples to read before that, as far as marks reach back.
            last_sample_at_s: UNIX seconds of its last samples.

        Returns:
            The position; None: no record is known that begins early enough.
        """
        read = self._read.get(topic)
        if read is None or read.next_samples is None:
            return None
        marks = [mark for mark in read.marks if mark.samples.get(axis, at + 1) <= at]
        if not marks:
            return None
        warm = [mark for mark in marks if mark.samples[axis] <= at - warmup_samples]
        mark = warm[-1] if warm else marks[0]
        reached = read.offset, read.next_samples[axis]
        return Position(*read.place, mark.offset, mark.samples[axis], *reached, topic, last_sample_at_s)

    def forget_before(self, topic: str, offset: int) -> None:
        """Forget the marks of records before ``offset``."""
        read = self._read.get(topic)
        while read is not None and read.marks and read.marks[0].offset < offset:
            read.marks.popleft()

    def forget(self, topics: list[str]) -> None:
        """Forget topics that are no longer read here."""
        for topic in topics:
            self._read.pop(topic, None)
