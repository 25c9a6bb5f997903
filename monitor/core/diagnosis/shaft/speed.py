"""The shaft's frequency, sharpened from the envelope itself.

A stated speed is rounded, or a little wrong. Nearly every machine modulates its vibration once a turn, so the comb of
the shaft's multiples is looked for near the stated frequency. Where it stands out, all orders count from there, and its
lines are known; where it does not, the stated speed holds, with its error.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from monitor.core.arrays import Float64
from monitor.core.diagnosis.chance import log_tail
from monitor.core.diagnosis.envelope import EnvelopeSpectra

MULTIPLES = 12
"""Multiples of the shaft's frequency that are looked at. Fewer: less sharp. More: they are rarely there."""

SPEED_ERROR = 0.012
"""Relative error of a stated speed that is tolerated. Lower: a speed from a nameplate misses. Higher: combs of other
things are taken for the shaft."""

MOST_OF_A_LINE = 8.0
"""Most surprise of one line, as in a comb of a bearing; lower, since many lines are there."""

LOCATED = float(np.log(1e-6))
"""Logarithm of the probability by chance from which the shaft counts as found."""


class Shaft(NamedTuple):
    """Where the shaft is."""

    frequency_hz: float
    """Its frequency."""
    located: bool
    """Whether it was found in the spectra."""


def locate_shaft(spectra: EnvelopeSpectra, stated_hz: float, error: float = SPEED_ERROR) -> Shaft:
    """Find the shaft near its stated frequency; if it does not stand out, it is where it is said to be.

    Args:
        spectra: with the lines of the shaft.
        stated_hz: its frequency.
        error: relative error of that.
    """
    multiples = np.arange(1, MULTIPLES + 1)
    step = spectra.resolution_hz / (4.0 * MULTIPLES * stated_hz)
    offsets = np.linspace(-error, error, 2 * int(np.ceil(error / step)) + 1)
    lines, inside = spectra.line(stated_hz * np.outer(1.0 + offsets, multiples))
    total = np.minimum(spectra.surprise[: spectra.whole, lines], MOST_OF_A_LINE).sum(axis=0)
    total = np.where(inside, total, 0.0).sum(axis=1)
    degrees = int(inside[0].sum()) * spectra.whole
    best = float(total.max())
    if not degrees or float(log_tail(degrees, np.array([best]))[0]) + np.log(offsets.size) > LOCATED:
        return Shaft(stated_hz, located=False)
    return Shaft(stated_hz * (1.0 + float(offsets[total >= best - 2.0].mean())), located=True)


SEGMENT_TURNS = 40.0
"""Turns in which a speed is looked for. Fewer: it is not told from its neighbours. More: a change smears it."""

REACH = 0.15
"""Relative change of the speed that is looked for."""

CLEAR = 30.0
"""Power of the shaft's line over the median around it. Lower: noise changes its speed. Higher: quiet shafts do not."""

CHANGED = 0.03
"""Relative change from which a speed is not constant."""


def changed_speed(records: Sequence[Float64], sampling_rate_hz: float, stated_hz: float) -> tuple[float, float] | None:
    """The lowest and highest frequency of a shaft whose speed changes though it is stated to be constant.

    Args:
        records: acceleration in any unit, (n,) each.
        sampling_rate_hz: their rate.
        stated_hz: stated frequency of the shaft.

    Returns:
        None if the shaft's line is steady, or not clear in most segments.
    """
    size = round(SEGMENT_TURNS / stated_hz * sampling_rate_hz)
    padded = 4 << (size - 1).bit_length()
    turns = padded * stated_hz / sampling_rate_hz
    lines = np.arange(int((1 - REACH) * turns), int((1 + REACH) * turns) + 1)
    found, segments, window = [], 0, np.hanning(size)
    for record in records:
        for start in range(0, record.size - size + 1, size):
            piece = record[start : start + size]
            power = np.abs(np.fft.rfft((piece - piece.mean()) * window, padded)[lines]) ** 2
            segments += 1
            if power.max() >= CLEAR * np.median(power):
                found.append(float(lines[power.argmax()]) * sampling_rate_hz / padded)
    if len(found) < max(3, 0.75 * segments):
        return None
    low, high = float(np.quantile(found, 0.05)), float(np.quantile(found, 0.95))
    return (low, high) if high - low > CHANGED * stated_hz else None
