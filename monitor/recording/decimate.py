"""Decimation by a factor q with an anti-alias filter.

A linear-phase low-pass filter (Kaiser window) is evaluated only at the samples that stay. It is centred: output k is
the filtered signal at input sample k q, without delay. At both ends the signal is extended by its point reflection,
which preserves level and slope; about 25 outputs at each end depend on it. The result is bit-identical however the
input is split into pieces.
"""

from functools import cache

import numpy as np

from monitor.core.arrays import Float64, Numbers

STOP_BAND_DB = 90.0
"""Attenuation above the new Nyquist frequency. Lower: strong high frequencies alias. Higher: a longer filter."""

PASS_BAND = 0.8
"""Fraction of the new band that stays flat. Lower: high frequencies are lost. Higher: a longer filter, since the
transition ends at the new Nyquist frequency."""


@cache
def low_pass(factor: int) -> Float64:
    """The coefficients of the filter: an odd number, symmetric, with sum 1.

    Kaiser's formulas for length and shape: J. F. Kaiser, "Nonrecursive digital filter design using the I0-sinh window
    function", ISCAS 1974, as in ``scipy.signal.kaiserord``.
    """
    from scipy.signal import firwin, kaiserord

    taps, beta = kaiserord(STOP_BAND_DB, (1 - PASS_BAND) / factor)
    coefficients: Float64 = firwin(int(taps) | 1, (1 + PASS_BAND) / 2 / factor, window=("kaiser", beta))
    return coefficients


class Decimator:
    """Decimates one contiguous record, piece by piece.

    Pass every piece to :meth:`push`, then call :meth:`finish`. Together they return ``ceil(n / factor)`` samples for n
    inputs. NaN or infinity affects the outputs within half a filter length.
    """

    def __init__(self, factor: int) -> None:
        self.factor = factor
        self._coefficients = low_pass(factor) if factor > 1 else np.ones(1)
        self._half = self._coefficients.size // 2
        self._held: Float64 = np.empty(0)
        self._started = False

    def push(self, samples: Numbers) -> Float64:
        """Take the next samples (n,), return the outputs (m,) float64 that no later sample affects."""
        piece = samples.astype(np.float64)
        if self.factor == 1:
            return piece
        self._held = np.concatenate((self._held, piece))
        if not self._started:
            if self._held.size <= self._half:
                return np.empty(0)
            self._held = np.concatenate((2 * self._held[0] - self._held[self._half : 0 : -1], self._held))
            self._started = True
        return self._settled()

    def finish(self) -> Float64:
        """Return the last outputs (m,) and reset the decimator for another record."""
        if self.factor == 1 or not self._held.size:
            return np.empty(0)
        before = 0 if self._started else self._half
        self._held = np.pad(self._held, (before, self._half), mode="reflect", reflect_type="odd")
        outputs = self._settled()
        self._held = np.empty(0)
        self._started = False
        return outputs

    def _settled(self) -> Float64:
        """Evaluate the filter where it lies within the buffer, and drop the samples no longer needed.

        ``_held`` begins half a filter before the next output. The rest is longer than half a filter, which is enough
        for the reflection at the end of the record.
        """
        from scipy.signal import upfirdn

        whole = 2 * self._half
        count = (self._held.size - whole - 1) // self.factor + 1
        if count <= 0:
            return np.empty(0)
        # Output j of upfirdn is at input j * factor; leading zeros align the first full overlap with that grid.
        lead = -whole % self.factor
        padded = np.concatenate((np.zeros(lead), self._held))
        first = (whole + lead) // self.factor
        outputs: Float64 = upfirdn(self._coefficients, padded, 1, self.factor)[first : first + count]
        self._held = self._held[count * self.factor :]
        return outputs


class MeanDecimator(Decimator):
    """Replaces each ``factor`` values by their mean, for quantities that change slowly, such as a measured speed.

    Unlike the filter it has no reach beyond the group: NaN affects the output of its own group only. The last group may
    be incomplete.
    """

    def __init__(self, factor: int) -> None:
        self.factor = factor
        self._held: Float64 = np.empty(0)

    def push(self, samples: Numbers) -> Float64:
        """Take the next values (n,), return the means (m,) float64 of the groups that are complete."""
        held = np.concatenate((self._held, samples.astype(np.float64)))
        groups = held.size // self.factor
        self._held = held[groups * self.factor :]
        means: Float64 = held[: groups * self.factor].reshape(groups, self.factor).mean(axis=1)
        return means

    def finish(self) -> Float64:
        """Return the mean of an incomplete group, (0,) or (1,), and reset for another record."""
        held, self._held = self._held, np.empty(0)
        means: Float64 = held.mean(keepdims=True) if held.size else held
        return means
