"""Spectra of the squared envelope in bands, and how far each line stands above chance.

A damaged part strikes at its rate, and each strike excites what rings anywhere in the spectrum. The squared envelope of
a band shows the strikes as lines at the rate and its multiples (J. Antoni, "Cyclic spectral analysis of rolling-element
bearing signals", Journal of Sound and Vibration 304, 2007). The resonance is not known, so several bands are looked at,
and what they show together.

The power of each line is averaged over half-overlapping segments and compared with the median of its neighbourhood.
Noise of any colour gives a Gamma distribution, from which the surprise of a line follows, minus the logarithm of the
probability that chance gives as much. Where the neighbourhood is more uneven than noise, because a machine has lines
everywhere, a line must stand out from that unevenness.

With the shaft's angle, envelopes are first sampled evenly in angle instead of time, so lines of a changing speed stay
sharp (computed order tracking; the ringing itself has nothing to do with the angle).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from monitor.core.arrays import Bool, Float64, Rows
from monitor.core.diagnosis.chance import log_tail, quantile

MOST_BANDS = 6
"""Equal bands of the range; each is halved once more, if it is wide enough. Fewer: a narrow resonance drowns. More:
each holds less, and more places are looked at."""

WIDE = 3.0
"""Width of a band relative to the highest rate that is looked for. Lower: the envelope of a band cannot follow."""

NEIGHBOURS = 40
"""Lines in a neighbourhood. Fewer: a fault raises its own floor. More: slopes of the floor look like lines."""

FIRST_LINE = 3
"""Lines below this one are not looked at: the window smears the mean into them."""

MOST_SEGMENTS = 8
"""Segments that one record is cut into. Fewer: lines of slipping parts are sharper than they are. More: cage and
sidebands are not told apart."""

UNCORRELATED = 0.95
"""Independent segments for each half-overlapping Hann segment (Welch 1967)."""

LOUD = 10.0
"""Most surprise (a natural logarithm) of one band that counts in all bands together. Higher: one band alone decides."""


@dataclass(frozen=True)
class EnvelopeSpectra:
    """The spectra of the squared envelopes of some records, averaged."""

    resolution_hz: float
    """Distance of two lines."""
    bands_hz: tuple[tuple[float, float], ...]
    """Lower and upper edge of each band."""
    whole: int
    """How many of them, the first ones, make the whole range together."""
    segments: int
    """Segments that were averaged."""
    depth: Float64
    """(bands, lines) depth of modulation, the amplitude of a line over the mean of the squared envelope, above the
    floor: 0.1 is a modulation of the power by 10 per cent."""
    surprise: Float64
    """(bands + 1, lines) minus the logarithm of the probability of as much by chance; the last row is all bands."""

    @cached_property
    def near(self) -> Float64:
        """(bands + 1, lines) the most surprising of a line and its neighbours, less what a choice of three is worth."""
        widest = np.maximum(self.surprise, np.maximum(_shifted(self.surprise, 1), _shifted(self.surprise, -1)))
        return np.asarray(np.maximum(widest - np.log(3.0), 0.0))

    @cached_property
    def near_depth(self) -> Float64:
        """(bands, lines) the deepest of a line and its two neighbours."""
        return np.asarray(np.maximum(self.depth, np.maximum(_shifted(self.depth, 1), _shifted(self.depth, -1))))

    def line(self, frequency_hz: Float64) -> tuple[Rows, Bool]:
        """The nearest line of frequencies of any shape, and whether they are within what was computed."""
        number = np.rint(frequency_hz / self.resolution_hz).astype(np.intp)
        inside = (number >= FIRST_LINE) & (number < self.depth.shape[1] - 1)
        return np.where(inside, number, 0), inside

    @property
    def highest_hz(self) -> float:
        """The highest frequency that was computed."""
        return float(self.resolution_hz * (self.depth.shape[1] - 1))


class Bands(NamedTuple):
    """The bands whose envelopes are looked at."""

    edges_hz: tuple[tuple[float, float], ...]
    """Lower and upper edge of each."""
    whole: int
    """How many of them, the first ones, make the whole range together; the others are their halves."""


def make_bands(sampling_rate_hz: float, highest_rate_hz: float) -> Bands:
    """Equal bands, as many as stay wide enough for the highest rate that is looked for, and their halves."""
    count = int(np.clip(sampling_rate_hz / 2 / (WIDE * highest_rate_hz), 1, MOST_BANDS))
    edges = np.linspace(0.0, sampling_rate_hz / 2, count + 1)
    halves = np.linspace(0.0, sampling_rate_hz / 2, 2 * count + 1)
    found = list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
    if halves[1] >= WIDE * highest_rate_hz:
        found += zip(halves[:-1].tolist(), halves[1:].tolist(), strict=True)
    return Bands(tuple(found), count)


def envelope_spectra(
    records: Sequence[Float64],
    sampling_rate_hz: float,
    bands: Bands,
    segment_s: float,
    highest_hz: float,
    turns: Sequence[Float64] | None = None,
) -> EnvelopeSpectra:
    """The averaged spectra of the squared envelopes.

    Args:
        records: white records, (n,) each, without a break; at least one as long as a segment.
        sampling_rate_hz: their rate.
        bands: whose envelopes are taken.
        segment_s: seconds of a segment, more than 8 samples.
        highest_hz: highest frequency of a line.
        turns: the shaft's angle at each sample of each record, in turns, increasing; then frequencies are those at the
            mean speed. None: the speed is constant.
    """
    size = round(segment_s * sampling_rate_hz)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    lines = int(np.clip(highest_hz * size / sampling_rate_hz, FIRST_LINE + 2, size // 2)) + 1
    power = np.zeros((len(bands.edges_hz), lines))
    segments = 0
    for number, record in enumerate(records):
        if record.size < size:
            continue
        angle = None if turns is None else turns[number]
        starts = range(0, record.size - size + 1, max(1, size // 2))
        for band, squared in enumerate(_squared_envelopes(record, sampling_rate_hz, bands.edges_hz)):
            even = squared if angle is None else _evenly(squared, angle)
            for start in starts:
                power[band] += _line_power(even[start : start + size], window)[:lines]
        segments += len(starts)
    power /= max(1, segments)
    shape = max(1, round(UNCORRELATED * segments))
    floor, unevenness = _floor(power, shape)
    median = quantile(shape, 0.5)
    ratio = power / floor
    ratio = np.where(ratio > median, median + (ratio - median) / unevenness, ratio)
    alone = -log_tail(shape, shape * ratio)
    loudest = quantile(shape, float(-np.expm1(-LOUD)))
    together = -log_tail(shape * bands.whole, shape * np.minimum(ratio[: bands.whole], loudest).sum(axis=0))
    surprise = np.vstack([alone, together])
    surprise[:, :FIRST_LINE] = 0.0
    return EnvelopeSpectra(
        sampling_rate_hz / size,
        bands.edges_hz,
        bands.whole,
        segments,
        np.sqrt(np.maximum(power - floor, 0.0)),
        surprise,
    )


def _squared_envelopes(
    record: Float64, sampling_rate_hz: float, bands_hz: Sequence[tuple[float, float]]
) -> list[Float64]:
    """The squared envelope of each band, (n,) each."""
    spectrum = np.fft.fft(record)
    frequency = np.fft.fftfreq(record.size, 1.0 / sampling_rate_hz)
    return [
        np.abs(np.fft.ifft(np.where((frequency >= low) & (frequency < high), 2.0 * spectrum, 0.0))) ** 2
        for low, high in bands_hz
    ]


def _evenly(values: Float64, turns: Float64) -> Float64:
    """Values at as many instants, evenly spaced in the shaft's angle."""
    return np.interp(np.linspace(turns[0], turns[-1], turns.size), turns, values)


