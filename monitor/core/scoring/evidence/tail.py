"""The healthy distribution of a statistic: one knee, and an exponential tail beyond it.

Limits lie far beyond the values in the healthy data. The statistics here are logarithms of likelihood ratios. Such a
ratio exceeds exp(t) with a probability of at most exp(-t) (Markov's inequality), so the tail is exponential with a
scale of about 1. Both knee and scale come from quantiles, and from this expectation, which dominates when data are few:
a few odd values among the healthy ones move neither. The surprise of a value, -log of the probability that a healthy
machine shows as much, grows in proportion to the statistic, without bound.
"""

from dataclasses import dataclass

import numpy as np

from monitor.core.arrays import Float64, Floats

PRIOR_EXCESSES = 20.0
"""Weight of the expectation, in excesses. Lower: a few values decide a limit that is a million times rarer. Higher: a
statistic with a heavier tail than expected gets too low a limit."""

KNEE_SHARE = 0.05
"""Share of the values above the knee. Lower: it is uncertain. Higher: the tail is measured where it is not one yet."""

LEAST_EXCESSES = 40.0
"""Fewest independent values above the knee; with fewer values the knee is lower. Lower: knee and scale are uncertain.
Higher: as for a larger ``KNEE_SHARE``."""

ODD_SHARE, ODD_VALUES = 0.002, 5.0
"""Share and number of independent values at the top that may be odd and do not count. Fewer: odd intervals put the
limit out of reach. More: the tail is measured over too short a range."""

LEAST_SPAN = 1.6
"""Shortest range between the quantiles that a scale is measured over, as a ratio of probabilities. Lower: the scale is
uncertain. Higher: short data rely on the expectation alone."""


@dataclass(frozen=True, slots=True)
class Tail:
    """Distribution of a healthy statistic."""

    knee: float
    """Value at which the tail begins, positive."""
    at_knee: float
    """Surprise of the knee, positive."""
    scale: float
    """Scale of the tail, positive."""

    def surprise(self, values: Floats) -> Floats:
        """-log of the probability that a healthy value exceeds each of ``values``; monotone, NaN stays NaN."""
        return surprise(values, np.array(self.knee), np.array(self.at_knee), np.array(self.scale))


def surprise(values: Floats, knee: Floats, at_knee: Floats, scale: Floats) -> Floats:
    """As :meth:`Tail.surprise`, for arrays of tails; all arguments are broadcast against each other."""
    below = np.clip(values / knee, 0.0, 1.0) * at_knee
    return np.asarray(below + np.maximum(values - knee, 0.0) / scale)


def fit_tail(values: Float64, independent: float, expected_scale: float, least_scale: float) -> Tail:
    """Fit the distribution to healthy values.

    Args:
        values: (n,) finite values of a statistic, at least 0; need not be independent.
        independent: equivalent number of independent values, at least 1.
        expected_scale: prior scale of the tail.
        least_scale: smallest scale of the tail.

    Returns:
        The healthy distribution.
    """
    independent = min(float(values.size), max(1.0, independent))
    share = _knee_share(independent)
    scale = fit_scale(values, independent, expected_scale, least_scale)
    at_knee = -float(np.log(share))
    worth = share * independent
    found = float(np.quantile(values, 1.0 - share))
    knee = (PRIOR_EXCESSES * at_knee * scale + worth * found) / (PRIOR_EXCESSES + worth)
    return Tail(knee, at_knee, scale)


def fit_scale(values: Float64, independent: float, expected: float, least: float) -> float:
    """Fit the scale of an exponential tail to healthy values.

    Args:
        values: (n,) finite values.
        independent: equivalent number of independent values, at least 1.
        expected: prior scale.
        least: smallest scale.

    Returns:
        The scale, from the difference of two quantiles and the prior.
    """
    independent = min(float(values.size), max(1.0, independent))
    share = _knee_share(independent)
    odd = max(ODD_VALUES / independent, ODD_SHARE)
    if share < LEAST_SPAN * odd:
        return max(least, expected)
    lower, upper = np.quantile(values, [1.0 - share, 1.0 - odd])
    measured = float(upper - lower) / float(np.log(share / odd))
    worth = share * independent
    return max(least, (PRIOR_EXCESSES * expected + worth * measured) / (PRIOR_EXCESSES + worth))


def _knee_share(independent: float) -> float:
    return min(0.5, max(KNEE_SHARE, LEAST_EXCESSES / independent))
