"""The head of a channel: its own forecast of a block, and its own whitening, in which faults stand out.

The network knows many machines; a head knows one. It has two linear models, because they serve two purposes.

The forecast of a block is what people see and what the gap is measured against. It takes the block before and the
network's forecast f:

    forecast = before · W + f · G

W and G are damped as far as the healthy data leave them uncertain, so that there the error is no larger than the
signal.

The whitening is what most of the score rests on. It must leave the same energy at every frequency, also where the
signal is quiet, so nothing may be damped. It predicts each sample y_t of a block from the samples before it and f:

    y_t = Σ_i a_i y_(t-i) + Σ_s f_s B_st + e_t

This is a linear model with an external input (ARX; L. Ljung, System Identification, chapter 4). The errors e, the
innovations, are white on the healthy machine. Without the network B is zero, and the model is an autoregressive one.
The innovations of a whole block are one matrix, which also scales them to mean square 1 and takes their cosine
components.

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
    ahead: Float32
    """(block_samples, block_samples) weights W of the block before in the forecast."""
    network: Float32
    """(block_samples, block_samples) weights G of the network's forecast in the forecast; zero if it earned none."""

    def __getstate__(self) -> dict[str, object]:
        """Without the matrix, which takes twice as much: a process makes those that it needs."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def uses_network(self) -> bool:
        """Whether the network's forecast has any weight."""
        return self.whitens_with_network or self.forecasts_with_network

    @cached_property
    def whitens_with_network(self) -> bool:
        """Whether the innovations depend on the network's forecast."""
        return bool(self.present.any())

    @cached_property
    def forecasts_with_network(self) -> bool:
        """Whether the forecast depends on the network's."""
        return bool(self.network.any())

    @cached_property
    def whitening(self) -> Float32:
        """(2 or 3 block_samples, block_samples): a row times it is the scaled components of a block.

        The row is block before, block, and network's forecast; without the last if they do not depend on it.
        """
        rows = innovation_matrix(self.past)
        if self.whitens_with_network:
            rows = np.concatenate([rows, -self.present])
        scaled = rows * self.position_scale @ cosines(self.past.size) * self.component_scale
        matrix: Float32 = scaled.astype(np.float32)
        return matrix

    @property
    def component_energy(self) -> Float64:
        """(block_samples,) energy of what must be added to a block for a scaled component of size 1."""
        size = self.past.size
        back = (cosines(size).T / self.position_scale) @ _inverse(self.past)
        energy: Float64 = np.square(back).sum(axis=1) / np.square(self.component_scale)
        return energy

    def forecast(self, before: Floats, network: Floats) -> Floats:
        """The head's forecast of blocks.

        Args:
            before: (n, block_samples) the block before each, about the running mean.
            network: (n, block_samples) the network's forecast of each, in the same unit.

        Returns:
            (n, block_samples) about the running mean, in the same unit. NaN in a row stays in it.
        """
        made = before @ self.ahead
        return np.asarray(made + network @ self.network if self.forecasts_with_network else made)

    def components(self, before: Floats, blocks: Floats, network: Floats) -> Floats:
        """The scaled cosine components of the innovations of blocks, (n, block_samples) each.

        Args:
            before: as for :meth:`forecast`.
            blocks: the blocks, about the running mean.
            network: as for :meth:`forecast`.
        """
        known = [before, blocks, network] if self.whitens_with_network else [before, blocks]
        return np.asarray(np.concatenate(known, axis=1) @ self.whitening)


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
