"""The shaft's angle from the vibration itself, where no sensor measures it.

A speed that is stated wanders by some tenths of a per cent. At ten times the shaft's frequency that smears a line over
several. But nearly every machine has a clear line at some multiple of its shaft's frequency, whose phase is that
multiple of the shaft's angle. So the signal is filtered around the clearest one, and its phase followed (tacholess
order tracking; Bonnardot and others, Mechanical Systems and Signal Processing 19, 2005).

Two lines beside each other, such as of the shaft and of the supply, beat: their sum is not steady, and is not followed.

Does not handle: speeds that change by more than the error that is tolerated of a stated one.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from monitor.core.arrays import Float64, Floats
from monitor.core.diagnosis.shaft.speed import SPEED_ERROR

MULTIPLES = (1, 2, 3, 4, 5, 6)
"""Multiples of the shaft's frequency that are tried, with the teeth of its gears."""

CLEAR = 100.0
"""Power of a band over that of noise in it from which its phase is followed. Lower: noise turns the shaft. Higher: the
speed of quiet machines is taken as stated."""

STEADY = 0.2
"""Relative deviation of the amplitude of a line that is followed. Lower: machines whose load changes are not followed.
Higher: the beat of two lines turns the shaft to and fro."""


AGREES = 0.0005
"""Relative difference of the frequencies that two multiples give up to which both are the shaft's. Lower: a speed that
wanders is not sure. Higher: lines of something else agree by accident."""

SURE_ERROR = 0.002
"""Relative error of a frequency that two multiples give. Lower: a shaft whose lines are weak is missed. Higher: a rate
near a whole multiple of the shaft's is taken for the shaft."""


class Angle(NamedTuple):
    """The shaft's angle."""

    turns: Float64
    """(n,) in turns, not decreasing."""
    sure: bool
    """Whether another multiple gives the same frequency, so that it is the shaft that was followed."""


def shaft_angle(samples: Floats, sampling_rate_hz: float, stated_hz: float, gears: Sequence[int] = ()) -> Angle | None:
    """The shaft's angle at each sample.

    Args:
        samples: (n,) acceleration in any unit, without a break.
        sampling_rate_hz: its rate.
        stated_hz: frequency of the shaft; the true one is within :data:`SPEED_ERROR`.
        gears: teeth of the gears on the shaft.

    Returns:
        None where no multiple is clear and steady.
    """
    size = 1 << (samples.size - 1).bit_length()
    spectrum = np.fft.rfft(samples - np.mean(samples, dtype=np.float64), size)
    power = np.abs(spectrum) ** 2
    found: list[tuple[float, int, int, int]] = []
    once: dict[int, float] = {}
    for order in (*MULTIPLES, *gears):
        middle = order * stated_hz * size / sampling_rate_hz
        reach = max(4, round(SPEED_ERROR * middle))
        first, end = round(middle) - reach, round(middle) + reach + 1
        if first - 3 * reach < 1 or end + 3 * reach > power.size:
            continue
        around = np.concatenate([power[first - 3 * reach : first - reach], power[end + reach : end + 3 * reach]])
        noise = float(np.median(around)) / math.log(2.0) * (end - first)
        clear = float(power[first:end].sum()) / (noise + np.finfo(np.float64).tiny)
        if clear >= CLEAR:
            found.append((clear * order**2, order, first, end))
            once[order] = float(power[first:end] @ np.arange(first, end)) / float(power[first:end].sum()) / order
    for _, order, first, end in sorted(found, reverse=True):
        band = np.zeros(size, np.complex128)
        band[first:end] = spectrum[first:end]
        line = np.fft.ifft(band)[: samples.size]
        inside = np.abs(line[samples.size // 16 : -(samples.size // 16) or None])
        if inside.std() <= STEADY * inside.mean():
            turns = np.maximum.accumulate(np.unwrap(np.angle(line))) / (2.0 * np.pi * order)
            agree = [abs(other / once[order] - 1.0) <= AGREES for multiple, other in once.items() if multiple != order]
            return Angle(turns, any(agree))
    return None
