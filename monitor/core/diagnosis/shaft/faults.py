"""Imbalance, misalignment and looseness, from the velocity at multiples of the shaft's frequency.

Every machine has some of each, so only a rise over a healthy baseline says anything. Imbalance raises once the shaft's
frequency; misalignment twice or three times; looseness many multiples and halves between them (ISO 13373-3). The lines
are measured in segments of the record. What a rise means depends on how the healthy machine's own lines wander, with
its load and from day to day. Where looks at it apart in time tell, a rise must be significant against their scatter;
else it must be large.

Does not handle: an axial direction, phases; they would tell a bent shaft from imbalance.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from monitor.core.arrays import Float64
from monitor.core.diagnosis.chance import log_tail, upper_tail

ORDERS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0)
"""Multiples of the shaft's frequency that are measured."""

TURNS = 40.0
"""Turns of the shaft in a segment. Fewer: halves are not told from whole multiples. More: a speed that wanders smears
the lines, and there are few segments."""

LEAST_SEGMENTS = 3
"""Segments that record and baseline need."""

LEAST_RISE_DB = 1.0
"""Least rise of a line, where it is known how the healthy machine's lines wander. Lower: a sensor that is mounted anew,
or warms up, is named. Higher: growing faults later."""

UNKNOWN_RISE_DB = 6.0
"""The same where that is not known. Lower: changes of load are named. Higher: growing faults later."""

WANDERING_DB = 1.5
"""Standard deviation by which lines of a healthy machine wander from day to day, where it is not known. Lower: p-values
are too small."""

LEAST_WANDERING_DB = 0.2
"""The same that is believed at least, where it is known. Lower: a temperature is named that the looks did not see.
Higher: growing faults later."""

KNOWN_LOOKS = 6
"""Looks at the healthy machine, apart in time, from which it is known how its lines wander. Fewer: Student's
distribution asks for more than the rise that is named without."""

RISEN = 1e-4
"""Probability by chance, of one line, from which it counts as risen where it is known how lines wander. Higher: noise
makes a pattern. Lower: one clear line is taken for imbalance that is one of many."""

CHANGED = 0.1
"""Probability by chance below which a line counts as changed where it speaks against a fault. Lower: misalignment whose
once the frequency rises is named as imbalance. Higher: chance forbids."""

ALONE = 0.25
"""Change in dB of twice and three times the frequency, up or down, over the rise of once, up to which it is imbalance.
Lower: imbalance is not named. Higher: misalignment is named so, if its part at twice the frequency met a line out of
phase."""

ABOVE_NOISE_DB = 6.0
"""Least level of a line above its neighbourhood. Lower: rises of the noise count as rises of the line."""

SEARCHED = 0.012
"""Relative error of the speed within which the strongest line counts as once the shaft's frequency."""


class ShaftEvidence(NamedTuple):
    """A fault of the shaft."""

    fault: str
    """``imbalance``, ``misalignment`` or ``looseness``."""
    order: float
    """The multiple that rose most."""
    harmonics: int
    """Multiples that rose."""
    p_value: float
    """Probability by chance, with all multiples counted."""


class Levels(NamedTuple):
    """The lines of a machine."""

    db: Float64
    """(segments, orders) 10 log10 of the mean square of velocity; (looks, orders) of several looks."""
    above_db: Float64
    """(orders,) of the mean over the neighbourhood."""

    def mean(self) -> "Levels":
        """One look, whose segments are a row each."""
        return Levels(self.db.mean(axis=0, keepdims=True), self.above_db)


def levels(records: Sequence[Float64], sampling_rate_hz: float, shaft_hz: float) -> Levels | None:
    """The velocity at multiples of the shaft's frequency.

    Args:
        records: acceleration in any unit, (n,) each, without a break.
        sampling_rate_hz: their rate.
        shaft_hz: frequency of the shaft.

    Returns:
        None if there are fewer than :data:`LEAST_SEGMENTS` segments.
    """
    size = round(TURNS / shaft_hz * sampling_rate_hz)
    window = np.hanning(size)
    power = []
    for record in records:
        for start in range(0, record.size - size + 1, size):
            piece = record[start : start + size]
            power.append(np.abs(np.fft.rfft((piece - piece.mean()) * window)) ** 2)
    if len(power) < LEAST_SEGMENTS:
        return None
    spectra = np.array(power)
    once = _once(spectra.mean(axis=0), shaft_hz * size / sampling_rate_hz)
    found, above = [], []
    for order in ORDERS:
        at = round(order * once)
        if at + 12 >= spectra.shape[1]:
            found.append(np.full(len(spectra), -np.inf))
            above.append(-np.inf)
            continue
        line, around = _line(spectra, at)
        found.append(10 * np.log10(line / order**2 + np.finfo(np.float64).tiny))
        above.append(10 * math.log10(float(line.mean()) / (3 * float(around.mean()) + np.finfo(np.float64).tiny)))
    return Levels(np.array(found).T, np.array(above))


