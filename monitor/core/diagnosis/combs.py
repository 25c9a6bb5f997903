"""Combs of lines: does a part's rate, with its multiples and sidebands, stand out of the envelope spectra?

A comb is a base order with lines at a·base + b + c·cage, in multiples of the shaft's frequency: multiples of the base
(a), sidebands of the shaft (b) and of the cage (c), which modulate what an inner race or a ball does. The base is not
known exactly: balls slip, and the speed that is stated is a little wrong. So it is tried at many offsets. For every
offset, band and set of lines the surprises of the lines are added up, each up to a bound, so that no line alone makes a
comb. The sum has a Gamma distribution; what the number of trials makes of the most surprising one is Bonferroni's
bound: it overstates the probability, since neighbouring trials are alike.

Lines that fall on multiples of the shaft's frequency, or on the lines of a fault that is already named, say nothing and
are left out.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from monitor.core.arrays import Bool, Float64, Rows
from monitor.core.diagnosis.bearings import Bearing
from monitor.core.diagnosis.chance import log_tail
from monitor.core.diagnosis.envelope import EnvelopeSpectra

RACE_SLIP = 0.013
"""Relative deviation of the rates of races and cage from the geometry. Lower: bearings under axial load, whose contact
angle differs, are missed (the CWRU bearing is off by 0.1 to 0.4 %). Higher: more places are looked at."""

BALL_SLIP = 0.015
"""The same for balls, which also slide (off by 0.9 to 1.4 % in the CWRU recording B021). At 2 %, sidebands of race
faults and multiples of the cage are taken for a ball."""

MOST_OF_A_LINE = 15.0
"""Most surprise that one line adds. Lower: strong faults look alike. Higher: one foreign line makes a comb."""

FUNDAMENTAL = 3.0
"""Least surprise of the base itself. Lower: a comb of sidebands of something else is taken. Higher: faults that show in
their multiples only are missed."""

SEEN = float(np.log(1e3))
"""Surprise from which a line counts as seen, where lines are counted or their depth is measured."""

APART = 2.0
"""Bins by which a line must miss a multiple of the shaft, or a line that is explained already."""

Line = tuple[float, float, float]
"""Multiples of the base order, the shaft and the cage that a line is at."""


def _harmonics(count: int) -> tuple[Line, ...]:
    return tuple((float(k), 0.0, 0.0) for k in range(1, count + 1))


_SHAFT_SIDEBANDS: tuple[Line, ...] = ((1, 0, 0), (2, 0, 0), (1, 1, 0), (1, -1, 0), (2, -1, 0), (2, 1, 0))

OUTER_RACE = (_harmonics(3), _harmonics(5), _SHAFT_SIDEBANDS)
INNER_RACE = (_harmonics(3), _harmonics(5), (*_SHAFT_SIDEBANDS, (1, -2, 0), (1, 2, 0)))
BALL: tuple[tuple[Line, ...], ...] = (
    _harmonics(3),
    ((1, 0, 0), (1, 0, 1), (1, 0, -1), (2, 0, 0), (2, 0, 1), (2, 0, -1)),
    ((1, 0, 0), (1, 0, 2), (1, 0, -2), (0, 0, 2), (0, 0, 3)),
    ((1, 0, 0), (1, 0, 1), (1, 0, -1), (1, 0, 2), (1, 0, -2)),
    ((0.5, 0, 0), (1, 0, 0), (1.5, 0, 0), (2, 0, 0), (2.5, 0, 0), (3, 0, 0)),
)
CAGE = (_harmonics(3), _harmonics(8))


@dataclass(frozen=True)
class Hypothesis:
    """A fault of a part, and the combs that it may show."""

    fault: str
    """Name of the fault."""
    part: str
    """Name of the part."""
    order: float
    """Base order."""
    slip: float
    """Relative deviation of the base that is tolerated."""
    combs: tuple[tuple[Line, ...], ...]
    """The sets of lines; each has the base."""
    balls: int
    """Balls of the bearing."""
    cage: float = 0.0
    """Order of the cage, for sidebands."""


def hypotheses(bearing: Bearing) -> list[Hypothesis]:
    """What can be wrong with a bearing."""
    name, balls = bearing.name, bearing.balls
    return [
        Hypothesis("outer race", name, bearing.outer, RACE_SLIP, OUTER_RACE, balls),
        Hypothesis("inner race", name, bearing.inner, RACE_SLIP, INNER_RACE, balls),
        Hypothesis("ball", name, bearing.ball, BALL_SLIP, BALL, balls, bearing.cage),
        Hypothesis("cage", name, bearing.cage, RACE_SLIP, CAGE, balls),
    ]


KINEMATIC_SLIP = 0.003
"""Relative deviation of the rates of races and cage once one of them is found. Lower: where it was found is not as
exact. Higher: more places are looked at."""


def narrowed(found: "Evidence", other: Hypothesis) -> Hypothesis:
    """Another fault of the same bearing, looked for where the order that was found says that it would be.

    The orders of the races add up to the number of balls, and the cage's is an outer race's divided by it, at any
    contact angle. Balls slide and are looked for as before.
    """
    races, balls = ("outer race", "inner race"), other.balls
    if found.hypothesis.fault not in races or other.fault == "ball":
        return other
    outer = found.order if found.hypothesis.fault == races[0] else balls - found.order
    order = {"outer race": outer, "inner race": balls - outer, "cage": outer / balls}[other.fault]
    return replace(other, order=order, slip=KINEMATIC_SLIP)


@dataclass(frozen=True)
class Evidence:
    """The most surprising trial of a hypothesis."""

    hypothesis: Hypothesis
    """What was looked for."""
    order: float
    """The base at which it was found."""
    log_p: float
    """Logarithm of the probability by chance, of this trial alone."""
    trials: int
    """Places that were looked at for this hypothesis."""
    band: int
    """Band of the trial; the number of bands stands for all together."""
    broad: int
    """Bands that are significant each by itself."""
    depth: float
    """Largest depth of modulation of the base and its double."""
    harmonics: int
    """Multiples of the base that are seen, of the first ten."""


@dataclass(frozen=True)
class Known:
    """What is known of lines before a comb is looked for."""

    shaft_hz: float
    """Frequency of the shaft."""
    located: bool
    """Whether it was found in the spectra themselves, so that its multiples can be left out."""
    speed_error: float
    """Relative error of the frequency that is to be expected."""
    explained: Float64 = field(default_factory=lambda: np.empty(0))
    """(n,) orders of lines that have an explanation already."""


def look(
    spectra: EnvelopeSpectra, known: Known, hypothesis: Hypothesis, only_band: int | None = None
) -> Evidence | None:
    """Look for the combs of a hypothesis, in all bands or in one only.

    Returns:
        The most surprising trial; None if nowhere there are two lines to look at, one of them the base.
    """
    tolerance = hypothesis.slip + known.speed_error
    step = spectra.resolution_hz / (4.0 * hypothesis.order * known.shaft_hz)
    offsets = np.linspace(-tolerance, tolerance, 2 * int(np.ceil(tolerance / step)) + 1)
    best: tuple[float, float, int] | None = None
    bands = len(spectra.bands_hz)
    by_band = np.zeros(bands)
    for comb in hypothesis.combs:
        weights = np.array(comb)
        orders = np.outer(hypothesis.order * (1.0 + offsets), weights[:, 0]) + (
            weights[:, 1] + hypothesis.cage * weights[:, 2]
        )
        lines, usable = _usable(spectra, known, orders)
        base = weights.tolist().index([1.0, 0.0, 0.0])
        near = spectra.near[:, lines]
        total = np.where(usable, np.minimum(near, MOST_OF_A_LINE), 0.0).sum(axis=2)
        count = usable.sum(axis=1)
        possible = usable[:, base] & (count >= 2) & (near[:, :, base] >= FUNDAMENTAL)
        log_p = np.zeros_like(total)
        for degrees in np.unique(count[count >= 2]).tolist():
            here = count == degrees
            log_p[:, here] = log_tail(degrees, total[:, here])
        log_p[~possible] = 0.0
        if only_band is not None:
            log_p[np.arange(bands + 1) != only_band] = 0.0
        by_band = np.minimum(by_band, log_p[:bands].min(axis=1))
        row, at = np.unravel_index(int(log_p.argmin()), log_p.shape)
        if possible.any() and (best is None or log_p[row, at] < best[0]):
            best = (float(log_p[row, at]), float(hypothesis.order * (1.0 + offsets[at])), int(row))
    if best is None:
        return None
    each = offsets.size * len(hypothesis.combs)
    log_p_best, order, band = best
    order = _sharpened(spectra, known, order, band)
    depth, harmonics = _seen(spectra, known, order)
    return Evidence(
        hypothesis,
        order,
        log_p_best,
        each * (bands + 1 if only_band is None else 1),
        band,
        int((by_band[: spectra.whole] + np.log(each) < np.log(1e-5)).sum()),
        depth,
        harmonics,
    )


def _sharpened(spectra: EnvelopeSpectra, known: Known, order: float, band: int) -> float:
    """The base where its first multiples are deepest, within a line of where the comb was found."""
    bases = order + np.linspace(-1.5, 1.5, 31) * spectra.resolution_hz / known.shaft_hz
    lines, inside = spectra.line(known.shaft_hz * np.outer(bases, np.arange(1, 6)))
    depth = spectra.depth[: spectra.whole].mean(axis=0) if band == len(spectra.bands_hz) else spectra.depth[band]
    total = np.where(inside, depth[lines], 0.0).sum(axis=1)
    return float(bases[total >= 0.999 * total.max()].mean())


def explained_by(found: Evidence, most_sidebands: int) -> Float64:
    """(n,) orders of the lines that a fault makes: multiples, each with sidebands of the shaft on either side.

    With as many sidebands as there are balls, an outer race explains the inner one too, since their orders add up to
    the number of balls.
    """
    multiples = found.order * np.arange(1, 7)
    sidebands = np.arange(-most_sidebands, most_sidebands + 1.0)
    lines = (multiples[:, None] + sidebands).ravel()
    if found.hypothesis.cage:
        around = found.hypothesis.cage * np.arange(-3.0, 4.0)
        lines = np.concatenate([lines, (multiples[:, None] + around).ravel(), around])
    return np.abs(lines)


def _usable(spectra: EnvelopeSpectra, known: Known, orders: Float64) -> tuple[Rows, Bool]:
    """The lines at orders of any shape, and which of them can speak for a fault."""
    at = np.abs(orders)
    lines, usable = spectra.line(at * known.shaft_hz)
    apart = APART * spectra.resolution_hz / known.shaft_hz
    if known.located:
        usable &= np.abs(at - np.rint(at)) >= apart
    if known.explained.size:
        places = np.concatenate([[-np.inf], np.sort(known.explained), [np.inf]])
        after = np.searchsorted(places, at)
        usable &= np.minimum(at - places[after - 1], places[after] - at) >= apart
    return lines, usable


def _seen(spectra: EnvelopeSpectra, known: Known, order: float) -> tuple[float, int]:
    lines, usable = _usable(spectra, known, order * np.arange(1.0, 11.0))
    seen = (spectra.near[:, lines] >= SEEN) & usable
    deep = np.where(seen[:-1, :2], spectra.near_depth[:, lines[:2]], 0.0)
    alone = float(deep.max())
    if not alone and seen[-1, :2].any():
        # Seen only by all bands together: the typical band speaks for it.
        alone = float(np.median(spectra.near_depth[: spectra.whole, lines[:2]][:, seen[-1, :2]].max(axis=1)))
    return alone, int(seen.any(axis=0).sum())
