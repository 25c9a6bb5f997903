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

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
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

STRIDES = 60
"""Samples of a segment are a multiple of this, so that any stride up to 6 divides them."""

UNCORRELATED = 0.95
"""Independent segments for each half-overlapping Hann segment (Welch 1967)."""

LOUD = 10.0
"""Most surprise (a natural logarithm) of one band that counts in all bands together. Higher: one band alone decides."""

STANDS_OUT = 4.0
"""Surprise from which a line of a healthy machine is kept, in its band and in all bands together. Lower: noise is kept
too, and faults at these places are not named. Higher: what a healthy machine has is news later (a line of a healthy
gearbox at 3.077 times its shaft is the outer race of two bearings that it does not have)."""

STANDS_ALONE = 7.0
"""The same in its band only."""

MOST_LINES = 600
"""Lines that are kept of a healthy machine. Fewer: those of a loud gearbox are missing. More: larger files."""

NEAR_LINES = 2
"""Lines by which a healthy line may be elsewhere now."""

GROWN = 1.5
"""Depth relative to that of a healthy line from which a line is news. Lower: healthy lines that wander are named.
Higher: a part that was damaged when it was learned is named late."""


class Lines(NamedTuple):
    """Lines that stand out of the envelope spectra of a healthy machine."""

    band: Rows
    """(n,) number of the band of each."""
    order: Float64
    """(n,) multiple of the shaft's frequency."""
    depth: Float64
    """(n,) depth of modulation."""
    error: Float64
    """(n,) relative error of the order, where the shaft was not found in the spectra."""

    def each_once(self, step: float) -> "Lines":
        """The deepest of those that are in one band and at one order, to within a step."""
        order = np.lexsort((-self.depth, np.rint(self.order / step), self.band))
        band, place = self.band[order], np.rint(self.order[order] / step)
        first = np.concatenate([[True], (np.diff(band) != 0) | (np.diff(place) != 0)])[: order.size]
        return Lines(*(column[order[first]] for column in self))

    def and_also(self, other: "Lines") -> "Lines":
        """These and others."""
        return Lines(*(np.concatenate(pair) for pair in zip(self, other, strict=True)))


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
    power: Float64
    """(bands, lines) squared depth of modulation, which is the amplitude of a line over the mean of the envelope."""
    floor: Float64
    """(bands, lines) what the neighbourhood of a line has, and what a healthy machine has there."""
    unevenness: Float64
    """(bands, lines) how much more uneven than noise the neighbourhood is, at least 1."""

    @cached_property
    def depth(self) -> Float64:
        """(bands, lines) depth of modulation above the floor: 0.1 is a modulation of the power by 10 per cent."""
        return np.sqrt(np.maximum(self.power - self.floor, 0.0))

    @cached_property
    def surprise(self) -> Float64:
        """(bands + 1, lines) minus the logarithm of the probability of as much by chance; the last row is all bands."""
        shape = max(1, round(UNCORRELATED * self.segments))
        median = quantile(shape, 0.5)
        ratio = self.power / self.floor
        ratio = np.where(ratio > median, median + (ratio - median) / self.unevenness, ratio)
        alone = -log_tail(shape, shape * ratio)
        loudest = quantile(shape, float(-np.expm1(-LOUD)))
        together = -log_tail(shape * self.whole, shape * np.minimum(ratio[: self.whole], loudest).sum(axis=0))
        surprise = np.vstack([alone, together])
        surprise[:, :FIRST_LINE] = 0.0
        return surprise

    def standing_out(self, shaft_hz: float, speed_error: float) -> Lines:
        """The lines that stand out, the most surprising ones; their orders are as wrong as the shaft's frequency."""
        alone, together = self.surprise[:-1], self.near[-1]
        band, line = np.nonzero((alone >= STANDS_ALONE) | ((alone >= STANDS_OUT) & (together >= STANDS_OUT)))
        most = np.argsort(-self.surprise[band, line], kind="stable")[:MOST_LINES]
        band, line = band[most], line[most]
        order = line.astype(np.float64) * (self.resolution_hz / shaft_hz)
        return Lines(band, order, self.depth[band, line], np.full(order.size, speed_error))

    def above(self, healthy: Lines, shaft_hz: float, speed_error: float) -> "EnvelopeSpectra":
        """The same with the lines of a healthy machine in the floor, each :data:`GROWN` times as deep.

        Args:
            healthy: lines of the same channel, in the same bands.
            shaft_hz: frequency of the shaft now.
            speed_error: relative error of it.
        """
        lines = self.power.shape[1]
        at = np.rint(healthy.order * shaft_hz / self.resolution_hz).astype(np.intp)
        reach = NEAR_LINES + np.ceil(np.maximum(speed_error, healthy.error) * at).astype(np.intp)
        known = np.zeros_like(self.power)
        for off in range(-int(reach.max(initial=0)), int(reach.max(initial=0)) + 1):
            here = (np.abs(off) <= reach) & (at + off >= 0) & (at + off < lines) & (healthy.band < len(known))
            np.maximum.at(known, (healthy.band[here], at[here] + off), healthy.depth[here])
        return replace(self, floor=self.floor + (GROWN * known) ** 2)

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
    steady_s: Sequence[Float64] | None = None,
) -> EnvelopeSpectra:
    """The averaged spectra of the squared envelopes.

    Args:
        records: white records, (n,) each, without a break; at least one as long as a segment.
        sampling_rate_hz: their rate.
        bands: whose envelopes are taken.
        segment_s: seconds of a segment, more than 8 samples.
        highest_hz: highest frequency of a line.
        steady_s: the shaft's angle at each sample of each record as the seconds that it takes at a constant speed, not
            decreasing; then frequencies are those at that speed. None: the speed is constant.
    """
    size = segment_samples(segment_s, sampling_rate_hz)
    lines = int(np.clip(highest_hz * size / sampling_rate_hz, FIRST_LINE + 2, size // 2)) + 1
    power = np.zeros((len(bands.edges_hz), lines))
    segments = 0
    for number, record in enumerate(records):
        if record.size < size:
            continue
        stride = _stride(record.size, size, lines, bands.whole)
        length = size // stride
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
        came_s = None if steady_s is None else steady_s[number][::stride]
        available, even_s = record.size // stride, None
        if came_s is not None:
            # One more than between the ends: what rounding takes away must not cost a segment.
            available = int((came_s[-1] - came_s[0]) * sampling_rate_hz / stride) + 2
            even_s = came_s[0] + np.arange(available) * (stride / sampling_rate_hz)
        starts = range(0, available - length + 1, max(1, length // 2))
        for band, squared in enumerate(_squared_envelopes(record, sampling_rate_hz, bands.edges_hz, stride)):
            even = squared if even_s is None or came_s is None else np.interp(even_s, came_s, squared)
            for start in starts:
                power[band] += _line_power(even[start : start + length], window)[:lines]
        segments += len(starts)
    return averaged(sampling_rate_hz / size, bands.edges_hz, bands.whole, segments, power / max(1, segments))


def averaged(
    resolution_hz: float, bands_hz: tuple[tuple[float, float], ...], whole: int, segments: int, power: Float64
) -> EnvelopeSpectra:
    """The spectra of an average over some segments, (bands, lines) squared depth of modulation, with their floor."""
    shape = max(1, round(UNCORRELATED * segments))
    return EnvelopeSpectra(resolution_hz, bands_hz, whole, segments, power, *_floor(power, shape))


def segment_samples(segment_s: float, sampling_rate_hz: float) -> int:
    """Samples of a segment that lasts about so long."""
    size = round(segment_s * sampling_rate_hz)
    return size - (size % STRIDES if size >= 10 * STRIDES else 0)


def _stride(samples: int, size: int, lines: int, bands: int) -> int:
    """The largest stride of samples that loses nothing: the spectrum of a square is twice as wide as the band."""
    fits = [one for one in range(1, bands + 1) if samples % one == 0 == size % one and lines <= size // one // 2]
    return max(fits, default=1)


def _squared_envelopes(
    record: Float64, sampling_rate_hz: float, bands_hz: Sequence[tuple[float, float]], stride: int
) -> list[Float64]:
    """The squared envelope of each band, (n / stride,) each.

    A band is brought down to frequency 0, which leaves its envelope as it is; so a short transform does.
    """
    spectrum = np.fft.rfft(record) * (2.0 / stride)
    found = []
    for low, high in bands_hz:
        first, end = (math.ceil(edge * record.size / sampling_rate_hz - 1e-6) for edge in (low, high))
        found.append(np.abs(np.fft.ifft(spectrum[first : min(end, spectrum.size - 1)], record.size // stride)) ** 2)
    return found


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
