"""Figures as documents have them: as many digits as mean something, and nothing where there is no figure."""

import numpy as np

from monitor.core.arrays import Floats


def significant(values: Floats, digits: int = 3) -> list[float | None]:
    """Values rounded to ``digits`` significant digits; None for values that are not finite."""
    numbers = values.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        exponent = np.floor(np.log10(np.abs(numbers)))
        scale = 10.0 ** (digits - 1 - np.where(np.isfinite(exponent), exponent, 0.0))
        rounded = np.round(numbers * scale) / scale
    finite = np.isfinite(rounded)
    if finite.all():
        return list(rounded.tolist())
    return [value if known else None for value, known in zip(rounded.tolist(), finite.tolist(), strict=True)]
