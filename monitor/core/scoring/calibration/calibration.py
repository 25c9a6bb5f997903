"""Calibration: what is normal for one channel, learned once from healthy data and then fixed.

It holds the head, the learned conditions, the healthy mean and spread of every feature on every time scale, and the
scales of the tails that turn evidence into probabilities. Healthy data are short compared with the accepted time
between false alarms. With few values, spreads and tails therefore rely on prior expectations, and the limit has a
margin that shrinks as healthy data grow. Does not handle: checking that the data really are healthy.
"""

from copy import copy
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from monitor.core.arrays import Float64, Floats
from monitor.core.scoring.calibration.conditions import MOST_PROTOTYPES, Combination
from monitor.core.scoring.evidence.combine import EPISODE_GAP, SCALES
from monitor.core.scoring.evidence.kinds import KINDS, make_plan
from monitor.core.scoring.evidence.tail import Tail
from monitor.core.scoring.interval.bands import layout
from monitor.core.scoring.interval.head import SUMMARY_NUMBERS, Head
from monitor.errors import ArtefactError

SECONDS_PER_MONTH = 30 * 86400.0
"""A month of thirty days."""

MARGIN = 2.0
"""Relative margin of the limit for one healthy interval; divided by the square root of their number: 63 % for 10
intervals, about 3 % for 3600. Lower: limits from seconds of data give false alarms. Higher: they miss more faults."""

LEAST_TRUST = 0.1
"""Trust below which a signal is called noise. Lower: a broad resonance in noise counts as foreseen. Higher: signals on
which the forecast adds a decibel are called noise."""

OVER_S = {"1m": 60.0, "1d": 86400.0}
"""Seconds after the beginning of a rise at which it must have raised the alarm, as the columns of ``sensitivity``."""

SMALLEST_SURPRISE = 3.0
"""Lowest limit: a probability of 5 %. It keeps healthy scores well below 1 even with a large false alarm budget."""


RANGE_MARGIN = 0.1
"""Share of the learned range of a measured quantity by which a value may lie outside it. Lower: speeds that were met
while learning by chance only just not are called unknown. Higher: a score rests on what was never learned."""

