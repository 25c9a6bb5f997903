"""The amplitude spectrum says how large a sine is."""

import numpy as np
import pytest

from monitor.core.spectrum import amplitude_spectrum


def test_a_sine_on_a_line_has_its_amplitude() -> None:
    seconds = np.arange(4000) / 12000.0
    signal = (5.0 + 3.0 * np.sin(2 * np.pi * 600.0 * seconds)).astype(np.float32)
    amplitude = amplitude_spectrum(signal)
    assert amplitude.size == 1001
    assert amplitude[int(600 / 6)] == pytest.approx(3.0, rel=1e-3)
    assert amplitude[200:].max() < 1e-4
    assert np.isnan(amplitude_spectrum(np.full(40, np.nan, np.float32))).all()
