"""The head of a channel: its own linear correction of the network's forecast, and the whitening of what is left.

The network knows many machines; a head knows one. It predicts each sample y_t of a block from the samples before it and
from the network's forecast f of the block that t lies in:

    y_t = Σ_i a_i y_(t-i) + Σ_s f_s B_st + e_t

This is a linear model with an external input (ARX; L. Ljung, System Identification, chapter 4). The errors e, the
innovations, are white on the healthy machine. Without the network B is zero, and the model is an autoregressive one.

Iterated over a block, the same equation forecasts the whole block from the block before it and f: one matrix. The
residual of that forecast, times a second matrix, gives the innovations, because inside the block nothing else is
unknown: r A = e, with A a triangular Toeplitz matrix of the coefficients a. The second matrix also scales the
innovations to mean square 1 and takes their cosine components.

Does not handle: how a head is fitted (:mod:`monitor.core.learning.head_fit`).
"""

from dataclasses import dataclass, fields
from functools import cache, cached_property

import numpy as np

from monitor.core.arrays import Float32, Float64, Floats


@dataclass(frozen=True, eq=False)
class Head:
    """A channel's forecast and whitening; linear, so it holds at any gain."""

    past: Float64
    """(block_samples,) weights a of the samples before, the latest first; zero beyond the order of the model."""
    present: Float32
    """(block_samples, block_samples) weights B of the network's forecast; zero if it earned none."""
    position_scale: Float64
    """(block_samples,) factor on the innovation at each position of a block, positive."""
    component_scale: Float64
    """(block_samples,) factor on each cosine component, positive."""

    def __getstate__(self) -> dict[str, object]:
        """Without the matrices, which take three times as much: a process makes those that it needs."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def uses_network(self) -> bool:
        """Whether the network's forecast has any weight."""
        return bool(self.present.any())

    @cached_property
    def prediction(self) -> Float32:
        """(2 block_samples, block_samples): the row (block before, network's forecast) times it is the forecast."""
        size = self.past.size
        weights = np.concatenate([-innovation_matrix(self.past)[:size], self.present])
        matrix: Float32 = (weights @ _inverse(self.past)).astype(np.float32)
        return matrix

    @cached_property
    def whitening(self) -> Float32:
        """(block_samples, block_samples): a residual of the head times it is the scaled components."""
        inside = innovation_matrix(self.past)[self.past.size :]
        matrix: Float32 = (inside * self.position_scale @ cosines(self.past.size) * self.component_scale).astype(
            np.float32
        )
        return matrix

    @property
    def component_energy(self) -> Float64:
        """(block_samples,) energy of the residual in a block that a scaled component of size 1 stands for."""
        size = self.past.size
        back = (cosines(size).T / self.position_scale) @ _inverse(self.past)
        energy: Float64 = np.square(back).sum(axis=1) / np.square(self.component_scale)
        return energy

    def forecast(self, before: Floats, network: Floats) -> Floats:
        """The head's forecast of blocks.

        Args:
            before: (n, block_samples) the block before each, about the running mean.
            network: (n, block_samples) the network's forecast of each, in the same unit; finite.

        Returns:
            (n, block_samples) about the running mean, in the same unit. NaN in a row stays in it.
        """
        return np.asarray(np.concatenate([before, network], axis=1) @ self.prediction)


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
