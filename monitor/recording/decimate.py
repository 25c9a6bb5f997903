"""Keep one sample of q without letting what lies above the new Nyquist frequency fold back.

A linear-phase low-pass filter (Kaiser window) is evaluated only where a sample is kept. It is centred, so output k is
the filtered signal at input sample k q: nothing is delayed. At both ends the signal is continued by its point
reflection, which keeps level and slope; the first and last ``half / q`` outputs (about 25) therefore rest partly on
continued samples. The result does not depend on how the input was cut into pieces, to the last bit. Refuses to know:
rates in Hz, records, files.
"""

from functools import cache

import numpy as np

from monitor.core.arrays import Float64, Numbers

STOP_BAND_DB = 90.0
"""Attenuation from the new Nyquist frequency on. Lower shows strong high frequencies, higher costs length."""

PASS_BAND = 0.8
"""Part of the new band that stays flat; the transition ends at the new Nyquist frequency, so nothing folds back."""


@cache
def low_pass(factor: int) -> Float64:
    """The filter's coefficients, an odd number, symmetric, of sum 1.

    Kaiser's formulas for length and shape: J. F. Kaiser, "Nonrecursive digital filter design using the I0-sinh window
    function", ISCAS 1974, as in ``scipy.signal.kaiserord``.
    """
    from scipy.signal import firwin, kaiserord

    taps, beta = kaiserord(STOP_BAND_DB, (1 - PASS_BAND) / factor)
    coefficients: Float64 = firwin(int(taps) | 1, (1 + PASS_BAND) / 2 / factor, window=("kaiser", beta))
    return coefficients


class Decimator:
    """Decimates one contiguous record given in pieces.

    Feed every piece with :meth:`push`, then take the end with :meth:`finish`. Together they return ``ceil(n / factor)``
    samples for n. NaN or infinity spoils the outputs within half a filter of it.
    """

    def __init__(self, factor: int) -> None:
        self.factor = factor
        self._coefficients = low_pass(factor) if factor > 1 else np.ones(1)
        self._half = self._coefficients.size // 2
        self._held: Float64 = np.empty(0)
        self._started = False

    def push(self, samples: Numbers) -> Float64:
        """Take the next samples (n,), return the outputs (m,) that are settled by now, float64."""
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
        """The outputs (m,) that needed the record's end; the decimator is then ready for another record."""
        if self.factor == 1 or not self._held.size:
            return np.empty(0)
        before = 0 if self._started else self._half
        self._held = np.pad(self._held, (before, self._half), mode="reflect", reflect_type="odd")
        outputs = self._settled()
        self._held = np.empty(0)
        self._started = False
        return outputs

    def _settled(self) -> Float64:
        """Evaluate the filter wherever it lies wholly inside what is held, and let go of what is used up.

        ``_held`` begins half a filter before the next output. What stays is longer than half a filter, so it is enough
        to reflect when the record ends.
        """
        from scipy.signal import upfirdn

        whole = 2 * self._half
        count = (self._held.size - whole - 1) // self.factor + 1
        if count <= 0:
            return np.empty(0)
        # upfirdn's output j stands at input j * factor; leading zeros bring the first whole overlap onto that grid.
        lead = -whole % self.factor
        padded = np.concatenate((np.zeros(lead), self._held))
        first = (whole + lead) // self.factor
        outputs: Float64 = upfirdn(self._coefficients, padded, 1, self.factor)[first : first + count]
        self._held = self._held[count * self.factor :]
        return outputs
