"""What the user states about recordings because their files do not.

One immutable object passes from the command line to every recording of a command.
"""

from dataclasses import dataclass

from monitor.core.units import UNITS_MPS2
from monitor.errors import ConfigurationError

ALL_CHANNELS = "all"
"""The value of ``channel`` that selects every channel of an array."""

MAX_DECIMATE = 1000
"""Largest decimation factor; with more, the anti-alias filter would be longer than most records."""


@dataclass(frozen=True, slots=True)
class RecordingOptions:
    """How recordings are to be read."""

    sampling_rate_hz: float | None = None
    """Sampling rate in the file, before decimation, if the file does not state it; must not contradict it."""
    channel: str | None = None
    """Name or index of the channel in an array with several channels, or ``all``."""
    decimate: int = 1
    """Keep one sample of this many, after an anti-alias filter."""
    unit: str | None = None
    """``g``, ``mg`` or ``m/s2`` if the file does not state it; must not contradict it."""
    record_interval_s: float | None = None
    """Seconds from the start of one record to the start of the next, if the file has no ``start_s``."""
    quantities: tuple[str, ...] = ()
    """Names of measured quantities; an array or column of such a name lies beside the samples and is never read as
    samples."""

    def __post_init__(self) -> None:
        problems = []
        if self.sampling_rate_hz is not None and not 0 < self.sampling_rate_hz < 1e9:
            problems.append(f"--sampling-rate-hz is {self.sampling_rate_hz}; it must be above 0 and below 1e9")
        if not 1 <= self.decimate <= MAX_DECIMATE:
            problems.append(f"--decimate is {self.decimate}; it must be a whole number from 1 to {MAX_DECIMATE}")
        if self.unit is not None and self.unit not in UNITS_MPS2:
            problems.append(f"--unit is '{self.unit}'; it must be one of {', '.join(UNITS_MPS2)}")
        if self.record_interval_s is not None and not 0 < self.record_interval_s < float("inf"):
            problems.append(f"--record-interval is {self.record_interval_s} s; it must be above 0")
        if problems:
            raise ConfigurationError("reading recordings: " + "\n".join(problems))
