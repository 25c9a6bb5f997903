"""Kinds of evidence: how far the features of an interval deviate from healthy, each as a log likelihood ratio.

A feature x with the healthy mean m and standard deviation s has the deviation z = (x - m) / s. Its likelihood ratio for
a change is at most p(0) / p(z), where p is Huber's density: normal in the middle, exponential beyond (P. Huber, "Robust
estimation of a location parameter", 1964). So the logarithm is z²/2 for small z and grows in proportion to z beyond:
with the decibels of a fault, as the features are logarithms. The statistic of a kind is the logarithm of the weighted
mean of these ratios over its features, with prior weights. It responds both to one band far off and to many bands
slightly off. Level and shape are separate kinds. Where a fall means as much as a rise, both sides count. Features are
not independent, so the tail of the statistic is measured, not derived.
"""

from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np

from monitor.core.arrays import Bool, Float32, Floats
from monitor.core.forecasting.gap import GapFigures
from monitor.core.scoring.interval.bands import SMALLEST, Layout
from monitor.core.scoring.interval.observations import Observations


class Kind(StrEnum):
    """Kinds of evidence for a fault; the values of the label ``evidence``."""

    BANDS = "bands"
    """Energy of the whitened residual in some band, absolute; counts a rise."""
    GAP_WHITENED = "gap_whitened"
    """Energy of the whitened residual over all bands, absolute; counts a rise."""
    SHAPE = "shape"
    """A band's fraction of the whitened energy, independent of gain; counts rise and fall."""
    GAP_RATIO = "gap_ratio"
    """Residual energy / signal energy, independent of gain; counts rise and fall."""
    IMPULSES = "impulses"
    """Kurtosis of the residual and variation of band energies between blocks, independent of gain; counts a rise."""
    LEVEL = "level"
    """RMS of the signal; counts rise and fall."""


KINDS = tuple(Kind)
"""All kinds, in the order of every array with an axis of kinds."""

IN_WORDS = {
    Kind.BANDS: "energy in a frequency band",
    Kind.GAP_WHITENED: "energy over all frequencies",
    Kind.SHAPE: "shape of the spectrum",
    Kind.GAP_RATIO: "share that is not foreseen",
    Kind.IMPULSES: "impacts",
    Kind.LEVEL: "level (RMS)",
}
"""The kinds in a person's words: on the page, in events, captures and alerts."""

PRIOR = {
    Kind.BANDS: 1.0,
    Kind.GAP_WHITENED: 1.0,
    Kind.SHAPE: 0.08,
    Kind.GAP_RATIO: 0.05,
    Kind.IMPULSES: 0.05,
    Kind.LEVEL: 0.05,
}
"""Weight of each kind in the combination: highest for the kinds that detected most faults first (real faults mixed into
healthy data). The others need a probability twelve to twenty times smaller. That delays a fault that they detect only
little, and keeps their random variation out of the score (with equal weights, detection came 1 dB later)."""

LINEAR_FROM = {
    Kind.BANDS: 6.0,
    Kind.GAP_WHITENED: 6.0,
    Kind.SHAPE: 6.0,
    Kind.GAP_RATIO: 6.0,
    Kind.IMPULSES: 2.5,
    Kind.LEVEL: 6.0,
}
"""Deviation from which the logarithm of the likelihood ratio grows in proportion. Logarithms of energies are nearly
normal; kurtosis is not, because healthy machines have rare knocks. Lower: the kind needs a larger deviation to alarm.
Higher: knocks raise alarms."""

DRIFT = {
    Kind.BANDS: 0.05,
    Kind.GAP_WHITENED: 0.04,
    Kind.SHAPE: 0.05,
    Kind.GAP_RATIO: 0.08,
    Kind.IMPULSES: 0.03,
    Kind.LEVEL: 0.05,
}
"""Expected drift of a healthy machine after calibration: a standard deviation in natural logarithms. The halves of a
healthy recording of 5 s differed by 4 % in level. Lower: long averages alarm on such drift. Higher: small lasting
changes are missed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The features of a layout and the kind that each belongs to."""

    windows: int
    """Number of windows over the bands."""
    starts: tuple[int, ...]
    """First feature of each kind, then the end of the last."""
    both_sides: Bool
    """(features,) True where a fall counts as well as a rise."""
    drift: Float32
    """(features,) expected drift of each feature, see ``DRIFT``."""
    linear_from: Float32
    """(features,) deviation from which evidence grows in proportion, see ``LINEAR_FROM``."""
    log_prior: Float32
    """(features,) logarithm of the prior weight within the kind."""

    @property
    def level(self) -> int:
        """The feature that is the logarithm of the RMS."""
        return self.starts[KINDS.index(Kind.LEVEL)]

    @property
    def features(self) -> int:
        """Number of features."""
        return self.starts[-1]


def make_plan(of: Layout) -> Plan:
    """List the features of a layout."""
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
        np.repeat(np.array([LINEAR_FROM[kind] for kind in KINDS], np.float32), counts),
        np.log(np.concatenate([sizes[kind] for kind in KINDS])).astype(np.float32),
    )


def raw_features(seen: Observations, gaps: GapFigures) -> Float32:
    """The features of an interval before averaging over several: band energies, and logarithms of the rest.

    Returns:
        (n, bands + parts + 3): bands, log burstiness, log kurtosis, log RMS, log gap ratio.
    """
    others = [seen.bursts, seen.kurtosis[:, None], gaps.rms_mps2[:, None], gaps.gap_ratio[:, None]]
    logs = np.log(np.maximum(np.concatenate(others, axis=1), SMALLEST))
    return np.concatenate([seen.bands, logs], axis=1)


def features(raw: Floats, windows: Floats) -> Floats:
    """The features that are compared with their healthy mean and spread.

    Args:
        raw: (..., scales, raw) from :func:`raw_features`, or averages of them.
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
        plan: the kind, prior weight and distribution of each feature.

    Returns:
        (..., scales, kinds) statistics, at least 0, NaN where a feature is NaN; and (..., scales, features) exponents,
        which show the features that contributed most.
    """
    z = (values - centre) / spread
    np.copyto(z, 0.0, where=(z < 0) & ~plan.both_sides)
    z = np.abs(z, out=z)
    bounded = np.minimum(z, plan.linear_from)
    exponent = bounded * (z - 0.5 * bounded)
    parts = []
    for first, end in pairwise(plan.starts):
        weighted = exponent[..., first:end] + plan.log_prior[first:end]
        top = weighted.max(axis=-1, keepdims=True)
        parts.append(top + np.log(np.exp(weighted - top).sum(axis=-1, keepdims=True)))
    return np.concatenate(parts, axis=-1), exponent
