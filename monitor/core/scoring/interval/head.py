"""The head of a channel: its own forecast of a block, and its own whitening, in which faults stand out.

The network knows many machines; a head knows one. It has two linear models, because they serve two purposes.

The forecast of a block is what people see and what the gap is measured against. It is damped as far as the healthy data
leave it uncertain, so that there the error is no larger than the signal.

The whitening is what most of the score rests on. It must leave the same energy at every frequency, also where the
signal is quiet, so nothing may be damped. It predicts each sample y_t of a block from the samples before it and the
network's forecast f:

    y_t = Σ_i a_i y_(t-i) + Σ_s f_s B_st + e_t

This is a linear model with an external input (ARX; L. Ljung, System Identification, chapter 4). The errors e, the
innovations, are white on the healthy machine. Without the network B is zero, and the model is an autoregressive one.

Both see the past only through a few numbers. The block before and the network's forecast are 200 numbers, but what they
tell of the next block is little: two numbers a spectral line, a few for a resonance. So both are summed up in one
summary, from which the forecast follows, and what the innovations take from before their block:

    summary    = (before, f) · S
    forecast   = summary · W
    e          = block · A - summary · C

A holds the weights a within the block and is exact. This is a regression of reduced rank (G. Reinsel and R. Velu,
Multivariate Reduced-Rank Regression, chapter 2); the summary is the state of a state-space model of the machine. The
innovations of a whole block are one matrix, which also scales them to mean square 1 and takes their cosine components.

Does not handle: how a head is fitted (:mod:`monitor.core.learning.head_fit`).
"""

from dataclasses import dataclass, fields
from functools import cache, cached_property

import numpy as np

from monitor.core.arrays import Float32, Float64, Floats

SUMMARY_NUMBERS = 48
"""Most numbers in a summary. Fewer: machines of many lines and resonances are forecast worse, and single bands lose
sensitivity (with 32, on the recordings 3 % more error and 0.3 dB at worst). More: every channel takes more memory in
its worker, and blocks of such a machine cost more, for 1 % of the error."""


@dataclass(frozen=True, eq=False)
class Head:
    """A channel's forecast and whitening; linear, so it holds at any gain."""

    past: Float64
    """(block_samples,) weights a of the samples before, the latest first; zero beyond the order of the model."""
    position_scale: Float64
    """(block_samples,) factor on the innovation at each position of a block, positive."""
    component_scale: Float64
    """(block_samples,) factor on each cosine component, positive."""
    summary: Float32
    """(2 block_samples, k) weights S of the block before, then of the network's forecast; these are zero if it earned
    none. k is at most :data:`SUMMARY_NUMBERS`."""
    ahead: Float32
    """(k, block_samples) weights W of the summary in the forecast."""
    carried: Float32
    """(k, block_samples) weights C of the summary in the innovations."""

    def __getstate__(self) -> dict[str, object]:
        """Without the matrix, which takes twice as much: a process makes those that it needs."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def uses_network(self) -> bool:
        """Whether the network's forecast has any weight."""
        return bool(self.summary[self.past.size :].any())

    @cached_property
    def whitening(self) -> Float32:
        """(block_samples + k, block_samples): the row (block, summary) times it is the scaled components of a block."""
        size = self.past.size
        rows = np.concatenate([innovation_matrix(self.past)[size:], -self.carried])
        matrix: Float32 = self.scaled(rows).astype(np.float32)
        return matrix

    def scaled(self, innovations: Floats) -> Float64:
        """The scaled cosine components of innovations, (n, block_samples) each."""
        whole: Float64 = np.asarray(innovations, np.float64) * self.position_scale
        return np.asarray(whole @ cosines(self.past.size) * self.component_scale)

    @property
    def component_energy(self) -> Float64:
        """(block_samples,) energy of what must be added to a block for a scaled component of size 1."""
        size = self.past.size
        back = (cosines(size).T / self.position_scale) @ _inverse(self.past)
        energy: Float64 = np.square(back).sum(axis=1) / np.square(self.component_scale)
        return energy

    def summarise(self, before: Floats, network: Floats) -> Floats:
        """The summary of what is known before a block.

        Args:
            before: (n, block_samples) the block before each, about the running mean.
            network: (n, block_samples) the network's forecast of each, in the same unit; not read if it earned no
                weight.

        Returns:
            (n, k) numbers. NaN in a row stays in it.
        """
        size = self.past.size
        found = before @ self.summary[:size]
        return np.asarray(found + network @ self.summary[size:] if self.uses_network else found)

    def forecast(self, before: Floats, network: Floats) -> Floats:
        """The head's forecast of blocks about the running mean, (n, block_samples); as :meth:`summarise`."""
        return np.asarray(self.summarise(before, network) @ self.ahead)

    def innovations(self, before: Floats, blocks: Floats, network: Floats) -> Floats:
        """What is not predicted of each sample, (n, block_samples).

        Args:
            before: as for :meth:`summarise`.
            blocks: the blocks, about the running mean.
            network: as for :meth:`summarise`.
        """
        within = innovation_matrix(self.past)[self.past.size :]
        return np.asarray(blocks @ within - self.summarise(before, network) @ self.carried)

    def components(self, before: Floats, blocks: Floats, network: Floats) -> Floats:
        """The scaled cosine components of the innovations of blocks; as :meth:`innovations`."""
        known = np.concatenate([blocks, self.summarise(before, network)], axis=1)
        return np.asarray(known @ self.whitening)


def innovation_matrix(past: Float64) -> Float64:
    """(2 n, n): the row (block before, block) times it is the block's innovations, for (n,) weights of the past."""
    size = past.size
    filter_of = np.concatenate([-past[::-1], [1.0]])
    matrix = np.zeros((2 * size, size))
    for sample in range(size):
        matrix[sample : sample + size + 1, sample] = filter_of
    return matrix


def _inverse(past: Float64) -> Float64:
    """The inverse of the lower half of :func:`innovation_matrix`, from the model's impulse response."""
    size = past.size
    response = np.zeros(size)
    response[0] = 1.0
    for sample in range(1, size):
        response[sample] = past[:sample] @ response[sample - 1 :: -1][:sample]
    matrix = np.zeros((size, size))
    for sample in range(size):
        matrix[sample, sample:] = response[: size - sample]
    return matrix


@cache
def cosines(size: int) -> Float64:
    """(size, size) orthonormal: a row times it is its cosine components (DCT-II), the lowest frequency first."""
    angles = np.pi / size * (np.arange(size)[:, None] + 0.5) * np.arange(size)
    matrix: Float64 = np.cos(angles) * np.sqrt(2.0 / size)
    matrix[:, 0] = np.sqrt(1.0 / size)
    return matrix
