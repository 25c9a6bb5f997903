"""Repetition rates that stand out of the envelope, where no speed or no bearing is known.

A rate is a comb of a line with its double and treble. Every line of the spectra is tried as the base, so the number of
places is that of the lines times the bands. Multiples of a rate that is reported, and sums and differences of two, are
not reported again.
"""

import numpy as np

from monitor.core.arrays import Float64
from monitor.core.diagnosis.chance import log_tail
from monitor.core.diagnosis.combs import FUNDAMENTAL
from monitor.core.diagnosis.envelope import EnvelopeSpectra

MULTIPLES = 3
"""Lines of a comb."""

MOST_OF_A_LINE = 60.0
"""Most surprise of one line. Lower: the strongest rates tie. Higher: one foreign line makes a comb."""

FIRST_BASE = 8
"""Line below which no rate is looked for: slow wandering."""

MOST_RATES = 6
"""Rates that are reported, the most significant ones."""

P_LIMIT = 1e-4
"""Probability by chance, over all lines and bands, above which a rate is not reported."""


def repetition_rates(spectra: EnvelopeSpectra) -> list[float]:
    """The rates that stand out, in Hz, the most significant first; empty if none does."""
    last = spectra.depth.shape[1] - 1
    bases = np.arange(FIRST_BASE, last // MULTIPLES)
    if not bases.size:
        return []
    near = spectra.near
    total = sum(np.minimum(near[:, bases * k], MOST_OF_A_LINE) for k in range(1, MULTIPLES + 1))
    log_p = log_tail(MULTIPLES, np.asarray(total))
    log_p[near[:, bases] < FUNDAMENTAL] = 0.0
    best = log_p.min(axis=0) + np.log(log_p.size)
    found: list[float] = []
    for at in np.argsort(best).tolist():
        if best[at] > np.log(P_LIMIT) or len(found) == MOST_RATES:
            break
        rate = _sharp(spectra, log_p, at, int(bases[at]))
        if not _related(rate, found, 3.0 * spectra.resolution_hz):
            found.append(rate)
    return found


def _sharp(spectra: EnvelopeSpectra, log_p: Float64, at: int, base: int) -> float:
    """The frequency of a line between its neighbours, from the powers beside it."""
    row = min(int(log_p[:, at].argmin()), spectra.depth.shape[0] - 1)
    around = spectra.depth[row, base - 1 : base + 2] ** 2
    middle = base + (around @ np.array([-1.0, 0.0, 1.0]) / around.sum() if around.sum() > 0 else 0.0)
    return float(middle * spectra.resolution_hz)


def _related(rate: float, found: list[float], within_hz: float) -> bool:
    """Whether a rate is a multiple or simple fraction of one that was found, or the sum or difference of two."""
    for one in found:
        larger, smaller = max(rate, one), min(rate, one)
        times = round(larger / smaller)
        if abs(larger - times * smaller) <= within_hz * times:
            return True
    multiples = (1, 2, 3)
    return any(
        abs(abs(i * one + sign * j * other) - rate) <= within_hz
        for one in found
        for other in found
        if one != other
        for i in multiples
        for j in multiples
        for sign in (-1, 1)
    )
