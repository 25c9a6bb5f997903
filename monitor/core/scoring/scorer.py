"""The score: compares this interval and the last seconds and minutes with the calibration, in one number.

The statistic of each kind of evidence on each time scale is -log of a probability, up to a scale that is measured on
healthy data. The smallest weighted probability counts. The kinds depend on each other, so the distribution of the
result is measured too. Three of the last five intervals must agree. The score is the surprise of the result divided by
the surprise at the limit. Scoring never changes a limit.
"""

from dataclasses import dataclass

import numpy as np

from monitor.core.arrays import Bool, Float32, Int64, Numbers, Rows
from monitor.core.forecasting.gap import GapFigures
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.core.scoring.calibration.conditions import (
    MOST_PROTOTYPES,
    descend,
    explained,
    logarithms,
    neighbours,
    to_scale,
)
from monitor.core.scoring.evidence.combine import MEMORY, SCALES, agreed, combine, tamed, unsettled
from monitor.core.scoring.evidence.kinds import KINDS, features, make_plan, raw_features, statistics
from monitor.core.scoring.evidence.tail import surprise
from monitor.core.scoring.interval.bands import layout
from monitor.core.scoring.interval.observations import Observations
from monitor.core.scoring.naming import most_new

ARRAYS = (
    "low",
    "high",
    "centre",
    "spread",
    "kind_scale",
    "knee",
    "at_knee",
    "scale",
    "band_energy",
)
"""The arrays of a calibration that scoring needs for every interval."""

TOGETHER = 64
"""Intervals scored in one pass, so that the data stay in the CPU cache."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of closed intervals, one row each."""

    score: Float32
    """(n,) score, 1 at the limit; NaN without a calibration, or if the interval holds NaN."""
    evidence: Float32
    """(n, kinds) score that each kind alone would give, on its strongest time scale; NaN without a score."""
    dominant: Int64
    """(n,) index into ``KINDS`` of the strongest kind; -1 without a score."""
    band: Float32
    """(n, 2) lower and upper end of the band with most new energy, as fractions of half the sampling rate; NaN without
    a score."""
    times_healthy: Float32
    """(n, 2) RMS of the interval, and amplitude of the whitened residual in that band, each over what is healthy under
    the present conditions; NaN without a score."""
    weights: Float32
    """(n, MOST_PROTOTYPES) weights of the learned conditions that explain the interval, with the sum 1; NaN beyond the
    number of conditions, and without a score."""


