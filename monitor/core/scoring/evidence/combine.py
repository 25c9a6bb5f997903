"""Combines the surprises of all kinds and time scales into one, and suppresses single outliers.

The smallest weighted probability counts (Tippett's method, with weights). The kinds are not independent, so the
distribution of the result is measured on healthy data instead of derived.
"""

import numpy as np

from monitor.core.arrays import Bool, Floats, Int64
from monitor.core.scoring.evidence.kinds import KINDS, PRIOR

SCALES = (1, 8, 64, 512, 4096, 32768)
"""Time scales in intervals: the interval itself, then exponential averages. With intervals of 1 s the longest but one
is over an hour; the longest has filled to 99 % a day after a change. Longer: smaller lasting changes are detected, but
later, and an alarm lasts longer after a repair."""

MEMORY = 5
"""Last intervals of which a majority must agree. Fewer: a knock in two intervals raises an alarm (with 3, five times as
many false alarms as allowed on a machine that knocks every minute). More: detection is slower."""

AGREED_SCALE, LEAST_AGREED_SCALE = 0.85, 0.7
"""Expected and smallest scale of the tail of :func:`agreed`: a third for independent intervals, 1 for identical ones.
Lower: short calibrations alarm too often. Higher: they alarm too rarely and late."""

KIND_SCALE = 1.0
"""Expected and smallest scale of the tail of a kind. Lower: likelihood ratios do not allow it. Higher: late alarms."""

EPISODE_GAP = 8
"""Intervals below the limit that end an episode."""

LONE_SHARE = 1.0 / 3.0
"""Bound of a feature in the averages, as a share of the usual one, if it was within this share in the interval before.
Lower: averages miss faults that show in single intervals. Higher: knocks of a healthy machine, three in eight
intervals, raise more false alarms than allowed (at 1, four times as many as one a month)."""

_LOG_WEIGHTS = np.log(np.array([PRIOR[kind] for kind in KINDS])).astype(np.float32)


def unsettled(count: Int64) -> Bool:
    """(n, scales) True where fewer intervals came, (n,), than an average is over; such an average says nothing yet."""
    return np.asarray(count[:, None] < np.array(SCALES))


def tamed(raw: Floats, before: Floats, low: Floats, high: Floats) -> Floats:
    """Clip raw features before they are averaged: a lone outlier counts for little, a lasting change for much.

    Args:
        raw: (..., R) features of intervals.
        before: (..., R) those of the interval before each.
        low: lower bounds for values whose predecessor was low as well; (..., R) or (R,).
        high: upper bounds, as ``low``.

    Returns:
        (..., R) the values, clipped.
    """
    middle, half = 0.5 * (low + high), (0.5 * LONE_SHARE) * (high - low)
    least = np.where(before < middle - half, low, middle - half)
    most = np.where(before > middle + half, high, middle + half)
    return np.asarray(np.minimum(np.maximum(raw, least), most))


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
