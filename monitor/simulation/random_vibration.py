"""Random vibration: signals of machines that do not exist, each one different, to train a forecaster on.

A machine is drawn at random, then its signal is computed:

    a = S * ( sum_i A_i(t) w_i(phase_i(t))      families of harmonics, carriers with sidebands, single lines
            + M(t) N * white(t)                 noise coloured by resonances, possibly modulated by the shaft
            + R * impacts(t) )                  impacts that ring
        + floor(t)                              electronic noise, then quantisation

w_i is a random waveform of period 1. The phases follow a speed that is constant, drifts, or runs up. N, R and S are
transfer functions: resonances of the structure, of what rings, and the roll-off of the sensor. Convolutions (*) are
products of spectra. All frequencies are drawn on a logarithmic scale in cycles per sample, so the sampling rate does
not matter; amplitudes are arbitrary, because a forecaster sees the signal at unit level.

The ranges are wider than those of real machines on purpose: what lies inside them is interpolation. Does not handle:
faults, load changes, several channels of one machine.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from monitor.core.arrays import Float32, Float64

Complex64 = NDArray[np.complex64]

MARGIN_SAMPLES = 1024
"""Samples computed and cut off at both ends: products of spectra are circular convolutions. Fewer: the ends ring into
each other. More: more work."""

SIMPLE = 0.25
"""Share of simple machines. Lower: a network trained on the signals learns low frequencies only. Higher: less of
everything else."""

GRIDS = (50, 100, 200, 400)
"""Frequencies are sometimes multiples of one over these: the mains and its harmonics, sampled at a round rate."""

LOWEST_FREQUENCY = 3e-4
"""Lowest repetition rate in cycles per sample: one turn in 33 blocks. Lower: a sequence holds too few turns to learn
from. Higher: slow shafts sampled fast are not covered."""

STREAM = 0x56
"""Separates these random numbers from those of other generators with the same seed."""

TABLE_SAMPLES = 8192
"""Samples of a waveform's period. Fewer: high orders of a slow shaft are lost. More: more work."""