def _line(spectra: Float64, at: int) -> tuple[Float64, Float64]:
    """The power of a line and the mean of a bin around it, (segments,) each, of spectra (segments, bins)."""
    around = np.concatenate([spectra[:, at - 10 : at - 4], spectra[:, at + 5 : at + 11]], axis=1)
    return spectra[:, at - 1 : at + 2].sum(axis=1), around.mean(axis=1)


def _once(spectrum: Float64, stated: float) -> float:
    """The place of the shaft's frequency in bins: where its whole multiples stand out most, near the one stated.

    With once the frequency alone, the sixth multiple would be looked for up to three bins beside its line.
    """
    whole = [order for order in ORDERS if order % 1 == 0]
    tried = stated * (1.0 + np.linspace(-SEARCHED, SEARCHED, 2 * math.ceil(4 * max(whole) * SEARCHED * stated) + 1))
    prominent = np.zeros(tried.size)
    for number, once in enumerate(tried.tolist()):
        for order in whole:
            at = round(order * once)
            if at + 12 < spectrum.size:
                line, around = _line(spectrum[None], at)
                ratio = float(line[0]) / (3 * float(around[0]) + np.finfo(np.float64).tiny)
                prominent[number] += max(0.0, math.log(max(ratio, 1.0)))
    best = np.flatnonzero(prominent >= 0.999 * prominent.max())
    return float(tried[best[np.abs(tried[best] - stated).argmin()]])


def shaft_fault(now: Levels, healthy: Levels, *, apart: bool = False) -> ShaftEvidence | None:
    """Name a fault of the shaft; None if no line rose enough, or if the pattern is that of none.

    Args:
        now: of a look, or of several.
        healthy: the same of the healthy machine.
        apart: whether the rows of ``healthy`` are looks apart in time, so that it is known how the lines wander.
    """
    usable = np.isfinite(now.db).all(axis=0) & np.isfinite(healthy.db).all(axis=0)
    here, there = np.where(usable, now.db, 0.0), np.where(usable, healthy.db, 0.0)
    rise = here.mean(axis=0) - there.mean(axis=0)
    scatter = there.var(axis=0, ddof=1) / len(there) + (here.var(axis=0, ddof=1) / len(here) if len(here) > 1 else 0.0)
    known = apart and len(there) >= KNOWN_LOOKS
    if known:
        wandering = np.maximum(LEAST_WANDERING_DB, there.std(axis=0, ddof=1))
        least, degrees = LEAST_RISE_DB, len(there) - 1
    else:
        wandering, least, degrees = np.full(rise.size, WANDERING_DB), UNKNOWN_RISE_DB, None
    ratio = (rise / np.sqrt(wandering**2 + scatter)).tolist()
    tails = np.array([max(1e-300, upper_tail(value, degrees)) for value in ratio])
    clear = usable & (now.above_db >= ABOVE_NOISE_DB)
    risen = clear & (rise >= least) & (tails <= (RISEN if known else 1.0))
    if not risen.any():
        return None
    # Where a fault and the healthy line are out of phase the line rises less, or falls: every change counts.
    changed = clear & np.array([upper_tail(abs(value), degrees) <= CHANGED / 2 for value in ratio])
    moved = np.where(changed, (10 ** (here.mean(axis=0) / 20) - 10 ** (there.mean(axis=0) / 20)) ** 2, 0.0)
    once, twice, thrice = (ORDERS.index(order) for order in (1.0, 2.0, 3.0))
    halves = [k for k, order in enumerate(ORDERS) if order % 1]
    beside = max(abs(rise[k]) if changed[k] else 0.0 for k in (twice, thrice))
    double = moved[twice] + moved[thrice] >= 0.5 * moved[once]
    if risen[halves].sum() >= 2 or (risen[halves].any() and risen.sum() >= 4):
        fault, chosen = "looseness", np.flatnonzero(risen)
    elif double and risen[twice]:
        fault, chosen = "misalignment", np.array([k for k in (twice, thrice) if risen[k]])
    elif not double and beside <= ALONE * rise[once] and risen[once] and not risen[halves].any():
        fault, chosen = "imbalance", np.array([once])
    else:
        return None
    p_value = float(tails[chosen].min()) * 3 * len(ORDERS)
    if fault == "looseness" and known:
        # At half orders a machine has noise, whose scatter is independent: Fisher's combination.
        total = float(-np.log(np.where(clear, tails, 1.0)[halves]).sum())
        p_value = 2 * min(p_value, 3 * math.exp(float(log_tail(len(halves), np.array([total]))[0])))
    best = int(chosen[np.argmax(moved[chosen])])
    return ShaftEvidence(fault, ORDERS[best], int(risen.sum()), min(1.0, max(p_value, 1e-300)))
