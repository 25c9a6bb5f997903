"""A damaged tooth strikes once a turn of its gear, in phase with the shaft.

Its envelope has a comb at the shaft's frequency with many multiples, because each strike is short. A healthy gear
modulates its mesh too, but slowly: once or twice a turn, few multiples. The lines of a tooth are true lines, so they
are looked for before lines are removed.
"""

from typing import NamedTuple

import numpy as np

from monitor.core.diagnosis.chance import log_tail
from monitor.core.diagnosis.combs import FUNDAMENTAL, MOST_OF_A_LINE, SEEN
from monitor.core.diagnosis.envelope import EnvelopeSpectra, Lines
from monitor.core.diagnosis.shaft.speed import Shaft

MULTIPLES = 15
"""Multiples of the shaft's frequency that are looked at."""

LEAST_MULTIPLES = 10
"""How many must be seen in one band. Fewer: slow modulations of healthy gears are named. More: weak strikes are not."""

EVEN = 0.2
"""Depth relative to the deepest multiple from which one counts. Lower: the sidebands of an inner race whose order is
near a whole number are taken for a tooth. Higher: strikes that ring long are not named."""

DEPTH = 0.5
"""Depth of all multiples together that is needed."""

NEWS_DEPTH = 0.15
"""The same where the healthy gear is known, whose lines are left out."""


class GearEvidence(NamedTuple):
    """Evidence for a damaged tooth."""

    frequency_hz: float
    """The mesh frequency."""
    order: float
    """Number of teeth."""
    harmonics: int
    """Multiples of the shaft's frequency that are seen."""
    p_value: float
    """Probability by chance."""
    depth: float
    """Depth of modulation of all multiples together."""


def gear_fault(
    spectra: EnvelopeSpectra, shaft: Shaft, teeth: int, trials: int, *, with_healthy: bool = False
) -> GearEvidence | None:
    """Look for strikes once a turn.

    Args:
        spectra: with lines.
        shaft: of the gear.
        teeth: of the gear.
        trials: other places that are looked at.
        with_healthy: whether the lines of the healthy gear are in the floor.

    Returns:
        The evidence of the most telling band; None if no band shows short strikes.
    """
    lines, inside = spectra.line(shaft.frequency_hz * np.arange(1.0, MULTIPLES + 1))
    lines = lines[inside]
    if lines.size < LEAST_MULTIPLES:
        return None
    near, each = spectra.near[:-1, lines], spectra.near_depth[:, lines]
    counts = (near >= FUNDAMENTAL) & (each >= EVEN * each.max(axis=1, keepdims=True))
    depth = np.sqrt(np.sum(np.where(counts, each, 0.0) ** 2, axis=1))
    seen = counts.sum(axis=1)
    telling = np.where((seen >= LEAST_MULTIPLES) & (depth >= (NEWS_DEPTH if with_healthy else DEPTH)), depth, 0.0)
    band = int(telling.argmax())
    if not telling[band]:
        return None
    log_p = float(log_tail(lines.size, np.minimum(near[band : band + 1], MOST_OF_A_LINE).sum(axis=1))[0])
    p_value = float(np.exp(max(-690.0, min(0.0, log_p + np.log(len(spectra.bands_hz) * max(1, trials))))))
    return GearEvidence(teeth * shaft.frequency_hz, float(teeth), int(seen[band]), p_value, float(depth[band]))


def shaft_lines(spectra: EnvelopeSpectra, shaft: Shaft, speed_error: float) -> Lines:
    """The lines at the multiples that are looked at, for comparison later if the machine is healthy."""
    multiples = np.arange(1.0, MULTIPLES + 1)
    lines, inside = spectra.line(shaft.frequency_hz * multiples)
    depth = np.where(spectra.near[:-1, lines] >= SEEN, spectra.near_depth[:, lines], 0.0)
    band, at = np.nonzero(np.where(inside, depth, 0.0))
    return Lines(band, multiples[at], depth[band, at], np.full(at.size, speed_error))
