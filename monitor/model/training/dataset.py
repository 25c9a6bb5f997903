"""Training windows from healthy records, normalised by a causal level.

The level is that of the daemon (see :mod:`monitor.core.forecasting.level`), but updated at every sample instead of once
a block. A window can therefore start at any sample, and the network does not learn where blocks begin.
"""

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from monitor.core.arrays import Float32, Float64, Int64


@dataclass(frozen=True)
class Record:
    """One contiguous healthy record with its level after each sample."""

    samples: Float32
    """(n,) samples in any unit."""
    mean: Float32
    """(n,) running mean up to and including each sample."""
    rms: Float32
    """(n,) running RMS about the mean, up to and including each sample."""
    recording: int = 0
    """Number of the recording that the record belongs to."""


def samples_before(sizes: list[int], fraction: float) -> list[int]:
    """The number of samples of each record that lie in the first part of a recording.

    Args:
        sizes: samples of the recording's records, in the order of time.
        fraction: the first part's fraction of all samples, 0 to 1.

    Returns:
        One count a record: all samples of early records, none of late ones, some of the record that is split.
    """
    left = round(fraction * sum(sizes))
    counts = []
    for size in sizes:
        counts.append(min(size, left))
        left -= counts[-1]
    return counts


def split_in_time(records: list[Float32], fraction: float) -> tuple[list[Float32], list[Float32]]:
    """Split the records of one recording in two after ``fraction`` of the samples; empty parts are left out."""
    counts = samples_before([record.size for record in records], fraction)
    first = [record[:count] for record, count in zip(records, counts, strict=True) if count]
    last = [record[count:] for record, count in zip(records, counts, strict=True) if count < record.size]
    return first, last


def make_record(samples: Float32, block_samples: int, time_constant_blocks: int, recording: int = 0) -> Record:
    """Compute the level of a record: at first an average over all samples, then exponential."""
    constant = time_constant_blocks * block_samples
    values = samples.astype(np.float64)
    mean = running_mean(values, constant)
    square = running_mean(values * values, constant)
    rms = np.sqrt(np.maximum(square - mean * mean, 1e-12))
    return Record(samples, mean.astype(np.float32), rms.astype(np.float32), recording)


def running_mean(series: Float64, constant: int) -> Float64:
    """The causal mean along the last axis: of all values so far up to ``constant`` values, then exponential."""
    count = np.arange(1, min(series.shape[-1], constant) + 1)
    head = np.cumsum(series[..., :constant], axis=-1) / count
    if series.shape[-1] <= constant:
        return head
    decay = 1.0 - 1.0 / constant
    tail, _ = lfilter([1.0 - decay], [1.0, -decay], series[..., constant:], axis=-1, zi=decay * head[..., -1:])
    return np.concatenate([head, tail], axis=-1)


class Windows:
    """Input and target blocks of many windows, computed on demand."""

    def __init__(self, records: list[Record], block_samples: int, window_blocks: int, stride: int) -> None:
        """Windows at every ``stride`` samples of every record; each needs ``window_blocks + 1`` blocks."""
        self.records = records
        self.block_samples = block_samples
        self.window_blocks = window_blocks
        span = (window_blocks + 1) * block_samples
        # The level is not meaningful within the first block of a record, so windows start after it.
        pairs = [
            np.stack([np.full(starts.size, i), starts], axis=1)
            for i, record in enumerate(records)
            if (starts := np.arange(block_samples, record.samples.size - span + 1, stride)).size
        ]
        self.index: Int64 = np.concatenate(pairs) if pairs else np.empty((0, 2), np.int64)

    def __len__(self) -> int:
        return len(self.index)

    def evenly(self, rng: np.random.Generator, count: int) -> Int64:
        """Numbers of at most ``count`` different windows, spread over all recordings as evenly as possible."""
        order = rng.permutation(len(self.index))
        recordings = np.array([record.recording for record in self.records], np.int64)[self.index[order, 0]]
        # Each window gets a random rank within its recording; the lowest ranks of all recordings are taken.
        by_recording = np.argsort(recordings, kind="stable")
        sizes = np.bincount(recordings)
        rank = np.empty(len(order), np.int64)
        rank[by_recording] = np.concatenate([np.arange(size) for size in sizes])
        return order[np.argsort(rank, kind="stable")[:count]]

    def batch(self, which: Int64) -> tuple[Float32, Float32]:
        """Compute inputs and targets of some windows.

        Args:
            which: (n,) numbers of windows.

        Returns:
            Two (n, window_blocks, block_samples) float32: block k, and block k + 1, both normalised by the level after
            block k.
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
