"""Which band is named: the narrowest one with half of the new energy, as a person sees it in the spectrum.

Evidence compares each band with its own healthy spread, so that each frequency counts alike. The band with most
evidence is therefore often one where the healthy machine is nearly silent, such as just below half the sampling rate:
a fault that fills the spectrum raises it by the most decibels, although it holds a hundredth of the new energy. (A
cracked tooth that rings at 2.5 kHz was named "5700 to 6000 Hz".) So evidence decides which bands have risen, and energy
decides which of them is named. Scores do not depend on the name.
"""

import numpy as np

from monitor.core.arrays import Floats, Rows
from monitor.core.scoring.interval.bands import Layout

RISEN = 4.5
"""Least evidence of a band whose energy counts as new: three healthy standard deviations. Lower: a loud band that
varies when healthy hides a weak fault. Higher: the edges of a fault's band are left out."""

HALF = 0.5
"""Share of the new energy that the named band holds. Lower: a single line of a broad fault is named. Higher: a band
that is wider than what a person sees."""


def most_new(exponent: Floats, rise: Floats, energy: Floats, of: Layout) -> Rows:
    """The window to name for each interval.

    Args:
        exponent: (n, scales, windows) evidence of each window on each time scale.
        rise: (n, scales, windows) logarithm of its energy over the healthy one.
        energy: (n, bands) energy of the residual that is healthy under the present conditions, in any unit.
        of: the layout, whose first windows are the single bands.

    Returns:
        (n,) index of the window: the narrowest with half of the new energy, on the time scale with most evidence, and
        of these the one with most. Where no single band has risen, the window with most evidence.
    """
    rows = np.arange(len(exponent))
    scale = exponent.max(axis=2).argmax(axis=1)
    evidence, rise = exponent[rows, scale], rise[rows, scale, : of.bands]
    risen = (evidence[:, : of.bands] >= RISEN) & (rise > 0.0)
    new = np.where(risen, energy * np.expm1(np.minimum(rise, 80.0)), 0.0)
    total = new.sum(axis=1, keepdims=True)
    share = new / np.where(total > 0.0, total, 1.0) @ (of.windows > 0.0)
    width = of.window_bands[:, 1] - of.window_bands[:, 0]
    order = np.where(share >= HALF - 1e-6, width - 0.5 * share, np.inf)
    # Among equal windows argmin takes the first, which is the narrowest, as argmax does.
    named: Rows = np.where(total[:, 0] > 0.0, order.argmin(axis=1), evidence.argmax(axis=1))
    return named
