"""The process that diagnoses, at the lowest priority: neither messages nor scores have the second that it takes.

It knows nothing between two looks. An error in one costs that look.
"""

import contextlib
from collections.abc import Sequence

import numpy as np

from monitor.core.arrays import Float32, Float64
from monitor.core.diagnosis.diagnose import Diagnosis, UndiagnosableError, diagnose
from monitor.core.diagnosis.envelope import EnvelopeSpectra
from monitor.runtime.diagnosis.messages import Answer, Look, Seen, Spectrum, Unable
from monitor.runtime.processes import child

NICENESS = 19
"""Nice value. Lower: with all cores busy it takes time from scores."""

SPECTRUM_HZ = 1.0
"""Distance of the lines of the spectrum, about. Lower: more to send. Higher: lines of the shaft are not told apart."""

MOST_LINES = 8192
"""Most lines of a spectrum that is drawn."""


def answer(look: Look) -> Answer:
    """Do one look."""
    try:
        about = look.name, look.records, look.sampling_rate_hz, look.speeds, look.facts
        found = diagnose(*about, healthy=look.healthy, before=look.before)
    except UndiagnosableError as error:
        return Unable(str(error))
    envelope, band_hz = (None, None) if found.spectra is None else envelope_drawn(found, found.spectra)
    found.spectra = None
    return Seen(found, amplitudes(look.records, look.sampling_rate_hz), envelope, band_hz)


def amplitudes(records: Sequence[Float32], sampling_rate_hz: float) -> Spectrum | None:
    """The amplitude of a sine at each line, from the mean power of segments; None if the records are too short."""
    size = min(max(map(len, records)), round(sampling_rate_hz / SPECTRUM_HZ), 2 * MOST_LINES)
    if size < 64:
        return None
    window = np.hanning(size)
    power, segments = np.zeros(size // 2 + 1), 0
    for record in records:
        for start in range(0, record.size - size + 1, max(1, size // 2)):
            piece: Float64 = record[start : start + size].astype(np.float64)
            power += np.abs(np.fft.rfft((piece - piece.mean()) * window)) ** 2
            segments += 1
    amplitude = 2 * np.sqrt(power / max(1, segments)) / window.sum()
    return Spectrum(sampling_rate_hz / size, amplitude.astype(np.float32))


def envelope_drawn(found: Diagnosis, spectra: EnvelopeSpectra) -> tuple[Spectrum, tuple[float, float]]:
    """The spectrum of the envelope in the band where the strongest fault or rate is deepest, and the band's edges."""
    rates_hz = [fault.frequency_hz for fault in found.faults if fault.depth] or found.rates_hz[:1]
    lines, inside = spectra.line(np.array(rates_hz[:1] or [0.0]))
    depth = spectra.near_depth[:, lines[inside]] if inside.any() else spectra.depth
    band = int(depth.max(axis=1).argmax())
    drawn = spectra.depth[band, :MOST_LINES].astype(np.float32)
    low, high = spectra.bands_hz[band]
    return Spectrum(spectra.resolution_hz, drawn), (low, high)


def main() -> None:
    """Run the process; its argument is a file descriptor of the connection to the daemon."""
    connection = child.join(NICENESS)
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            look: Look = connection.recv()
            connection.send(answer(look))


if __name__ == "__main__":
    main()
