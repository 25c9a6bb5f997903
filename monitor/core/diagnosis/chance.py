"""How likely chance alone explains a value: tails of the Gamma distribution, without SciPy.

The power of noise in one spectral bin, averaged over k independent segments and divided by its mean, is Gamma
distributed with shape k. The logarithm of the tail probability of one bin is exponentially distributed again. So sums
of such logarithms over the lines of a comb have a Gamma distribution with as many degrees as there are lines (R. A.
Fisher's combination of independent tests).
"""

from functools import cache
from math import lgamma

import numpy as np

from monitor.core.arrays import Float64

MOST_SHAPE = 400
"""Largest shape that is computed; above, it counts as this one, which overstates a tail and never understates it."""


def log_tail(shape: int, value: Float64) -> Float64:
    """Logarithm of the probability that a Gamma variable of integer shape exceeds a value.

    Q(k, x) = exp(-x) Σ_(i<k) x^i / i!, NIST Digital Library of Mathematical Functions, 8.4.10.

    Args:
        shape: k, at least 1.
        value: any shape, not negative.

    Returns:
        Of the same shape, at most 0.
    """
    if shape > MOST_SHAPE:
        value, shape = value * (MOST_SHAPE / shape), MOST_SHAPE
    flat = np.maximum(value.ravel(), 1e-12)
    logs = np.log(flat)
    total = np.zeros(flat.size)
    for i in range(1, shape):
        total = np.logaddexp(total, i * logs - lgamma(i + 1))
    return np.asarray(np.minimum(0.0, total - flat)).reshape(value.shape)


@cache
def quantile(shape: int, probability: float) -> float:
    """The value below which a Gamma variable of integer shape lies with this probability, divided by the shape."""
    shape = min(shape, MOST_SHAPE)
    low, high = 0.0, 2.0 * shape + 50.0
    wanted = np.log1p(-probability)
    for _ in range(60):
        middle = 0.5 * (low + high)
        above = float(log_tail(shape, np.array([middle]))[0]) > wanted
        low, high = (middle, high) if above else (low, middle)
    return 0.5 * (low + high) / shape
