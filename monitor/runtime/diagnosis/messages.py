"""The messages between the daemon and the process that diagnoses."""

from dataclasses import dataclass

from monitor.core.arrays import Float32, Float64
from monitor.core.diagnosis.diagnose import Diagnosis, Facts, Healthy
from monitor.core.diagnosis.together import Together


@dataclass(frozen=True, slots=True)
class Look:
    """Diagnose records of a channel."""

    name: str
    """Name of the channel."""
    records: list[Float32]
    """(n,) each, in m/s²."""
    sampling_rate_hz: float
    """Their rate."""
    speeds: list[Float64] | None
    """Turns a minute at each sample; None: not known."""
    facts: Facts
    """Of the machine."""
    healthy: Healthy | None
    """What is known of the healthy machine."""
    before: Together | None = None
    """The looks before this one; None: it is the first."""


@dataclass(frozen=True, slots=True)
class Spectrum:
    """A spectrum to be drawn."""

    step_hz: float
    """Distance of two lines; the first is at 0."""
    values: Float32
    """(lines,) amplitude: m/s², or the depth of modulation."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found."""

    diagnosis: Diagnosis
    """Without its spectra."""
    spectrum: Spectrum | None
    """Amplitude of the acceleration."""
    envelope: Spectrum | None
    """Depth of modulation, of the band in which it is greatest."""
    envelope_band_hz: tuple[float, float] | None
    """Edges of that band."""


@dataclass(frozen=True, slots=True)
class Unable:
    """Nothing could be found."""

    reason: str
    """Why, for a person."""


Answer = Seen | Unable
