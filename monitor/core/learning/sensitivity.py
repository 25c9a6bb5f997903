"""Sensitivity: the smallest lasting rise of a band's energy that a calibration would raise the alarm on.

A limit says when an alarm comes, not what it takes. So each calibration is tried out on its own healthy intervals: the
whitened energy of one band, then of all bands together, is multiplied by a factor, as a fault that stays would do it.
Such an interval goes the way of a real one: the conditions may explain a part of the rise away, the averages over
several intervals fill up, and the score follows. The smallest factor at which half of the healthy intervals are over
the limit a minute after the rise began, and a day after, is the sensitivity, in decibels.

Only band energies rise. Level, gap ratio and impulses stay as they were, so a fault that shows in them as well may be
seen earlier.
"""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from monitor.core.arrays import Float64, Floats, Int64
from monitor.core.scoring.calibration.calibration import OVER_S, Calibration
from monitor.core.scoring.evidence.combine import MEMORY, SCALES, agreed, combine, tamed
from monitor.core.scoring.evidence.kinds import features, make_plan, statistics
from monitor.core.scoring.interval.bands import layout

FALSE_ALARMS_PER_MONTH = 1.0
"""The budget that the stated sensitivity holds for: the default of the configuration."""

MOST_DECIBELS = 30.0
"""Largest rise that is tried; a sensitivity of so much means that no rise up to it raises the alarm."""

HALVINGS = 9
"""Steps of the bisection, to 0.06 dB. Fewer: coarser figures. More: more work for less than the healthy intervals
differ by."""

SETTLED = 0.99
"""Share of a rise from which an average counts as settled; later, nothing changes."""

POOR_DECIBELS = 10.0
"""Sensitivity beyond which a person is told what to do. Lower: short recordings of noisy machines are called poor.
Higher: a calibration that sees nothing passes."""

MOST_NAMED = 3
"""Most bands that an advice names."""

PIECES, PIECE_INTERVALS = 8, 16
"""Number and length of the pieces of healthy history that are tried. Fewer or shorter: conditions are left out. More:
more work."""


def sensitivity(calibration: Calibration, healthy: list[tuple[Float64, Float64, Float64]]) -> Float64:
    """Find the smallest lasting rises that raise the alarm.

    Args:
        calibration: what is tried; its own ``sensitivity`` is not used.
        healthy: for each recording the raw features of consecutive healthy intervals, (intervals, R); what was measured
            beside them, (intervals, C), NaN where not known; and what the conditions leave of them, averaged over the
            time scales, (intervals, scales, R).

    Returns:
        (bands + 1, 2) rise in dB of each band, then of all together; within a minute, and within a day.
    """
    trial = _Trial(calibration, healthy)
    longest = MEMORY + int(np.log(1.0 - SETTLED) / np.log1p(-2.0 / (SCALES[-1] + 1)))
    over = [min(longest, int(over_s / calibration.interval_s)) for over_s in OVER_S.values()]
    found = {intervals: trial.smallest(intervals) for intervals in set(over)}
    return np.stack([found[intervals] for intervals in over], axis=1)