POINT_MARGIN = 0.05
"""The same as a share of the value, for quantities that hardly vary. Lower: a steady speed that drifts by the slip of
its motor is called unknown. Higher: a score rests on what was never learned."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """What is normal for one channel; S time scales, K kinds, Q features, R raw features."""

    block_samples: int
    """Samples in a block."""
    interval_blocks: int
    """Scored blocks in an interval; the limits hold for this length only."""
    warmup_blocks: int
    """Warm-up blocks of each context that were left out; scoring must leave out as many."""
    sampling_rate_hz: float
    """Sampling rate of the healthy data."""
    interval_s: float
    """Seconds from the start of one interval to the next: its length, or for bursts the time between bursts."""
    healthy_s: float
    """Seconds of healthy signal that the calibration is based on."""
    intervals: float
    """Independent healthy intervals that the calibration is based on."""
    level_mps2: float
    """Median RMS of healthy intervals."""
    gap_ratio: float
    """Median gap ratio of healthy intervals, with the head."""
    trust: float
    """Share of the energy of healthy data, not used to fit it, that the head's forecast explains; 0 to 1."""
    linear_trust: float
    """The same for a head that does not use the network."""
    episode_intervals: float
    """Mean length of a healthy excursion, in intervals, at least 1."""
    aside_intervals: float
    """Intervals that were set aside while learning: odd, and never seen again."""
    head: Head
    """The channel's own forecast and whitening."""
    prototypes: Float64
    """(P, R) logarithms of raw features under the learned conditions; see
    :mod:`monitor.core.scoring.calibration.conditions`."""
    healthy: Float64
    """(P, R) what is healthy at each of them."""
    noise: Float64
    """(R,) by which differences count when conditions are combined."""
    quantities: tuple[str, ...]
    """Names of the C measured quantities that it was learned with."""
    values: Float64
    """(P, C) their values at the prototypes."""
    ranges: Float64
    """(C, 2) lowest and highest value of each in the healthy intervals."""
    low: Float64
    """(R,) lower bound of what the conditions leave of raw features, before it is averaged over intervals."""
    high: Float64
    """(R,) upper bound, so that one outlier does not dominate an average."""
    centre: Float64
    """(S, Q) healthy means of the features."""
    spread: Float64
    """(S, Q) healthy standard deviations of the features."""
    kind_scale: Float64
    """(S, K) scales of the tails of the kinds."""
    knee: Float64
    """() knee of the distribution of the combined statistic; see :class:`monitor.core.scoring.evidence.tail.Tail`."""
    at_knee: Float64
    """() surprise at the knee."""
    scale: Float64
    """() scale of its tail."""
    sensitivity: Float64
    """(bands + 1, 2) smallest lasting rise in dB that raises the alarm, of each band and then of all together, within a
    minute and a day, with the limit for one false alarm a month; see :mod:`monitor.core.learning.sensitivity`."""

    @property
    def combination(self) -> Combination:
        """How the learned conditions explain an interval."""
        return Combination.of(self.prototypes, self.noise, self.healthy, self.values)

    @cached_property
    def band_energy(self) -> Float64:
        """(bands,) energy that must be added to a block for a whitened energy of 1 in each band."""
        of = layout(self.block_samples)
        return np.add.reduceat(self.head.component_energy, of.edges[:-1])

    @property
    def tail(self) -> Tail:
        """The healthy distribution of the combined statistic."""
        return Tail(float(self.knee), float(self.at_knee), float(self.scale))

    def check_shapes(self, where: str) -> None:
        """Reject arrays with wrong shapes, and values that no calibration can have.

        Raises:
            ArtefactError: an array or value is wrong; the message begins with ``where``.
        """
        of = layout(self.block_samples)
        plan, scales, kinds = make_plan(of), len(SCALES), len(KINDS)
        raw = of.raw
        expected = {
            "prototypes": (min(max(1, len(np.atleast_1d(self.prototypes))), MOST_PROTOTYPES), raw),
            "healthy": self.prototypes.shape,
            "noise": (raw,),
            "values": (len(np.atleast_1d(self.prototypes)), len(self.quantities)),
            "ranges": (len(self.quantities), 2),
            "low": (raw,),
            "high": (raw,),
            "centre": (scales, plan.features),
            "spread": (scales, plan.features),
            "kind_scale": (scales, kinds),
            "knee": (),
            "at_knee": (),
            "scale": (),
            "sensitivity": (of.bands + 1, len(OVER_S)),
        }
        size = self.block_samples
        numbers = min(max(1, np.atleast_2d(self.head.summary).shape[1]), SUMMARY_NUMBERS)
        of_head: dict[str, tuple[int, ...]] = {"past": (size,), "position_scale": (size,), "component_scale": (size,)}
        of_head |= {"summary": (2 * size, numbers), "ahead": (numbers, size), "carried": (numbers, size)}
        shapes = [(name, getattr(self, name).shape, shape) for name, shape in expected.items()]
        shapes += [(name, getattr(self.head, name).shape, shape) for name, shape in of_head.items()]
        for name, found, shape in shapes:
            if found != shape:
                raise ArtefactError(f"{where}: '{name}' has shape {found}, expected {shape}; calibrate again")
        positive = (
            self.head.position_scale,
            self.head.component_scale,
            self.noise,
            self.spread,
            self.kind_scale,
            self.knee,
            self.at_knee,
            self.scale,
            self.sensitivity,
            self.interval_s,
            self.sampling_rate_hz,
            self.level_mps2,
        )
        if not all(np.all(np.asarray(value) > 0) for value in positive) or self.interval_blocks < 1:
            raise ArtefactError(
                f"{where}: holds a spread, scale, knee, sensitivity or rate that is not positive; calibrate again"
            )
        if not (0.0 <= self.trust <= 1.0 and 0.0 <= self.linear_trust <= 1.0):
            raise ArtefactError(f"{where}: holds a trust outside 0 to 1; calibrate again")
        if not np.all(self.ranges[:, 0] <= self.ranges[:, 1]):
            raise ArtefactError(f"{where}: holds a range whose lowest value is above its highest; calibrate again")
        with np.errstate(over="ignore", invalid="ignore"):
            head = copy(self.head)  # the matrix of the copy is given up again
            usable = np.isfinite(head.whitening).all()
        if not usable:
            raise ArtefactError(f"{where}: its head whitens to numbers that are not finite; calibrate again")

    @property
    def margins(self) -> Float64:
        """(C,) how far a measured value may lie outside what was learned; see :data:`RANGE_MARGIN`."""
        margins: Float64 = np.maximum(
            RANGE_MARGIN * (self.ranges[:, 1] - self.ranges[:, 0]), POINT_MARGIN * np.abs(self.ranges).max(axis=1)
        )
        return margins

    @property
    def foresight(self) -> str:
        """What is foreseen of the healthy signal, and by what, for a person."""
        foreseen = f"{100 * self.trust:.0f} % of the healthy signal foreseen"
        if self.trust < LEAST_TRUST:
            return f"{foreseen}: noise to network and linear model alike, limits rest on its spectrum"
        if not self.head.uses_network:
            return f"{foreseen}, the network adds nothing"
        return f"{foreseen}, {100 * self.linear_trust:.0f} % without the network"

    def limit(self, false_alarms_per_month: float) -> float:
        """The surprise that a healthy channel exceeds in so many episodes a month, plus the margin."""
        per_month = SECONDS_PER_MONTH / self.interval_s
        probability = min(1.0, false_alarms_per_month * self.episode_intervals / per_month)
        margin = 1.0 + MARGIN / np.sqrt(max(1.0, self.intervals))
        return max(SMALLEST_SURPRISE, float(-np.log(probability) * margin))


def episode_length(values: Floats, share: float = 0.02) -> float:
    """Mean length of the excursions above a high quantile, in intervals; those within ``EPISODE_GAP`` count as one.

    The inverse of the extremal index, by the runs method (Smith and Weissman 1994).
    """
    if values.size < 200:  # too few excursions to measure; the score already needs agreement over three intervals
        return 2.0
    above = np.flatnonzero(values > np.quantile(values, 1 - share))
    if above.size == 0:
        return 1.0
    return float(above.size / (1 + (np.diff(above) > EPISODE_GAP).sum()))
