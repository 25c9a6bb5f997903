"""Imbalance, misalignment and looseness, from the velocity at multiples of the shaft's frequency.

Every machine has some of each, so only a rise over a healthy baseline says anything. Imbalance raises once the shaft's
frequency; misalignment twice or three times; looseness many multiples and halves between them (ISO 13373-3). The lines
are measured in segments of the record. A rise must be large, and larger than the segments of record and baseline
differ, with the wandering of a healthy machine added.

Does not handle: an axial direction, phases; they would tell a bent shaft from imbalance.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from monitor.core.arrays import Float64

ORDERS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0)
"""Multiples of the shaft's frequency that are measured."""

TURNS = 40.0
"""Turns of the shaft in a segment. Fewer: halves are not told from whole multiples. More: a speed that wanders smears
the lines, and there are few segments."""

LEAST_SEGMENTS = 3
"""Segments that record and baseline need."""

RISE_DB = 6.0
"""Least rise of a line. Lower: changes of load are named. Higher: growing faults later."""

WANDERING_DB = 1.5
"""Standard deviation by which lines of a healthy machine wander from day to day. Lower: p-values are too small."""

ABOVE_NOISE_DB = 9.0
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
    """(segments, orders) 10 log10 of the mean square of velocity."""
    above_db: Float64
    """(orders,) of the mean over the neighbourhood."""


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


def shaft_fault(now: Levels, healthy: Levels) -> ShaftEvidence | None:
    """Name a fault of the shaft; None if no line rose enough, or if the pattern is that of none."""
    usable = np.isfinite(now.db).all(axis=0) & np.isfinite(healthy.db).all(axis=0)
    here, there = np.where(usable, now.db, 0.0), np.where(usable, healthy.db, 0.0)
    rise = here.mean(axis=0) - there.mean(axis=0)
    spread = np.sqrt(WANDERING_DB**2 + here.var(axis=0, ddof=1) / len(here) + there.var(axis=0, ddof=1) / len(there))
    log_p = np.array(
        [math.log(max(1e-300, 0.5 * math.erfc(r / s / math.sqrt(2)))) for r, s in zip(rise, spread, strict=True)]
    )
    risen = usable & (rise >= RISE_DB) & (now.above_db >= ABOVE_NOISE_DB)
    if not risen.any():
        return None
    # Where a fault and the healthy line are out of phase the line rises less, so all gains count for the pattern.
    clear = usable & (now.above_db >= ABOVE_NOISE_DB)
    gained = np.where(clear, np.maximum(10 ** (here.mean(axis=0) / 10) - 10 ** (there.mean(axis=0) / 10), 0.0), 0.0)
    halves = [k for k, order in enumerate(ORDERS) if order % 1 and risen[k]]
    by_order = dict(zip(ORDERS, gained.tolist(), strict=True))
    twice = by_order[2.0] + by_order[3.0] >= 0.5 * by_order[1.0]
    if len(halves) >= 2 or (halves and risen.sum() >= 4):
        fault, chosen = "looseness", np.flatnonzero(risen)
    elif twice and risen[ORDERS.index(2.0)]:
        fault, chosen = "misalignment", np.flatnonzero(risen & np.isin(ORDERS, (2.0, 3.0)))
    elif not twice and risen[ORDERS.index(1.0)] and not halves:
        fault, chosen = "imbalance", np.array([ORDERS.index(1.0)])
    else:
        return None
    best = int(chosen[np.argmax(gained[chosen])])
    p_value = float(np.exp(min(0.0, float(log_p[chosen].min()) + math.log(3 * len(ORDERS)))))
    return ShaftEvidence(fault, ORDERS[best], int(risen.sum()), max(p_value, 1e-300))