class Scorer:
    """Calibrations and accumulated evidence of a fixed number of channels."""

    def __init__(self, channels: int, block_samples: int) -> None:
        self.layout = layout(block_samples)
        self._calibrations: dict[int, Calibration] = {}
        self._of_row: Int64 = np.full(channels, -1, np.int64)
        self._limit: Float32 = np.full(channels, np.nan, np.float32)
        self._mean: Float32 = np.zeros((channels, len(SCALES), self.layout.raw), np.float32)
        self._count: Int64 = np.zeros(channels, np.int64)
        self._last: Float32 = np.full((channels, MEMORY), np.nan, np.float32)
        self._arrays: dict[str, Float32] = {}
        self._slot: Int64 = np.full(channels, -1, np.int64)
        self._stacked = True
        self._plan = make_plan(self.layout)

    def assign(self, rows: Rows, calibration: Calibration | None, limit: float = 0.0) -> None:
        """Assign a calibration and a limit (a surprise) to ``rows``, or remove both; accumulated evidence is reset."""
        self.forget(rows)
        if calibration is None:
            self._of_row[rows] = -1
        else:
            self._calibrations[id(calibration)] = calibration
            self._of_row[rows] = id(calibration)
            self._limit[rows] = limit
        self._stacked = False

    def _stack(self) -> None:
        """Stack the arrays of all assigned calibrations; done once after any number of assignments."""
        for key in self._calibrations.keys() - set(np.unique(self._of_row).tolist()):
            del self._calibrations[key]
        known = list(self._calibrations.values())
        self._arrays = {
            name: np.stack([getattr(one, name) for one in known]).astype(np.float32) for name in ARRAYS if known
        }
        if known:
            self._arrays |= _conditions(known)
        slots = {key: slot for slot, key in enumerate(self._calibrations)}
        self._slot = np.array([slots.get(key, -1) for key in self._of_row.tolist()], np.int64)
        self._stacked = True

    def forget(self, rows: Rows) -> None:
        """Reset the accumulated evidence of ``rows``, for example after a repair."""
        self._mean[rows] = 0.0
        self._count[rows] = 0
        self._last[rows] = np.nan

    def majority(self, rows: Rows) -> Bool:
        """(n,) True where so many intervals were scored that a majority of :data:`MEMORY` can agree."""
        return np.asarray(np.isfinite(self._last[rows]).sum(axis=1) > MEMORY // 2)

    def export(self, rows: Rows) -> dict[str, Numbers]:
        """The accumulated evidence of ``rows``, to be stored for a restart."""
        return {"mean": self._mean[rows], "count": self._count[rows], "last": self._last[rows]}

    def restore(self, rows: Rows, state: dict[str, Numbers]) -> bool:
        """Restore ``rows`` from the result of :meth:`export`; if the shapes do not match, return False unchanged."""
        own = self.export(rows)
        if own.keys() != state.keys() or any(own[name].shape != state[name].shape for name in own):
            return False
        self._mean[rows] = state["mean"]
        self._count[rows] = state["count"]
        self._last[rows] = state["last"]
        return True

    def score(self, rows: Rows, seen: Observations, gaps: GapFigures, measured: Float32 | None = None) -> Scores:
        """Score one closed interval of each of the distinct ``rows``; an interval with NaN is ignored.

        Args:
            rows: (n,) the channels.
            seen: what was observed.
            gaps: the gaps.
            measured: (n, quantities) measured values in the order of each row's calibration, NaN where not known; None:
                nothing is known.
        """
        n = rows.size
        result = Scores(
            np.full(n, np.nan, np.float32),
            np.full((n, len(KINDS)), np.nan, np.float32),
            np.full(n, -1, np.int64),
            np.full((n, 2), np.nan, np.float32),
            np.full((n, 2), np.nan, np.float32),
            np.full((n, MOST_PROTOTYPES), np.nan, np.float32),
        )
        if not self._stacked:
            self._stack()
        if not self._arrays:
            return result
        raw = raw_features(seen, gaps)
        good = (self._slot[rows] >= 0) & np.isfinite(raw).all(axis=1)
        at = np.flatnonzero(good)
        for first in range(0, at.size, TOGETHER):
            part = at[first : first + TOGETHER]
            self._score(rows[part], raw[part], None if measured is None else measured[part], part, result)
        return result

    def _score(self, rows: Rows, raw: Float32, measured: Float32 | None, at: Rows, result: Scores) -> None:
        slot = self._slot[rows]
        of = {name: array[slot] for name, array in self._arrays.items()}
        count = self._count[rows] + 1
        bands = self.layout.bands
        weights, expected = _expected(logarithms(raw, bands), measured, of)
        result.weights[at, : weights.shape[1]] = np.where(of["known"] > 0.0, weights, np.nan)
        left = explained(raw, expected, bands)
        mean = self._accumulate(rows, left, of["low"], of["high"], count)
        values = features(mean, self.layout.windows)
        statistic, exponent = statistics(values, of["centre"], of["spread"], self._plan)
        statistic /= of["kind_scale"]
        statistic[unsettled(count)] = 0.0
        self._last[rows] = np.concatenate([self._last[rows, 1:], combine(statistic)[:, None]], axis=1)
        tail = of["knee"], of["at_knee"], of["scale"]
        limit = self._limit[rows]
        by_kind = statistic.max(axis=1)
        result.score[at] = surprise(agreed(self._last[rows]), *tail) / limit
        result.evidence[at] = surprise(by_kind, *(each[:, None] for each in tail)) / limit[:, None]
        result.dominant[at] = by_kind.argmax(axis=1)
        expected = np.exp(np.minimum(expected[:, :bands], 80.0))
        by_window = exponent[..., : self._plan.windows], (values - of["centre"])[..., : self._plan.windows]
        strongest = most_new(*by_window, expected * of["band_energy"], self.layout)
        edges = self.layout.edges[self.layout.window_bands[strongest]]
        result.band[at] = edges / self.layout.block_samples
        # Of the interval alone: longer averages are bounded, and lag behind a fault that grows.
        rise = values[:, 0] - of["centre"][:, 0]
        logs = np.stack([rise[:, self._plan.level], 0.5 * rise[np.arange(rows.size), strongest]], axis=1)
        with np.errstate(over="ignore"):
            result.times_healthy[at] = np.exp(logs)

    def _accumulate(self, rows: Rows, raw: Float32, low: Float32, high: Float32, count: Int64) -> Float32:
        """Update and return the averages over the time scales, (n, scales, raw); the first is the interval itself."""
        mean = self._mean[rows]
        before = np.where(count[:, None] > 1, mean[:, 0], np.float32(0.5) * (low + high))
        tame = tamed(raw, before, low, high)
        mean[:, 0] = raw
        for scale, intervals in enumerate(SCALES[1:], 1):
            weight = np.maximum(1.0 / count, 2.0 / (intervals + 1)).astype(np.float32)[:, None]
            mean[:, scale] += weight * (tame - mean[:, scale])
        self._mean[rows] = mean
        self._count[rows] = count
        return mean


def _conditions(calibrations: list[Calibration]) -> dict[str, Float32]:
    """The least squares problems of calibrations, stacked, each with as many places as the largest needs."""
    most = max(len(one.prototypes) for one in calibrations)
    found = [one.combination for one in calibrations]
    size, quantities = (len(found), most), max(len(one.quantities) for one in calibrations)
    stacked = {
        "origin": np.stack([one.origin for one in found]).astype(np.float32),
        "healthy": np.zeros((*size, found[0].origin.size), np.float32),
        "pull": np.zeros((*size, found[0].origin.size), np.float32),
        "gram": np.zeros((*size, most), np.float32),
        "known": np.zeros(size, np.float32),
        "values": np.full((*size, quantities), np.nan, np.float32),
        "value_scale": np.full((len(found), quantities, 4), np.nan, np.float32),
    }
    for slot, one in enumerate(found):
        count = len(one.healthy)
        stacked["healthy"][slot, :count], stacked["pull"][slot, :count] = one.healthy, one.pull
        stacked["gram"][slot, :count, :count] = one.gram
        stacked["known"][slot, :count] = 1.0
        measured = len(one.scale)
        stacked["values"][slot, :count, :measured], stacked["value_scale"][slot, :measured] = one.values, one.scale
    return stacked


def _expected(logs: Float32, measured: Float32 | None, of: dict[str, Float32]) -> tuple[Float32, Float32]:
    """The weights of each row's conditions, (n, P), and what they explain of its interval, (n, R)."""
    if of["known"].shape[1] == 1:
        return of["known"], of["healthy"][:, 0]
    pull = (of["pull"] @ (logs - of["origin"])[..., None])[..., 0]
    known = of["known"] > 0.0
    if measured is not None and of["value_scale"].shape[1]:
        target = to_scale(measured[:, : of["value_scale"].shape[1]], of["value_scale"])
        known &= neighbours(of["values"], target)
    weights = descend(of["gram"], pull, known).astype(np.float32)
    return weights, np.asarray((weights[:, None] @ of["healthy"])[:, 0], np.float32)
