"""Combines the surprises of all kinds and time scales into one, and suppresses single outliers.

The smallest weighted probability counts (Tippett's method, with weights). The kinds are not independent, so the
distribution of the result is measured on healthy data instead of derived.
"""

import numpy as np

from monitor.core.arrays import Floats
from monitor.core.scoring.kinds import KINDS, PRIOR

SCALES = (1, 8, 64)
"""Time scales in intervals: the interval itself, then exponential averages over 8 and 64 (with intervals of 1 s: 8 s
and about a minute). Longer: smaller lasting changes are detected, but later."""

MEMORY = 3
"""Last intervals of which a majority must agree. Fewer: a single outlier raises an alarm. More: detection is slower."""

AGREED_SCALE = 0.85
"""Prior scale of the tail of :func:`agreed`: 0.5 for independent intervals, 1 for identical ones; 0.5 to 0.7 was
measured on 3600 and 20,000 surrogate healthy intervals. Lower: short calibrations alarm too often. Higher: they alarm
too rarely and late."""

EPISODE_GAP = 8
"""Intervals below the limit that end an episode."""

_LOG_WEIGHTS = np.log(np.array([PRIOR[kind] for kind in KINDS])).astype(np.float32)


def combine(surprises: Floats) -> Floats:
    """The largest surprise after adding the logarithm of each kind's weight; at least 0.

    Args:
        surprises: (..., scales, kinds), -log of probabilities, finite.

    Returns:
        (...,) combined surprise.
    """
    return np.asarray(np.maximum((surprises + _LOG_WEIGHTS).max(axis=(-2, -1)), 0.0))


def agreed(last: Floats) -> Floats:
    """The surprise that a majority of the last intervals reach.

    Args:
        last: (n, MEMORY) surprises, newest last; NaN where there was no interval yet, never in the last column.

    Returns:
        (n,): the median of three, the lower of two, or the single value.
    """
    ordered = np.sort(last, axis=1)  # NaN sorts to the end
    present = np.isfinite(last).sum(axis=1)
    return np.asarray(ordered[np.arange(len(last)), np.maximum(present - 1, 0) // 2])
