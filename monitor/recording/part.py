"""A part of a recording, such as the healthy beginning of a run-to-failure test.

A part is whole records of several, or some samples of a single record. What else is read in step with the samples, such
as a measured speed, is cut alike with :func:`same_part`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from monitor.recording.fit import longest_record_samples
from monitor.recording.source import PIECE_SAMPLES, Piece, Recording


def between(recording: Recording, first_s: float | None, last_s: float | None) -> Recording:
    """The part of a recording from ``first_s`` to ``last_s``, in seconds; None: no limit.

    If there are several records, those that start in this time are taken; from a single record, its samples.
    """
    if first_s is None and last_s is None:
        return recording
    first = first_s or 0.0
    last = math.inf if last_s is None else last_s
    if recording.records > 1:
        offset = recording.record_start_s(0)
        return _part(recording, [r for r in _kept(recording) if first <= recording.record_start_s(r) - offset < last])
    rate_hz = recording.sampling_rate_hz
    return _part(recording, [0], round(first * rate_hz), None if math.isinf(last) else round(last * rate_hz))


def beginning(recording: Recording, fraction: float) -> Recording:
    """The first ``fraction`` of a recording, above 0 to 1: of its samples, or of its records if there are several.

    Of several records at least one is taken. The length of a single record of unknown length is found by reading it.
    """
    if fraction == 1.0:
        return recording
    if recording.records > 1:
        kept = _kept(recording)
        return _part(recording, kept[: max(1, round(fraction * len(kept)))])
    return _part(recording, [0], 0, round(fraction * longest_record_samples(recording)))


def same_part(recording: Recording, other: Recording) -> Recording:
    """The part of ``other`` that ``recording`` is of its whole; both wholes have the same records and samples."""
    if not isinstance(recording, _Part):
        return other
    inner = same_part(recording.whole, other)
    return _part(inner, recording.kept, recording.first_sample, recording.end_sample)


def _kept(recording: Recording) -> list[int]:
    return recording.kept if isinstance(recording, _Part) else list(range(recording.records))


def _part(whole: Recording, kept: list[int], first_sample: int = 0, end_sample: int | None = None) -> "_Part":
    given: dict[str, Any] = {field.name: getattr(whole, field.name) for field in fields(Recording)}
    part = _Part(**given, whole=whole, kept=kept, first_sample=first_sample, end_sample=end_sample)
    if whole.records > 1 or whole.record_samples is None:
        return part
    end = whole.record_samples if end_sample is None else min(end_sample, whole.record_samples)
    return replace(part, record_samples=max(0, end - first_sample))


@dataclass(frozen=True)
class _Part(Recording):
    """A recording that returns only a part of its samples."""

    whole: Recording
    """The recording that it is a part of."""
    kept: list[int]
    """Numbers of the records that are read, ascending."""
    first_sample: int
    """First sample of a single record."""
    end_sample: int | None
    """Sample of a single record before which the part ends; None: at its end."""

    @property
    def first_record(self) -> int:
        """The first record of the part; past the last if there is none."""
        return self.kept[0] if self.kept else self.records

    def record_start_s(self, record: int) -> float:
        """The start of a record in seconds; a single record starts at the cut."""
        start_s = self.whole.record_start_s(record)
        return start_s if self.records > 1 else start_s + self.first_sample / self.sampling_rate_hz

    def pieces(self, max_samples: int = PIECE_SAMPLES, *, own_unit: bool = False) -> Iterator[Piece]:
        """Read the part, as :meth:`Recording.pieces`; positions count from its first sample."""
        kept = frozenset(self.kept)
        last = max(kept, default=-1)
        for piece in self.whole.pieces(max_samples, own_unit=own_unit):
            if piece.record > last:
                return
            if self.records > 1:
                if piece.record in kept:
                    yield piece
                continue
            end = len(piece.samples)
            if self.end_sample is not None:
                end = min(end, self.end_sample - piece.start_sample)
            begin = max(0, self.first_sample - piece.start_sample)
            if begin < end:
                yield Piece(piece.record, piece.start_sample + begin - self.first_sample, piece.samples[begin:end])
