"""When an interval must not be scored: the signal is no measurement of a running machine.

A dead sensor is perfectly forecast, and would look healthier than any machine. So before anything is scored, the signal
itself is looked at. Refuses to know: forecasts, limits, what is done about it.
"""

from enum import StrEnum

import numpy as np

from monitor.core.arrays import Bool, Float32, Int8, Int64, Rows
from monitor.core.gap import Residuals

STOPPED_SHARE = 0.1
"""A machine whose level is below this part of the calibrated one stands still. Lower: a machine running down is scored.
Higher: a fault that makes a machine quieter is taken for a stop (a broken tooth measured 0.6)."""

CLIPPED_SHARE = 0.02
"""Part of an interval's samples at its largest or smallest value that means clipping; a sine has next to none there."""

COUNTED = 4
"""One sample of so many is counted, the beginning of each block. Lower: more work. Higher: short intervals hold too few
to tell clipping from a single peak."""

FLAT_SHARE = 1e-6
"""RMS over largest magnitude (offset included) below which a signal is a flat line: float32 resolves no less."""


IMPLAUSIBLE_MPS2 = np.float32(980.665)
"""RMS of an interval above which no machine can have moved the sensor: 100 g. It is a wrong unit, scale or format, or
the sensor is broken. Lower: shakers, hammer mills and the end of a bearing's life (measured 19 g) come near. Higher:
packed samples read in the wrong format pass, whose values reach from thousands to the largest number that is taken."""


class Skip(StrEnum):
    """Why a block was not scored; the values of the metric's label ``reason``."""

    WARM_UP = "warm_up"
    SPIKE = "spike"
    OVERLOAD = "overload"
    INCOMPLETE = "incomplete"


BY_WORKER = (Skip.WARM_UP, Skip.SPIKE, Skip.OVERLOAD)
"""Those that a worker counts."""


class Refusal(StrEnum):
    """Why an interval has no score; the values of the label ``reason``."""

    NOT_FINITE = "not_finite"
    """A sample is NaN or infinite."""
    IMPLAUSIBLE_LEVEL = "implausible_level"
    """The level is beyond 100 g; found with and without a calibration."""
    FLAT_LINE = "flat_line"
    """The signal does not move."""
    CLIPPED = "clipped"
    """It stays at its largest or smallest value."""
    STOPPED = "stopped"
    """The level is far below the calibrated one."""
    WRONG_RATE = "wrong_rate"
    """The sampling rate is not the calibration's, or samples arrive at another rate."""


REFUSALS = tuple(Refusal)
"""In the order of the codes, which start at 1."""

ACCEPTED = 0
"""Code of an interval that may be scored."""


def code(reason: Refusal) -> int:
    """The code of a reason."""
    return REFUSALS.index(reason) + 1


class Plausibility:
    """What the samples of the open interval of each channel look like."""

    def __init__(self, channels: int) -> None:
        self._high: Float32 = np.zeros(channels, np.float32)
        self._low: Float32 = np.zeros(channels, np.float32)
        self._at_high: Int64 = np.zeros(channels, np.int64)
        self._at_low: Int64 = np.zeros(channels, np.int64)
        self._finite: Bool = np.ones(channels, np.bool_)
        self._calibrated: Float32 = np.zeros(channels, np.float32)
        self._wrong_rate: Bool = np.zeros(channels, np.bool_)
        self._largest: Float32 = np.full(channels, IMPLAUSIBLE_MPS2, np.float32)
        self._other_rate: Bool = np.zeros(channels, np.bool_)
        self.reset(np.arange(channels))

    def assign(self, rows: Rows, level_mps2: float, *, wrong_rate: bool = False) -> None:
        """Set the calibrated level of ``rows`` (0: any), and whether their rate is not the calibration's."""
        self._calibrated[rows] = level_mps2
        self._wrong_rate[rows] = wrong_rate

    def without_unit(self, rows: Rows) -> None:
        """Take any level of ``rows`` for plausible: their samples are in a unit that nobody knows."""
        self._largest[rows] = np.inf

    def measure(self, rows: Rows, *, wrong_rate: bool) -> None:
        """Say whether the samples of ``rows`` arrive at another rate than the configured one; lasts until said anew."""
        self._other_rate[rows] = wrong_rate

    def reset(self, rows: Rows) -> None:
        """Empty the open intervals of ``rows``."""
        self._high[rows] = -np.inf
        self._low[rows] = np.inf
        self._at_high[rows] = 0
        self._at_low[rows] = 0
        self._finite[rows] = True

    def add(self, batch: Residuals) -> None:
        """Take one block of each of some channels."""
        rows, high, low = batch.rows, batch.high, batch.low
        some = batch.samples[:, : max(1, batch.samples.shape[1] // COUNTED)]
        self._finite[rows] &= np.isfinite(high) & np.isfinite(low)  # both are NaN where a sample is
        self._high[rows], self._at_high[rows] = _extreme(
            self._high[rows], self._at_high[rows], high, (some >= high[:, None]).sum(axis=1), np.float32(1)
        )
        self._low[rows], self._at_low[rows] = _extreme(
            self._low[rows], self._at_low[rows], low, (some <= low[:, None]).sum(axis=1), np.float32(-1)
        )

    def close(self, rows: Rows, samples: Int64, rms_mps2: Float32) -> Int8:
        """Codes of the intervals of ``rows``, ``samples`` long each, with this RMS; empties them.

        Returns:
            (n,) int8: ``ACCEPTED``, or the code of the first reason that holds.
        """
        high, low = self._high[rows], self._low[rows]
        finite = self._finite[rows] & np.isfinite(rms_mps2)
        with np.errstate(invalid="ignore"):
            flat = (high == low) | (rms_mps2 <= FLAT_SHARE * np.maximum(np.abs(high), np.abs(low)))
            often = np.maximum(self._at_high[rows], self._at_low[rows])
            clipped = (often >= 2) & (often * COUNTED >= CLIPPED_SHARE * samples)
            stopped = rms_mps2 < STOPPED_SHARE * self._calibrated[rows]
            implausible = rms_mps2 > self._largest[rows]
        holds = [~finite, implausible, flat, clipped, stopped, self._wrong_rate[rows] | self._other_rate[rows]]
        codes = np.select(holds, list(range(1, len(REFUSALS) + 1)), ACCEPTED).astype(np.int8)
        self.reset(rows)
        return codes


def _extreme(
    value: Float32, count: Int64, block_value: Float32, block_count: Int64, sign: np.float32
) -> tuple[Float32, Int64]:
    """The more extreme of two values, and how many samples have it."""
    with np.errstate(invalid="ignore"):
        further, same = sign * block_value > sign * value, block_value == value
    return np.where(further, block_value, value), np.where(further, block_count, count + np.where(same, block_count, 0))
