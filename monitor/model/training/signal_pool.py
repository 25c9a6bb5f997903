"""The training material of the universal reference: a pool of signals, from which sequences are mixed.

Most signals are random machines (:mod:`monitor.simulation.random_vibration`), the others are pieces of healthy
recordings, stretched in time by a random factor. Computing a signal costs more than training on it once, so each is
used several times: at another place, with another sign, alone or under a second signal. The pool is renewed all the
time, a few signals with each batch.

A training begins with simple machines, whose lines lie at all frequencies, and goes over to the whole variety.
Otherwise the network learns low frequencies first and never the high ones (measured: a tone of 0.35 cycles a sample
1.00 instead of 0.06).

Everything follows from the seed and the number of the batch, so a training can be resumed at any batch.
"""

import math

import numpy as np
from scipy.signal import resample

from monitor.core.arrays import Float32, Float64
from monitor.errors import RecordingError
from monitor.model.training.dataset import running_mean
from monitor.simulation.random_vibration import MARGIN_SAMPLES, SIMPLE, RandomVibration

POOL_SIGNALS = 3000
"""Signals in the pool. Fewer: sequences repeat. More: more memory (30 kB each) and a longer start (3 ms each)."""

SPARE_SAMPLES = 2000
"""Samples that a signal is longer than a sequence. Fewer: sequences of one signal start at the same phase."""

MIXED = 0.4
"""Share of the sequences with a second signal. Lower: less variety. Higher: hardly a simple signal is left."""

RECORDED = 0.25
"""Share of the signals that are recorded, if there are recordings. Higher: the few recorded machines are learned by
heart."""

STRETCH = 1.5
"""Largest stretch in time, as a power of two in both directions."""

CLIP_LEVELS = 25.0
"""Samples are clipped to this many times the level, as the daemon leaves spikes out."""


