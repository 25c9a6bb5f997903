"""Training windows from healthy records: unit level, causal, at any sample offset.

The level is the daemon's (see :mod:`monitor.core.level`), taken at every sample instead of once a block, so that a
window may start anywhere: the network must not learn where blocks begin. Refuses to know: files, Keras.
"""

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from monitor.core.arrays import Float32, Float64, Int64


@dataclass(frozen=True)
class Record:
    """One contiguous healthy record with its level after each sample."""

    samples: Float32
    """(n,) in any unit."""
    mean: Float32
    """(n,) running mean up to and including each sample."""
    rms: Float32
    """(n,) running RMS about the mean, likewise."""
    recording: int = 0
    """Number of the recording that the record is of."""


def samples_before(sizes: list[int], fraction: float) -> list[int]:
    """How many samples of each record lie in the first part of a recording.

    Args:
        sizes: samples of the recording's records, in the order of time.
        fraction: of all samples, 0 to 1.

    Returns:
        One count a record: all of the early ones, none of the late ones, a part of the one that is cut.
    """
    left = round(fraction * sum(sizes))
    counts = []
    for size in sizes:
        counts.append(min(size, left))
        left -= counts[-1]
    return counts


def split_in_time(records: list[Float32], fraction: float) -> tuple[list[Float32], list[Float32]]:
    """Cut one recording in two after ``fraction`` of its samples; parts without samples are left out."""
    counts = samples_before([record.size for record in records], fraction)
    first = [record[:count] for record, count in zip(records, counts, strict=True) if count]
    last = [record[count:] for record, count in zip(records, counts, strict=True) if count < record.size]
    return first, last


def make_record(samples: Float32, block_samples: int, time_constant_blocks: int, recording: int = 0) -> Record:
    """A record with its level: an average over all samples at first, exponential with the time constant after that."""
    constant = time_constant_blocks * block_samples
    values = samples.astype(np.float64)
    count = np.minimum(np.arange(1, values.size + 1), constant)

    def running(series: Float64) -> Float64:
        head = np.cumsum(series[:constant]) / count[:constant]
        if series.size <= constant:
            return head
        decay = 1.0 - 1.0 / constant
        tail, _ = lfilter([1.0 - decay], [1.0, -decay], series[constant:], zi=[decay * head[-1]])
        return np.concatenate([head, tail])

    mean = running(values)
    square = running(values * values)
    rms = np.sqrt(np.maximum(square - mean * mean, 1e-12))
    return Record(samples, mean.astype(np.float32), rms.astype(np.float32), recording)


class Windows:
    """Input and target blocks of many windows, made when they are asked for."""

    def __init__(self, records: list[Record], block_samples: int, window_blocks: int, stride: int) -> None:
        """Windows at every ``stride`` samples of every record; each needs ``window_blocks + 1`` blocks."""
        self.records = records
        self.block_samples = block_samples
        self.window_blocks = window_blocks
        span = (window_blocks + 1) * block_samples
        # The first block of a record has no level before it that means anything: windows start after it.
        pairs = [
            np.stack([np.full(starts.size, i), starts], axis=1)
            for i, record in enumerate(records)
            if (starts := np.arange(block_samples, record.samples.size - span + 1, stride)).size
        ]
        self.index: Int64 = np.concatenate(pairs) if pairs else np.empty((0, 2), np.int64)

    def __len__(self) -> int:
        return len(self.index)

    def evenly(self, rng: np.random.Generator, count: int) -> Int64:
        """Numbers of at most ``count`` different windows, as evenly from all recordings as they have windows."""
        order = rng.permutation(len(self.index))
        recordings = np.array([record.recording for record in self.records], np.int64)[self.index[order, 0]]
        # The rank of each window within its recording: low ranks of all recordings come first.
        by_recording = np.argsort(recordings, kind="stable")
        sizes = np.bincount(recordings)
        rank = np.empty(len(order), np.int64)
        rank[by_recording] = np.concatenate([np.arange(size) for size in sizes])
        return order[np.argsort(rank, kind="stable")[:count]]

    def batch(self, which: Int64) -> tuple[Float32, Float32]:
        """Inputs and targets of some windows.

        Args:
            which: (n,) numbers of windows.

        Returns:
            Two (n, window_blocks, block_samples) float32: block k at the level after block k, and block k + 1 at that
            same level.
        """
        size, blocks = self.block_samples, self.window_blocks
        inputs = np.empty((len(which), blocks, size), np.float32)
        targets = np.empty_like(inputs)
        offsets = np.arange((blocks + 1) * size)
        ends = np.arange(1, blocks + 1) * size - 1
        chosen = self.index[which]
        for number in np.unique(chosen[:, 0]):
            record = self.records[number]
            mine = chosen[:, 0] == number
            starts = chosen[mine, 1]
            raw = record.samples[starts[:, None] + offsets].reshape(-1, blocks + 1, size)
            at = starts[:, None] + ends
            mean, rms = record.mean[at][..., None], record.rms[at][..., None]
            inputs[mine] = (raw[:, :-1] - mean) / rms
            targets[mine] = (raw[:, 1:] - mean) / rms
        return inputs, targets
