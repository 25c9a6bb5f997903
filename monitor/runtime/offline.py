"""Recordings through the very same pipeline, as fast as it goes, without broker, threads or clock.

Replays, backtests and calibrations differ from the daemon only here: samples come from files and intervals go to the
caller. Refuses to know: what is done with the intervals.
"""

import math
from collections.abc import Iterator
from dataclasses import fields

import numpy as np

from monitor.core.pipeline import Pipeline, Processed
from monitor.core.rings import DueBlocks, Rings
from monitor.recording.source import PIECE_SAMPLES, Piece, Recording

PIECE_BLOCKS = 256
"""Blocks read at once from each recording."""


def drive(
    pipeline: Pipeline, recordings: list[Recording], *, burst_samples: int | None = None
) -> Iterator[tuple[DueBlocks, Processed]]:
    """Push recordings through a pipeline side by side, one row each, in step.

    Between two records of a recording the context ends; the samples of a record are counted from the record's start in
    the recording, records before it times their length, so an interval's start sample tells its record.

    Args:
        pipeline: with at least as many rows as there are recordings, configured.
        recordings: at the rates the rows are configured for.
        burst_samples: give only the first so many samples of each record, as a burst sensor would send them.

    Yields:
        Each batch and what it gave.

    Raises:
        RecordingError: a recording cannot be read on.
    """
    rings = Rings(len(recordings), 2 * PIECE_BLOCKS + 2, pipeline.block_samples)
    sources = [_pieces(recording, pipeline.block_samples, burst_samples) for recording in recordings]
    open_rows = set(range(len(recordings)))
    while open_rows:
        for row in sorted(open_rows):
            piece = next(sources[row], None)
            if piece is None:
                open_rows.discard(row)
                continue
            start_sample, starts, samples = piece
            if starts:
                rings.start_context(row, start_sample)
            rings.append(row, samples, 1.0, 0.0)
        while (due := rings.take()) is not None:
            yield due, pipeline.process(due)


def _pieces(
    recording: Recording, block_samples: int, burst_samples: int | None
) -> Iterator[tuple[int, bool, np.ndarray[tuple[int], np.dtype[np.float32]]]]:
    """Stream index, whether a record starts, samples."""
    record, origin, length = -1, 0, 0
    for piece in recording.pieces(PIECE_BLOCKS * block_samples):
        starts = piece.record != record
        if starts:
            origin += length
            record, length = piece.record, 0
        length = piece.start_sample + piece.samples.size
        samples = piece.samples
        if burst_samples is not None:
            samples = samples[: max(0, burst_samples - piece.start_sample)]
        if samples.size:
            yield origin + piece.start_sample, starts, samples


def between(recording: Recording, first_s: float | None, last_s: float | None) -> Recording:
    """The same recording, only from ``first_s`` until ``last_s``.

    With several records the times are those of the records' starts; with one, of its samples.
    """
    if first_s is None and last_s is None:
        return recording
    return _Part(recording, first_s or 0.0, math.inf if last_s is None else last_s)


class _Part(Recording):
    """A recording that gives only a part of its samples."""

    def __init__(self, whole: Recording, first_s: float, last_s: float) -> None:
        super().__init__(**{field.name: getattr(whole, field.name) for field in fields(whole)})
        object.__setattr__(self, "_first_s", first_s)
        object.__setattr__(self, "_last_s", last_s)

    def pieces(self, max_samples: int = PIECE_SAMPLES, *, own_unit: bool = False) -> Iterator[Piece]:
        """As the whole recording's, without what lies outside; starts count from the first sample given."""
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
