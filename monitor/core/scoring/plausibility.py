"""Plausibility: finds intervals that are not a measurement of a running machine and must not be scored.

The output of a dead sensor is easy to forecast, so it would score as healthier than any machine. The signal itself is
therefore checked before scoring.
"""

from enum import StrEnum

import numpy as np

from monitor.core.arrays import Bool, Float32, Int8, Int64, Rows
from monitor.core.forecasting.gap import ComparedBlocks

STOPPED_SHARE = 0.1
"""A machine has stopped if its level is below this fraction of the calibrated one. Lower: a machine that is running
down is scored. Higher: a fault that makes a machine quieter is taken for a stop (with a broken tooth 0.6 was
measured)."""

CLIPPED_SHARE = 0.02
"""Fraction of an interval's samples at its largest or smallest value that means clipping; a sine has almost none
there."""

COUNTED = 4
"""Only the first 1/COUNTED of each block is counted for clipping. Lower: more work. Higher: in short intervals a single
peak looks like clipping."""

FLAT_SHARE = 1e-6
"""RMS / largest magnitude (offset included) below which a signal is a flat line; about the resolution of float32."""


IMPLAUSIBLE_MPS2 = np.float32(980.665)
"""RMS of an interval, 100 g, above which the unit, scale or format is wrong or the sensor is broken. Lower: shakers,
hammer mills and bearings at the end of life (19 g measured) come near. Higher: packed samples decoded in the wrong
format pass, whose values start at a few thousand."""


class Skip(StrEnum):
    """Why a block was not scored; the values of the metric's label ``reason``."""

    WARM_UP = "warm_up"
    SPIKE = "spike"
    NO_FORECAST = "no_forecast"
    """The network's forecast of the block is unusable, see :func:`monitor.core.forecasting.forecaster.unusable`."""
    OVERLOAD = "overload"
    INCOMPLETE = "incomplete"


BY_WORKER = (Skip.WARM_UP, Skip.SPIKE, Skip.NO_FORECAST, Skip.OVERLOAD)
"""The reasons that a worker counts."""


class Refusal(StrEnum):
    """Why an interval was not scored; the values of the label ``reason``."""

    NOT_FINITE = "not_finite"
    """A sample is NaN or infinite."""
    IMPLAUSIBLE_LEVEL = "implausible_level"
    """The RMS is above 100 g; detected with and without a calibration."""
    FLAT_LINE = "flat_line"
    """The signal is constant."""
    CLIPPED = "clipped"
    """Too many samples are at the largest or smallest value."""
    STOPPED = "stopped"
    """The level is far below the calibrated one: the machine has stopped."""
    WRONG_RATE = "wrong_rate"
    """The sampling rate differs from the calibration's, or samples arrive at another rate than configured."""
    UNKNOWN_CONDITION = "unknown_condition"
    """A measured quantity is far outside what the calibration was learned under; see
    :class:`monitor.core.scoring.calibration.measured.Measured`."""


REFUSALS = tuple(Refusal)
"""All refusals in the order of their codes, which start at 1."""

ACCEPTED = 0
"""Code of an interval that is plausible."""


def code(reason: Refusal) -> int:
    """The code of a reason."""
    return REFUSALS.index(reason) + 1


class Plausibility:
    """Statistics of the samples of the open interval of each channel."""

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
        """Set the calibrated level of ``rows`` (0: none), and whether their rate differs from the calibration's."""
        self._calibrated[rows] = level_mps2
        self._wrong_rate[rows] = wrong_rate

    def without_unit(self, rows: Rows) -> None:
        """Accept any level of ``rows``, because the unit of their samples is unknown."""
        self._largest[rows] = np.inf

    def measure(self, rows: Rows, *, wrong_rate: bool) -> None:
        """Set whether the samples of ``rows`` arrive at another rate than configured; holds until the next call."""
        self._other_rate[rows] = wrong_rate

    def reset(self, rows: Rows) -> None:
        """Empty the open intervals of ``rows``."""
        self._high[rows] = -np.inf
        self._low[rows] = np.inf
        self._at_high[rows] = 0
        self._at_low[rows] = 0
        self._finite[rows] = True

    def add(self, batch: ComparedBlocks) -> None:
        """Add one block of each channel in the batch."""
        rows, high, low = batch.rows, batch.high, batch.low
        some = batch.samples[:, : max(1, batch.samples.shape[1] // COUNTED)]
        self._finite[rows] &= np.isfinite(high) & np.isfinite(low)  # both are NaN if a sample is
        self._high[rows], self._at_high[rows] = _extreme(
            self._high[rows], self._at_high[rows], high, (some >= high[:, None]).sum(axis=1), np.float32(1)
        )
        self._low[rows], self._at_low[rows] = _extreme(
            self._low[rows], self._at_low[rows], low, (some <= low[:, None]).sum(axis=1), np.float32(-1)
        )

    def close(self, rows: Rows, samples: Int64, rms_mps2: Float32) -> Int8:
        """Judge the intervals of ``rows``, ``samples`` (n,) long with this RMS (n,), and start new ones.

        Returns:
            (n,) int8: ``ACCEPTED``, or the code of the first reason that applies.
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
        codes = np.select(holds, list(range(1, len(holds) + 1)), ACCEPTED).astype(np.int8)
        self.reset(rows)
        return codes


def _extreme(
    value: Float32, count: Int64, block_value: Float32, block_count: Int64, sign: np.float32
) -> tuple[Float32, Int64]:
    """The more extreme of two values, and the number of samples that have it."""
    with np.errstate(invalid="ignore"):
        further, same = sign * block_value > sign * value, block_value == value
    return np.where(further, block_value, value), np.where(further, block_count, count + np.where(same, block_count, 0))
