"""Operating conditions: what a healthy machine shows at speeds and loads that lie between those it was learned at.

A machine's features differ more between two loads than between healthy and faulty. But the logarithm of the features at
another load is nearly a convex combination of those at learned ones, the prototypes; a fault lies outside. So each
interval is first explained: by the combination, weights at least 0 with the sum 1, that comes closest to its features.
What is left is what evidence is made of. With one prototype, the explanation is the healthy mean.

Where a quantity such as a speed is measured, only the prototypes next to its value, below and above, may explain the
interval. So a fault that looks like another speed is not excused. Between them the features decide: a machine at
1000 rpm is not half-way between itself at 800 and at 1200 rpm, so weights that had to reproduce the value would call it
faulty.

At the edge of what was learned, noise that leads outwards is left and noise that leads inwards is explained. So what is
healthy at a prototype is not quite the prototype; it is measured too.

The weights solve a least squares problem on the simplex, for all channels at once, by projected gradients with momentum
(A. Beck and M. Teboulle, "A fast iterative shrinkage-thresholding algorithm", 2009; the projection is that of J. Duchi,
"Efficient projections onto the l1-ball", 2008).
"""

from dataclasses import dataclass

import numpy as np

from monitor.core.arrays import Bool, Floats
from monitor.core.scoring.interval.bands import SMALLEST

MOST_PROTOTYPES = 12
"""Most prototypes. Fewer: conditions between them are explained worse. More: more work; 24 were no better."""

MOST_QUANTITIES = 6
"""Most measured quantities of a calibration. More: their extremes alone take all prototypes."""

STEPS = 60
"""Steps of the descent. Fewer: intervals between conditions are explained worse than they could be. More: more work."""

LEAST_VARIATION = 0.05
"""Range of a measured quantity, as a share of its value, below which it tells no conditions apart. Lower: the noise of
a steady speed decides how an interval is explained. Higher: small changes of speed are not told apart."""

NEARBY = 0.03
"""Difference of a measured quantity, as a share of its learned range, that does not count. Lower: the noise of a
measured speed lets the next speed explain an interval. Higher: the features of another speed count as those of this
one."""


def logarithms(raw: Floats, bands: int) -> Floats:
    """The features in which conditions are combined: (..., R) raw features, with logarithms of the first ``bands``."""
    logs = raw.copy()
    logs[..., :bands] = np.log(np.maximum(raw[..., :bands], SMALLEST))
    return logs


def explained(raw: Floats, expected: Floats, bands: int) -> Floats:
    """What remains of raw features: band energies over their expectation, the differences of the others.

    Args:
        raw: (..., R) raw features.
        expected: (..., R) logarithms that the conditions explain.
        bands: number of band energies, which come first.
    """
    found = np.empty_like(raw)
    found[..., :bands] = raw[..., :bands] * np.exp(-expected[..., :bands])
    found[..., bands:] = raw[..., bands:] - expected[..., bands:]
    return found


@dataclass(frozen=True, slots=True)
class Combination:
    """The least squares problem of one calibration."""

    origin: Floats
    """(R,) mean of the prototypes."""
    healthy: Floats
    """(P, R) what is healthy at each prototype."""
    pull: Floats
    """(P, R) prototypes about their mean, over the squared noise of each feature."""
    gram: Floats
    """(P, P) products of ``pull`` and the prototypes about their mean."""
    values: Floats
    """(P, C) measured values of the prototypes on the scale of :func:`to_scale`."""
    scale: Floats
    """(C, 4) lowest, highest and mean value of each quantity, and the unit of the scale; an infinite one if the
    prototypes do not differ in it."""

    @classmethod
    def of(
        cls, prototypes: Floats, noise: Floats, healthy: Floats | None = None, values: Floats | None = None
    ) -> "Combination":
        """The problem for prototypes, (P, R), with measured ``values``, (P, C); ``noise``, (R,), scales differences."""
        origin = prototypes.mean(axis=0)
        spanned = prototypes - origin
        pull = spanned / noise**2
        values = np.zeros((len(prototypes), 0)) if values is None else values
        low, high = values.min(axis=0), values.max(axis=0)
        scale = np.stack([low, high, values.mean(axis=0), np.where(varies(low, high), high - low, np.inf)], axis=1)
        healthy = prototypes if healthy is None else healthy
        return cls(origin, healthy, pull, pull @ spanned.T, to_scale(values, scale), scale)

    def weights(self, logs: Floats, measured: Floats | None = None) -> Floats:
        """The weights of the prototypes that come closest to intervals, at least 0 with the sum 1.

        Args:
            logs: (n, R) logarithms of the features of intervals.
            measured: (n, C) their measured values, NaN where not known; None: nothing is known.

        Returns:
            (n, P) weights.
        """
        pull = (logs - self.origin) @ self.pull.T
        if measured is None or not measured.shape[1]:
            return descend(self.gram, pull, np.ones(pull.shape, np.bool_))
        values = np.broadcast_to(self.values, (len(logs), *self.values.shape))
        return descend(self.gram, pull, neighbours(values, to_scale(measured, self.scale)))

    def expected(self, logs: Floats, measured: Floats | None = None) -> Floats:
        """What is healthy under the conditions of intervals, (n, R); see :meth:`weights`."""
        if len(self.healthy) == 1:
            return np.broadcast_to(self.healthy, logs.shape)
        return np.asarray(self.weights(logs, measured) @ self.healthy)

    def left(self, raw: Floats, bands: int, measured: Floats | None = None) -> Floats:
        """What the conditions leave of the raw features of intervals, (n, R); see :func:`explained`."""
        return explained(raw, self.expected(logarithms(raw, bands), measured), bands)