def filled(length: int, intervals: int) -> float:
    """The share of a rise that an average over ``length`` holds when an alarm comes so many intervals after it."""
    return 1.0 - (1.0 - 2.0 / (length + 1)) ** max(1, intervals - MEMORY // 2)


def edges_hz(calibration: Calibration) -> Float64:
    """The frequencies between which the bands lie, (bands + 1,)."""
    return layout(calibration.block_samples).edges / calibration.block_samples * 0.5 * calibration.sampling_rate_hz


def sensitivity_document(calibration: Calibration) -> dict[str, Any]:
    """The sensitivity of a calibration as JSON."""
    edges = edges_hz(calibration).tolist()
    rises = [dict(zip(OVER_S, rise, strict=True)) for rise in np.round(calibration.sensitivity, 2).tolist()]
    return {
        "false_alarms_per_month": FALSE_ALARMS_PER_MONTH,
        "all": rises[-1],
        "bands": [
            {"from_hz": low, "to_hz": high} | rise
            for (low, high), rise in zip(pairwise(edges), rises[:-1], strict=True)
        ],
    }


def stated(calibration: Calibration) -> str:
    """The sensitivity of a calibration in a sentence for a person."""
    bands, whole = calibration.sensitivity[:-1], calibration.sensitivity[-1]
    weakest = int(bands.sum(axis=1).argmax())
    return (
        f"sees a lasting rise of {_decibels(whole[0])} over all bands within a minute, {_decibels(whole[1])} within a "
        f"day; weakest in {_band(calibration, weakest)}: {_decibels(bands[weakest, 0])} "
        f"and {_decibels(bands[weakest, 1])} (limit for one false alarm a month)"
    )


def advice(calibration: Calibration) -> str:
    """What a calibration does not see, and what to do about it; empty if it sees enough."""
    late = (MEMORY // 2 + 1) * calibration.interval_s > OVER_S["1m"]
    found = []
    if late:
        found.append(
            f"no alarm comes within a minute: three intervals of {calibration.interval_s:g} s must agree; choose a "
            "shorter interval if a minute matters"
        )
    poor = calibration.sensitivity[:, int(late) :].max(axis=1) > POOR_DECIBELS
    if poor.any():
        bands = np.flatnonzero(poor[:-1]).tolist()
        where = ", ".join(_band(calibration, band) for band in bands[:MOST_NAMED]) or "all bands"
        more = f" and {len(bands) - MOST_NAMED} more bands" if len(bands) > MOST_NAMED else ""
        found.append(
            f"needs more than {POOR_DECIBELS:g} dB in {where}{more}: faults there may stay unseen; calibrate with more "
            "data, fewer conditions or a shorter interval"
        )
    return "; ".join(found)


def _decibels(value: float) -> str:
    return f"{value:.1f} dB" if value < MOST_DECIBELS else f"more than {MOST_DECIBELS:g} dB"


def _band(calibration: Calibration, band: int) -> str:
    low, high = edges_hz(calibration)[band : band + 2] / 1000.0
    return f"{low:.3g} to {high:.3g} kHz"


class _Trial:
    """Pieces of healthy history, and how they score when bands rise."""

    def __init__(self, calibration: Calibration, healthy: list[tuple[Float64, Float64, Float64]]) -> None:
        # In single precision, as scores are made: it takes a sixth less time, and no figure differed by a step.
        arrays = {name: value for name, value in vars(calibration).items() if isinstance(value, np.ndarray)}
        single: dict[str, Any] = {name: value.astype(np.float32) for name, value in arrays.items()}
        self.calibration = replace(calibration, **single)
        self.layout = layout(calibration.block_samples)
        self.plan = make_plan(self.layout)
        self.limit = calibration.limit(FALSE_ALARMS_PER_MONTH)
        self.combination = self.calibration.combination
        pieces = [[array[part] for array in one] for one in healthy for part in _parts(len(one[0]))]
        chosen = np.unique(np.linspace(0, len(pieces) - 1, PIECES).astype(np.int64))
        self.raw, self.measured, self.averaged = (
            np.stack([pieces[at][array] for at in chosen]).astype(np.float32) for array in range(3)
        )
        self.settled = self._tamed(self._left(self.raw))
        self.combined = self._combined(self.averaged)

    def smallest(self, intervals: int) -> Float64:
        """The smallest rise in dB of each band, and of all, that is over the limit so many intervals after it began."""
        low, high = np.zeros(self.layout.bands + 1), np.full(self.layout.bands + 1, MOST_DECIBELS)
        for _ in range(HALVINGS):
            middle = 0.5 * (low + high)
            over = self._scores(middle, intervals) >= 1.0
            low, high = np.where(over, low, middle), np.where(over, middle, high)
        return high

    def _scores(self, decibels: Float64, intervals: int) -> Float64:
        """Median scores so many intervals after a band, or all, rose by ``decibels``, (bands + 1,)."""
        bands = self.layout.bands
        risen = np.concatenate([np.eye(bands), np.ones((1, bands))])
        raw = np.repeat(self.raw[None], bands + 1, axis=0)
        raw[..., :bands] *= 10.0 ** (risen * decibels[:, None] / 10.0)[:, None, None]
        values = [agreed(self._last(left, intervals)) for left in self._left(raw)]
        return np.asarray(np.median(self.calibration.tail.surprise(np.stack(values)), axis=1) / self.limit, np.float64)

    def _last(self, left: Floats, intervals: int) -> Floats:
        """The combined statistics of the last intervals, (trials, memory); ``left`` is (pieces, intervals, R)."""
        averaged = self.averaged.copy()
        averaged[:, :, 0] = left
        # Long averages still hold healthy intervals; three of five must agree, so the third last counts.
        gained = self._tamed(left) - self.settled
        for scale, length in enumerate(SCALES[1:], 1):
            averaged[:, :, scale] += filled(length, intervals) * gained
        after = np.lib.stride_tricks.sliding_window_view(self._combined(averaged), MEMORY, axis=1)
        before = np.lib.stride_tricks.sliding_window_view(self.combined, MEMORY, axis=1)
        return np.where(np.arange(MEMORY)[::-1] < intervals, after, before).reshape(-1, MEMORY)

    def _left(self, raw: Floats) -> Floats:
        """What the conditions leave of raw features."""
        measured = np.broadcast_to(self.measured, (*raw.shape[:-1], self.measured.shape[-1]))
        flat = raw.reshape(-1, raw.shape[-1])
        found = self.combination.left(flat, self.layout.bands, measured.reshape(len(flat), measured.shape[-1]))
        return found.reshape(raw.shape)

    def _tamed(self, left: Floats) -> Floats:
        """The mean of each piece, within the bounds that the averages keep; (pieces, 1, R)."""
        before = np.concatenate([left[:, :1], left[:, :-1]], axis=1)
        tame = tamed(left, before, self.calibration.low, self.calibration.high)
        return np.asarray(tame.mean(axis=1, keepdims=True))

    def _combined(self, averaged: Floats) -> Floats:
        """The combined statistic of intervals, (pieces, intervals)."""
        of = self.calibration
        values = features(averaged, self.layout.windows)
        return combine(statistics(values, of.centre, of.spread, self.plan)[0] / of.kind_scale)


def _parts(intervals: int) -> list[Int64]:
    """Intervals of each piece of a recording, where its long averages have settled; a short one is repeated."""
    first = min(SCALES[-1], intervals // 2)
    starts = range(first, max(first + 1, intervals - PIECE_INTERVALS + 1), PIECE_INTERVALS)
    return [first + (start - first + np.arange(PIECE_INTERVALS)) % (intervals - first) for start in starts]
