"""Units of acceleration, and when two sampling rates count as the same."""

STANDARD_GRAVITY_MPS2 = 9.80665
"""One g in m/s² (BIPM, SI brochure)."""

UNITS_MPS2 = {"g": STANDARD_GRAVITY_MPS2, "mg": STANDARD_GRAVITY_MPS2 / 1000, "m/s2": 1.0}
"""Accepted units of acceleration, in m/s²."""

RATE_TOLERANCE = 1e-3
"""Largest relative difference of two rates that count as equal; sensor clocks differ by less, nominal rates by more."""


def same_rate(found_hz: float, *expected_hz: float) -> bool:
    """Whether a rate is one of those expected."""
    return any(abs(found_hz - rate) <= RATE_TOLERANCE * rate for rate in expected_hz)
