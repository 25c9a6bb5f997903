"""Whitening of a recording by its own model, and removal of discrete lines.

A fault shows as a modulation of what rings or rustles, at whatever frequency that is. Two things hide it. Loud
frequencies outweigh the others; an autoregressive model of the signal, used as a filter, makes all of them count alike.
And discrete lines (harmonics of shaft, gears, supply) beat against each other: their envelope repeats at differences of
their frequencies, which looks like a fault. A bearing's impacts slip, so what they excite is no line but a smear. So
lines that stand above their neighbourhood are lowered to it.

Measured on the CWRU recordings: with the model alone, the healthy machine shows its inner race with p = 1e-6 to 1e-11,
and a ball fault (B021) the inner race with p = 1e-31. Without the lines these are gone, and real race faults keep 60 to
100 % of their depth of modulation. Setting every spectral line to magnitude 1 (cepstral prewhitening) does the same, at
a quarter less depth. Gear faults turn with the shaft and are lines themselves; see
:mod:`monitor.core.diagnosis.gears`.
"""

import numpy as np

from monitor.core.arrays import Float64, Floats

MOST_ORDER = 100
"""Coefficients of the model. Lower: resonances stay. Higher: little changes (400 was tried)."""

SAMPLES_PER_COEFFICIENT = 20
"""Samples for each coefficient. Lower: on short records the model takes the fault itself away."""

RIDGE = 1e-9
"""Relative addition to the variance. Lower: the filter is unbounded where an anti-alias filter left nothing."""

LINE_HZ = 1.0
"""Width over which the power of a line is averaged. Lower: single bins of noise count as lines. Higher: weak lines
stay, and at 5 Hz beats come back."""

AROUND_HZ = 30.0
"""Width of the neighbourhood whose median is the level of a line. Lower: the smear of a fault counts as lines. Higher:
slopes of the spectrum are flattened too."""


def autoregressive(samples: Floats, order: int) -> Float64:
    """The prediction error filter of a signal (Yule-Walker, Levinson's recursion).

    Args:
        samples: (n,) any unit, finite; more than ``order``.
        order: number of coefficients.

    Returns:
        (order + 1,) with 1 first: the signal filtered with it is white. (1, 0, ...) for a signal without power.
    """
    size = samples.size
    centred = samples - np.mean(samples, dtype=np.float64)
    spectrum = np.fft.rfft(centred, 1 << (size + order).bit_length())
    covariance = np.fft.irfft(np.abs(spectrum) ** 2)[: order + 1]
    filter_of = np.zeros(order + 1)
    filter_of[0] = 1.0
    error = covariance[0] * (1.0 + RIDGE)
    if not error > 0.0:
        return filter_of
    for k in range(1, order + 1):
        reflection = -(filter_of[:k] @ covariance[k:0:-1]) / error
        filter_of[1 : k + 1] += reflection * filter_of[k - 1 :: -1][:k]
        error *= 1.0 - reflection**2
    return filter_of


def whitened(samples: Floats) -> Float64:
    """A record whitened by a model of itself.

    Args:
        samples: (n,) one record, any unit, finite.

    Returns:
        (m,) float64 of unit power, without the samples at the start for which the filter lacks a past; zero for a
        constant signal.
    """
    order = int(np.clip(samples.size // SAMPLES_PER_COEFFICIENT, 1, MOST_ORDER))
    return _unit(filtered(np.asarray(samples, np.float64), autoregressive(samples, order)))


def transformable(samples: Float64) -> Float64:
    """The last samples of a record, at least 95 of 100, as many as are transformed fast: 2^a 3^b 5^c."""
    fast = [
        size
        for two in range(samples.size.bit_length())
        for three in range(6)
        for five in range(6)
        if 0.95 * samples.size <= (size := 2**two * 3**three * 5**five) <= samples.size
    ]
    return samples[samples.size - max(fast, default=samples.size) :]


def filtered(samples: Float64, coefficients: Float64) -> Float64:
    """(n - order,) the samples, about their mean, through a filter of (order + 1,) coefficients; by FFT."""
    size = samples.size + coefficients.size - 1
    length = 1 << (size - 1).bit_length()
    centred = samples - samples.mean()
    product = np.fft.rfft(centred, length) * np.fft.rfft(coefficients, length)
    return np.fft.irfft(product, length)[coefficients.size - 1 : samples.size]


def without_lines(samples: Float64, sampling_rate_hz: float) -> Float64:
    """Lower the discrete lines of a signal to the level of their neighbourhood.

    Args:
        samples: (n,) one record, without a break.
        sampling_rate_hz: its rate.

    Returns:
        (n,) of unit power; zero for a signal without power.
    """
    size = samples.size
    spectrum = np.fft.rfft(samples - samples.mean())
    power = np.abs(spectrum) ** 2
    bins_per_hz = size / sampling_rate_hz
    line = _averaged(power, max(1, round(LINE_HZ * bins_per_hz)))
    level = _level(power, max(9, round(AROUND_HZ * bins_per_hz)))
    gain = np.sqrt(np.divide(level, line, out=np.ones_like(line), where=line > level))
    return _unit(np.fft.irfft(spectrum * gain, size))


def _unit(samples: Float64) -> Float64:
    rms = float(np.sqrt(np.mean(samples**2))) if samples.size else 0.0
    return samples / rms if rms > 0.0 else samples


def _averaged(power: Float64, width: int) -> Float64:
    if width <= 1:
        return power
    sums = np.concatenate([[0.0], np.cumsum(power)])
    centre = np.arange(power.size)
    first, end = np.maximum(centre - width // 2, 0), np.minimum(centre - width // 2 + width, power.size)
    return np.asarray((sums[end] - sums[first]) / (end - first))


def _level(power: Float64, width: int) -> Float64:
    """The running level of exponentially distributed power, from medians of half-overlapping parts."""
    step = max(1, width // 2)
    starts = np.arange(0, max(1, power.size - width + 1), step)
    medians = np.array([np.median(power[start : start + width]) for start in starts])
    return np.asarray(np.interp(np.arange(power.size), starts + width / 2, medians / np.log(2.0)))
