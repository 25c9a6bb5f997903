"""The level of each channel: running mean and RMS that bring its blocks to unit size before the network.

A network trained at one gain leaves its range when the gain changes, and its forecast error with it. Dividing by a slow
running RMS makes the forecast, and with it the shape evidence, independent of gain and load; the level itself stays
evidence of its own. It is updated once a block, so it does not depend on how samples arrive in messages. Refuses to
know: rates, forecasts, what is normal.
"""

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]

TIME_CONSTANT_BLOCKS = 100
"""Blocks over which the level averages. Lower: the level follows single bursts of a fault and hides them from the shape
evidence. Higher: after a change of load the network's input stays out of its trained range for longer."""

FLOOR = np.float32(1e-12)
"""Smallest mean square, so that a dead channel divides by something; such blocks are refused as flat, not scored."""


class Level:
    """Running mean and RMS of many channels, one row each.

    After the k-th block of a context the weight of the newest block is ``max(1/k, 1/time_constant_blocks)``: a plain
    average at first, exponential after that.
    """

    def __init__(self, channels: int, time_constant_blocks: int = TIME_CONSTANT_BLOCKS) -> None:
        self.time_constant_blocks = time_constant_blocks
        self._blocks = np.zeros(channels, np.int64)
        self._mean = np.zeros(channels, np.float32)
        self._square = np.zeros(channels, np.float32)

    def reset(self, rows: Rows) -> None:
        """Start a new context for ``rows``; the next block defines the level anew."""
        self._blocks[rows] = 0
        self._mean[rows] = 0.0
        self._square[rows] = 0.0

    def update(self, rows: Rows, blocks: Float32) -> None:
        """Take the next block of each of the distinct ``rows``: (n, block_samples), any unit."""
        count = np.minimum(self._blocks[rows] + 1, self.time_constant_blocks)
        weight = (1.0 / count).astype(np.float32)
        mean = self._mean[rows]
        square = self._square[rows]
        mean += weight * (np.einsum("ij->i", blocks) / np.float32(blocks.shape[1]) - mean)
        square += weight * (np.einsum("ij,ij->i", blocks, blocks) / np.float32(blocks.shape[1]) - square)
        self._blocks[rows] = count
        self._mean[rows] = mean
        self._square[rows] = square

    def mean(self, rows: Rows) -> Float32:
        """Running mean of ``rows``, (n,) float32 in the unit of the blocks; 0 before the first block."""
        return self._mean[rows]

    def rms(self, rows: Rows) -> Float32:
        """Running RMS about the running mean of ``rows``, (n,) float32, never zero."""
        mean = self._mean[rows]
        return np.sqrt(np.maximum(self._square[rows] - mean * mean, FLOOR))

    def export(self, rows: Rows) -> tuple[npt.NDArray[np.int64], Float32, Float32]:
        """The whole state of ``rows``: blocks, mean and mean square, each (n,)."""
        return self._blocks[rows], self._mean[rows], self._square[rows]


def normalise_record(samples: Float32, block_samples: int, time_constant_blocks: int = TIME_CONSTANT_BLOCKS) -> Float32:
    """Bring one contiguous record to unit level, causally, block by block, as the daemon does.

    Args:
        samples: (n,) float32, any unit; an incomplete last block is left out.
        block_samples: samples in a block.
        time_constant_blocks: see :class:`Level`.

    Returns:
        (blocks, block_samples) float32; block k is normalised by the level that includes block k.
    """
    blocks = samples[: samples.size // block_samples * block_samples].reshape(-1, block_samples)
    mean, rms = record_levels(blocks, time_constant_blocks)
    return (blocks - mean[:, None]) / rms[:, None]


def record_levels(blocks: Float32, time_constant_blocks: int = TIME_CONSTANT_BLOCKS) -> tuple[Float32, Float32]:
    """The running mean and RMS after each block of one record: (blocks, block_samples) to two (blocks,) float32."""
    level = Level(1, time_constant_blocks)
    row = np.zeros(1, np.intp)
    mean = np.empty(len(blocks), np.float32)
    rms = np.empty(len(blocks), np.float32)
    for k in range(len(blocks)):
        level.update(row, blocks[k : k + 1])
        mean[k], rms[k] = level.mean(row)[0], level.rms(row)[0]
    return mean, rms
