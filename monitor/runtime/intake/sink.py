"""Where the samples of the channels go: the rings of the daemon, or the files of a recording.

Both get the same samples in the same order from :class:`monitor.runtime.intake.ingest.Ingest`, so a recording holds
what the daemon would have scored.
"""

from typing import Protocol

from monitor.core.arrays import Numbers


class SampleSink(Protocol):
    """Takes the samples of channels, one row a channel; see :class:`monitor.core.samples.rings.Rings`."""

    def rows(self) -> list[int]:
        """All rows, in the order in which they are given out."""

    def start_context(self, row: int, next_sample: int) -> int:
        """Samples are missing before the next ones of a row; returns how many incomplete ones are dropped."""

    def next_sample(self, row: int) -> int:
        """The index in its stream that the next sample of a row gets."""

    def append(self, row: int, samples: Numbers, factor: float, arrived_s: float) -> int:
        """Take contiguous samples, (n,), times ``factor`` in m/s²; returns how many do not fit."""

    def has_room(self, row: int, coming: int) -> bool:
        """Whether the next message of a row may come, after ``coming`` samples; False: who can wait with it should."""
