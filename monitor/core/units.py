"""Units of acceleration, and when two sampling rates count as the same."""

from typing import NamedTuple

STANDARD_GRAVITY_MPS2 = 9.80665
"""One g in m/s² (BIPM, SI brochure)."""

UNITS_MPS2 = {"g": STANDARD_GRAVITY_MPS2, "mg": STANDARD_GRAVITY_MPS2 / 1000, "m/s2": 1.0}
"""Accepted units of acceleration, in m/s²."""

RATE_TOLERANCE = 1e-3
"""Largest relative difference of two rates that count as equal; sensor clocks differ by less, nominal rates by more."""


def same_rate(found_hz: float, *expected_hz: float) -> bool:
    """Whether a rate is one of those expected."""
    return any(abs(found_hz - rate) <= RATE_TOLERANCE * rate for rate in expected_hz)


ARRIVAL_TOLERANCE = 0.03
"""Relative difference of a measured and a stated rate that says nothing. Lower: cheap sensor clocks look wrong. Higher:
12 kHz instead of 12.8 kHz passes."""

ARRIVAL_JITTER_S = 0.2
"""Seconds by which a measured time may be wrong, for messages come late. Lower: short recordings look wrong. Higher: a
wrong rate of short ones passes."""


class MeasuredRate(NamedTuple):
    """How fast samples arrived while they were recorded."""

    rate_hz: float
    """Samples a second."""
    over_s: float
    """Seconds over which it was measured, above 0."""

    def contradicts(self, stated_hz: float) -> bool:
        """Whether samples of the stated rate would have arrived otherwise."""
        return abs(self.rate_hz / stated_hz - 1) > ARRIVAL_TOLERANCE + ARRIVAL_JITTER_S / self.over_s
