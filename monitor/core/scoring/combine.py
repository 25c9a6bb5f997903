"""How surprises of several kinds on several time scales become one, and when one outlier does not count.

The smallest of the weighted probabilities counts (Tippett's combination, with weights). Independence would be needed to
say how probable that is; it is not assumed, the healthy distribution of the outcome is measured instead. Refuses to
know: what the surprises are of.
"""

import numpy as np

from monitor.core.arrays import Floats
from monitor.core.scoring.kinds import KINDS, PRIOR

SCALES = (1, 8, 64)
"""Intervals over which evidence is averaged: the interval itself, then eight and sixty-four with exponential weights.
At intervals of 1 s: 8 s and a minute. Longer: smaller persistent changes, later."""

MEMORY = 3
"""Of as many intervals a majority must agree: a single outlier is not seen. More: slower."""

AGREED_SCALE = 0.85
"""Scale of the tail of what :func:`agreed` gives, before anything is seen: 0.5 if intervals were independent, 1 if
they were all alike; 0.5 to 0.7 was found on 3600 and 20,000 surrogate healthy intervals. Lower: short calibrations
alarm too often. Higher: too rarely, and late."""

EPISODE_GAP = 8
"""Intervals below the limit after which what follows is a new episode."""

_LOG_WEIGHTS = np.log(np.array([PRIOR[kind] for kind in KINDS])).astype(np.float32)


def combine(surprises: Floats) -> Floats:
    """The largest surprise, kinds of less weight lowered by its logarithm; at least 0.

    Args:
        surprises: (..., scales, kinds), -log of probabilities, finite.

    Returns:
        (...,).
    """
    return np.asarray(np.maximum((surprises + _LOG_WEIGHTS).max(axis=(-2, -1)), 0.0))


def agreed(last: Floats) -> Floats:
    """What a majority of the last intervals reach.

    Args:
        last: (n, MEMORY), NaN where there was no interval yet, the newest last and not NaN.

    Returns:
        (n,): the median of three, the lower of two, the value of one.
    """
    ordered = np.sort(last, axis=1)  # NaN goes to the end
    present = np.isfinite(last).sum(axis=1)
    return np.asarray(ordered[np.arange(len(last)), np.maximum(present - 1, 0) // 2])
