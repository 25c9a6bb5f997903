"""Kinds of evidence: how far the features of an interval are from healthy, each as a log likelihood ratio.

A feature with a healthy mean m and standard deviation s that is now at z = (x - m) / s speaks for a change with at most
p(0) / p(z) to 1, where p is Student's density: exp(z²/2) nearby, less far out. A kind of evidence is the mean of that
over its features, weighted by how plausible each is beforehand; its logarithm is the statistic. That adapts by itself:
one band far out, or many a little. Level and shape are separate kinds, and where a fall tells as much as a rise, both
sides count. Refuses to know: whether features are independent (they are not; the tail of the statistic is measured),
limits, time.
"""

from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np

from monitor.core.arrays import Bool, Float32, Floats
from monitor.core.gap import GapFigures
from monitor.core.scoring.bands import Layout
from monitor.core.scoring.observations import Observations

SMALLEST = np.float32(1e-30)
"""Smallest energy or ratio whose logarithm is taken; what is below is refused as a flat line elsewhere."""


class Kind(StrEnum):
    """What may speak for a fault; the values of the label ``evidence``."""

    BANDS = "bands"
    """Whitened residual energy in some band, absolute; a rise."""
    GAP_WHITENED = "gap_whitened"
    """Whitened residual energy over all bands, absolute; a rise."""
    SHAPE = "shape"
    """A band's part of the whitened energy; free of gain; both sides."""
    GAP_RATIO = "gap_ratio"
    """Residual energy / signal energy; free of gain; both sides."""
    IMPULSES = "impulses"
    """Kurtosis of the residual, and how much band energies vary from block to block; free of gain; a rise."""
    LEVEL = "level"
    """RMS of the signal; both sides."""


KINDS = tuple(Kind)
"""In the order of all arrays."""

SCALE_FREE = (Kind.SHAPE, Kind.GAP_RATIO, Kind.IMPULSES)
"""Kinds that a change of gain alone does not move."""

PRIOR = {
    Kind.BANDS: 1.0,
    Kind.GAP_WHITENED: 1.0,
    Kind.SHAPE: 0.08,
    Kind.GAP_RATIO: 0.05,
    Kind.IMPULSES: 0.05,
    Kind.LEVEL: 0.05,
}
"""Weight of each kind in the combination: full for what saw most faults first (mixtures of real faults into healthy
data). The others need a probability twelve to twenty times smaller: little for a fault that they see, and enough to
keep their chance fluctuations out of the score (measured with equal weights: 1 dB later)."""

HEAVINESS = {
    Kind.BANDS: 30.0,
    Kind.GAP_WHITENED: 30.0,
    Kind.SHAPE: 30.0,
    Kind.GAP_RATIO: 30.0,
    Kind.IMPULSES: 5.0,
    Kind.LEVEL: 30.0,
}
"""Degrees of freedom of the healthy features' distribution about their mean (Student's t). Logarithms of energies are
close to normal; kurtosis is not: healthy machines have rare knocks. Lower: that kind needs more to alarm. Higher:
knocks alarm (measured without any bound: four of five false alarms were of that kind)."""

DRIFT = {
    Kind.BANDS: 0.05,
    Kind.GAP_WHITENED: 0.04,
    Kind.SHAPE: 0.05,
    Kind.GAP_RATIO: 0.08,
    Kind.IMPULSES: 0.03,
    Kind.LEVEL: 0.05,
}
"""Standard deviation, in natural logarithms, that a healthy machine is expected to drift by between calibration and
later. The two halves of a healthy recording of 5 s differed by 4 % in level. Lower: long averages alarm at such drift.
Higher: small persistent changes are not seen."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Which features there are for a layout, and what each belongs to."""

    windows: int
    """Windows over the bands."""
    starts: tuple[int, ...]
    """First feature of each kind, and the end."""
    both_sides: Bool
    """(features,) where a fall counts as well."""
    drift: Float32
    """(features,) see ``DRIFT``."""
    heaviness: Float32
    """(features,) see ``HEAVINESS``."""
    log_prior: Float32
    """(features,) logarithm of the weight within the kind."""

    @property
    def features(self) -> int:
        """Number of features."""
        return self.starts[-1]


