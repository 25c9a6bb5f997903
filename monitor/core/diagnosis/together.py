"""What the looks at one channel show together: the spectra of its envelopes, averaged line by line in orders.

A weak fault modulates little, so its lines drown in the scatter of the floor. The scatter shrinks with the root of the
number of segments that are averaged, the lines stay. An alarm lasts for hours, a look for seconds: what one look cannot
tell, many can. The shaft's speed differs between looks, so a line belongs to an order, not to a frequency.

Whoever looks again and again has more chances to be wrong. The probability of a name after the n-th look is therefore
multiplied by n (n + 1), from the second one on. The sum of 1 / (n (n + 1)) over all of them is a half: however long an
alarm lasts, it is named wrongly at most one and a half times as often as the limit says (Bonferroni's bound with
unequal shares). What was named by that rule keeps its name while it is as improbable without the factor.

Does not handle: a fault that changes within a few looks; the average follows with :data:`MOST_LOOKS`.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from monitor.core.arrays import Float64
from monitor.core.diagnosis.envelope import EnvelopeSpectra, averaged
from monitor.core.diagnosis.shaft.faults import Levels

MOST_LOOKS = 48
"""Looks that the average remembers; from then on it forgets as much as it learns. Fewer: weaker faults are not named.
More: a fault that has become another keeps its name for longer than eight hours."""

Depths = NDArray[np.float16]
"""(bands, lines) depth of modulation. Half precision is off by a thousandth, and halves the memory of an alarm."""


@dataclass(frozen=True)
class Together:
    """The looks at one channel so far, 0.3 MB."""

    looks: int
    """Looks so far."""
    segments: int
    """Segments that the averages are worth."""
    turns: float
    """Turns of the shaft in a segment: line k is at order k / turns."""
    bands_hz: tuple[tuple[float, float], ...]
    """Lower and upper edge of each band."""
    whole: int
    """How many of them make the whole range together."""
    raw: Depths
    """The averages with lines, for the shaft and its gears."""
    clean: Depths
    """The averages without lines, for bearings."""
    levels: Levels | None
    """The velocity of each look at multiples of the shaft's frequency, (looks, orders)."""
    named: frozenset[tuple[str, str]] = frozenset()
    """Fault and part of what was named after the last look."""

    def share(self, fault: str, part: str) -> int:
        """What the probability of a name is multiplied with, since there was a name to be had at each look."""
        return self.looks * (self.looks + 1) if self.looks > 1 and (fault, part) not in self.named else 1

    def spectra(self, shaft_hz: float) -> tuple[EnvelopeSpectra, EnvelopeSpectra]:
        """The averages, with and without lines, as at a frequency of the shaft."""
        about = shaft_hz / self.turns, self.bands_hz, self.whole, self.segments
        return (
            averaged(*about, self.raw.astype(np.float64) ** 2),
            averaged(*about, self.clean.astype(np.float64) ** 2),
        )


def joined(before: Together | None, raw: EnvelopeSpectra, clean: EnvelopeSpectra, shaft_hz: float) -> Together:
    """One more look.

    Args:
        before: the looks before it, of the same bands; None: it is the first.
        raw: its spectra with lines.
        clean: its spectra without lines.
        shaft_hz: frequency of the shaft in it.
    """
    if before is None:
        turns = shaft_hz / raw.resolution_hz
        depths = (_stored(raw.power), _stored(clean.power))
        return Together(1, raw.segments, turns, raw.bands_hz, raw.whole, *depths, None)
    if not raw.segments:
        return replace(before, looks=before.looks + 1)
    lines = np.rint(np.arange(before.raw.shape[1]) * (shaft_hz / before.turns / raw.resolution_hz)).astype(np.intp)
    lines = lines[lines < raw.power.shape[1]]
    old = before.segments * (1.0 if before.looks < MOST_LOOKS else 1.0 - 1.0 / MOST_LOOKS)
    total = old + raw.segments

    def mean(kept: Depths, new: EnvelopeSpectra) -> Depths:
        before_it = old * kept[:, : lines.size].astype(np.float64) ** 2
        return _stored((before_it + new.segments * new.power[:, lines]) / total)

    depths = (mean(before.raw, raw), mean(before.clean, clean))
    about = before.turns, before.bands_hz, before.whole
    return Together(before.looks + 1, int(total), *about, *depths, before.levels, before.named)


def with_levels(before: Levels | None, look: Levels | None) -> Levels | None:
    """The levels of the looks so far, one row each, with those of one more look."""
    if look is None:
        return before
    row = look.mean()
    if before is None:
        return row
    above_db = (1 - _LATEST) * before.above_db + _LATEST * row.above_db
    return Levels(np.concatenate([before.db, row.db])[-MOST_LOOKS:], above_db)


_LATEST = 0.25
"""Weight of the last look in how far the lines stand above their neighbourhood."""


def _stored(power: Float64) -> Depths:
    return np.sqrt(power).astype(np.float16)
