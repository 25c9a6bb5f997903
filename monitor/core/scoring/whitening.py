"""Whitening: what a linear model of the healthy residual leaves of it, taken apart into frequency components.

The network's forecast is good for what repeats and poor for what is random; the residual is therefore coloured, and its
energy is dominated by the bands that are loud anyway. An autoregressive model of the healthy residual, run along it
sample by sample across block borders, leaves innovations that are white on the healthy machine, so every frequency
counts alike. One matrix per calibration does it all: (previous residual, residual) to the cosine components of the
innovations, each scaled to mean square 1 when healthy. Refuses to know: networks, intervals, limits.
"""

import numpy as np

from monitor.core.arrays import Float32, Float64

SAMPLES_PER_COEFFICIENT = 250
"""Healthy samples for each coefficient of the model. Fewer: the model fits the healthy data's accidents (measured on
1.3 s of data: 200 coefficients cost 1 to 2 dB against 50). More: long recordings are whitened less well."""

RIDGE = 1e-6
"""Added to the variance, relative; bounds the gain where the healthy residual has next to no energy."""


def history(block_samples: int) -> int:
    """Samples before a block that the whitening looks back on, and its largest order: a block.

    Half of it saves a quarter of the work and saw mixtures at 20 kHz 0.4 dB later.
    """
    return block_samples


def autoregression(pieces: list[Float64], order: int) -> Float64:
    """Coefficients of the linear model that predicts a sample from the ``order`` before it.

    Yule-Walker equations solved by Levinson's recursion (Brockwell and Davis, Time Series: Theory and Methods, 8.1).

    Args:
        pieces: contiguous pieces, (n,) float64 each, finite, of mean about zero.
        order: number of coefficients, less than the samples of the longest piece.

    Returns:
        (order + 1,): the filter 1, -a_1, ..., -a_order that gives the innovations.
    """
    correlation = np.zeros(order + 1)
    for piece in pieces:
        spectrum = np.fft.rfft(piece, 2 * piece.size)
        products = np.fft.irfft(np.abs(spectrum) ** 2)[: order + 1]
        correlation[: products.size] += products
    correlation[0] = correlation[0] * (1 + RIDGE) + np.finfo(np.float64).tiny
    from scipy.linalg import solve_toeplitz  # late: the daemon never fits, and SciPy is 50 MB

    return np.concatenate([[1.0], -solve_toeplitz(correlation[:-1], correlation[1:])])


def whitening_matrix(contexts: list[Float64]) -> Float32:
    """Fit the whitening of a healthy channel.

    Args:
        contexts: residual of consecutive scored blocks, (blocks, block_samples) each, finite, in m/s².

    Returns:
        (history + block_samples, block_samples) float32: a row vector (end of the previous block, block) times it gives
        the components. At the start of a context the previous block is taken as zero.
    """
    from scipy.fft import dct
    from scipy.ndimage import uniform_filter1d

    size = contexts[0].shape[1]
    samples = sum(context.size for context in contexts)
    before = history(size)
    order = int(np.clip(samples // SAMPLES_PER_COEFFICIENT, 1, before))
    order = min(order, max(context.size for context in contexts) - 1)
    model = autoregression([context.ravel() for context in contexts], order)
    matrix = np.zeros((before + size, size))
    for sample in range(size):
        matrix[before + sample - order : before + sample + 1, sample] = model[::-1]
    innovations = np.concatenate([with_previous(context) for context in contexts]) @ matrix
    # The forecast is better at a block's start than at its end: bring every position to the same spread.
    spread = np.sqrt(np.mean(innovations**2, axis=0))
    matrix /= uniform_filter1d(spread, min(11, size), mode="nearest")
    matrix = dct(matrix, norm="ortho", axis=1)
    components = np.concatenate([with_previous(context) for context in contexts]) @ matrix
    energy = np.mean(components**2, axis=0)
    # Neighbours lend each other weight: the energy of one component of few blocks is uncertain.
    matrix /= np.sqrt(uniform_filter1d(energy, min(3, size), mode="nearest"))
    whitening: Float32 = matrix.astype(np.float32)
    return whitening


def with_previous(context: Float64) -> Float64:
    """Each block behind the end of the one before it, zeros before the first: to (blocks, history + size)."""
    previous = np.concatenate([np.zeros_like(context[:1]), context[:-1]])
    return np.concatenate([previous[:, -history(context.shape[1]) :], context], axis=1)
