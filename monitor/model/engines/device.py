"""What the engines on a GPU have in common: the sizes of batches, rows of channels, and the network as six arrays.

A compiled function has fixed sizes. So batches are padded to a few sizes, and each is run once at start, so that no
batch waits for a compilation. The padding rows belong to no channel: the state has a spare row for them.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from monitor.core.arrays import Float32, Rows

LARGEST_POWER = 4096
"""Batches up to this size are padded to a power of two, larger ones to a multiple of this. Lower: more sizes to
compile. Higher: more padding in large batches."""

MAX_WINDOWS = 4096
"""Most windows per call. Higher: more device memory. Lower: more calls."""


def filled(count: int) -> int:
    """The size that a batch of ``count`` rows is padded to."""
    if count > LARGEST_POWER:
        return -(-count // LARGEST_POWER) * LARGEST_POWER
    return 1 << max(count - 1, 0).bit_length()


def sizes(channels: int) -> Iterator[int]:
    """All sizes of batches of up to ``channels`` rows."""
    count = 1
    while count < filled(channels):
        yield count
        count = count * 2 if count < LARGEST_POWER else count + LARGEST_POWER
    yield filled(channels)


def padded_rows(rows: Rows, spare_row: int) -> Rows:
    """The rows of a batch, padded with the spare row."""
    padded = np.full(filled(len(rows)), spare_row, np.int64)
    padded[: len(rows)] = rows
    return padded


def padded_to(values: Float32, count: int) -> Float32:
    """A batch of blocks or windows, padded with zeros to ``count`` rows."""
    if len(values) == count:
        return values
    return np.concatenate([values, np.zeros((count - len(values), *values.shape[1:]), np.float32)])


def in_parts(windows: Float32, block_samples: int, forecast: Callable[[Float32], Float32]) -> Float32:
    """Forecast from windows in padded parts of at most :data:`MAX_WINDOWS`: (n, block_samples)."""
    parts = []
    for first in range(0, len(windows), MAX_WINDOWS):
        part = windows[first : first + MAX_WINDOWS]
        parts.append(forecast(padded_to(part, filled(len(part))))[: len(part)])
    return np.concatenate(parts) if parts else np.empty((0, block_samples), np.float32)


class Stacked(NamedTuple):
    """The weights of the network, as few products as possible."""

    both1: Float32
    """Input and recurrent kernel of the first LSTM layer, one above the other: one product computes both."""
    add1: Float32
    """Bias of the first LSTM layer."""
    both2: Float32
    """Kernels of the second LSTM layer."""
    add2: Float32
    """Bias of the second LSTM layer."""
    out: Float32
    """The two dense layers, which are linear, as one."""
    add_out: Float32
    """Their bias."""


def stacked(weights: list[Float32]) -> Stacked:
    """Stack the weights, arrays as in :attr:`monitor.model.network.Shape.weight_shapes`."""
    kernel1, recurrent1, bias1, kernel2, recurrent2, bias2, dense1, offset1, dense2, offset2 = weights
    # The product is computed in float64 and stored in float32.
    product = dense1.astype(np.float64) @ dense2.astype(np.float64)
    offset = offset1.astype(np.float64) @ dense2.astype(np.float64) + offset2
    return Stacked(
        np.concatenate([kernel1, recurrent1]),
        bias1,
        np.concatenate([kernel2, recurrent2]),
        bias2,
        product.astype(np.float32),
        offset.astype(np.float32),
    )