def make_plan(of: Layout) -> Plan:
    """The features for a layout."""
    parts = of.wide.shape[1]
    sizes = {
        Kind.BANDS: of.window_prior,
        Kind.GAP_WHITENED: np.ones(1),
        Kind.SHAPE: of.window_prior,
        Kind.GAP_RATIO: np.ones(1),
        Kind.IMPULSES: np.full(parts + 1, 1.0 / (parts + 1)),
        Kind.LEVEL: np.ones(1),
    }
    two = {Kind.SHAPE, Kind.GAP_RATIO, Kind.LEVEL}
    counts = [sizes[kind].size for kind in KINDS]
    return Plan(
        len(of.window_prior),
        (0, *np.cumsum(counts).tolist()),
        np.repeat([kind in two for kind in KINDS], counts),
        np.repeat(np.array([DRIFT[kind] for kind in KINDS], np.float32), counts),
        np.repeat(np.array([HEAVINESS[kind] for kind in KINDS], np.float32), counts),
        np.log(np.concatenate([sizes[kind] for kind in KINDS])).astype(np.float32),
    )


def raw_features(seen: Observations, gaps: GapFigures) -> Float32:
    """What is kept of an interval, and averaged over several: band energies, and logarithms of the rest.

    Returns:
        (n, bands + parts + 3): bands, log burstiness, log kurtosis, log RMS, log gap ratio.
    """
    others = [seen.bursts, seen.kurtosis[:, None], gaps.rms_mps2[:, None], gaps.gap_ratio[:, None]]
    logs = np.log(np.maximum(np.concatenate(others, axis=1), SMALLEST))
    return np.concatenate([seen.bands, logs], axis=1)


def features(raw: Floats, windows: Floats) -> Floats:
    """The features that are compared with healthy ones.

    Args:
        raw: (..., scales, raw) from :func:`raw_features`, or averages of such.
        windows: (bands, windows) of the layout.

    Returns:
        (..., scales, features) in the order of :class:`Plan`.
    """
    bands = len(windows)
    energy = np.maximum(raw[..., :bands], SMALLEST)
    in_windows = np.log(energy @ windows)
    whole = np.log(energy.mean(axis=-1, keepdims=True))
    profile = in_windows - np.log(energy).mean(axis=-1, keepdims=True)
    impulses = raw[..., bands:-2]
    return np.concatenate([in_windows, whole, profile, raw[..., -1:], impulses, raw[..., -2:-1]], axis=-1)


def statistics(values: Floats, centre: Floats, spread: Floats, plan: Plan) -> tuple[Floats, Floats]:
    """Log likelihood ratios of the kinds.

    Args:
        values: (..., scales, features).
        centre: healthy means, broadcastable.
        spread: healthy standard deviations, broadcastable.
        plan: the features' belongings.

    Returns:
        (..., scales, kinds) statistics, at least 0, NaN where a feature is; and (..., scales, features) exponents, for
        finding what drove them.
    """
    z = (values - centre) / spread
    np.copyto(z, 0.0, where=(z < 0) & ~plan.both_sides)
    z *= z
    z /= plan.heaviness
    exponent = np.log1p(z, out=z)
    exponent *= 0.5 * (plan.heaviness + 1.0)
    parts = []
    for first, end in pairwise(plan.starts):
        weighted = exponent[..., first:end] + plan.log_prior[first:end]
        top = weighted.max(axis=-1, keepdims=True)
        parts.append(top + np.log(np.exp(weighted - top).sum(axis=-1, keepdims=True)))
    return np.concatenate(parts, axis=-1), exponent
