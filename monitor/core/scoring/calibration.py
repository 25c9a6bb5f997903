"""Calibration: what is normal for one channel in one regime, learned once from healthy data and then left alone.

It holds the whitening, the healthy mean and spread of every feature on every time scale, and the tails that turn
evidence into probabilities. Healthy data are short against the time between false alarms that people accept, so spreads
are held up by theory where values are few, tails by their expected form, and the limit keeps a margin that shrinks as
healthy data grow. Refuses to know: files, models, what the data it is given really are.
"""

from dataclasses import dataclass

import numpy as np

from monitor.core.arrays import Float32, Float64, Floats
from monitor.core.scoring.bands import layout
from monitor.core.scoring.combine import EPISODE_GAP, SCALES
from monitor.core.scoring.kinds import KINDS, make_plan
from monitor.core.scoring.tail import Tail
from monitor.core.scoring.whitening import history
from monitor.errors import ArtefactError

SECONDS_PER_MONTH = 30 * 86400.0
"""A month of thirty days."""

MARGIN = 2.0
"""Margin of the limit for one healthy interval; it falls with the square root of their number: 10 intervals 63 %,
3600 about 3 %. Lower: limits from seconds of data break. Higher: they see less."""

SMALLEST_SURPRISE = 3.0
"""Lowest limit, a probability of 5 %: whatever is asked, the score of healthy intervals stays well below 1."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """What is normal for one channel; S time scales, K kinds, Q features, R raw features."""

    block_samples: int
    """Samples in a block."""
    interval_blocks: int
    """Scored blocks in an interval; the limits hold for this length only."""
    warmup_blocks: int
    """Blocks of a context that were left out; the same must be left out when scoring."""
    sampling_rate_hz: float
    """Rate of the healthy data."""
    interval_s: float
    """Seconds from one interval to the next: its length, or for bursts the time between them."""
    healthy_s: float
    """Seconds of signal behind it."""
    intervals: float
    """Independent healthy intervals behind it."""
    level_mps2: float
    """Median RMS of healthy intervals."""
    gap_ratio: float
    """Median gap ratio of healthy intervals."""
    episode_intervals: float
    """Intervals that an excursion lasts, on average, at least 1."""
    whitening: Float32
    """(history + block_samples, block_samples) see :mod:`monitor.core.scoring.whitening`."""
    low: Float64
    """(R,) raw features are raised to this before they are averaged over intervals."""
    high: Float64
    """(R,) and lowered to this: one outlier must not fill an average."""
    centre: Float64
    """(S, Q) healthy means."""
    spread: Float64
    """(S, Q) standard deviations."""
    kind_knots: Float64
    """(S, K, 4) tails of the kinds' statistics, see :class:`monitor.core.scoring.tail.Tail`."""
    kind_surprises: Float64
    """(S, K, 4)."""
    kind_scale: Float64
    """(S, K)."""
    kind_shape: Float64
    """(S, K)."""
    knots: Float64
    """(4,) tail of the combination."""
    surprises: Float64
    """(4,)."""
    scale: Float64
    """()."""
    shape: Float64
    """()."""

    @property
    def tail(self) -> Tail:
        """The healthy distribution of the combination."""
        return Tail(self.knots, self.surprises, float(self.scale), float(self.shape))

    def check_shapes(self, where: str) -> None:
        """Refuse arrays that do not fit together or could not come from calibrating.

        Raises:
            ArtefactError: they do not; the message begins with ``where``.
        """
        of = layout(self.block_samples)
        plan, scales, kinds = make_plan(of), len(SCALES), len(KINDS)
        raw = of.bands + of.wide.shape[1] + 3
        expected = {
            "whitening": (history(self.block_samples) + self.block_samples, self.block_samples),
            "low": (raw,),
            "high": (raw,),
            "centre": (scales, plan.features),
            "spread": (scales, plan.features),
            "kind_knots": (scales, kinds, 4),
            "kind_surprises": (scales, kinds, 4),
            "kind_scale": (scales, kinds),
            "kind_shape": (scales, kinds),
            "knots": (4,),
            "surprises": (4,),
            "scale": (),
            "shape": (),
        }
        for name, shape in expected.items():
            found = getattr(self, name).shape
            if found != shape:
                raise ArtefactError(f"{where}: '{name}' has shape {found}, expected {shape}; calibrate again")
        positive = (self.spread, self.kind_scale, self.scale, self.interval_s, self.sampling_rate_hz, self.level_mps2)
        if not all(np.all(np.asarray(value) > 0) for value in positive) or self.interval_blocks < 1:
            raise ArtefactError(f"{where}: holds a spread, scale or rate that is not positive; calibrate again")

    def limit(self, false_alarms_per_month: float) -> float:
        """The surprise that a healthy channel exceeds in that many episodes a month, with the margin on top."""
        per_month = SECONDS_PER_MONTH / self.interval_s
        probability = min(1.0, false_alarms_per_month * self.episode_intervals / per_month)
        margin = 1.0 + MARGIN / np.sqrt(max(1.0, self.intervals))
        return max(SMALLEST_SURPRISE, float(-np.log(probability) * margin))


def episode_length(values: Floats, share: float = 0.02) -> float:
    """Mean number of intervals above a high quantile an excursion, those less than ``EPISODE_GAP`` apart being one.

    The inverse of the extremal index by the runs method (Smith and Weissman 1994).
    """
    if values.size < 200:  # too few excursions to tell; the statistic agrees over three intervals
        return 2.0
    above = np.flatnonzero(values > np.quantile(values, 1 - share))
    if above.size == 0:
        return 1.0
    return float(above.size / (1 + (np.diff(above) > EPISODE_GAP).sum()))
