"""Velocity and the usual figures of a record.

Standards for the severity of vibration speak of the RMS of velocity from 10 Hz to 1 kHz. Velocity is the integral of
acceleration: in the spectrum of the whole record, a division by the angular frequency. All samples count alike, since
no window is applied; the mean and whatever lies outside the band take no part. A line at an edge of the band, whose
skirt lies on both sides of it, belongs to the band.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from monitor.core.arrays import Float64, Floats

LOWEST_HZ = 10.0
HIGHEST_HZ = 1000.0
"""The band of velocity."""

LEAST_S = 2.0
"""Seconds without a break that velocity needs: twenty periods of the lowest frequency. Shorter: sines are off by more
than 1 %, because what leaks to low frequencies is divided by them."""

LEAST_HIGHEST_HZ = 100.0
"""Half the sampling rate, at least, that velocity needs; shafts and their first multiples are below."""

SKIRT = 10
"""Bins on either side of a line at an edge that belong to it. Fewer: a sine at an edge is off by more than 1 %."""

LINE = 100.0
"""Power of the strongest bin at an edge over the median of those around from which it is a line. Lower: noise at an
edge widens the band."""


class Figures(NamedTuple):
    """The usual figures of a record."""

    rms: float
    """RMS about the mean, in the record's unit."""
    crest_factor: float
    """Largest deviation from the mean over RMS; NaN for a constant signal."""
    kurtosis: float
    """Fourth moment over the square of the second, 3 for noise; NaN for a constant signal."""
    peak_to_peak: float
    """Largest minus smallest sample."""


def usual_figures(samples: Floats) -> Figures:
    """The figures of a record (n,), finite, n at least 1."""
    centred = np.asarray(samples, np.float64) - np.mean(samples, dtype=np.float64)
    squares = centred * centred  # a power of 4 would take ten times as long
    square = float(np.mean(squares))
    rms = float(np.sqrt(square))
    with np.errstate(divide="ignore", invalid="ignore"):
        crest = float(np.divide(np.sqrt(squares.max()), rms))
        kurtosis = float(np.divide(np.dot(squares, squares) / squares.size, square**2))
    return Figures(rms, crest, kurtosis, float(np.max(samples) - np.min(samples)))


def velocity_refusal(samples: int, sampling_rate_hz: float) -> str:
    """Why a record of so many samples has no velocity RMS; empty if it has one."""
    if sampling_rate_hz / 2 < LEAST_HIGHEST_HZ:
        return (
            f"velocity RMS needs frequencies up to {LEAST_HIGHEST_HZ:g} Hz at least, but the sampling rate is "
            f"{sampling_rate_hz:g} Hz"
        )
    if samples < LEAST_S * sampling_rate_hz:
        return (
            f"velocity RMS from {LOWEST_HZ:g} Hz needs {LEAST_S:g} s without a break, but the record has "
            f"{samples / sampling_rate_hz:.3g} s"
        )
    return ""


def velocity_rms(samples: Floats, sampling_rate_hz: float) -> float:
    """RMS of velocity from 10 Hz to 1 kHz, or to half the sampling rate if that is lower.

    Args:
        samples: (n,) acceleration in m/s², finite, for which :func:`velocity_refusal` is empty.
        sampling_rate_hz: its rate.

    Returns:
        In m/s.
    """
    centred = np.asarray(samples, np.float64) - np.mean(samples, dtype=np.float64)
    per_hz = samples.size / sampling_rate_hz
    highest = math.ceil(HIGHEST_HZ * per_hz) + 4 * SKIRT
    spectrum = np.fft.rfft(centred)[:highest] / samples.size
    power = 2.0 * (spectrum.real**2 + spectrum.imag**2)
    first = max(1, _edge(power, LOWEST_HZ * per_hz, -1))
    end = min(power.size, _edge(power, HIGHEST_HZ * per_hz, 1) + 1)
    angular = 2.0 * np.pi * np.arange(first, end) / per_hz
    return float(np.sqrt(np.sum(power[first:end] / angular**2)))


def _edge(power: Float64, at: float, outwards: int) -> int:
    """The last bin of the band at an edge: the one inside, or the end of the skirt of a line that is there."""
    inside = math.ceil(at - 1e-9) if outwards < 0 else math.floor(at + 1e-9)
    around = power[max(0, inside - 3 * SKIRT) : inside + 3 * SKIRT + 1]
    line = power[max(0, inside - 2) : inside + 3]
    if not line.size or line.max() <= LINE * np.median(around):
        return inside
    return inside + outwards * SKIRT


def zone(velocity_mps: float, limits_mps: Sequence[float]) -> int:
    """The zone of a velocity RMS: how many of the rising limits it has reached, 0 for zone A."""
    return sum(velocity_mps >= limit for limit in limits_mps)
