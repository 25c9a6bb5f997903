"""Makes a calibration from intervals whose blocks are gone: what the daemon keeps of a channel's life.

It is the second half of :func:`monitor.core.learning.fit.calibrate`, and counts intervals from one starting point, as
that does with long data. So both give the same calibration for the same intervals and the same head.
"""

from typing import NamedTuple

import numpy as np

from monitor.core.arrays import Bool, Float64
from monitor.core.learning.block_sums import fewest_intervals
from monitor.core.learning.fit import Fit, Healthy, How
from monitor.core.learning.head_fit import Fitted
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.core.scoring.calibration.measured import learnable
from monitor.errors import RecordingError


class FromIntervals(NamedTuple):
    """A calibration, and what it was not made from."""

    calibration: Calibration
    """The calibration."""
    aside: Bool
    """(intervals,) True where an interval was set aside: odd, and never seen again."""


def calibrate_intervals(
    raw: Float64,
    measured: Float64,
    names: tuple[str, ...],
    fitted: Fitted,
    *,
    interval_blocks: int,
    warmup_blocks: int,
    sampling_rate_hz: float,
    interval_s: float | None = None,
    every: int = 1,
    known: int = 0,
) -> FromIntervals:
    """Learn what is normal for a channel.

    Args:
        raw: (n, R) raw features of healthy intervals in order of time, made with the head; finite.
        measured: (n, C) means of the measured quantities over them, NaN where not known.
        names: names of the C quantities; those of which nothing is known are left out.
        fitted: the head.
        interval_blocks: scored blocks in an interval.
        warmup_blocks: blocks left out at the start of each context.
        sampling_rate_hz: sampling rate of the blocks.
        interval_s: for bursts, seconds from one burst to the next; None for a continuous signal.
        every: of so many intervals one was kept.
        known: how many of them, the first ones, made the calibration that is extended by the others; 0: none. What a
            person adds need not recur to count.

    Returns:
        The calibration, and what was set aside.

    Raises:
        RecordingError: too few intervals, or too many quantities.
    """
    need = fewest_intervals(interval_blocks)
    if len(raw) < need:
        raise RecordingError(f"calibration: there are {len(raw)} healthy intervals, at least {need} are needed")
    told = learnable([dict(zip(names, measured.T, strict=True))])
    columns = [names.index(name) for name in told]
    how = How(fitted, told, interval_blocks, warmup_blocks, sampling_rate_hz, interval_s, every)
    parts = [part for part in (slice(known), slice(known, None)) if len(raw[part])]
    healthy = [Healthy([raw[part]], [measured[part][:, columns]]) for part in parts]
    fit = Fit(healthy, len(raw) * interval_blocks, how)
    return FromIntervals(fit.calibration(), np.concatenate(fit.aside))
