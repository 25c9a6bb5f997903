"""A part of a recording between two times, such as the healthy beginning of a run-to-failure test."""

import math
from collections.abc import Iterator
from dataclasses import fields

from monitor.recording.source import PIECE_SAMPLES, Piece, Recording


def between(recording: Recording, first_s: float | None, last_s: float | None) -> Recording:
    """The part of a recording from ``first_s`` to ``last_s``, in seconds; None: no limit.

    If there are several records, those that start in this time are taken; from a single record, its samples.
    """
    if first_s is None and last_s is None:
        return recording
    return _Part(recording, first_s or 0.0, math.inf if last_s is None else last_s)


class _Part(Recording):
    """A recording that returns only a part of its samples."""

    def __init__(self, whole: Recording, first_s: float, last_s: float) -> None:
        super().__init__(**{field.name: getattr(whole, field.name) for field in fields(whole)})
        object.__setattr__(self, "_whole", whole)
        object.__setattr__(self, "_first_s", first_s)
        object.__setattr__(self, "_last_s", last_s)

    @property
    def first_record(self) -> int:
        """The first record of the part; past the last if there is none."""
        if self.records == 1:
            return 0
        starts_s = (self.record_start_s(record) - self.record_start_s(0) for record in range(self.records))
        return next((r for r, start_s in enumerate(starts_s) if start_s >= self.__dict__["_first_s"]), self.records)

    def record_start_s(self, record: int) -> float:
        """The start of a record in seconds; a single record starts at the cut."""
        whole: Recording = self.__dict__["_whole"]
        start_s: float = whole.record_start_s(record)
        if self.records > 1:
            return start_s
        skipped: int = round(self.__dict__["_first_s"] * self.sampling_rate_hz)
        return start_s + skipped / self.sampling_rate_hz

    def pieces(self, max_samples: int = PIECE_SAMPLES, *, own_unit: bool = False) -> Iterator[Piece]:
        """Read the part, as :meth:`Recording.pieces`; positions count from its first sample."""
        first_s, last_s = self.__dict__["_first_s"], self.__dict__["_last_s"]
        offset = self.record_start_s(0) if self.records > 1 else 0.0
        skipped = round(first_s * self.sampling_rate_hz)
        for piece in super().pieces(max_samples, own_unit=own_unit):
            if self.records > 1:
                if first_s <= self.record_start_s(piece.record) - offset < last_s:
                    yield piece
                continue
            end = len(piece.samples)
            if math.isfinite(last_s):
                end = min(end, round(last_s * self.sampling_rate_hz) - piece.start_sample)
            begin = max(0, skipped - piece.start_sample)
            if begin < end:
                yield Piece(piece.record, piece.start_sample + begin - skipped, piece.samples[begin:end])
