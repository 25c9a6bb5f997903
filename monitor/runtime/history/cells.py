"""Cells: the mean and the maximum of a figure over a minute, a quarter of an hour or six hours, in two bytes each.

A figure is stored as its logarithm in 65,534 steps from 1e-9 to 1e9, so every figure is within 0.04 % of the measured
one, whatever its size. A cell without data is a gap and not a zero.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from monitor.core.arrays import Floats

QUANTITIES = ("score", "rms", "velocity_rms", "gap_ratio", "condition_distance")
"""Figures of which a history is kept: columns of :class:`monitor.runtime.lanes.board.Board`, never negative. A name
that is added here has gaps for the time before; one that is removed loses its history."""

PARTS = 2
"""Numbers that a cell holds of each figure: mean and maximum."""

LOWEST, HIGHEST = np.log(1e-9), np.log(1e9)
STEPS = 65_534

Codes = np.ndarray[Any, np.dtype[np.uint16]]
"""Figures as they are stored; 0: a gap; 1: zero."""


def _decoded() -> Floats:
    values = np.exp(np.linspace(LOWEST, HIGHEST, STEPS)).astype(np.float32)
    found: Floats = np.concatenate([np.array([np.nan, 0.0], np.float32), values])
    return found


DECODED = _decoded()
"""The figure of each code."""


def encode(values: Floats) -> Codes:
    """Codes of figures; a gap where a figure is not finite, and 0 for anything up to 1e-9."""
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = (np.log(values) - LOWEST) / (HIGHEST - LOWEST) * (STEPS - 1)
        codes = np.where(values > np.exp(LOWEST), 2.0 + np.clip(np.rint(steps), 0.0, STEPS - 1), 1.0)
    found: Codes = np.where(np.isfinite(values), codes, 0.0).astype("<u2")
    return found


def decode(codes: Codes) -> Floats:
    """The figures of codes; NaN for gaps."""
    found: Floats = DECODED[codes]
    return found


@dataclass(frozen=True, slots=True)
class Tier:
    """Cells of one length."""

    over: str
    """What it serves to look over, as requests name it."""
    period_s: int
    """Seconds of a cell."""
    cells: int
    """Cells that are kept; then each replaces the oldest."""


TIERS = (Tier("hours", 60, 1440), Tier("days", 900, 1344), Tier("weeks", 21_600, 2922))
"""A day of minutes, two weeks of quarters of an hour, two years of six hours: 114 kB of disk a channel. Each period is
a multiple of the one before, of which its cells are made. More cells: more disk than a chart has points for."""


def together(means: Floats, maxima: Floats) -> tuple[Floats, Floats]:
    """One cell of finer ones along the first axis: the mean of means and the highest maximum; gaps do not count."""
    known = np.isfinite(means)
    count = known.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, means, 0.0).sum(axis=0) / np.where(count > 0, count, np.nan)
    top = np.where(known, maxima, -np.inf).max(axis=0, initial=-np.inf)
    return mean, np.where(count > 0, top, np.nan)
