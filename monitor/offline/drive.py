"""The blocks of recordings for the daemon's pipeline, as fast as possible, without broker, threads or clock.

Backtest and calibration differ from the daemon only here: samples come from files, and intervals go to the caller.
"""

from collections import Counter
from collections.abc import Iterator

from monitor.core.arrays import Float32
from monitor.core.samples.rings import DueBlocks, Rings
from monitor.recording.source import Recording

PIECE_BLOCKS = 256
"""Blocks read at once from each recording. More: more memory. Fewer: more calls."""


def due_blocks(
    recordings: list[Recording], block_samples: int, read: Counter[int] | None = None
) -> Iterator[DueBlocks]:
    """Read the blocks of several recordings in parallel, one row each, as the daemon's rings would return them.

    A new context starts with every record. Sample indices count on over the records of a recording.

    Args:
        recordings: recordings with the same sampling rate.
        block_samples: samples in a block.
        read: counters of the samples read of each recording, including incomplete blocks; they are updated.

    Yields:
        Batches of at most one block a recording.

    Raises:
        RecordingError: reading a recording failed.
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


def _pieces(recording: Recording, block_samples: int) -> Iterator[tuple[int, bool, Float32]]:
    """Iterate over the pieces of a recording: stream index, whether a record starts, samples."""
    record, origin, length = -1, 0, 0
    for piece in recording.pieces(PIECE_BLOCKS * block_samples):
        starts = piece.record != record
        if starts:
            origin += length
            record, length = piece.record, 0
        length = piece.start_sample + piece.samples.size
        yield origin + piece.start_sample, starts, piece.samples