def varies(low: Floats, high: Floats) -> Bool:
    """Whether a quantity from ``low`` to ``high`` varies enough to tell conditions apart."""
    return np.asarray(high - low > LEAST_VARIATION * np.maximum(np.abs(low), np.abs(high)))


def to_scale(values: Floats, scale: Floats) -> Floats:
    """Measured values (..., C) about the mean, in units of the range and not beyond it, by (..., C, 4) of a scale."""
    low, high, mean, unit = np.moveaxis(scale, -1, 0)
    return np.asarray((np.clip(values, low, high) - mean) / unit)


def neighbours(values: Floats, target: Floats) -> Bool:
    """The prototypes that may explain an interval of which something was measured, (n, P).

    Of each quantity these are the next ones below and above the measured value, and those within :data:`NEARBY` of it.
    Where these do not enclose the values of all quantities, every prototype may.

    Args:
        values: (n, P, C) measured values of the prototypes on the scale of :func:`to_scale`; NaN: no prototype.
        target: (n, C) what was measured; NaN: not known, does not count.
    """
    apart = values - target[:, None]
    with np.errstate(invalid="ignore"):
        below = np.where(apart <= NEARBY, apart, -np.inf).max(axis=1, keepdims=True)
        above = np.where(apart >= -NEARBY, apart, np.inf).min(axis=1, keepdims=True)
        near = (apart >= np.minimum(below, 0.0) - NEARBY) & (apart <= np.maximum(above, 0.0) + NEARBY)
        chosen = (near | np.isnan(apart)).all(axis=2)
        kept = chosen[..., None]
        enclosed = (kept & (apart <= NEARBY)).any(axis=1) & (kept & (apart >= -NEARBY)).any(axis=1)
    return np.asarray(chosen | ~(enclosed | np.isnan(target)).all(axis=1, keepdims=True))


def descend(gram: Floats, pull: Floats, known: Bool) -> Floats:
    """Minimise w gram w / 2 - pull w over the simplex of the known prototypes, (n, P).

    Args:
        gram: (n, P, P), or (P, P) where all intervals have the same prototypes, which takes a third of the time.
        pull: (n, P).
        known: (n, P) True where there is a prototype that may explain the interval.
    """
    step = 1.0 / np.maximum(np.abs(gram).sum(axis=-1).max(axis=-1), 1e-9)[..., None]
    outside = np.where(known, 0.0, -np.inf).astype(pull.dtype)
    found = known / known.sum(axis=1, keepdims=True).astype(pull.dtype)
    ahead, momentum = found, 1.0
    for _ in range(STEPS):
        gradient = (ahead @ gram if gram.ndim == 2 else (gram @ ahead[..., None])[..., 0]) - pull
        following = project(ahead - step * gradient + outside)
        grown = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * momentum * momentum))
        ahead = following + (momentum - 1.0) / grown * (following - found)
        found, momentum = following, grown
    return np.asarray(found)


def project(points: Floats) -> Floats:
    """The nearest points of the simplex, (n, P); -inf becomes 0."""
    falling = -np.sort(-points, axis=1)
    with np.errstate(invalid="ignore"):
        excess = (np.cumsum(falling, axis=1) - 1.0) / np.arange(1, points.shape[1] + 1)
        last = (falling > excess).sum(axis=1) - 1
    chosen = excess[np.arange(len(points)), last][:, None]
    return np.asarray(np.maximum(points - chosen, 0.0))