class RandomVibration:
    """A source of random machines; reproducible from its seed."""

    def __init__(self, *seed: int) -> None:
        """Start with a seed of one or more integers, none negative."""
        self._rng = np.random.default_rng([*seed, STREAM])

    def signals(self, count: int, samples: int, simple: float = SIMPLE) -> Float32:
        """The signals of ``count`` new machines.

        Args:
            count: number of machines.
            samples: samples of each signal.
            simple: share of simple machines: a few lines and a little white noise.

        Returns:
            (count, samples) float32 with unit variance.
        """
        made = [self._simple(samples) if self._rng.random() < simple else self._signal(samples) for _ in range(count)]
        return np.stack(made)

    def _simple(self, samples: int) -> Float32:
        turns = np.arange(samples, dtype=np.float64) if self._rng.random() < 0.7 else self._turns(samples)
        lines = (
            self._lines(turns)
            if self._rng.random() < 0.6
            else self._group(turns, self._frequency(LOWEST_FREQUENCY, 0.02))
        )
        signal = _normal(lines) + 10.0 ** self._rng.uniform(-2.5, 0.0) * self._rng.standard_normal(samples, np.float32)
        return _normal(signal)

    def _signal(self, samples: int) -> Float32:
        rng = self._rng
        n = fft.next_fast_len(samples + 2 * MARGIN_SAMPLES, real=True)
        turns = self._turns(n)
        frequency = fft.rfftfreq(n)
        body = self._resonances(frequency)
        tonal = self._tonal(turns, body)
        noise = fft.rfft(self._modulated_noise(turns)) * self._colour(frequency, body)
        parts = [_unit(tonal), _unit(noise), _unit(self._impacts(turns, frequency))]
        weights = self._weights()
        spectrum = sum((weight * part for weight, part in zip(weights, parts, strict=True)), np.zeros(1, np.complex64))
        spectrum = spectrum * self._sensor(frequency)
        spectrum[0] = 0.0
        signal = fft.irfft(spectrum, n)[MARGIN_SAMPLES : MARGIN_SAMPLES + samples].astype(np.float32)
        if rng.random() < 0.3:
            signal *= np.exp(rng.uniform(0.05, 0.5) * self._slow(samples, int(rng.integers(3, 30)))).astype(np.float32)
        signal = _normal(signal)
        signal += 10.0 ** rng.uniform(-4.5, -1.0) * rng.standard_normal(samples, np.float32)
        if rng.random() < 0.2:
            step = 10.0 ** rng.uniform(-4.0, -0.5)
            signal = np.round(signal / step) * step
        if rng.random() < 0.1:
            signal += rng.uniform(-5.0, 5.0)
        return _normal(signal)

    def _weights(self) -> tuple[float, float, float]:
        """Amplitudes of the tonal part, the noise and the impacts."""
        rng = self._rng
        tonal = 10.0 ** (rng.uniform(-20.0, 50.0) / 20.0)
        kind = rng.random()
        if kind < 0.05:
            tonal = 0.0
        impacts = 10.0 ** (rng.uniform(-20.0, 20.0) / 20.0) if rng.random() < 0.35 else 0.0
        if kind > 0.93:  # a machine that only hammers
            tonal, impacts = 0.0, 10.0 ** rng.uniform(0.0, 1.5)
        return tonal, 1.0, impacts

    def _turns(self, n: int) -> Float64:
        """The integral of the relative speed."""
        rng = self._rng
        kind = rng.random()
        if kind < 0.35:
            return np.arange(n, dtype=np.float64)
        speed = 1.0 + 10.0 ** rng.uniform(-5.0, -2.0) * self._slow(n, int(rng.integers(4, 60)))
        if kind > 0.94:  # a run-up, or a run-down
            speed *= np.linspace(1.0, rng.uniform(0.5, 1.0), n)[:: rng.choice([-1, 1])]
        return np.cumsum(speed)

    def _slow(self, n: int, knots: int) -> Float64:
        """A slow random curve of about unit variance, (n,)."""
        values = np.cumsum(self._rng.standard_normal(knots))
        values -= values.mean()
        values /= max(values.std(), 1e-9)
        return np.interp(np.linspace(0, knots - 1, n), np.arange(knots), values)

    def _frequency(self, low: float, high: float, *, linear: float = 0.0) -> float:
        """A frequency on a logarithmic scale, or with the probability ``linear`` on a linear one."""
        if self._rng.random() < linear:
            return self._rng.uniform(low, high)
        return math.exp(self._rng.uniform(math.log(low), math.log(high)))

    def _resonances(self, frequency: Float64) -> Float32:
        """The structure's response, |H| over the frequencies."""
        rng = self._rng
        gain = np.full(frequency.size, rng.choice([0.0, 0.02, 0.2, 1.0]), np.float64)
        for _ in range(rng.integers(1, 6)):
            centre, damping = self._frequency(0.003, 0.49), self._frequency(0.002, 0.3)
            ratio = frequency / centre
            gain += rng.exponential() / np.sqrt((1 - ratio**2) ** 2 + (2 * damping * ratio) ** 2) * 2 * damping
        response: Float32 = gain.astype(np.float32)
        return response

    def _colour(self, frequency: Float64, body: Float32) -> Float32:
        """The spectrum of the noise: a slope, and resonances."""
        rng = self._rng
        slope = rng.choice([0.0, rng.uniform(-1.0, 3.0)])
        flat = (frequency + 10.0 ** rng.uniform(-4.0, -1.5)) ** -slope
        kind = rng.random()
        if kind < 0.25:
            colour = flat
        elif kind < 0.75:
            colour = flat * self._resonances(frequency)
        else:
            colour = flat * body
        result: Float32 = colour.astype(np.float32)
        return result

    def _sensor(self, frequency: Float64) -> Float32:
        """The sensor's roll-off."""
        rng = self._rng
        gain = np.ones(frequency.size)
        if rng.random() < 0.5:
            gain /= np.sqrt(1 + (frequency / self._frequency(0.01, 0.5)) ** (2 * rng.integers(1, 9)))
        if rng.random() < 0.2:
            gain /= np.sqrt(1 + (self._frequency(1e-4, 0.01) / np.maximum(frequency, 1e-9)) ** (2 * rng.integers(1, 4)))
        return gain.astype(np.float32)

    def _waveform(self, frequency: float, body: Float32 | None, *, most: int | None = None) -> Float32:
        """A random waveform of period 1, (TABLE_SAMPLES,) with unit variance, for a repetition rate."""
        rng = self._rng
        orders = max(1, min(int(0.49 / frequency), TABLE_SAMPLES // 4, most or TABLE_SAMPLES))
        order = np.arange(1, orders + 1)
        amplitude = order ** -rng.uniform(0.0, 3.0) * np.exp(rng.uniform(0.0, 1.5) * rng.standard_normal(orders))
        amplitude *= rng.random(orders) < rng.uniform(0.3, 1.5)
        if body is not None and rng.random() < 0.5:
            amplitude *= body[np.minimum((order * frequency * 2 * (body.size - 1)).astype(np.int64), body.size - 1)]
        spectrum = np.zeros(TABLE_SAMPLES // 2 + 1, np.complex64)
        spectrum[1 : orders + 1] = amplitude * np.exp(2j * math.pi * rng.random(orders))
        table = fft.irfft(spectrum)
        deviation = float(table.std())
        return (table / deviation if deviation > 0 else np.cos(np.linspace(0, 2 * math.pi, TABLE_SAMPLES))).astype(
            np.float32
        )

    def _tonal(self, turns: Float64, body: Float32) -> Complex64:
        """The spectrum of everything that repeats."""
        rng = self._rng
        signal = np.zeros(turns.size, np.float32)
        shaft = self._frequency(LOWEST_FREQUENCY, 0.02)
        kinds = rng.random(5) < (0.6, 0.35, 0.4, 0.25, 0.35)
        if not kinds.any():
            kinds[rng.integers(0, 5)] = True
        for kind in np.flatnonzero(kinds).tolist():
            if kind == 2:
                signal += self._lines(turns)
                continue
            for _ in range(rng.integers(1, 5 if kind == 3 else 4)):
                signal += self._part(kind, turns, shaft, body)
        spectrum: Complex64 = fft.rfft(signal)
        return spectrum

    def _part(self, kind: int, turns: Float64, shaft: float, body: Float32) -> Float32 | float:
        """One of the tonal parts that a machine has several of."""
        rng = self._rng
        if kind == 0:
            return self._family(turns, self._frequency(LOWEST_FREQUENCY, 0.3), body)
        if kind == 1:
            return self._carrier(turns, shaft)
        if kind == 4:
            return np.float32(rng.exponential()) * self._group(turns, shaft)
        # Orders of one shaft: a machine with gears.
        ratio = rng.integers(1, 80) if rng.random() < 0.7 else rng.uniform(1.0, 80.0)
        return rng.exponential() * self._family(turns, ratio * shaft, body) if ratio * shaft < 0.4 else 0.0

    def _group(self, turns: Float64, shaft: float) -> Float32:
        """Some orders of a shaft beside one another: what a resonance lets through of many."""
        rng = self._rng
        signal = np.zeros(turns.size, np.float32)
        step = shaft * rng.integers(1, 7)
        centre = round(self._frequency(0.01, 0.47, linear=0.7) / step)
        reach = int(rng.integers(1, 7))
        for order in range(centre - reach, centre + reach + 1):
            if 0.0 < order * step < 0.49 and rng.random() < 0.7:
                phase = turns * (order * step) + rng.random()
                line = np.cos((2 * math.pi * (phase - np.floor(phase))).astype(np.float32))
                signal += np.float32(rng.exponential() ** 2) * line
        return signal

    def _family(self, turns: Float64, frequency: float, body: Float32) -> Float32:
        phase = turns * frequency + self._rng.random()
        signal = _look_up(self._waveform(frequency, body), phase)
        return np.float32(self._rng.exponential()) * signal

    def _carrier(self, turns: Float64, shaft: float) -> Float32:
        """A carrier with sidebands at the shaft's frequency: modulated in amplitude and phase."""
        rng = self._rng
        frequency = self._frequency(0.01, 0.45, linear=0.6)
        if rng.random() < 0.4:
            frequency = max(1, round(frequency / shaft)) * shaft
        most = int(rng.integers(1, 60))
        slow = turns * shaft + rng.random()
        phase = turns * frequency + rng.random()
        if rng.random() < 0.5:
            phase = phase + rng.uniform(0.0, 0.3) * _look_up(self._waveform(shaft, None, most=most), slow)
        signal = _look_up(self._waveform(frequency, None, most=3), phase)
        if rng.random() < 0.8:
            depth = 10.0 ** rng.uniform(-1.0, 1.0)
            signal *= (1.0 + depth * _look_up(self._waveform(shaft, None, most=most), slow)) / (1.0 + depth)
        return np.float32(rng.exponential()) * signal

    def _lines(self, turns: Float64) -> Float32:
        """Single lines that no common speed explains, some with a slow amplitude."""
        rng = self._rng
        signal = np.zeros(turns.size, np.float32)
        time = np.arange(turns.size, dtype=np.float64)
        grid = rng.choice(GRIDS) if rng.random() < 0.2 else 0
        # Lines beside one another: a carrier whose sidebands are not those of a modulation.
        centre, spacing = rng.uniform(0.005, 0.47), self._frequency(5e-4, 0.03)
        together = rng.random() < 0.3
        for _ in range(min(12, rng.geometric(0.35))):
            frequency = self._frequency(5e-4, 0.495, linear=0.95)
            if together:
                frequency = float(np.clip(centre + spacing * rng.integers(-4, 5), 5e-4, 0.49))
            if grid:
                frequency = max(1, round(frequency * grid)) / grid + rng.choice([0.0, 1e-5 * rng.standard_normal()])
            phase = (turns if not grid and rng.random() < 0.5 else time) * frequency + rng.random()
            line = np.cos((2 * math.pi * (phase - np.floor(phase))).astype(np.float32))
            if rng.random() < 0.3:
                line *= np.exp(0.5 * self._slow(turns.size, int(rng.integers(4, 100)))).astype(np.float32)
            signal += np.float32(rng.exponential() ** 2) * line
        return signal

    def _modulated_noise(self, turns: Float64) -> Float32:
        rng = self._rng
        noise = rng.standard_normal(turns.size, np.float32)
        if rng.random() < 0.25:
            frequency = self._frequency(LOWEST_FREQUENCY, 0.02)
            wave = _look_up(self._waveform(frequency, None, most=4), turns * frequency + rng.random())
            noise *= 1.0 + rng.uniform(0.1, 1.0) * wave
        return noise

    def _impacts(self, turns: Float64, frequency: Float64) -> Complex64:
        """The spectrum of impacts that ring."""
        rng = self._rng
        rate = self._frequency(1e-3, 0.03)
        phase = turns * rate
        count = int(phase[-1])
        if count < 2:
            return np.zeros(frequency.size, np.complex64)
        jitter = 10.0 ** rng.uniform(-4.0, -1.3) if rng.random() < 0.7 else 0.0
        steps = 1.0 + jitter * rng.standard_normal(count)
        at = np.interp(np.cumsum(steps) - 1 + rng.random(), phase, np.arange(turns.size))
        strength = 1.0 + rng.uniform(0.0, 0.5) * rng.standard_normal(count)
        if rng.random() < 0.3:  # the load zone turns
            strength *= 1.0 + np.cos(2 * math.pi * (np.arange(count) * rng.uniform(0.05, 0.5)))
        train = np.zeros(turns.size + 2, np.float32)
        whole = at.astype(np.int64)
        share = at - whole
        np.add.at(train, whole, strength * (1 - share))
        np.add.at(train, whole + 1, strength * share)
        ring = np.zeros(frequency.size, np.complex64)
        for _ in range(rng.integers(1, 4)):
            ratio = frequency / self._frequency(0.01, 0.45)
            damping = self._frequency(0.005, 0.2)
            ring += (rng.exponential() * 2 * damping / (1 - ratio**2 + 2j * damping * ratio)).astype(np.complex64)
        spectrum: Complex64 = fft.rfft(train[: turns.size]) * ring
        return spectrum


def _normal(signal: Float32 | Float64) -> Float32:
    """Scale a signal to unit variance; a constant one becomes small."""
    result: Float32 = (signal / max(float(signal.std()), 1e-6)).astype(np.float32)
    return result


def _unit(spectrum: Complex64) -> Complex64:
    """Scale a spectrum to a signal of unit variance; zero stays zero."""
    power = float(np.sum(np.abs(spectrum[1:]) ** 2))
    n = 2 * (spectrum.size - 1)
    return spectrum * np.float32(n / math.sqrt(2 * power)) if power > 0 else spectrum


def _look_up(table: Float32, phase: Float64) -> Float32:
    """The waveform at these phases; the table is one period."""
    at = (phase - np.floor(phase)) * TABLE_SAMPLES
    whole = at.astype(np.int32)
    share = (at - whole).astype(np.float32)
    # The last sample's neighbour is the first one.
    left = table[whole % TABLE_SAMPLES]
    result: Float32 = left + share * (table[(whole + 1) % TABLE_SAMPLES] - left)
    return result
