"""Recordings through the very same pipeline, as fast as it goes, without broker, threads or clock.

Replays, backtests and calibrations differ from the daemon only here: samples come from files and intervals go to the
caller. Refuses to know: what is done with the intervals.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields

import numpy as np

from monitor.core.pipeline import Pipeline, Processed
from monitor.core.rings import DueBlocks, Rings
from monitor.recording.source import PIECE_SAMPLES, Piece, Recording

PIECE_BLOCKS = 256
"""Blocks read at once from each recording."""


def due_blocks(
    recordings: list[Recording], block_samples: int, read: Counter[int] | None = None
) -> Iterator[DueBlocks]:
    """The blocks of recordings side by side, one row each, in step, as the daemon's rings would give them.

    Between two records of a recording the context ends. The samples of a recording are counted on over its records.

    Args:
        recordings: at one rate.
        block_samples: samples in a block.
        read: to count the samples read of each recording in, those after its last whole block too.

    Yields:
        Batches of at most one block a recording.

    Raises:
        RecordingError: a recording cannot be read on.
    """
    rings = Rings(len(recordings), 2 * PIECE_BLOCKS + 2, block_samples)
    sources = [_pieces(recording, block_samples) for recording in recordings]
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
            if read is not None:
                read[row] += samples.size
        while (due := rings.take()) is not None:
            yield due


def drive(
    pipeline: Pipeline, recordings: list[Recording], read: Counter[int] | None = None
) -> Iterator[tuple[DueBlocks, Processed]]:
    """Push recordings through a pipeline that has a configured row for each; each batch and what it gave."""
    for due in due_blocks(recordings, pipeline.block_samples, read):
        yield due, pipeline.process(due)


def _pieces(
    recording: Recording, block_samples: int
) -> Iterator[tuple[int, bool, np.ndarray[tuple[int], np.dtype[np.float32]]]]:
    """Stream index, whether a record starts, samples."""
    record, origin, length = -1, 0, 0
    for piece in recording.pieces(PIECE_BLOCKS * block_samples):
        starts = piece.record != record
        if starts:
            origin += length
            record, length = piece.record, 0
        length = piece.start_sample + piece.samples.size
        yield origin + piece.start_sample, starts, piece.samples


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
        """As the whole recording's; a single record starts where it is cut."""
        whole: Recording = self.__dict__["_whole"]
        start_s: float = whole.record_start_s(record)
        if self.records > 1:
            return start_s
        skipped: int = round(self.__dict__["_first_s"] * self.sampling_rate_hz)
        return start_s + skipped / self.sampling_rate_hz

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
