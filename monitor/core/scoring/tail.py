"""The healthy distribution of a statistic: its body from quantiles, its tail from a fit.

Limits lie far beyond the values in the healthy data. Excesses over a high quantile follow a generalised Pareto
distribution (Pickands 1975; peaks over threshold, as in Coles, An Introduction to Statistical Modeling of Extreme
Values, 4.2). The statistics here are logarithms of likelihood ratios, whose tail is exponential with a scale near 1.
The fit uses this as a prior, which dominates when data are few.
"""

from dataclasses import dataclass

import numpy as np

from monitor.core.arrays import Float64, Floats

BODY = (0.1, 0.5, 0.8)
"""Probabilities of the knots of the body. The fourth knot, the threshold of the tail, is added by :func:`fit_tail`."""

PRIOR_EXCESSES = 20.0
"""Weight of the prior scale, in excesses. Lower: ten values decide a limit that is a million times rarer. Higher: a
statistic with a heavier tail than expected gets too low a limit."""

SHAPE_SPREAD = 0.05
"""Standard deviation of the prior of the tail's shape, about 0 (exponential). Lower: heavy tails are missed. Higher:
random variation makes limits for months wrong by large factors (checked on surrogate data)."""

LEAST_EXCESSES = 40
"""Fewest independent excesses for the fit of the tail. Lower: the scale is uncertain. Higher: the fit follows the near
tail, which single intervals make, and misses the far tail, which averages make (with a tenth of 600 to 3600 values,
five to ten times the requested false alarms were measured)."""

EXCESSES_BY_ROOT = 1.5
"""With more values, the number of excesses is this times the square root of the number of independent values."""


@dataclass(frozen=True, slots=True)
class Tail:
    """Distribution of a healthy statistic."""

    knots: Float64
    """(4,) ascending: values at the probabilities of the body, then the threshold of the tail."""
    surprises: Float64
    """(4,) -log of the probability of exceeding each knot."""
    scale: float
    """Scale of the excesses over the threshold, positive."""
    shape: float
    """Shape of the tail: 0 is exponential, larger is heavier."""

    def surprise(self, values: Floats) -> Floats:
        """-log of the probability that a healthy value exceeds each of ``values``; monotone, NaN stays NaN."""
        return surprise(values, self.knots, self.surprises, np.array(self.scale), np.array(self.shape))


def surprise(values: Floats, knots: Floats, surprises: Floats, scale: Floats, shape: Floats) -> Floats:
    """As :meth:`Tail.surprise`, for arrays of tails. Arguments are broadcast against each other over (...).

    Args:
        values: (...) values of statistics.
        knots: (..., 4) as in :class:`Tail`.
        surprises: (..., 4) as in :class:`Tail`.
        scale: (...) as in :class:`Tail`.
        shape: (...) as in :class:`Tail`, not negative.
    """
    result = np.zeros(np.broadcast_shapes(values.shape, np.shape(scale)), values.dtype)
    below = knots[..., 0] - np.maximum(knots[..., 1] - knots[..., 0], 1e-9)
    before, level = below, np.zeros_like(surprises[..., 0])
    for knot in range(knots.shape[-1]):
        at, reached = knots[..., knot], surprises[..., knot]
        part = np.clip((values - before) / np.maximum(at - before, 1e-12), 0.0, 1.0)
        result = result + part * (reached - level)
        before, level = at, reached
    excess = np.maximum(values - knots[..., -1], 0.0) / scale
    small = shape < 1e-6
    tail = np.where(small, excess, np.log1p(shape * excess) / np.where(small, 1.0, shape))
    return result + tail


def fit_tail(values: Float64, independent: float, expected_scale: float = 1.0) -> Tail:
    """Fit the distribution to healthy values.

    Args:
        values: (n,) finite values of a statistic with an exponential tail; need not be independent.
        independent: equivalent number of independent values, at least 1.
        expected_scale: prior scale of the tail.

    Returns:
        The healthy distribution.
    """
    independent = min(float(values.size), max(1.0, independent))
    excesses = max(LEAST_EXCESSES, EXCESSES_BY_ROOT * independent**0.5)
    above = min(1.0 - BODY[-1] - 0.05, excesses / independent)
    probabilities = np.array([*BODY, 1.0 - above])
    knots = np.maximum.accumulate(np.quantile(values, probabilities) + 1e-9 * np.arange(4))
    beyond = values[values > knots[-1]] - knots[-1]
    scale, shape = _fit_excesses(beyond, above * independent, expected_scale)
    return Tail(knots, -np.log1p(-probabilities), scale, shape)


def _fit_excesses(excesses: Float64, worth: float, expected: float) -> tuple[float, float]:
    """Posterior mode of scale and shape; the excesses have the weight of ``worth`` independent ones."""
    weight = worth / max(1, excesses.size)

    def loss(parameters: Float64) -> float:
        log_scale, shape = float(parameters[0]), float(abs(parameters[1]))
        scaled = excesses * np.exp(-log_scale)
        logs = np.log1p(shape * scaled) if shape > 1e-6 else shape * scaled
        density = log_scale * excesses.size + (1.0 + 1.0 / max(shape, 1e-6)) * float(logs.sum())
        if shape <= 1e-6:
            density = log_scale * excesses.size + float(scaled.sum())
        prior = PRIOR_EXCESSES * (log_scale + expected * np.exp(-log_scale)) + 0.5 * (shape / SHAPE_SPREAD) ** 2
        return float(weight * density + prior)

    mean = (float(excesses.sum()) * weight + PRIOR_EXCESSES * expected) / (worth + PRIOR_EXCESSES)
    from scipy.optimize import minimize  # imported here: the daemon never fits

    found = minimize(loss, np.array([np.log(mean), 0.5 * SHAPE_SPREAD]), method="Nelder-Mead")
    return float(np.exp(found.x[0])), float(abs(found.x[1]))
