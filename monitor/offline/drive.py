"""Recordings through the very same pipeline, as fast as it goes, without broker, threads or clock.

Replays, backtests and calibrations differ from the daemon only here: samples come from files and intervals go to the
caller. Refuses to know: what is done with the intervals.
"""

from collections import Counter
from collections.abc import Iterator

from monitor.core.arrays import Float32
from monitor.core.pipeline import Pipeline, Processed
from monitor.core.rings import DueBlocks, Rings
from monitor.recording.source import Recording

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


def _pieces(recording: Recording, block_samples: int) -> Iterator[tuple[int, bool, Float32]]:
    """Stream index, whether a record starts, samples."""
    record, origin, length = -1, 0, 0
    for piece in recording.pieces(PIECE_BLOCKS * block_samples):
        starts = piece.record != record
        if starts:
            origin += length
            record, length = piece.record, 0
        length = piece.start_sample + piece.samples.size
        yield origin + piece.start_sample, starts, piece.samples
