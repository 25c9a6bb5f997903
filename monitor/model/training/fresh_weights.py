"""Weights that a universal training begins with: a network that carries the waves of each block on into the next.

The units of the first layer see waves at all frequencies, by their phase at the end of the block; the second layer and
the first dense layer pass them on, and the output goes on with each wave. With random weights instead, high frequencies
are learned late or not at all: after 4 million blocks of simple machines the gap ratio is 0.42 instead of 0.40, and
32 % of steady tones have a gap ratio above 0.5 instead of 26 %.
"""

import math

import numpy as np
from numpy.typing import NDArray

from monitor.core.arrays import Float32, Float64
from monitor.model.network import Shape

MIXING = 0.1
"""Size of the random weights of gates and memory. Higher: they hide the waves (after 4 million blocks of simple
machines the gap ratio is 0.36 with 0.5, and 0.34 with this). Lower: no better."""


def fresh_weights(shape: Shape, seed: int) -> list[Float32]:
    """The weights to begin with.

    Args:
        shape: dimensions of the network.
        seed: random seed of what is mixed at random: all gates, and what the cells remember.

    Returns:
        Arrays as in :attr:`Shape.weight_shapes`.
    """
    rng = np.random.default_rng([seed, 5])
    block, (first, second), hidden = shape.block_samples, shape.units, shape.hidden

    def mixing(rows: int, columns: int) -> Float64:
        square, _ = np.linalg.qr(rng.standard_normal((max(rows, columns),) * 2))
        return MIXING * np.asarray(square)[:rows, :columns]

    def lstm(cell: Float64) -> list[Float64]:
        inputs, units = cell.shape
        kernel = np.concatenate([mixing(inputs, units), mixing(inputs, units), cell, mixing(inputs, units)], axis=1)
        recurrent = np.concatenate([mixing(units, units) for _ in range(4)], axis=1)
        offsets = np.zeros(4 * units)
        offsets[units : 2 * units] = 1.0  # the forget gates are open
        return [kernel, recurrent, offsets]

    def waves(samples: NDArray[np.int_], units: int) -> Float64:
        """Cosines and sines in turn, (samples, units)."""
        number = np.arange(units)
        frequency = (number // 2 + 0.5) / (2.0 * -(-units // 2))
        return np.cos(2.0 * math.pi * frequency * samples[:, None] - 0.5 * math.pi * (number % 2)) / math.sqrt(
            block / 2
        )

    arrays = [
        *lstm(0.5 * waves(np.arange(1 - block, 1), first)),
        *lstm(np.eye(first, second)),
        np.eye(second, hidden),
        np.zeros(hidden),
        2.0 * waves(np.arange(1, block + 1), hidden).T,
        np.zeros(block),
    ]
    return [each.astype(np.float32) for each in arrays]