class SignalPool:
    """Makes the batches of a training."""

    def __init__(
        self,
        seed: int,
        recordings: list[list[Float32]],
        blocks: int,
        block_samples: int,
        renewed: int,
        size: int,
        beginning: float,
    ) -> None:
        """Set up an empty pool; the first batch fills it.

        Args:
            seed: random seed.
            recordings: contiguous records of healthy recordings, (n,) float32 each; may be empty.
            blocks: input blocks of a sequence.
            block_samples: samples of a block.
            renewed: signals replaced with each batch.
            size: signals in the pool.
            beginning: batches in which the machines become less simple; 0: the whole variety from the start.

        Raises:
            RecordingError: a recording has no signal, or no record that is long enough.
        """
        self._seed, self._renewed, self._beginning = seed, renewed, beginning
        self._blocks, self._block_samples = blocks, block_samples
        self._sequence_samples = (blocks + 1) * block_samples
        samples = self._sequence_samples + SPARE_SAMPLES
        shortest = shortest_record(blocks, block_samples)
        # float16 keeps three decimal digits and the level's range; float32 would take twice the memory.
        self._signals = np.zeros((size, samples), np.float16)
        self._next = 0
        self._recordings = [[each for each in records if each.size >= shortest] for records in recordings]
        for number, records in enumerate(self._recordings):
            longest = max((each.size for each in recordings[number]), default=0)
            if not records:
                raise RecordingError(
                    f"universal training: the longest record of recording {number + 1} has {longest} samples, at least "
                    f"{shortest} are needed; leave recordings of short bursts out"
                )
            if not all(np.isfinite(each).all() for each in records):
                raise RecordingError(f"universal training: recording {number + 1} holds NaN or infinity; leave it out")
            if max(float(each.std()) for each in records) <= 0.0:
                raise RecordingError(f"universal training: recording {number + 1} is a flat line; leave it out")

    def batch(self, number: int, count: int) -> tuple[Float32, Float32]:
        """The sequences of one batch, normalised by a causal level as in the daemon.

        Args:
            number: number of the batch, from 0; usually one more than in the last call.
            count: sequences in the batch.

        Returns:
            Two (count, blocks, block_samples) float32: block k, and block k + 1, both normalised by the level after
            block k.
        """
        self._renew(number)
        rng = np.random.default_rng([self._seed, 2, number])
        picks = rng.integers(0, len(self._signals), (count, 2))
        starts = rng.integers(0, SPARE_SAMPLES, (count, 2))
        gains = np.where(rng.random(count) < MIXED, 10.0 ** rng.uniform(-2.0, 0.0, count), 0.0).astype(np.float32)
        signs = rng.choice(np.array([-1.0, 1.0], np.float32), count)
        sequences = np.empty((count, self._sequence_samples), np.float32)
        for row, (pick, start) in enumerate(zip(picks, starts, strict=True)):
            sequences[row] = self._piece(pick[0], start[0])
            if gains[row] > 0.0:
                sequences[row] += gains[row] * self._piece(pick[1], start[1])
        sequences *= signs[:, None]
        return normalised(sequences.reshape(count, self._blocks + 1, self._block_samples))

    def _piece(self, signal: int, start: int) -> Float32:
        piece: Float32 = self._signals[signal, start : start + self._sequence_samples].astype(np.float32)
        return piece

    def _renew(self, batch: int) -> None:
        """Bring the pool to the state that belongs to a batch: signals ``first`` to ``first + size``."""
        size = len(self._signals)
        first = batch * self._renewed
        for number in range(max(first, self._next), first + size):
            self._signals[number % size] = self._signal(number)
        self._next = first + size

    def _simple(self, number: int) -> float:
        """The share of simple machines among the signals at this number: at first all, then ever fewer."""
        # The signals of a batch are those from its first to as many as the pool holds.
        batch = (number - len(self._signals) / 2) / self._renewed
        mixing = 2.0 * batch / self._beginning - 1.0 if self._beginning else 1.0
        return 1.0 - (1.0 - SIMPLE) * float(np.clip(mixing, 0.0, 1.0))

    def _signal(self, number: int) -> Float32:
        samples = self._signals.shape[1]
        rng = np.random.default_rng([self._seed, 3, number])
        if not self._recordings or rng.random() >= RECORDED:
            made: Float32 = RandomVibration(self._seed, number).signals(1, samples, self._simple(number))[0]
            return made
        records = self._recordings[rng.integers(0, len(self._recordings))]
        sizes = np.array([each.size for each in records], np.float64)
        record = records[rng.choice(len(records), p=sizes / sizes.sum())]
        factor = 2.0 ** rng.uniform(-STRETCH, STRETCH)
        wanted = samples + 2 * MARGIN_SAMPLES
        taken = min(record.size, math.ceil(wanted * factor))
        start = int(rng.integers(0, record.size - taken + 1))
        piece = record[start : start + taken].astype(np.float64)
        piece -= piece.mean()
        # The ends of the piece are joined by the transform, so they ring; they are cut off.
        stretched: Float64 = resample(piece, max(wanted, round(taken / factor)))
        stretched = stretched[MARGIN_SAMPLES : MARGIN_SAMPLES + samples]
        result: Float32 = (stretched / max(float(stretched.std()), 1e-20)).astype(np.float32)
        return result


def shortest_record(blocks: int, block_samples: int) -> int:
    """Samples of the shortest record that sequences of ``blocks`` input blocks can be made from."""
    samples = (blocks + 1) * block_samples + SPARE_SAMPLES
    return math.ceil((samples + 2 * MARGIN_SAMPLES) / math.exp2(STRETCH))


def normalised(blocks: Float32, time_constant_blocks: int = 100) -> tuple[Float32, Float32]:
    """Normalise sequences by their causal level, see :class:`monitor.core.forecasting.level.Level`; spikes are clipped.

    Args:
        blocks: (n, blocks + 1, block_samples) float32, at least two blocks.
        time_constant_blocks: time constant of the level.

    Returns:
        Inputs and targets, (n, blocks, block_samples) float32 each: block k, and block k + 1, by the level after k.
    """
    values = blocks[:, :-1].astype(np.float64)
    mean = running_mean(values.mean(axis=2), time_constant_blocks)
    square = running_mean(np.einsum("nkj,nkj->nk", values, values) / blocks.shape[2], time_constant_blocks)
    rms = np.sqrt(np.maximum(square - mean * mean, 1e-9)).astype(np.float32)[..., None]
    centre = mean.astype(np.float32)[..., None]
    inputs, targets = (blocks[:, :-1] - centre) / rms, (blocks[:, 1:] - centre) / rms
    return np.clip(inputs, -CLIP_LEVELS, CLIP_LEVELS), np.clip(targets, -CLIP_LEVELS, CLIP_LEVELS)
