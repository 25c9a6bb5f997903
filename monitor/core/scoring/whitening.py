"""Whitening: removes the usual spectrum of the healthy residual, so that every frequency counts alike.

The network forecasts the repeating part of a signal well and the random part badly. The residual is therefore coloured,
and the loud bands dominate its energy. An autoregressive model of the healthy residual predicts each sample from those
before it, across block borders. Its errors, the innovations, are white on the healthy machine. One matrix per
calibration maps (previous residual, residual) to the cosine components of the innovations, each scaled to mean square 1
when healthy.
"""

import numpy as np

from monitor.core.arrays import Float32, Float64

SAMPLES_PER_COEFFICIENT = 250
"""Healthy samples for each coefficient of the model. Fewer: the model overfits (on 1.3 s of data, 200 coefficients
detect 1 to 2 dB later than 50). More: long recordings are whitened less well."""

RIDGE = 1e-6
"""Relative addition to the variance. Lower: the gain is unbounded where the healthy residual has almost no energy.
Higher: deep notches of the spectrum are not whitened."""


def history(block_samples: int) -> int:
    """Samples before a block that the whitening uses, and the largest order of the model: one block.

    Half a block saves a quarter of the work, and detected faults mixed into 20 kHz data 0.4 dB later.
    """
    return block_samples


def autoregression(pieces: list[Float64], order: int) -> Float64:
    """Fit the linear model that predicts a sample from the ``order`` samples before it.

    Yule-Walker equations, solved by Levinson's recursion (Brockwell and Davis, Time Series: Theory and Methods, 8.1).

    Args:
        pieces: contiguous pieces, (n,) float64 each, finite, with a mean of about zero.
        order: number of coefficients; less than the length of the longest piece.

    Returns:
        (order + 1,): the filter 1, -a_1, ..., -a_order from residual to innovations.
    """
    correlation = np.zeros(order + 1)
    for piece in pieces:
        spectrum = np.fft.rfft(piece, 2 * piece.size)
        products = np.fft.irfft(np.abs(spectrum) ** 2)[: order + 1]
        correlation[: products.size] += products
    correlation[0] = correlation[0] * (1 + RIDGE) + np.finfo(np.float64).tiny
    from scipy.linalg import solve_toeplitz  # imported here: the daemon never fits, and SciPy is 50 MB

    return np.concatenate([[1.0], -solve_toeplitz(correlation[:-1], correlation[1:])])


def whitening_matrix(contexts: list[Float64]) -> Float32:
    """Fit the whitening of a healthy channel.

    Args:
        contexts: residual of consecutive scored blocks, (blocks, block_samples) each, finite, in m/s².

    Returns:
        (history + block_samples, block_samples) float32. The row vector (end of the previous block, block) times this
        matrix gives the components. At the start of a context the previous block is zero.
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
    # The forecast is better at the start of a block than at its end, so positions are scaled to equal spread.
    spread = np.sqrt(np.mean(innovations**2, axis=0))
    matrix /= uniform_filter1d(spread, min(11, size), mode="nearest")
    matrix = dct(matrix, norm="ortho", axis=1)
    components = np.concatenate([with_previous(context) for context in contexts]) @ matrix
    energy = np.mean(components**2, axis=0)
    # Average over neighbours: with few blocks, the energy of a single component is uncertain.
    matrix /= np.sqrt(uniform_filter1d(energy, min(3, size), mode="nearest"))
    whitening: Float32 = matrix.astype(np.float32)
    return whitening


def with_previous(context: Float64) -> Float64:
    """Join each block to the end of the block before it (zeros before the first): (blocks, history + size)."""
    previous = np.concatenate([np.zeros_like(context[:1]), context[:-1]])
    return np.concatenate([previous[:, -history(context.shape[1]) :], context], axis=1)