def _line_power(squared: Float64, window: Float64) -> Float64:
    mean = float(squared.mean())
    if not mean > 0.0:
        return np.zeros(squared.size // 2 + 1)
    transformed = np.fft.rfft((squared - mean) * window)
    return np.asarray((2.0 / (mean * window.sum()) * np.abs(transformed)) ** 2)


def _floor(power: Float64, shape: int) -> tuple[Float64, Float64]:
    """The floor of each line, and how much more uneven its neighbourhood is than noise (at least 1)."""
    lines = power.shape[1]
    size = min(NEIGHBOURS, lines - FIRST_LINE)
    starts = np.arange(FIRST_LINE, lines - size + 1, max(1, size // 2))
    parts = np.stack([power[:, start : start + size] for start in starts], axis=1)
    median, high = np.quantile(parts, (0.5, 0.9), axis=2)
    tiny = np.finfo(np.float64).tiny
    at, middles = np.arange(lines), starts + size / 2
    over = np.log(np.maximum(np.stack([median, high]), tiny))
    middle, upper = np.exp([[np.interp(at, middles, row) for row in rows] for rows in over])
    floor = middle / quantile(shape, 0.5)
    expected = quantile(shape, 0.9) - quantile(shape, 0.5)
    return floor, np.maximum(1.0, (upper - middle) / floor / expected)


def _shifted(values: Float64, by: int) -> Float64:
    return np.roll(values, by, axis=-1)
