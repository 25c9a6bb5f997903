"""Operating conditions: what a healthy machine shows at speeds and loads that lie between those it was learned at.

A machine's features differ more between two loads than between healthy and faulty. But the logarithm of the features at
another load is nearly a convex combination of those at learned ones, the prototypes; a fault lies outside. So each
interval is first explained: by the combination, weights at least 0 with the sum 1, that comes closest to its features.
What is left is what evidence is made of. With one prototype, the explanation is the healthy mean.

At the edge of what was learned, noise that leads outwards is left and noise that leads inwards is explained. So what is
healthy at a prototype is not quite the prototype; it is measured too.

The weights solve a least squares problem on the simplex, for all channels at once, by projected gradients with momentum
(A. Beck and M. Teboulle, "A fast iterative shrinkage-thresholding algorithm", 2009; the projection is that of J. Duchi,
"Efficient projections onto the l1-ball", 2008).
"""

from dataclasses import dataclass

import numpy as np

from monitor.core.arrays import Bool, Floats

MOST_PROTOTYPES = 12
"""Most prototypes. Fewer: conditions between them are explained worse. More: more work; 24 were no better."""

STEPS = 60
"""Steps of the descent. Fewer: intervals between conditions are explained worse than they could be. More: more work."""

SMALLEST = np.float32(1e-30)
"""Smallest energy whose logarithm is taken; a signal below it is refused as a flat line."""


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
    """The least squares problem of one or many calibrations; leading axes may be added."""

    origin: Floats
    """(R,) mean of the prototypes."""
    healthy: Floats
    """(P, R) what is healthy at each prototype."""
    pull: Floats
    """(P, R) the same over the squared noise of each feature."""
    gram: Floats
    """(P, P) products of ``pull`` and the prototypes about their mean."""

    @classmethod
    def of(cls, prototypes: Floats, noise: Floats, healthy: Floats | None = None) -> "Combination":
        """The problem for prototypes, (P, R); differences of a feature count by its ``noise``, (R,)."""
        origin = prototypes.mean(axis=0)
        spanned = prototypes - origin
        pull = spanned / noise**2
        return cls(origin, prototypes if healthy is None else healthy, pull, pull @ spanned.T)

    def weights(self, logs: Floats) -> Floats:
        """The weights of the prototypes that come closest to intervals, (n, R) to (n, P); at least 0, sum 1."""
        pull = (logs - self.origin) @ self.pull.T
        count = len(self.healthy)
        return descend(np.broadcast_to(self.gram, (len(logs), count, count)), pull, np.ones(pull.shape, np.bool_))

    def expected(self, logs: Floats) -> Floats:
        """What is healthy under the conditions of intervals, (n, R)."""
        return np.asarray(self.weights(logs) @ self.healthy)


def descend(gram: Floats, pull: Floats, known: Bool) -> Floats:
    """Minimise w gram w / 2 - pull w over the simplex of the known prototypes, (n, P)."""
    step = 1.0 / np.maximum(np.abs(gram).sum(axis=2).max(axis=1), 1e-9)[:, None]
    outside = np.where(known, 0.0, -np.inf).astype(pull.dtype)
    found = known / known.sum(axis=1, keepdims=True).astype(pull.dtype)
    ahead, momentum = found, 1.0
    for _ in range(STEPS):
        gradient = (gram @ ahead[..., None])[..., 0] - pull
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
