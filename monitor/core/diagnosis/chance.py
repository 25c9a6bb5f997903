"""How likely chance alone explains a value: tails of the Gamma distribution and of Student's, without SciPy.

The power of noise in one spectral bin, averaged over k independent segments and divided by its mean, is Gamma
distributed with shape k. The logarithm of the tail probability of one bin is exponentially distributed again. So sums
of such logarithms over the lines of a comb have a Gamma distribution with as many degrees as there are lines (R. A.
Fisher's combination of independent tests).
"""

import math
from functools import cache

import numpy as np

from monitor.core.arrays import Float64

MOST_SHAPE = 400
"""Largest shape that is computed; above, it counts as this one, which overstates a tail and never understates it."""

TABLE = 2048
"""Values from which a tail is looked up in a table. Fewer: the table is coarse. More: many values are computed one by
one, each in as many steps as the shape."""


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
    if value.size < TABLE:
        return _log_tail(shape, value)
    places, logs = _table(shape)
    found = np.interp(value, places, logs)
    beyond = value > places[-1]
    if beyond.any():
        found[beyond] = _log_tail(shape, value[beyond])
    return found


@cache
def _table(shape: int) -> tuple[Float64, Float64]:
    """Values, and the logarithms of their tails, so close that a straight line between two is within 0.001 of it."""
    places = np.linspace(0.0, shape + 10.0 * math.sqrt(shape) + 60.0, TABLE)
    return places, _log_tail(shape, places)


def _log_tail(shape: int, value: Float64) -> Float64:
    flat = np.maximum(value.ravel(), 1e-12)
    logs = np.log(flat)
    total = np.zeros(flat.size)
    for i in range(1, shape):
        total = np.logaddexp(total, i * logs - math.lgamma(i + 1))
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


def upper_tail(value: float, degrees: int | None) -> float:
    """Probability that a variable of Student's distribution exceeds a value; that a normal one does without degrees.

    With n degrees the density at sqrt(n) tan a is that of cos^(n - 1) a, which is integrated by Gauss and Legendre's
    rule.
    """
    if degrees is None:
        return 0.5 * math.erfc(value / math.sqrt(2.0))
    first = math.atan(value / math.sqrt(degrees))
    nodes, weights = _rule()
    width = (0.5 * math.pi - first) / 2.0
    norm = math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)) / math.sqrt(math.pi)
    return float(norm * width * (weights @ np.cos(first + width * (nodes + 1.0)) ** (degrees - 1)))


@cache
def _rule() -> tuple[Float64, Float64]:
    nodes, weights = np.polynomial.legendre.leggauss(64)
    return nodes, weights
