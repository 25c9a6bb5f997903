"""The amplitude spectrum of a stretch of samples, for pictures of the present and of the healthy machine."""

import numpy as np

from monitor.core.arrays import Float32


def amplitude_spectrum(signal: Float32) -> Float32:
    """Amplitude of the sine at each frequency of a signal, in the unit of the signal.

    Up to three half-overlapping segments, Hann window, powers averaged (P. D. Welch, IEEE Trans. Audio Electroacoust.
    15, 1967); a sine of amplitude a on a line gives a.
    ``scipy.signal.welch`` gives the same, but importing SciPy takes 70 MB and over a second of the daemon.

    Args:
        signal: (n,) n at least 2.

    Returns:
        (n // 2 // 2 + 1,) from 0 Hz, in steps of the sampling rate / (n // 2). NaN anywhere gives NaN.
    """
    size = signal.size // 2
    window = np.hanning(size + 1)[:size] if size > 1 else np.ones(1)
    segments = np.stack([signal[at : at + size] for at in (0, (signal.size - size) // 2, signal.size - size)])
    lines = np.abs(np.fft.rfft((segments - segments.mean(axis=1, keepdims=True)) * window, axis=1))
    amplitude: Float32 = (2.0 / window.sum() * np.sqrt((lines**2).mean(axis=0))).astype(np.float32)
    return amplitude
