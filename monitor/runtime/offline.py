"""Recordings through the very same pipeline, as fast as it goes, without broker, threads or clock.

Replays, backtests and calibrations differ from the daemon only here: samples come from files and intervals go to the
caller. Refuses to know: what is done with the intervals.
"""

from collections.abc import Iterator

import numpy as np

from monitor.core.pipeline import Pipeline, Processed
from monitor.core.rings import DueBlocks, Rings
from monitor.recording.source import Recording

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
